/* Owns what comes in: the answer to the opening handshake, then messages, then the end.  It writes nothing; what it
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
    if (link->is_held) /* nothing was read meanwhile: that was our silence, not the gateway's */
        link->heard_ms = link->loop->now_ms;
    link->is_held = !link_take_message(link, link->held);
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

static void take_refusal(struct link *link)
{
    const struct upgrade *upgrade = &link->upgrade;
    enum link_after after = upgrade->status == 401   ? LINK_AFTER_TOKEN
                            : upgrade->status == 403 ? LINK_AFTER_SLOW
                            : upgrade->status == 410 ? LINK_AFTER_RETIRED
                                                     : LINK_AFTER_BACKOFF;

    link->after_ms = upgrade->retry_after_ms;
    link_lost(link, after, "the gateway refused the connection: HTTP %u %s%s%s", upgrade->status,
              upgrade->phrase, upgrade->line[0] == '\0' ? "" : ": ", upgrade->line);
}

void link_end_upgrade(struct link *link, const char *words)
{
    if (upgrade_end(&link->upgrade) == ERR_REFUSED)
        take_refusal(link);
    else
        link_lost(link, LINK_AFTER_BACKOFF, "the opening handshake failed: %s",
                  words != NULL ? words : link->upgrade.reason);
}

static void take_upgrade(struct link *link)
{
    size_t taken;
    enum err err = ws_fill(&link->ws);

    hear(link);
    if (err == ERR_AGAIN)
        return;
    if (err != OK) {
        link_end_upgrade(link, err == ERR_END ? NULL : transport_error(&link->transport));
        return;
    }
    err = upgrade_feed(&link->upgrade, ws_input(&link->ws), &taken);
    ws_skip(&link->ws, taken);
    switch (err) {
    case ERR_AGAIN: /* the transport may hold more, which no select() tells */
        loop_timer_set(link->loop, &link->again, link->loop->now_ms);
        return;
    case ERR_REFUSED:
        take_refusal(link);
        return;
    case OK:
        link_enter(link, LINK_EVENT_UPGRADED);
        link->hello_due = true;
        link->heard_ms = link->loop->now_ms;
        take_input(link); /* what came in the same packet */
        return;
    default:
        link_lost(link, LINK_AFTER_BACKOFF,
                  "the opening handshake failed: the answer is not valid: %s",
                  link->upgrade.reason);
    }
}

void link_on_ready(struct loop_fd *node, unsigned ready)
{
    struct link *link = node->context;

    if (link->state == LINK_SECURING) {
        link_secure(link);
        return;
    }
    /* Writing waits for the commit, which ends this turn. */
    if ((ready & link->transport.recv_wants) == 0)
        return;
    if (link->state == LINK_UPGRADING)
        take_upgrade(link);
    else
        take_input(link);
}

void link_on_again(struct loop_timer *timer)
{
    struct link *link = timer->context;

    if (!link_has_socket(link))
        return;
    if (link->state == LINK_SECURING)
        link_secure(link);
    else if (link->state == LINK_UPGRADING)
        take_upgrade(link);
    else
        take_input(link);
}
