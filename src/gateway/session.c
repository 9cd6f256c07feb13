#include "gateway/session.h"

#include "gateway/api.h"
#include "gateway/gateway.h"
#include "gateway/session_internal.h"
#include "json/read.h"
#include "json/write.h"

#include <string.h>

#define PROTOCOL 1

/* --- closing -------------------------------------------------------------------------------- */

void session_close(struct connection *connection, unsigned code, struct str reason)
{
    struct session *session = &connection->session;

    if (session->ending)
        return;
    session->ending = true;
    (void)ws_server_close(&connection->ws, code, reason);
    /* The peer answers with its own close frame; whether it does or not, the place is free soon. */
    connection_timer_in(connection, GATEWAY_LINGER_MS);
}

void session_refuse(struct connection *connection, unsigned code, const char *reason)
{
    struct session *session = &connection->session;

    log_warning("gateway", "daemon %s: %s; its connection is closed with %u",
                session->daemon_id[0] == '\0' ? "(unknown)" : session->daemon_id, reason, code);
    session_close(connection, code, str_of(reason));
}

void session_store_failed(struct connection *connection)
{
    log_error("gateway", "daemon %s: the store failed: %s; its connection is closed, it will come back",
              connection->session.daemon_id, store_reason(connection->gateway->store));
    session_close(connection, WS_TRY_LATER, STR("the store failed"));
}

void session_end(struct connection *connection)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;

    if (!session->ready)
        return;
    session->ready = false;
    log_info("gateway", "daemon %s: disconnected, events are stored up to %lld", session->daemon_id,
             (long long)session->acked);
    if (store_daemon_seen(gateway->store, session->daemon_key, gateway->loop.wall_ms) != OK)
        log_error("gateway", "the store failed: %s; last_seen of a daemon is not kept",
                  store_reason(gateway->store));
    if (gateway_daemon(gateway, session->daemon_key) == NULL)
        api_rpc_on_lost(gateway, session->daemon_key);
}

/* --- hello ---------------------------------------------------------------------------------- */

struct hello {
    struct str protocol, daemon, events, limits;
    char project[GATEWAY_PROJECT], reason[32];
    int64_t command_seen;
    /* daemon */
    char id[LIMIT_DAEMON_ID + 1], previous_id[LIMIT_DAEMON_ID + 1], version[GATEWAY_VERSION + 1];
    int64_t epoch;
    /* events */
    int64_t first, next;
    /* limits */
    int64_t message_bytes;
};

static const struct json_field hello_fields[] = {
    {"protocol", JSON_FIELD_ARRAY, JSON_REQUIRED, offsetof(struct hello, protocol), 0, 0, 0},
    {"daemon", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct hello, daemon), 0, 0, 0},
    {"project", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, project), GATEWAY_PROJECT, 0, 0},
    {"reason", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, reason), 32, 0, 0},
    {"limits", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct hello, limits), 0, 0, 0},
    {"events", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct hello, events), 0, 0, 0},
    {"command_seen", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct hello, command_seen), 0, 0, INT64_MAX},
};
static const struct json_field daemon_fields[] = {
    {"id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct hello, id), LIMIT_DAEMON_ID + 1, 0, 0},
    {"previous_id", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, previous_id), LIMIT_DAEMON_ID + 1, 0, 0},
    {"epoch", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct hello, epoch), 0, 0, INT64_MAX},
    {"version", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, version), GATEWAY_VERSION + 1, 0, 0},
};
static const struct json_field events_fields[] = {
    {"first", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct hello, first), 0, 1, INT64_MAX},
    {"next", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct hello, next), 0, 1, INT64_MAX},
};
static const struct json_field limits_fields[] = {
    {"message_bytes", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct hello, message_bytes), 0, 1, INT64_MAX},
};

static bool offers_protocol(struct str versions)
{
    struct json_walk walk = json_walk(versions);
    struct str name, value;
    int64_t version;

    while (json_walk_next(&walk, &name, &value))
        if (json_integer(value, &version) && version == PROTOCOL)
            return true;
    return false;
}

static void send_error(struct connection *connection, struct str id, const struct rpc_error *error)
{
    char text[sizeof(struct rpc_error) * 2 + 6 * LIMIT_ID];
    struct out out = OUT_ON(text);

    rpc_write_error(&out, id, error);
    if (!out.overflow)
        (void)ws_server_send(&connection->ws, out_view(&out));
}

static void refuse_hello(struct connection *connection, struct str id, int code, unsigned close_code,
                         const char *reason, const char *data)
{
    struct rpc_error error;

    rpc_error_set(&error, code, "%s", reason);
    if (data != NULL)
        (void)str_copy(str_of(data), error.data, sizeof error.data);
    send_error(connection, id, &error);
    session_refuse(connection, close_code, reason);
}

#define READ_FIELDS(raw, fields, into, problem)                                                    \
    json_read((raw), (fields), sizeof(fields) / sizeof((fields)[0]), (into), (problem))

static bool read_hello(struct connection *connection, const struct rpc_envelope *envelope, struct hello *hello)
{
    struct json_field_error problem = {.path = ""};
    char reason[256];
    struct out out = OUT_ON(reason);
    const char *where = "";

    hello->message_bytes = LIMIT_MESSAGE;
    enum err err = envelope->params.n == 0 ? ERR_INVALID
                                           : READ_FIELDS(envelope->params, hello_fields, hello, &problem);
    if (err == OK && !offers_protocol(hello->protocol)) {
        refuse_hello(connection, envelope->id, RPC_UNSUPPORTED_VERSION, 4426,
                     "no common protocol version", "{\"supported\":[1]}");
        return false;
    }
    if (err == OK) {
        where = "daemon.";
        err = READ_FIELDS(hello->daemon, daemon_fields, hello, &problem);
    }
    if (err == OK) {
        where = "events.";
        err = READ_FIELDS(hello->events, events_fields, hello, &problem);
    }
    if (err == OK && hello->limits.n > 0) {
        where = "limits.";
        err = READ_FIELDS(hello->limits, limits_fields, hello, &problem);
    }
    if (err == OK && hello->id[0] == '\0') {
        (void)str_copy(STR("must not be empty"), problem.reason, sizeof problem.reason);
        err = ERR_INVALID;
    }
    if (err == OK && hello->next < hello->first) {
        (void)str_copy(STR("next must not be below first"), problem.reason, sizeof problem.reason);
        err = ERR_INVALID;
    }
    if (err == OK)
        return true;
    out_format(&out, "hello: %s%s %s", where, problem.path,
               err == ERR_EXISTS ? "is given twice" : problem.reason);
    refuse_hello(connection, envelope->id, RPC_INVALID_PARAMS, 4400, out_cstr(&out), NULL);
    return false;
}

/* Of two live connections of one daemon the higher epoch wins, at equal epochs the newer one (contract §6).  False:
 * this one lost. */
static bool take_over(struct connection *connection, const struct hello *hello)
{
    struct gateway *gateway = connection->gateway;

    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++) {
        struct connection *other = &gateway->connections[i];
        if (other == connection || other->kind != CONNECTION_DAEMON || !other->session.ready ||
            strcmp(other->session.daemon_id, hello->id) != 0)
            continue;
        if (other->session.epoch > hello->epoch) {
            session_refuse(connection, 4409, "a connection with a higher epoch is here");
            return false;
        }
        session_refuse(other, 4409, "another connection took over");
        other->session.ready = false;
        /* Its reads are lost with it; commands are sent again by the new session. */
        api_rpc_on_lost(gateway, other->session.daemon_key);
    }
    return true;
}

static void answer_hello(struct connection *connection, struct str id, const struct store_daemon *daemon)
{
    struct gateway *gateway = connection->gateway;
    char text[1024], session_id[ULID_LENGTH + 1], acked_time[GATEWAY_TIME + 1];
    struct out out = OUT_ON(text);

    if (!gateway_ulid(gateway, session_id)) {
        session_refuse(connection, WS_TRY_LATER, "the system gives no random bytes");
        return;
    }
    struct json_writer w = rpc_begin_result(&out, id);
    json_object(&w);
    json_put_i64(&w, "protocol", PROTOCOL);
    json_put_text(&w, "gateway", gateway->options.name);
    json_put_text(&w, "session", session_id);
    json_key(&w, "limits");
    json_object(&w);
    json_put_i64(&w, "message_bytes", LIMIT_MESSAGE);
    json_object_end(&w);
    json_put_i64(&w, "heartbeat_s", gateway->options.heartbeat_s);
    json_key(&w, "events");
    json_object(&w);
    json_put_i64(&w, "acked", daemon->acked);
    if (store_event_time(gateway->store, daemon->key, daemon->acked, acked_time) == OK)
        json_put_text(&w, "acked_time", acked_time);
    json_put_null(&w, "limit");
    json_object_end(&w);
    json_key(&w, "clock");
    json_object(&w);
    json_put_time(&w, "time", gateway->loop.wall_ms);
    json_object_end(&w);
    json_object_end(&w);
    rpc_end(&w);
    if (out.overflow || !ws_server_send(&connection->ws, out_view(&out)))
        connection->dead = true;
}

/* A second hello on the same connection is that of a daemon whose stream has parted from ours: it comes under a new
 * id. */
static void on_hello(struct connection *connection, const struct rpc_envelope *envelope)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;
    struct hello hello = {.first = 0};

    if (!read_hello(connection, envelope, &hello))
        return;
    if (session->ready)
        session_end(connection);
    (void)str_copy(str_of(hello.id), session->daemon_id, sizeof session->daemon_id);
    session->epoch = hello.epoch;
    if (!take_over(connection, &hello))
        return;
    struct store_daemon daemon = {.epoch = hello.epoch,
                                  .last_seen_ms = gateway->loop.wall_ms,
                                  .message_bytes = hello.message_bytes,
                                  .acked = hello.first - 1,
                                  .command_seq = hello.command_seen};
    (void)str_copy(str_of(hello.id), daemon.id, sizeof daemon.id);
    (void)str_copy(str_of(hello.previous_id), daemon.previous_id, sizeof daemon.previous_id);
    (void)str_copy(str_of(hello.project), daemon.project, sizeof daemon.project);
    (void)str_copy(str_of(hello.version), daemon.version, sizeof daemon.version);
    if (store_daemon_hello(gateway->store, &daemon) != OK) {
        session_store_failed(connection);
        return;
    }
    memset(session->in_flight, 0, sizeof session->in_flight);
    session->daemon_key = daemon.key;
    session->acked = daemon.acked;
    session->message_bytes = daemon.message_bytes;
    session->ready = session->commands_due = true;
    session->renew_ms = gateway->loop.now_ms; /* what was put off before may be due */
    log_info("gateway", "daemon %s (project %s, version %s, epoch %lld): connected, %s; it holds events %lld to %lld, "
             "stored are those up to %lld", daemon.id, daemon.project, daemon.version, (long long)daemon.epoch,
             hello.reason[0] == '\0' ? "no reason given" : hello.reason, (long long)hello.first,
             (long long)hello.next - 1, (long long)daemon.acked);
    answer_hello(connection, envelope->id, &daemon);
    connection_timer_in(connection, gateway->options.heartbeat_s * 500);
}

/* --- messages ------------------------------------------------------------------------------- */

static void on_notification(struct connection *connection, const struct rpc_envelope *envelope)
{
    if (strcmp(envelope->method, "events.append") == 0)
        session_on_append(connection, envelope->params);
    else if (strcmp(envelope->method, "events.gap") == 0)
        session_on_gap(connection, envelope->params);
    /* Unknown notifications are nobody's error: a newer daemon may have more to say. */
}

static void on_message(struct connection *connection, struct str message)
{
    struct session *session = &connection->session;
    struct rpc_envelope envelope;
    struct rpc_error error;

    if (rpc_read(message, &envelope, &error) != OK) {
        session_refuse(connection, 4400, error.message);
        return;
    }
    bool is_hello = envelope.kind == RPC_REQUEST && strcmp(envelope.method, "daemon.hello") == 0;
    if (is_hello) {
        on_hello(connection, &envelope);
    } else if (!session->ready) {
        session_refuse(connection, 4400, "the first message must be daemon.hello");
    } else if (envelope.kind == RPC_RESPONSE) {
        session_on_response(connection, &envelope);
    } else if (envelope.kind == RPC_NOTIFICATION) {
        on_notification(connection, &envelope);
    } else {
        rpc_error_set(&error, RPC_METHOD_NOT_FOUND, "method not found: \"%s\"", envelope.method);
        send_error(connection, envelope.id, &error);
    }
}

bool session_advance(struct connection *connection)
{
    struct str message;
    const char *reason = "";

    for (int i = 0; i < GATEWAY_MESSAGES && !connection->closing && !connection->dead; i++) {
        if (connection->out.n >= GATEWAY_OUT_HIGH)
            return false;
        switch (ws_server_next(&connection->ws, &message, &reason)) {
        case OK:
            if (!connection->session.ending)
                on_message(connection, message);
            break;
        case ERR_AGAIN:
            session_send_commands(connection);
            return false;
        case ERR_END:
            connection_close(connection);
            return false;
        case ERR_INVALID:
            log_warning("gateway", "daemon %s: %s; its connection is closed",
                        connection->session.daemon_id, reason);
            connection_close(connection);
            return false;
        default:
            connection->dead = true;
            return false;
        }
    }
    return !connection->closing && !connection->dead;
}

/* --- life signs ----------------------------------------------------------------------------- */

void session_open(struct connection *connection)
{
    connection->session = (struct session){.heard_ms = connection->gateway->loop.now_ms};
    connection_timer_in(connection, GATEWAY_HELLO_MS);
}

void session_on_timer(struct connection *connection)
{
    struct session *session = &connection->session;
    int64_t now_ms = connection->gateway->loop.now_ms;
    int64_t half_ms = connection->gateway->options.heartbeat_s * 500;
    int64_t silent_ms = now_ms - session->heard_ms;

    if (session->ending) {
        connection_close(connection);
        return;
    }
    if (!session->ready) {
        session_refuse(connection, 4400, "no hello within 10 s");
        return;
    }
    if (silent_ms >= 3 * half_ms) {
        log_warning("gateway", "daemon %s: nothing heard for %lld s; its connection is closed",
                    session->daemon_id, (long long)silent_ms / 1000);
        connection->dead = true;
        return;
    }
    if (silent_ms >= half_ms && now_ms - session->pinged_ms >= half_ms) {
        session->pinged_ms = now_ms;
        (void)ws_server_ping(&connection->ws);
    }
    int64_t next_ms = session->heard_ms + half_ms;
    if (silent_ms >= half_ms)
        next_ms = now_ms + half_ms < session->heard_ms + 3 * half_ms ? now_ms + half_ms
                                                                     : session->heard_ms + 3 * half_ms;
    if (session->renew_ms != 0 && session->renew_ms < next_ms)
        next_ms = session->renew_ms > now_ms ? session->renew_ms : now_ms + 1;
    connection_timer_in(connection, next_ms - now_ms);
}
