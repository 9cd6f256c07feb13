/* Owns following a run as server-sent events (WHATWG HTML, section 9.2): `id` is the event's n, `data` the event.  The
 * stream ends after the run's ending event; a client that reconnects behind it gets 204, which tells it to stop. */
#include "gateway/api.h"

#include "gateway/gateway.h"
#include "gateway/http_answer.h"

#define FOLLOW_BATCH 100 /* events read from the store at a time */

void api_follow(struct connection *connection, int64_t run_key, int64_t after)
{
    struct gateway *gateway = connection->gateway;
    struct http_answer answer = {.status = 200,
                                 .type = "text/event-stream",
                                 .headers =
                                     "X-Accel-Buffering: no\r\n", /* for nginx in front of us */
                                 .keep_alive = false,
                                 .wall_ms = gateway->loop.wall_ms};
    int64_t end_n;
    bool ended;

    if (store_run_end(gateway->store, run_key, &ended, &end_n) != OK) {
        api_refuse(connection, 500, RPC_INTERNAL_ERROR, "the store failed");
        return;
    }
    if (ended && after >= end_n) {
        answer = (struct http_answer){
            .status = 204, .keep_alive = connection->keep_alive, .wall_ms = gateway->loop.wall_ms};
        if (!http_answer(&connection->out, &answer, STR_NONE))
            connection->dead = true;
        return;
    }
    connection->keep_alive = false;
    if (!http_answer_stream(&connection->out, &answer))
        connection->dead = true;
    if (connection->without_body)
        return;
    connection->kind = CONNECTION_FOLLOWING;
    connection->follow =
        (struct connection_follow){.run_key = run_key, .after = after, .due = true};
    connection_timer_in(connection, GATEWAY_SSE_HEARTBEAT_MS);
}

struct sending {
    struct connection *connection;
    size_t count;
};

/* Line ends can stand in an event between its tokens; in a stream they would end the field. */
static bool put_lines(struct buffer *out, struct str text)
{
    bool ok = true;

    while (ok && text.n > 0) {
        size_t end = 0;
        while (end < text.n && text.p[end] != '\n' && text.p[end] != '\r')
            end++;
        ok = buffer_put(out, STR("data: ")) && buffer_put(out, str_head(text, end)) &&
             buffer_put(out, STR("\n"));
        text = str_from(text, end);
        while (text.n > 0 && (text.p[0] == '\n' || text.p[0] == '\r'))
            text = str_from(text, 1);
    }
    return ok;
}

static bool send_event(void *context, int64_t n, struct str type, struct str raw)
{
    struct sending *sending = context;
    struct buffer *out = &sending->connection->out;
    char text[32];
    struct out id = OUT_ON(text);

    (void)type;
    out_text(&id, "id: ");
    out_i64(&id, n);
    out_text(&id, "\n");
    if (!buffer_put(out, out_view(&id)) || !put_lines(out, raw) || !buffer_put(out, STR("\n"))) {
        sending->connection->dead = true;
        return false;
    }
    sending->connection->follow.after = n;
    sending->count++;
    return out->n < GATEWAY_OUT_HIGH;
}

void api_follow_advance(struct connection *connection)
{
    struct gateway *gateway = connection->gateway;
    struct connection_follow *follow = &connection->follow;
    struct sending sending = {.connection = connection};
    int64_t end_n;
    bool ended;

    if (!follow->due || connection->out.n >= GATEWAY_OUT_HIGH)
        return;
    enum err err = store_run_events(gateway->store, follow->run_key, follow->after, FOLLOW_BATCH,
                                    send_event, &sending);
    if (err == OK)
        err = store_run_end(gateway->store, follow->run_key, &ended, &end_n);
    if (err != OK) {
        log_error("gateway", "the store failed: %s; a follower is cut off",
                  store_reason(gateway->store));
        connection->dead = true;
        return;
    }
    if (sending.count > 0)
        connection_timer_in(connection, GATEWAY_SSE_HEARTBEAT_MS);
    if (ended && follow->after >= end_n)
        connection_close(connection);
    else if (sending.count == FOLLOW_BATCH)
        loop_wake(&gateway->loop);
    else if (connection->out.n < GATEWAY_OUT_HIGH)
        follow->due = false;
}

void api_follow_on_timer(struct connection *connection)
{
    if (connection->out.n == 0 && !buffer_put(&connection->out, STR(":\n\n")))
        connection->dead = true;
    connection_timer_in(connection, GATEWAY_SSE_HEARTBEAT_MS);
}

void api_follow_wake(struct gateway *gateway)
{
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++) {
        if (gateway->connections[i].kind != CONNECTION_FOLLOWING)
            continue;
        gateway->connections[i].follow.due = true;
        loop_wake(&gateway->loop); /* this turn may have passed it by */
    }
}
