#include "gateway/connection.h"

#include "base/assert.h"
#include "gateway/api.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"

#include <string.h>

/* A whole request fits, and so does a frame with its header; then reading pauses. */
#define IN_HIGH (GATEWAY_HEAD + GATEWAY_BODY + 1024)

/* --- deadlines ------------------------------------------------------------------------------ */

void connection_timer_in(struct connection *connection, int64_t ms)
{
    struct loop *loop = &connection->gateway->loop;
    loop_timer_set(loop, &connection->timer, loop->now_ms + ms);
}

static void on_timer(struct loop_timer *timer)
{
    struct connection *connection = timer->context;

    switch (connection->kind) {
    case CONNECTION_HTTP:
        if (connection->out.n > 0) { /* still being sent: the stall timer watches that */
            connection_timer_in(connection, GATEWAY_IDLE_MS);
            return;
        }
        if (!connection->request_begun || connection->closing) {
            connection->dead = true;
            return;
        }
        connection->keep_alive = false;
        api_refuse(connection, 408, RPC_TIMEOUT, "the request took longer than %d s",
                   GATEWAY_REQUEST_MS / 1000);
        connection_close(connection);
        return;
    case CONNECTION_WAITING:
        api_rpc_on_timer(connection);
        return;
    case CONNECTION_FOLLOWING:
        api_follow_on_timer(connection);
        return;
    case CONNECTION_DAEMON:
        session_on_timer(connection);
        return;
    case CONNECTION_LINGERING:
        connection->dead = true;
        return;
    case CONNECTION_FREE:
        UNREACHABLE();
    }
}

static void on_stall(struct loop_timer *timer)
{
    struct connection *connection = timer->context;

    log_info("gateway", "a peer took nothing for %d s; its connection is closed",
             GATEWAY_STALL_MS / 1000);
    connection->dead = true;
}

/* --- reading -------------------------------------------------------------------------------- */

static void discard_input(struct connection *connection)
{
    buffer_drop(&connection->in, connection->in.n);
}

static void on_ready(struct loop_fd *node, unsigned ready)
{
    struct connection *connection = node->context;
    size_t left = GATEWAY_READ;

    while ((ready & PORT_READABLE) != 0 && left > 0 && connection->in.n < IN_HIGH) {
        size_t got, room = left < 16384 ? left : 16384;
        if (!buffer_reserve(&connection->in, room)) {
            connection->dead = true;
            return;
        }
        struct out to = buffer_writer(&connection->in);
        enum err err = port_read(node->fd, to.p, room, &got);
        if (err == ERR_AGAIN)
            return;
        if (err != OK) {
            connection->peer_ended = true;
            if (err != ERR_END)
                connection->dead = true;
            return;
        }
        buffer_added(&connection->in, got);
        left -= got;
        connection->session.heard_ms = connection->gateway->loop.now_ms;
        if (connection->kind == CONNECTION_LINGERING || connection->kind == CONNECTION_FOLLOWING)
            discard_input(connection);
        if (got < room)
            return;
    }
}

void connection_open(struct connection *connection, struct gateway *gateway, int fd)
{
    *connection = (struct connection){.gateway = gateway, .kind = CONNECTION_HTTP};
    connection->node = (struct loop_fd){
        .fd = fd, .wanted = PORT_READABLE, .on_ready = on_ready, .context = connection};
    connection->timer = (struct loop_timer){.on_due = on_timer, .context = connection};
    connection->stall = (struct loop_timer){.on_due = on_stall, .context = connection};
    port_tune_tcp(fd, 60, GATEWAY_STALL_MS);
    if (loop_add(&gateway->loop, &connection->node) != OK)
        connection->dead = true;
    connection_timer_in(connection, GATEWAY_REQUEST_MS);
}

/* --- HTTP ----------------------------------------------------------------------------------- */

static void refuse_request(struct connection *connection, const struct http_request *request)
{
    /* Nobody knows where the next request would begin. */
    connection->keep_alive = false;
    api_refuse(connection, request->status,
               request->status == 413 ? RPC_MESSAGE_TOO_LARGE : RPC_INVALID_REQUEST, "%s",
               request->reason);
    connection_close(connection);
}

/* One request, if it is whole. */
static bool serve_request(struct connection *connection)
{
    struct http_request request;
    struct str bytes = buffer_view(&connection->in);

    if (bytes.n > 0 && !connection->request_begun) {
        connection->request_begun = true;
        connection_timer_in(connection, GATEWAY_REQUEST_MS);
    }
    enum err err = http_request_read(bytes, &connection->searched, &request);
    if (err == ERR_AGAIN)
        return false;
    connection->without_body = request.method == HTTP_HEAD;
    if (err != OK) {
        refuse_request(connection, &request);
        return false;
    }
    size_t whole = request.head_bytes + (size_t)request.content_length;
    if (bytes.n < whole) {
        if (request.expects_continue && !connection->continue_sent &&
            !buffer_put(&connection->out, STR("HTTP/1.1 100 Continue\r\n\r\n")))
            connection->dead = true;
        connection->continue_sent = true;
        return false;
    }
    connection->keep_alive = request.keep_alive && !gateway_is_stopping(connection->gateway);
    api_handle(connection, &request,
               str_range(bytes.p + request.head_bytes, (size_t)request.content_length));
    buffer_drop(&connection->in, whole);
    connection->searched = 0;
    connection->continue_sent = connection->request_begun = false;
    if (connection->kind == CONNECTION_HTTP)
        connection_answered(connection);
    return true;
}

void connection_answered(struct connection *connection)
{
    connection->kind = CONNECTION_HTTP;
    if (!connection->keep_alive)
        connection_close(connection);
    else
        connection_timer_in(connection, GATEWAY_IDLE_MS);
    if (connection->in.n > 0) /* the next request came already; this turn may have passed it by */
        loop_wake(&connection->gateway->loop);
}

bool connection_is_idle(const struct connection *connection)
{
    return connection->kind == CONNECTION_HTTP && connection->in.n == 0 && connection->out.n == 0 &&
           !connection->closing;
}

/* --- the end of a turn ---------------------------------------------------------------------- */

static void flush(struct connection *connection)
{
    struct loop *loop = &connection->gateway->loop;
    bool progress = false;

    while (connection->out.n > 0) {
        size_t put;
        enum err err = port_write(connection->node.fd, buffer_view(&connection->out), &put);
        if (err == ERR_AGAIN)
            break;
        if (err != OK) {
            connection->dead = true;
            return;
        }
        progress = true;
        buffer_drop(&connection->out, put);
    }
    if (connection->out.n == 0)
        loop_timer_clear(loop, &connection->stall);
    else if (progress || !loop_timer_is_set(&connection->stall))
        loop_timer_set(loop, &connection->stall, loop->now_ms + GATEWAY_STALL_MS);
}

void connection_close(struct connection *connection)
{
    connection->closing = true;
}

/* Closing a socket with unread bytes resets it, and the peer might never see our last words: so the sending side is
 * shut first, and what still comes is read and thrown away for a while. */
static void linger(struct connection *connection)
{
    if (connection->kind == CONNECTION_DAEMON)
        session_end(connection);
    connection->kind = CONNECTION_LINGERING;
    connection->closing = false;
    discard_input(connection);
    port_shutdown_write(connection->node.fd);
    connection_timer_in(connection, GATEWAY_LINGER_MS);
}

static void free_place(struct connection *connection)
{
    struct gateway *gateway = connection->gateway;

    if (connection->kind == CONNECTION_DAEMON)
        session_end(connection);
    loop_remove(&gateway->loop, &connection->node);
    loop_timer_clear(&gateway->loop, &connection->timer);
    loop_timer_clear(&gateway->loop, &connection->stall);
    ws_server_free(&connection->ws);
    buffer_free(&connection->in);
    buffer_free(&connection->out);
    port_close(connection->node.fd);
    connection->kind = CONNECTION_FREE;
}

void connection_advance(struct connection *connection)
{
    if (connection->dead)
        return;
    while (connection->kind == CONNECTION_HTTP && !connection->closing &&
           connection->out.n < GATEWAY_OUT_HIGH && connection->in.n > 0)
        if (!serve_request(connection))
            break;
    if (connection->kind == CONNECTION_FOLLOWING && !connection->closing)
        api_follow_advance(connection);
    if (connection->kind == CONNECTION_DAEMON && session_advance(connection))
        loop_wake(&connection->gateway->loop);
}

/* A peer that has shut its sending side still gets the answers it asked for, but nothing that never ends. */
static void look_at_end(struct connection *connection)
{
    switch (connection->kind) {
    case CONNECTION_HTTP:
        if (!connection->closing)
            connection_close(connection);
        break;
    case CONNECTION_WAITING:
        connection->keep_alive = false;
        break;
    default:
        connection->dead = true;
        break;
    }
}

void connection_settle(struct connection *connection)
{
    if (connection->kind == CONNECTION_FREE)
        return;
    bool was_high = connection->out.n >= GATEWAY_OUT_HIGH;
    if (!connection->dead)
        flush(connection);
    if (was_high && connection->out.n < GATEWAY_OUT_HIGH)
        loop_wake(&connection->gateway->loop); /* what had to wait for room goes on */
    if (!connection->dead && connection->peer_ended)
        look_at_end(connection);
    if (!connection->dead && connection->closing && connection->out.n == 0) {
        if (connection->peer_ended)
            connection->dead = true;
        else
            linger(connection);
    }
    if (connection->dead) {
        free_place(connection);
        return;
    }
    unsigned wanted = 0;
    if (!connection->peer_ended && connection->in.n < IN_HIGH &&
        connection->out.n < GATEWAY_OUT_HIGH)
        wanted |= PORT_READABLE;
    if (connection->out.n > 0)
        wanted |= PORT_WRITABLE;
    connection->node.wanted = (unsigned char)wanted;
}

void connection_stop(struct connection *connection)
{
    switch (connection->kind) {
    case CONNECTION_HTTP:
        connection->keep_alive = false;
        connection_close(connection);
        break;
    case CONNECTION_WAITING:
        connection->keep_alive = false;
        api_rpc_stop(connection);
        break;
    case CONNECTION_FOLLOWING:
        connection_close(connection);
        break;
    case CONNECTION_DAEMON:
        session_close(connection, WS_GOING_AWAY, STR("the gateway stops"));
        break;
    case CONNECTION_LINGERING:
    case CONNECTION_FREE:
        break;
    }
}
