/* Owns what happens between two connections: when the next is tried, which URL, with which token. */
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

void link_plan_retry(struct link *link)
{
    int64_t wait;

    link->token_watch_ms = 0;
    switch (link->after) {
    case LINK_AFTER_EXACT:
        wait = link->after_ms;
        break;
    case LINK_AFTER_TOKEN:
        link->token_watch_ms = link->loop->now_ms + LINK_TOKEN_POLL_MS;
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
    if (link->after != LINK_AFTER_EXACT)
        link->url_at = (link->url_at + 1) % link->options.url_count;
    log_write(link->after == LINK_AFTER_EXACT ? LOG_INFO : LOG_WARNING, "link",
              "%s; next try in %lld.%lld s", link->last_error, (long long)(wait / 1000),
              (long long)(wait / 100 % 10));
}

static bool same_file(const struct port_stat *a, const struct port_stat *b)
{
    return a->mtime_ms == b->mtime_ms && a->size == b->size && a->inode == b->inode &&
           a->device == b->device;
}

void link_watch_token(struct link *link)
{
    struct port_stat stat;

    if (link->token_watch_ms == 0 || link->loop->now_ms < link->token_watch_ms)
        return;
    link->token_watch_ms = link->loop->now_ms + LINK_TOKEN_POLL_MS;
    if (link->options.token_file[0] == '\0' || port_stat(link->options.token_file, &stat) != OK ||
        same_file(&stat, &link->token_stat))
        return;
    log_info("link", "the token file %s has changed; trying it now", link->options.token_file);
    link->next_try_ms = link->loop->now_ms;
    link_dial(link);
}

/* --- dialling ------------------------------------------------------------------------------------------------------- */

static void on_resolved(struct dial *dial)
{
    link_enter(dial->owner, LINK_EVENT_RESOLVED);
}

static void on_done(struct dial *dial, enum err err, int fd)
{
    struct link *link = dial->owner;

    if (err != OK) {
        link_lost(link, LINK_AFTER_BACKOFF, "%s", dial->error);
        return;
    }
    port_tune_tcp(fd, LINK_HEARTBEAT_S, LINK_WRITE_MS);
    link_connected(link, fd);
}

void link_dial(struct link *link)
{
    static const struct dial_handler handler = {on_resolved, on_done};
    const char *text = link->options.urls[link->url_at], *reason;

    link->after_ms = 0;
    link->token_watch_ms = 0;
    link_enter(link, LINK_EVENT_DUE);
    if (url_read(str_of(text), &link->url, &reason) != OK)
        link_lost(link, LINK_AFTER_SLOW, "the gateway's URL \"%.200s\" cannot be used: %s", text,
                  reason);
    else if (link->url.secure && !TLS_IS_BUILT)
        link_lost(link, LINK_AFTER_SLOW,
                  "the gateway's URL \"%.200s\" cannot be used: this build has no TLS", text);
    else if (dial_start(&link->dial, link->loop, &link->url, LINK_DEADLINE_MS, &handler) != OK)
        link_lost(link, LINK_AFTER_BACKOFF, "%s", link->dial.error);
}

bool link_url_is_good(const char *url, const char **reason)
{
    struct url read;

    if (url_read(str_of(url), &read, reason) != OK)
        return false;
    *reason = "this build has no TLS";
    return !read.secure || TLS_IS_BUILT;
}

/* --- the opening handshake ------------------------------------------------------------------------------------------ */

/* The token, or false with the connection lost. It must not be able to add a header. */
static bool read_token(struct link *link, char *buffer, size_t size, struct str *token)
{
    const char *path = link->options.token_file;
    size_t got = 0;

    *token = STR_NONE;
    if (path[0] == '\0')
        return true;
    if (port_stat(path, &link->token_stat) != OK)
        memset(&link->token_stat, 0, sizeof link->token_stat);
    enum err err = port_read_regular_file(path, buffer, size, &got);
    if (err != OK) {
        link_lost(link, LINK_AFTER_TOKEN, "the token file %s cannot be read: %s", path,
                  err == ERR_TOO_LARGE ? "it is too long" : port_last_error());
        return false;
    }
    *token = str_trim(str_range(buffer, got));
    for (size_t i = 0; i < token->n; i++)
        if (token->p[i] <= ' ' || token->p[i] > '~') {
            link_lost(link, LINK_AFTER_TOKEN,
                      "the token file %s holds more than one token of printable ASCII", path);
            return false;
        }
    return true;
}

bool link_write_upgrade(struct link *link)
{
    unsigned char key[16];
    char buffer[LIMIT_TOKEN];
    struct str token;
    bool ok;

    if (port_random(key, sizeof key) != OK) {
        link_lost(link, LINK_AFTER_BACKOFF, "the system gives no random bytes: %s",
                  port_last_error());
        return false;
    }
    ok = read_token(link, buffer, sizeof buffer, &token);
    if (ok) {
        struct out *request = queue_begin(&link->queue, LIMIT_URL + LIMIT_TOKEN + 1024, true);
        upgrade_start(&link->upgrade, link->message, sizeof link->message, link->loop->wall_ms, key,
                      &link->url, token, request);
        queue_end(&link->queue, true);
    }
    port_wipe(buffer, sizeof buffer);
    return ok;
}
