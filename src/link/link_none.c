/* In the place of what makes the link where there is none: it is off, and stays so. */
#include "link/session.h"
#include "link/state.h"

enum err link_start(struct link *link, struct loop *loop, struct journal *journal,
                    const struct link_host *host, const struct link_options *options)
{
    (void)journal;
    (void)host;
    (void)options;
    link->loop = loop;
    link->state = LINK_OFF;
    link->since_ms = loop->wall_ms;
    return OK;
}

void link_reconfigure(struct link *link, const struct link_options *options)
{
    (void)link;
    (void)options;
}

void link_retry(struct link *link)
{
    (void)link;
}

void link_after_commit(struct link *link)
{
    (void)link;
}

void link_stop(struct link *link)
{
    (void)link;
}

bool link_is_closed(const struct link *link)
{
    (void)link;
    return true;
}

void link_end(struct link *link)
{
    (void)link;
}

uint64_t link_acked(const struct link *link)
{
    (void)link;
    return 0;
}

enum link_state link_state(const struct link *link)
{
    return link->state;
}

bool link_url_is_good(const char *url, const char **reason)
{
    (void)url;
    *reason = "this build has no link to a gateway (LINK)";
    return false;
}

void link_write_status(const struct link *link, struct json_writer *w)
{
    json_object(w);
    json_put_text(w, "url", NULL);
    json_put_text(w, "state", link_state_name(LINK_OFF));
    json_put_time(w, "since", link->since_ms);
    json_put_u64(w, "reconnects", 0);
    json_put_text(w, "last_error", NULL);
    json_key(w, "next_try_s");
    json_null(w);
    json_put_u64(w, "acked_seq", 0);
    json_put_bool(w, "paused", false);
    json_object_end(w);
}

void link_rest(struct link *link)
{
    (void)link;
}
