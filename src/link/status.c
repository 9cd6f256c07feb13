/* Owns the view of the link that daemon.status shows. */
#include "link/session.h"

void link_write_status(const struct link *link, struct json_writer *w)
{
    int64_t left_ms = link->next_try_ms - link->loop->now_ms;

    json_object(w);
    json_put_text(w, "url", link->options.url_count > 0 ? link->options.urls[link->url_at] : NULL);
    json_put_text(w, "state", link_state_name(link->state));
    json_put_time(w, "since", link->since_ms);
    json_put_u64(w, "reconnects", link->sessions > 0 ? link->sessions - 1 : 0);
    json_put_text(w, "last_error", link->last_error[0] == '\0' ? NULL : link->last_error);
    json_key(w, "next_try_s");
    if (link->state == LINK_WAITING)
        json_i64(w, left_ms > 0 ? (left_ms + 999) / 1000 : 0);
    else
        json_null(w);
    json_put_u64(w, "acked_seq", link->outbox.acked);
    json_object_end(w);
}
