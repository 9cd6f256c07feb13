/* Owns the opening handshake of a daemon's WebSocket (RFC 6455, section 4.2). */
#include "gateway/api.h"

#include "gateway/gateway.h"
#include "gateway/http_answer.h"

#define SUBPROTOCOL "charter.v1"

/* Sixteen bytes in base64: 22 digits and two times '='. */
static bool is_key(struct str key)
{
    if (key.n != 24 || !str_is(str_from(key, 22), "=="))
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

static void want_upgrade(struct connection *connection, const char *message)
{
    api_refuse_with(connection, 426, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                    RPC_INVALID_REQUEST, message);
}

void api_upgrade(struct connection *connection, const struct http_request *request)
{
    struct str key = http_request_header(request, "sec-websocket-key");

    if (request->method != HTTP_GET || request->minor < 1 ||
        !http_request_lists(request, "upgrade", "websocket") ||
        !http_request_lists(request, "connection", "upgrade")) {
        want_upgrade(connection, "daemons connect here with a WebSocket");
        return;
    }
    if (!str_is(http_request_header(request, "sec-websocket-version"), "13")) {
        want_upgrade(connection, "only version 13 of the WebSocket protocol is served");
        return;
    }
    if (http_request_count(request, "sec-websocket-key") != 1 || !is_key(key)) {
        api_refuse(connection, 400, RPC_INVALID_REQUEST,
                   "Sec-WebSocket-Key must be sixteen bytes in base64");
        return;
    }
    if (!http_request_lists(request, "sec-websocket-protocol", SUBPROTOCOL)) {
        api_refuse(connection, 400, RPC_INVALID_REQUEST,
                   "the subprotocol " SUBPROTOCOL " must be offered");
        return;
    }
    if (request->content_length > 0) {
        api_refuse(connection, 400, RPC_INVALID_REQUEST, "a handshake has no body");
        return;
    }
    if (gateway_is_stopping(connection->gateway)) {
        api_refuse(connection, 503, RPC_NOT_READY, "the gateway stops");
        return;
    }
    if (!http_answer_upgrade(&connection->out, key, SUBPROTOCOL,
                             connection->gateway->loop.wall_ms) ||
        ws_server_open(&connection->ws, &connection->in, &connection->out, LIMIT_MESSAGE) != OK) {
        connection->dead = true;
        return;
    }
    connection->kind = CONNECTION_DAEMON;
    session_open(connection);
}
