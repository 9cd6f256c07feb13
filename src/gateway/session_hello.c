/* Owns daemon.hello: who this is, whether it may take over, where its stream goes on. */
#include "gateway/api.h"
#include "gateway/gateway.h"
#include "gateway/session_internal.h"
#include "json/read.h"
#include "json/write.h"

#include <string.h>

#define PROTOCOL 1

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
    {"project", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, project), GATEWAY_PROJECT, 0,
     0},
    {"reason", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, reason), 32, 0, 0},
    {"limits", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct hello, limits), 0, 0, 0},
    {"events", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct hello, events), 0, 0, 0},
    {"command_seen", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct hello, command_seen), 0, 0,
     INT64_MAX},
};
static const struct json_field daemon_fields[] = {
    {"id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct hello, id), LIMIT_DAEMON_ID + 1, 0, 0},
    {"previous_id", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, previous_id),
     LIMIT_DAEMON_ID + 1, 0, 0},
    {"epoch", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct hello, epoch), 0, 0, INT64_MAX},
    {"version", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct hello, version),
     GATEWAY_VERSION + 1, 0, 0},
};
static const struct json_field events_fields[] = {
    {"first", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct hello, first), 0, 1, INT64_MAX},
    {"next", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct hello, next), 0, 1, INT64_MAX},
};
static const struct json_field limits_fields[] = {
    {"message_bytes", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct hello, message_bytes), 0,
     1, INT64_MAX},
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

static void refuse_hello(struct connection *connection, struct str id, int code,
                         unsigned close_code, const char *reason, const char *data)
{
    struct rpc_error error;

    rpc_error_set(&error, code, "%s", reason);
    if (data != NULL)
        (void)str_copy(str_of(data), error.data, sizeof error.data);
    session_send_error(connection, id, &error);
    session_refuse(connection, close_code, reason);
}

#define READ_FIELDS(raw, fields, into, problem)                                                    \
    json_read((raw), (fields), sizeof(fields) / sizeof((fields)[0]), (into), (problem))

static bool read_hello(struct connection *connection, const struct rpc_envelope *envelope,
                       struct hello *hello)
{
    struct json_field_error problem = {.path = ""};
    char reason[256];
    struct out out = OUT_ON(reason);
    const char *where = "";

    hello->message_bytes = LIMIT_MESSAGE;
    enum err err = envelope->params.n == 0
                       ? ERR_INVALID
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
        where = "daemon.id";
        (void)str_copy(STR("must not be empty"), problem.reason, sizeof problem.reason);
        err = ERR_INVALID;
    }
    if (err == OK && hello->next < hello->first) {
        where = "events.next";
        (void)str_copy(STR("must not be below first"), problem.reason, sizeof problem.reason);
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

static void answer_hello(struct connection *connection, struct str id,
                         const struct store_daemon *daemon)
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

/* A daemon that never had events which are stored under its id is a copy or a restored backup (contract §6): told so, it comes
 * back under a new id.  Until then it is not the daemon of that name: it takes over no connection, gets no commands,
 * and leaves no trace in the store.  False also where the store fails, as the next to ask it will say. */
static bool has_parted(struct connection *connection, const struct hello *hello,
                       struct store_daemon *known)
{
    if (store_daemon_find(connection->gateway->store, hello->id, known) != OK ||
        known->acked < hello->next)
        return false;
    log_warning(
        "gateway",
        "daemon %s (project %s, epoch %lld) has events up to %lld, but %lld are stored: a copied "
        "disk or a restored backup, which goes on under a new id",
        hello->id, hello->project, (long long)hello->epoch, (long long)hello->next - 1,
        (long long)known->acked);
    return true;
}

/* A second hello on the same connection is that of a daemon whose stream has parted from ours: it comes under a new
 * id. */
void session_on_hello(struct connection *connection, const struct rpc_envelope *envelope)
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
    struct store_daemon daemon;
    if (has_parted(connection, &hello, &daemon)) {
        answer_hello(connection, envelope->id, &daemon);
        return;
    }
    if (!take_over(connection, &hello))
        return;
    daemon = (struct store_daemon){.epoch = hello.epoch,
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
    log_info(
        "gateway",
        "daemon %s (project %s, version %s, epoch %lld): connected, %s; it holds events %lld to %lld, "
        "stored are those up to %lld",
        daemon.id, daemon.project, daemon.version, (long long)daemon.epoch,
        hello.reason[0] == '\0' ? "no reason given" : hello.reason, (long long)hello.first,
        (long long)hello.next - 1, (long long)daemon.acked);
    answer_hello(connection, envelope->id, &daemon);
    connection_timer_in(connection, gateway->options.heartbeat_s * 500);
}
