/* Owns what goes out, in the part of a turn after the commit alone: answers, batches of events, the
 * close frame. */
#include "link/session.h"

static bool ends_with_events(const struct link *link)
{
    return link->state == LINK_CLOSING && link->finish_writes && link->stopping;
}

static enum err write_messages(struct link *link)
{
    for (;;) {
        enum err err;
        if (queue_is_empty(&link->queue)) {
            if (link->finish_writes && link->state == LINK_CLOSING &&
                !(link->stopping && outbox_has_work(&link->outbox, link->journal)))
                ws_close(&link->ws, link->close_code, link->close_reason);
            return ws_flush(&link->ws);
        }
        err = ws_send(&link->ws, queue_front(&link->queue), true);
        if (err != OK)
            return err;
        queue_drop(&link->queue);
    }
}

/* One batch into the queue; false when there is none. */
static bool fill(struct link *link)
{
    if (link->queue.own || link->write_failed ||
        (link->state != LINK_CONNECTED && !ends_with_events(link)) ||
        !outbox_has_work(&link->outbox, link->journal))
        return false;
    struct out *out = queue_begin(&link->queue, LIMIT_MESSAGE, true);
    enum err err = outbox_write(&link->outbox, link->journal, out);
    queue_end(&link->queue, err == OK);
    if (err == OK)
        return true;
    link->finish_writes = false;
    if (err == ERR_NOT_FOUND)
        link_close(link, 1001, "events were dropped", LINK_AFTER_BACKOFF,
                   "the journal dropped events that were not sent yet");
    else
        link_close(link, 1011, "the journal cannot be read", LINK_AFTER_SLOW,
                   "the journal cannot be read: %s", err_text(err));
    return false;
}

static bool is_unsent(const struct link *link)
{
    return !queue_is_empty(&link->queue) || ws_has_output(&link->ws);
}

static void note_progress(struct link *link)
{
    if (!is_unsent(link))
        link->write_since_ms = 0;
    else if (link->write_since_ms == 0 || link->ws.bytes_out != link->bytes_out_seen)
        link->write_since_ms = link->loop->now_ms;
    link->bytes_out_seen = link->ws.bytes_out;
}

static enum err write_some(struct link *link)
{
    enum err err;

    if (link->state == LINK_HELLO && link->hello_due && !link->queue.own)
        link_write_hello(link);
    for (int i = 0;; i++) {
        bool filled = i < LINK_BATCHES_A_TURN && fill(link);
        err = write_messages(link);
        if (err != OK)
            return err;
        if (!filled)
            break;
    }
    if ((link->state == LINK_CONNECTED || ends_with_events(link)) &&
        outbox_has_work(&link->outbox, link->journal))
        loop_wake(link->loop); /* the bound was reached, not the end */
    return OK;
}

void link_write_out(struct link *link)
{
    unsigned wanted = 0;

    if (!link->write_failed) {
        enum err err = write_some(link);
        note_progress(link);
        if (err == ERR_AGAIN) {
            wanted |= link->transport.send_wants;
        } else if (err != OK && err != ERR_END) {
            /* The reason may stand in what was not read yet: a close frame. */
            link->write_failed = true;
            link->failed_ms = link->loop->now_ms;
            if (link->state != LINK_CLOSING)
                link_set_error(link, "the connection failed: %s",
                               transport_error(&link->transport));
        }
    }
    /* All has been said, or the other side has said its last and takes ours no longer. */
    bool heard_all = link->ws.close_received || link->ws.fault != NULL;
    if ((ws_close_is_sent(&link->ws) && link->ws.close_received) ||
        (link->write_failed && heard_all)) {
        link_finish(link);
        return;
    }
    if (!link->is_held && !link->ws.close_received)
        wanted |= link->transport.recv_wants;
    if (link->is_held && link->is_waiting) {
        if (!loop_timer_is_set(&link->again))
            loop_timer_set(link->loop, &link->again, link->loop->now_ms + LINK_AGAIN_MS);
    } else if (link->is_held && queue_has_room(&link->queue, link->peer.pending + 1)) {
        loop_timer_set(link->loop, &link->again, link->loop->now_ms);
    }
    link->socket.wanted = (unsigned char)wanted;
}
