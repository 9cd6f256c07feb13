/* Owns what a gateway's message does: notifications of the link are taken here, requests go to the dispatcher.  Nothing is
 * read before there is room for its answer. */
#include "link/session.h"

#include "base/log.h"

#include <string.h>

struct ack {
    int64_t acked, limit;
};

static void take_ack(struct link *link, struct str params)
{
    static const struct json_field fields[] = {
        {"acked", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct ack, acked), 0, 0, INT64_MAX},
        {"limit", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct ack, limit), 0, 0, INT64_MAX},
    };
    struct ack ack = {.limit = -1};
    struct json_field_error error;
    struct str raw;

    if (json_read(params, fields, 2, &ack, &error) != OK) {
        link_close(link, 4400, "events.ack is not valid", LINK_AFTER_SLOW,
                   "the gateway's events.ack is not valid: %s %s", error.path, error.reason);
        return;
    }
    uint64_t before = link->outbox.acked;
    if (outbox_ack(&link->outbox, (uint64_t)ack.acked) != OK) {
        link_close(link, 4400, "acked beyond what was sent", LINK_AFTER_SLOW,
                   "the gateway acknowledged %lld, but %llu is the last sent", (long long)ack.acked,
                   (unsigned long long)link->outbox.sent);
        return;
    }
    if (ack.limit >= 0)
        outbox_raise_ceiling(&link->outbox, (uint64_t)ack.limit);
    else if (json_member(params, "limit", &raw)) /* null: no ceiling; absent: as it was */
        outbox_raise_ceiling(&link->outbox, OUTBOX_NO_CEILING);
    if (link->outbox.acked > before && link->host.on_acked != NULL)
        link->host.on_acked(link->host.context, link->outbox.acked);
}

static void take_drain(struct link *link, struct str params)
{
    struct str raw;
    int64_t after_ms = 0;

    if (!json_member(params, "reconnect_after_ms", &raw) || !json_integer(raw, &after_ms) ||
        after_ms < 0)
        after_ms = 0;
    link->after_ms = after_ms < BACKOFF_RETRY_AFTER_MAX_MS ? after_ms : BACKOFF_RETRY_AFTER_MAX_MS;
    link->finish_writes = true;
    link_close(link, 1001, "drained", LINK_AFTER_DRAIN,
               "the gateway asked us to leave and come back");
}

static void set_paused(struct link *link, bool paused)
{
    if (link->paused == paused)
        return;
    link->paused = paused;
    log_info("link",
             paused ? "the gateway pauses us: no queued run starts" : "the pause has ended");
    link->host.on_paused(link->host.context, paused);
}

static void take_notification(struct link *link, const struct rpc_envelope *envelope)
{
    struct str params = envelope->params.n > 0 ? envelope->params : STR("{}");

    if (strcmp(envelope->method, "events.ack") == 0)
        take_ack(link, params);
    else if (strcmp(envelope->method, "gateway.drain") == 0)
        take_drain(link, params);
    else if (strcmp(envelope->method, "daemon.pause") == 0)
        set_paused(link, true);
    else if (strcmp(envelope->method, "daemon.unpause") == 0)
        set_paused(link, false);
    else
        log_debug("link", "the notification %s is ignored", envelope->method);
}

/* Nobody waits for an answer (JSON-RPC 2.0 §4.1).  Without acknowledgements there is no session. */
static void take_bad_notification(struct link *link, const struct rpc_envelope *envelope,
                                  const struct rpc_error *error)
{
    if (strcmp(envelope->method, "events.ack") == 0)
        take_ack(link, STR("{}"));
    else
        log_debug("link", "the notification %s is ignored: %s", envelope->method, error->message);
}

static void answer_error(struct link *link, struct str id, const struct rpc_error *error)
{
    struct out *out = link->peer.begin(&link->peer);
    rpc_write_error(out, id, error);
    link->peer.end(&link->peer, true);
}

bool link_take_message(struct link *link, struct str message)
{
    struct rpc_envelope envelope;
    struct rpc_error error;

    link->is_waiting = false;
    if (link->state == LINK_CONNECTED && !queue_has_room(&link->queue, link->peer.pending + 1))
        return false;
    enum err err = rpc_read(message, &envelope, &error);
    if (link->state == LINK_HELLO) {
        if (err == OK)
            link_take_hello(link, &envelope);
        else
            link_close(link, 4400, "the answer to hello is not valid", LINK_AFTER_SLOW,
                       "the gateway's answer to hello is not valid: %s", error.message);
    } else if (err != OK && envelope.kind == RPC_NOTIFICATION) {
        take_bad_notification(link, &envelope, &error);
    } else if (err != OK) {
        answer_error(link, envelope.id, &error);
    } else if (envelope.kind == RPC_REQUEST) {
        link->is_waiting = rpc_dispatch(link->host.dispatcher, &link->peer, &envelope) == ERR_AGAIN;
        return !link->is_waiting;
    } else if (envelope.kind == RPC_NOTIFICATION) {
        take_notification(link, &envelope);
    }
    return true;
}
