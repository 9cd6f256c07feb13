/* Owns what comes in behind the opening handshake: messages, then the end.  It writes nothing; what it
 * decides to say is queued.  Bounded work a turn: the rest waits for the next one. */
#include "link/session.h"

/* The table of contract §6; what it does not name is an ordinary loss. */
static enum link_after after_code(unsigned code)
{
    switch (code) {
    case 4400:
    case 4403:
    case 4426:
        return LINK_AFTER_SLOW;
    case 4401:
        return LINK_AFTER_TOKEN;
    case 4409:
        return LINK_AFTER_SUPERSEDED;
    case 4410:
        return LINK_AFTER_RETIRED;
    default:
        return LINK_AFTER_BACKOFF;
    }
}

static void take_close(struct link *link)
{
    unsigned code = link->ws.peer_code;
    enum link_after after = after_code(code);

    if (code == 1009)
        outbox_too_large(&link->outbox);
    /* Who began the close says what comes next; only what is final counts in any case. */
    if (link->state != LINK_CLOSING || after == LINK_AFTER_SUPERSEDED ||
        after == LINK_AFTER_RETIRED) {
        link->after_ms = 0;
        link->finish_writes = false;
        link_close(link, code == WS_NO_STATUS ? 1000 : code, "", after,
                   "the gateway closed with %u%s%s", code,
                   link->ws.peer_reason[0] == '\0' ? "" : ": ", link->ws.peer_reason);
    }
    if (ws_close_is_sent(&link->ws) || link->write_failed)
        link_finish(link);
    else
        link->socket.wanted = 0; /* nothing more is read; our answer goes after the commit */
}

static void connection_failed(struct link *link, enum err err)
{
    if (link->state == LINK_CLOSING)
        link_finish(link);
    else if (err == ERR_END)
        link_lost(link, LINK_AFTER_BACKOFF,
                  "the gateway ended the connection without a close frame");
    else
        link_lost(link, LINK_AFTER_BACKOFF, "the connection failed: %s",
                  transport_error(&link->transport));
}

static void hear(struct link *link)
{
    if (link->ws.bytes_in != link->bytes_in_seen) {
        link->bytes_in_seen = link->ws.bytes_in;
        link->heard_ms = link->loop->now_ms;
    }
    if (link->ws.round_trip_us >= 0)
        link->round_trip_us = link->ws.round_trip_us;
}

/* One message, or what came instead.  False: no more now. */
static bool take_one(struct link *link)
{
    bool is_text = true;
    enum err err = OK;

    if (link->ws.fault != NULL) {
        err = ws_discard(&link->ws);
        hear(link);
    } else if (!link->is_held) {
        err = ws_receive(&link->ws, &link->held, &is_text);
        hear(link);
    }
    switch (err) {
    case OK:
        break;
    case ERR_AGAIN:
        return link->ws.has_more;
    case ERR_SYNTAX:
        if (link->state == LINK_CLOSING)
            link_finish(link);
        else
            link_close(link, link->ws.fault_code, link->ws.fault, LINK_AFTER_BACKOFF,
                       "the gateway broke the WebSocket protocol: %s", link->ws.fault);
        return false;
    case ERR_END:
        if (link->ws.close_received) {
            take_close(link);
            return false;
        }
        connection_failed(link, err);
        return false;
    default:
        connection_failed(link, err);
        return false;
    }
    if (link->state == LINK_CLOSING)
        return true; /* whatever it said before it saw our close */
    if (!is_text) {
        link_close(link, 1003, "text messages only", LINK_AFTER_SLOW,
                   "the gateway sent a binary message");
        return false;
    }
    bool was_held = link->is_held;
    link->is_held = !link_take_message(link, link->held);
    if (was_held &&
        !link->is_held) /* nothing was read meanwhile: that was our silence, not the gateway's */
        link->heard_ms = link->loop->now_ms;
    return !link->is_held;
}

static void take_input(struct link *link)
{
    for (int i = 0; i < LINK_MESSAGES_A_TURN; i++) {
        if (!link_has_socket(link) || !take_one(link))
            return;
    }
    loop_timer_set(link->loop, &link->again, link->loop->now_ms);
}

void link_on_ready(struct loop_fd *node, unsigned ready)
{
    struct link *link = node->context;

    /* Writing waits for the commit, which ends this turn. */
    if ((ready & link->transport.recv_wants) == 0)
        return;
    take_input(link);
}

void link_retry(struct link *link)
{
    if (link->is_held && link->is_waiting && link_has_socket(link))
        take_input(link);
}

void link_on_again(struct loop_timer *timer)
{
    struct link *link = timer->context;

    if (link_has_socket(link))
        take_input(link);
}
