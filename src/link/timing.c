/* Owns the link's deadlines: one timer, set for the nearest of them at the end of each turn. */
#include "link/session.h"

static int64_t heartbeat_ms(const struct link *link)
{
    return (int64_t)link->heartbeat_s * 1000;
}

static int64_t ping_at(const struct link *link)
{
    int64_t last = link->heard_ms > link->pinged_ms ? link->heard_ms : link->pinged_ms;
    return last + heartbeat_ms(link) / 2;
}

/* A gateway that we do not read cannot be heard. */
static int64_t dead_at(const struct link *link)
{
    if (link->is_held)
        return INT64_MAX;
    return link->heard_ms + heartbeat_ms(link) * 3 / 2;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_deadline(const struct link *link)
{
    int64_t at = INT64_MAX;

    if (link->write_failed)
        at = link->failed_ms + LINK_CLOSE_MS;
    if (link->write_since_ms != 0)
        at = earlier(at, link->write_since_ms + LINK_WRITE_MS);
    switch (link->state) {
    case LINK_WAITING:
        return link->watched != NULL ? earlier(link->next_try_ms, link->watch_ms)
                                     : link->next_try_ms;
    case LINK_HELLO:
        return earlier(at, link->state_at_ms + LINK_DEADLINE_MS);
    case LINK_CONNECTED:
        return earlier(at, earlier(ping_at(link), dead_at(link)));
    case LINK_CLOSING:
        return earlier(at, link->state_at_ms + LINK_CLOSE_MS);
    default:
        return at;
    }
}

void link_schedule(struct link *link)
{
    int64_t at = next_deadline(link);

    if (at == INT64_MAX)
        loop_timer_clear(link->loop, &link->timer);
    else if (!loop_timer_is_set(&link->timer) || link->timer.at_ms != at)
        loop_timer_set(link->loop, &link->timer, at);
}

void link_rest(struct link *link)
{
    bool is_free = !link->ws.in_message && !link->is_held && !link->connect.is_running;

    if (!ws_release(&link->ws) || !is_free || !queue_is_empty(&link->queue))
        return;
    /* One range: the queue's buffer, the message, the WebSocket's. */
    port_release(link->queue.bytes,
                 offsetof(struct link, ws.frames_state) - offsetof(struct link, queue.bytes));
}

void link_on_timer(struct loop_timer *timer)
{
    struct link *link = timer->context;
    int64_t now = link->loop->now_ms;

    if (link->write_failed && now >= link->failed_ms + LINK_CLOSE_MS) {
        link->after = link->state == LINK_CLOSING ? link->after : LINK_AFTER_BACKOFF;
        link_finish(link);
    } else if (link->write_since_ms != 0 && now >= link->write_since_ms + LINK_WRITE_MS) {
        link_lost(link, LINK_AFTER_BACKOFF, "the gateway took no byte for %d s",
                  LINK_WRITE_MS / 1000);
    } else if (link->state == LINK_WAITING && now >= link->next_try_ms) {
        link_dial(link);
    } else if (link->state == LINK_WAITING) {
        link_watch_secret(link);
    } else if (link->state == LINK_CONNECTED) {
        if (now >= dead_at(link))
            link_lost(link, LINK_AFTER_BACKOFF, "the gateway is dead: nothing heard for %u.%u s",
                      link->heartbeat_s * 3 / 2, link->heartbeat_s * 15 % 10);
        else if (now >= ping_at(link)) {
            ws_ping(&link->ws);
            link->pinged_ms = now;
        }
    } else if (now < next_deadline(link)) {
        /* set for an earlier state */
    } else if (link->state == LINK_HELLO) {
        link_close(link, 4400, "no answer to hello", LINK_AFTER_BACKOFF,
                   "the gateway did not answer hello within 10 s");
    } else if (link->state == LINK_CLOSING) {
        link_finish(link);
    }
    link_schedule(link);
}
