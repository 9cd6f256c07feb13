/* Owns a daemon's events on their way into the store: each batch one transaction, acknowledged after its commit; what
 * is known is dropped, a hole is a protocol error. */
#include "gateway/api.h"
#include "gateway/gateway.h"
#include "gateway/session_internal.h"
#include "json/read.h"
#include "json/write.h"

#include <string.h>

struct batch {
    struct str events, head_object;
    struct store_head head;
    int64_t stored; /* seq of the last event that is stored when the batch is */
    int64_t last;   /* of its last event; 0: it has none */
};

static const struct json_field batch_fields[] = {
    {"events", JSON_FIELD_ARRAY, JSON_REQUIRED, offsetof(struct batch, events), 0, 0, 0},
    {"head", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct batch, head_object), 0, 0, 0},
};
static const struct json_field head_fields[] = {
    {"seq", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct batch, head.seq), 0, 1, INT64_MAX},
    {"sha256", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct batch, head.sha256), STORE_HASH + 1,
     0, 0},
};
static const struct json_field event_fields[] = {
    {"seq", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct store_event, seq), 0, 1, INT64_MAX},
    {"run_id", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct store_event, run_id),
     LIMIT_RUN_ID + 1, 0, 0},
    {"n", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct store_event, n), 0, 1, INT64_MAX},
    {"time", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct store_event, time), GATEWAY_TIME + 1,
     0, 0},
    {"type", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct store_event, type), GATEWAY_TYPE + 1,
     0, 0},
    {"step_id", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct store_event, step_id),
     LIMIT_NAME + 1, 0, 0},
    {"attempt", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct store_event, attempt), 0, 0,
     INT64_MAX},
    {"data", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct store_event, data), 0, 0, 0},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void send_ack(struct connection *connection)
{
    char text[160];
    struct out out = OUT_ON(text);
    struct json_writer w = rpc_begin_notification(&out, "events.ack");

    json_object(&w);
    json_put_i64(&w, "acked", connection->session.acked);
    json_put_null(&w, "limit");
    json_object_end(&w);
    rpc_end(&w);
    (void)ws_server_send(&connection->ws, out_view(&out));
}

static void refuse_params(struct connection *connection, const char *method, enum err err,
                          const struct json_field_error *problem)
{
    char reason[256];
    struct out out = OUT_ON(reason);

    out_format(&out, "%s: %s %s", method, problem->path,
               err == ERR_EXISTS ? "is given twice" : problem->reason);
    session_refuse(connection, 4400, out_cstr(&out));
}

/* Puts the events that are new into the open transaction.  ERR_INVALID: refused, the session is closing. */
static enum err store_events(struct connection *connection, struct batch *batch)
{
    struct session *session = &connection->session;
    struct json_walk walk = json_walk(batch->events);
    struct json_field_error problem = {.path = ""};
    struct str name, raw;

    while (json_walk_next(&walk, &name, &raw)) {
        struct store_event event = {.raw = raw};
        enum err err = json_read(raw, event_fields, COUNT(event_fields), &event, &problem);
        if (err != OK) {
            refuse_params(connection, "events.append", err, &problem);
            return ERR_INVALID;
        }
        batch->last = event.seq;
        if (event.seq <= batch->stored)
            continue; /* delivery is at least once */
        if (event.seq != batch->stored + 1) {
            char reason[128];
            struct out out = OUT_ON(reason);
            out_format(&out, "events.append leaves a hole: %lld follows %lld", (long long)event.seq,
                       (long long)batch->stored);
            session_refuse(connection, 4400, out_cstr(&out));
            return ERR_INVALID;
        }
        err = store_append(connection->gateway->store, session->daemon_key, &event);
        if (err != OK)
            return err;
        batch->stored = event.seq;
    }
    return OK;
}

static bool is_hash(const char *text)
{
    return strlen(text) == STORE_HASH && strspn(text, "0123456789abcdef") == STORE_HASH;
}

/* The transaction is open, and ends here. */
static void end_batch(struct connection *connection, const struct batch *batch)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;
    struct store_head conflict;

    if (batch->stored == session->acked && batch->head.seq == 0) {
        /* Nothing new; the daemon may have missed the ack. */
        store_append_rollback(gateway->store);
        send_ack(connection);
        return;
    }
    if (store_append_commit(gateway->store, session->daemon_key, batch->stored,
                            gateway->loop.wall_ms, &batch->head, &conflict) != OK) {
        session_store_failed(connection);
        return;
    }
    if (conflict.seq > 0)
        log_warning(
            "gateway",
            "daemon %s: the head of event %lld was %s and is %s now: its journal was edited, "
            "or is another one",
            session->daemon_id, (long long)conflict.seq, conflict.sha256, batch->head.sha256);
    if (batch->stored > session->acked)
        api_follow_wake(gateway);
    session->acked = batch->stored;
    send_ack(connection);
}

void session_on_append(struct connection *connection, struct str params)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;
    struct batch batch = {.stored = session->acked};
    struct json_field_error problem = {.path = ""};

    enum err err = json_read(params.n > 0 ? params : STR("{}"), batch_fields, COUNT(batch_fields),
                             &batch, &problem);
    if (err != OK) {
        refuse_params(connection, "events.append", err, &problem);
        return;
    }
    if (batch.head_object.n > 0)
        err = json_read(batch.head_object, head_fields, COUNT(head_fields), &batch, &problem);
    if (err != OK) {
        refuse_params(connection, "events.append: head", err, &problem);
        return;
    }
    if (batch.head.seq > 0 && !is_hash(batch.head.sha256)) {
        session_refuse(connection, 4400, "events.append: head.sha256 is no SHA-256");
        return;
    }
    err = store_append_begin(gateway->store);
    if (err != OK) {
        session_store_failed(connection);
        return;
    }
    err = store_events(connection, &batch);
    if (err == OK && batch.head.seq > 0 && batch.head.seq != batch.last) {
        session_refuse(connection, 4400, "events.append: the head is not that of the last event");
        err = ERR_INVALID;
    }
    if (err == OK) {
        end_batch(connection, &batch);
        return;
    }
    if (err != ERR_INVALID)
        session_store_failed(connection);
    store_append_rollback(gateway->store);
}

struct gap {
    int64_t from, to;
    char reason[LIMIT_TEXT + 1];
};

static const struct json_field gap_fields[] = {
    {"from", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct gap, from), 0, 1, INT64_MAX},
    {"to", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct gap, to), 0, 1, INT64_MAX},
    {"reason", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct gap, reason), LIMIT_TEXT + 1, 0, 0},
};

void session_on_gap(struct connection *connection, struct str params)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;
    struct json_field_error problem = {.path = ""};
    struct gap gap = {.from = 0};

    enum err err =
        json_read(params.n > 0 ? params : STR("{}"), gap_fields, COUNT(gap_fields), &gap, &problem);
    if (err != OK) {
        refuse_params(connection, "events.gap", err, &problem);
        return;
    }
    if (gap.to >= gap.from && gap.to <= session->acked) {
        send_ack(connection); /* told twice */
        return;
    }
    if (gap.from != session->acked + 1 || gap.to < gap.from) {
        session_refuse(connection, 4400, "events.gap does not begin behind what is stored");
        return;
    }
    if (store_gap(gateway->store, session->daemon_key, gap.from, gap.to, str_of(gap.reason),
                  gateway->loop.wall_ms) != OK) {
        session_store_failed(connection);
        return;
    }
    log_warning("gateway", "daemon %s: events %lld to %lld are lost (%s)", session->daemon_id,
                (long long)gap.from, (long long)gap.to, gap.reason);
    session->acked = gap.to;
    send_ack(connection);
}
