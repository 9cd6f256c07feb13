#include "gateway/session.h"

#include "gateway/api.h"
#include "gateway/gateway.h"
#include "gateway/session_internal.h"
#include <string.h>

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
    log_error("gateway",
              "daemon %s: the store failed: %s; its connection is closed, it will come back",
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

void session_send_error(struct connection *connection, struct str id, const struct rpc_error *error)
{
    char text[sizeof(struct rpc_error) * 2 + 6 * LIMIT_ID];
    struct out out = OUT_ON(text);

    rpc_write_error(&out, id, error);
    if (!out.overflow)
        (void)ws_server_send(&connection->ws, out_view(&out));
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
        session_on_hello(connection, &envelope);
    } else if (!session->ready) {
        session_refuse(connection, 4400, "the first message must be daemon.hello");
    } else if (envelope.kind == RPC_RESPONSE) {
        session_on_response(connection, &envelope);
    } else if (envelope.kind == RPC_NOTIFICATION) {
        on_notification(connection, &envelope);
    } else {
        rpc_error_set(&error, RPC_METHOD_NOT_FOUND, "method not found: \"%s\"", envelope.method);
        session_send_error(connection, envelope.id, &error);
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
        next_ms = now_ms + half_ms < session->heard_ms + 3 * half_ms
                      ? now_ms + half_ms
                      : session->heard_ms + 3 * half_ms;
    /* With its buffer full it is not sent to; room makes a turn of its own. */
    if (session->renew_ms != 0 && session->renew_ms < next_ms &&
        connection->out.n < GATEWAY_OUT_HIGH)
        next_ms = session->renew_ms > now_ms ? session->renew_ms : now_ms + 1;
    connection_timer_in(connection, next_ms - now_ms);
}
