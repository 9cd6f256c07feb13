/* Owns what happens between two connections: when the next is tried, which URL, and what the end of an attempt means. */
#include "link/session.h"

#include "base/log.h"

#include <string.h>

/* --- waiting -------------------------------------------------------------------------------------------------------- */

/* Without randomness every wait is the whole window: late, but never in step with a fleet by our fault alone. */
static uint32_t random_number(void)
{
    uint32_t number = UINT32_MAX;
    (void)port_random(&number, sizeof number);
    return number;
}

/* The gateway's word; but one that sends us away again and again must not have us, and a fleet with us, run in circles. */
static int64_t after_drain_ms(const struct link *link)
{
    struct backoff pace = link->backoff;
    int64_t wait;

    if (link->drains <= LINK_DRAINS)
        return link->after_ms;
    pace.failures = link->drains - LINK_DRAINS - 1;
    wait = backoff_next_ms(&pace, 0, random_number());
    return wait > link->after_ms ? wait : link->after_ms;
}

void link_plan_retry(struct link *link)
{
    bool as_told = link->after == LINK_AFTER_EXACT || link->after == LINK_AFTER_DRAIN;
    int64_t wait;

    link->watched = NULL;
    switch (link->after) {
    case LINK_AFTER_EXACT:
        wait = link->after_ms;
        break;
    case LINK_AFTER_DRAIN:
        wait = after_drain_ms(link);
        break;
    case LINK_AFTER_TOKEN:
        link->watched = link->connect.failure == CONNECT_CREDENTIALS ? &link->connect.credentials
                                                                     : &link->connect.token;
        link->watch_ms = link->loop->now_ms + LINK_TOKEN_POLL_MS;
        wait = backoff_slowest_ms(&link->backoff, link->after_ms, random_number());
        break;
    case LINK_AFTER_SLOW:
        wait = backoff_slowest_ms(&link->backoff, link->after_ms, random_number());
        break;
    default:
        wait = backoff_next_ms(&link->backoff, link->after_ms, random_number());
        break;
    }
    link->after_ms = 0;
    link->next_try_ms = link->loop->now_ms + wait;
    if (!as_told)
        link->url_at = (link->url_at + 1) % link->options.url_count;
    log_at(as_told ? LOG_INFO : LOG_WARNING, "link", "%s; next try in %lld.%lld s",
           link->last_error, (long long)(wait / 1000), (long long)(wait / 100 % 10));
}

void link_watch_secret(struct link *link)
{
    if (link->watched == NULL || link->loop->now_ms < link->watch_ms)
        return;
    link->watch_ms = link->loop->now_ms + LINK_TOKEN_POLL_MS;
    if (!secret_has_changed(link->watched))
        return;
    log_info("link", "the file %s has changed; trying it now", link->watched->path);
    link->next_try_ms = link->loop->now_ms;
    link_dial(link);
}

/* --- dialling ------------------------------------------------------------------------------------------------------- */

static void on_stage(struct connect *connect, enum connect_stage stage)
{
    static const enum link_event events[] = {[CONNECT_RESOLVING] = LINK_EVENT_REDIRECTED,
                                             [CONNECT_DIALLING] = LINK_EVENT_RESOLVED,
                                             [CONNECT_TUNNELLING] = LINK_EVENT_TUNNEL,
                                             [CONNECT_SECURING] = LINK_EVENT_SECURE,
                                             [CONNECT_UPGRADING] = LINK_EVENT_OPENED};

    link_enter(connect->owner, events[stage]);
}

/* The table of contract §6 for the answers of the upgrade; what it does not name is an ordinary loss. */
static enum link_after after_failure(const struct connect *connect)
{
    switch (connect->failure) {
    case CONNECT_UNUSABLE:
        return LINK_AFTER_SLOW;
    case CONNECT_TOKEN:
    case CONNECT_CREDENTIALS:
        return LINK_AFTER_TOKEN;
    case CONNECT_REFUSED:
        return connect->status == 401   ? LINK_AFTER_TOKEN
               : connect->status == 403 ? LINK_AFTER_SLOW
               : connect->status == 410 ? LINK_AFTER_RETIRED
                                        : LINK_AFTER_BACKOFF;
    default:
        return LINK_AFTER_BACKOFF;
    }
}

static void on_done(struct connect *connect, enum err err)
{
    struct link *link = connect->owner;

    if (err == OK) {
        link_attach(link);
        return;
    }
    link->after_ms = connect->retry_after_ms;
    link_lost(link, after_failure(connect), "%s", connect->error);
}

void link_dial(struct link *link)
{
    const char *text = link->options.urls[link->url_at], *reason;
    struct connect_request request = {.url = &link->url,
                                      .protocol = UPGRADE_PROTOCOL,
                                      .token_file = link->options.token_file,
                                      .proxy = link->options.proxy,
                                      .tls = link->options.tls,
                                      .deadline_ms = LINK_DEADLINE_MS,
                                      .keepalive_s = LINK_HEARTBEAT_S,
                                      .user_timeout_ms = LINK_WRITE_MS,
                                      .on_stage = on_stage,
                                      .on_done = on_done};

    link->after_ms = 0;
    link->watched = NULL;
    link_enter(link, LINK_EVENT_DUE);
    if (url_read(str_of(text), &link->url, &reason) != OK) {
        char safe[LINK_ERROR];
        struct out out = OUT_ON(safe);
        url_write_safe(&out, str_head(str_of(text), 200));
        link_lost(link, LINK_AFTER_SLOW, "the gateway's URL \"%s\" cannot be used: %s",
                  out_cstr(&out), reason);
        return;
    }
    connect_start(&link->connect, &request);
}

bool link_url_is_good(const char *url, const char **reason)
{
    struct url read;

    if (url_read(str_of(url), &read, reason) != OK)
        return false;
    *reason = "this build has no TLS";
    return !read.secure || TLS_IS_BUILT;
}
