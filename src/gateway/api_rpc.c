/* Owns POST /v1/daemons/ID/rpc: a caller's JSON-RPC request becomes a read that is passed on at once, or a command
 * that is stored first.  A caller waits on its connection; what it waits for is found again by (daemon, seq) or
 * (daemon, rpc id), so that nothing points from the session to callers that may have gone. */
#include "gateway/api.h"

#include "gateway/gateway.h"
#include "json/check.h"

#include <string.h>

/* The methods of contract §5 that change something; all others pass as reads, and the daemon says which it knows. */
static const char *const changing[] = {"run.start", "run.resume", "run.submit_input", "run.cancel"};

/* What jsonrpc, id, method, the command's seq and key put around the params. */
#define ENVELOPE_BYTES 384

static bool changes(const char *method)
{
    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++)
        if (strcmp(changing[i], method) == 0)
            return true;
    return false;
}

/* --- answers -------------------------------------------------------------------------------- */

static void refuse(struct connection *connection, unsigned status, const struct rpc_error *error)
{
    struct gateway *gateway = connection->gateway;
    struct out body = out_on(gateway->answer, sizeof gateway->answer);

    rpc_write_error(&body, str_of(connection->call.id), error);
    api_answer(connection, status, out_view(&body));
}

static void refuse_plainly(struct connection *connection, unsigned status, int code,
                           const char *message)
{
    struct rpc_error error;

    rpc_error_set(&error, code, "%s", message);
    refuse(connection, status, &error);
}

static void answer(struct connection *connection, bool failed, struct str outcome)
{
    struct gateway *gateway = connection->gateway;
    struct out body = out_on(gateway->answer, sizeof gateway->answer);
    struct json_writer w = json_writer(&body);

    json_object(&w);
    json_put_text(&w, "jsonrpc", "2.0");
    json_put_raw(&w, "id", str_of(connection->call.id));
    json_put_raw(&w, failed ? "error" : "result", outcome);
    json_object_end(&w);
    api_answer(connection, 200, out_view(&body));
}

/* 202: the command is stored and will be delivered. */
static void answer_later(struct connection *connection)
{
    struct gateway *gateway = connection->gateway;
    struct out body = out_on(gateway->answer, sizeof gateway->answer);
    struct json_writer w = json_writer(&body);

    json_object(&w);
    json_put_i64(&w, "seq", connection->call.seq);
    json_put_text(&w, "key", connection->call.key);
    json_put_text(&w, "state", "waiting");
    json_object_end(&w);
    api_answer(connection, 202, out_view(&body));
}

static void refuse_store(struct connection *connection)
{
    log_error("gateway", "the store failed: %s; a command is answered with 500",
              store_reason(connection->gateway->store));
    refuse_plainly(connection, 500, RPC_INTERNAL_ERROR, "the store failed");
}

static void wait(struct connection *connection)
{
    connection->kind = CONNECTION_WAITING;
    connection_timer_in(connection, GATEWAY_RPC_MS);
}

/* --- a request ------------------------------------------------------------------------------ */

static bool has_command(struct str params)
{
    struct str value;
    return params.n > 0 && json_member(params, "command", &value);
}

/* The key: the caller's, or a fresh one. */
static bool take_key(struct connection *connection, const struct http_request *request)
{
    struct str given = http_request_header(request, "idempotency-key");
    char text[ULID_LENGTH + 1];
    struct out key = OUT_ON(connection->call.key);

    if (http_request_count(request, "idempotency-key") == 0) {
        if (!gateway_ulid(connection->gateway, text)) {
            refuse_plainly(connection, 500, RPC_INTERNAL_ERROR, "the system gives no random bytes");
            return false;
        }
        out_text(&key, "g-");
        out_text(&key, text);
        (void)out_cstr(&key);
        return true;
    }
    bool ok = given.n > 0 && str_copy(given, connection->call.key, sizeof connection->call.key);
    for (size_t i = 0; ok && i < given.n; i++)
        ok = (unsigned char)given.p[i] >= 0x20 && (unsigned char)given.p[i] < 0x7f;
    if (!ok)
        refuse_plainly(connection, 400, RPC_INVALID_PARAMS,
                       "Idempotency-Key must be printable ASCII of at most 64 bytes");
    return ok;
}

struct repeat {
    struct connection *connection;
    const char *method;
    struct str params;
    bool conflict, answered;
};

static bool on_known_key(void *context, const struct store_command *command)
{
    struct repeat *repeat = context;

    repeat->conflict =
        !str_is(command->method, repeat->method) || !str_equal(command->params, repeat->params);
    repeat->answered = command->answered;
    repeat->connection->call.seq = command->seq;
    if (!repeat->conflict && command->answered)
        answer(repeat->connection, command->failed, command->answer);
    return false;
}

static void refuse_conflict(struct connection *connection)
{
    struct rpc_error error;
    struct out data = OUT_ON(error.data);

    rpc_error_set(&error, RPC_KEY_CONFLICT, "the key was used for another request");
    struct json_writer w = json_writer(&data);
    json_object(&w);
    json_put_text(&w, "key", connection->call.key);
    json_object_end(&w);
    (void)out_cstr(&data);
    refuse(connection, 409, &error);
}

static void command(struct connection *connection, const struct store_daemon *daemon,
                    const struct http_request *request, const char *method, struct str params)
{
    struct store *store = connection->gateway->store;
    struct connection_call *call = &connection->call;
    struct connection *live = gateway_daemon(connection->gateway, daemon->key);
    struct repeat repeat = {.connection = connection, .method = method, .params = params};

    if (!take_key(connection, request))
        return;
    enum err err = store_command_find(store, daemon->key, str_of(call->key), on_known_key, &repeat);
    if (err == ERR_NOT_FOUND) {
        err = store_command_add(store, daemon->key, str_of(call->key), str_of(method), params,
                                &call->seq);
        if (err == OK && live != NULL)
            session_on_command(live);
    }
    if (err != OK)
        refuse_store(connection);
    else if (repeat.conflict)
        refuse_conflict(connection);
    else if (repeat.answered)
        return;
    else if (live == NULL)
        answer_later(connection);
    else
        wait(connection);
}

static void refuse_size(struct connection *connection, size_t size, int64_t limit)
{
    struct rpc_error error;
    struct out data = OUT_ON(error.data);

    rpc_error_set(&error, RPC_MESSAGE_TOO_LARGE, "the request is longer than the daemon's limit");
    struct json_writer w = json_writer(&data);
    json_object(&w);
    json_put_i64(&w, "limit", limit);
    json_put_u64(&w, "size", size);
    json_object_end(&w);
    (void)out_cstr(&data);
    refuse(connection, 413, &error);
}

static void read_through(struct connection *connection, const struct store_daemon *daemon,
                         const char *method, struct str params)
{
    struct connection *live = gateway_daemon(connection->gateway, daemon->key);

    if (live == NULL)
        refuse_plainly(connection, 503, RPC_NOT_READY, "the daemon is not connected");
    else if (!session_read(live, str_of(method), params, &connection->call.rpc_id))
        refuse_plainly(connection, 503, RPC_BUSY, "the daemon has too much to read already");
    else
        wait(connection);
}

void api_rpc(struct connection *connection, const char *daemon_id,
             const struct http_request *request, struct str body)
{
    struct rpc_envelope envelope;
    struct rpc_error error;
    struct store_daemon daemon;
    struct connection_call *call = &connection->call;

    *call = (struct connection_call){.seq = 0};
    (void)str_copy(STR("null"), call->id, sizeof call->id);
    enum err err = store_daemon_find(connection->gateway->store, daemon_id, &daemon);
    if (err == ERR_NOT_FOUND) {
        refuse_plainly(connection, 404, RPC_NOT_FOUND, "no such daemon");
        return;
    }
    if (err != OK) {
        refuse_store(connection);
        return;
    }
    call->daemon_key = daemon.key;
    err = rpc_read(body, &envelope, &error);
    if (envelope.id.n > 0)
        (void)str_copy(envelope.id, call->id, sizeof call->id);
    if (err != OK) {
        refuse(connection, 400, &error);
        return;
    }
    struct str params = envelope.params.n > 0 ? envelope.params : STR("{}");
    if (envelope.kind != RPC_REQUEST)
        refuse_plainly(connection, 400, RPC_INVALID_REQUEST,
                       "the body must be one request with an id");
    else if (envelope.method[0] == '\0')
        refuse_plainly(connection, 400, RPC_METHOD_NOT_FOUND, "method not found");
    else if (has_command(params))
        refuse_plainly(connection, 400, RPC_INVALID_PARAMS,
                       "params.command is the gateway's; use the header Idempotency-Key");
    else if ((int64_t)(params.n + ENVELOPE_BYTES) > daemon.message_bytes)
        refuse_size(connection, params.n + ENVELOPE_BYTES, daemon.message_bytes);
    else if (changes(envelope.method))
        command(connection, &daemon, request, envelope.method, params);
    else
        read_through(connection, &daemon, envelope.method, params);
}

/* --- later ---------------------------------------------------------------------------------- */

size_t api_rpc_on_answer(struct gateway *gateway, int64_t daemon_key, int64_t seq, uint64_t rpc_id,
                         bool failed, struct str outcome)
{
    size_t count = 0;

    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++) {
        struct connection *connection = &gateway->connections[i];
        struct connection_call *call = &connection->call;
        if (connection->kind != CONNECTION_WAITING || connection->dead ||
            call->daemon_key != daemon_key || call->seq != seq ||
            (seq == 0 && call->rpc_id != rpc_id))
            continue;
        answer(connection, failed, outcome);
        connection_answered(connection);
        count++;
    }
    return count;
}

void api_rpc_on_lost(struct gateway *gateway, int64_t daemon_key)
{
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++) {
        struct connection *connection = &gateway->connections[i];
        if (connection->kind != CONNECTION_WAITING || connection->call.daemon_key != daemon_key ||
            connection->call.seq != 0)
            continue;
        refuse_plainly(connection, 503, RPC_NOT_READY, "the daemon's connection was lost");
        connection_answered(connection);
    }
}

void api_rpc_on_timer(struct connection *connection)
{
    if (connection->call.seq != 0)
        answer_later(connection);
    else
        refuse_plainly(connection, 504, RPC_TIMEOUT, "the daemon did not answer within 30 s");
    connection_answered(connection);
}

void api_rpc_stop(struct connection *connection)
{
    if (connection->call.seq != 0)
        answer_later(connection);
    else
        refuse_plainly(connection, 503, RPC_NOT_READY, "the gateway stops");
    connection_answered(connection);
}
