/* Owns requests down to a daemon and their answers up: reads at once, commands out of the store in the order of their
 * seqs, a few at a time.  A command without an answer is sent again by the next session. */
#include "gateway/api.h"
#include "gateway/gateway.h"
#include "gateway/session_internal.h"
#include "json/read.h"
#include "json/write.h"

#include <string.h>

/* --- sending -------------------------------------------------------------------------------- */

/* The params as the caller wrote them, byte for byte, with the command as one more member: its digest must be the same
 * however often it is sent. */
static struct str with_command(struct gateway *gateway, struct str params,
                               const struct store_command *command)
{
    struct out out = OUT_ON(gateway->params);
    struct json_writer w = json_writer(&out);
    struct str inside = str_trim(str_head(str_from(str_trim(params), 1), str_trim(params).n - 2));

    out_text(&out, "{");
    out_str(&out, inside);
    out_text(&out, inside.n > 0 ? ",\"command\":" : "\"command\":");
    json_object(&w);
    json_put_i64(&w, "seq", command->seq);
    json_put_str(&w, "key", command->key);
    json_object_end(&w);
    out_text(&out, "}");
    return out.overflow ? STR_NONE : out_view(&out);
}

static bool send_request(struct connection *connection, uint64_t rpc_id, struct str method,
                         struct str params)
{
    struct gateway *gateway = connection->gateway;
    struct out out = out_on(gateway->answer, sizeof gateway->answer);
    struct json_writer w = json_writer(&out);

    json_object(&w);
    json_put_text(&w, "jsonrpc", "2.0");
    json_key(&w, "id");
    json_string_begin(&w);
    out_u64(&out, rpc_id);
    json_string_end(&w);
    json_put_str(&w, "method", method);
    json_put_raw(&w, "params", params);
    json_object_end(&w);
    return !out.overflow && ws_server_send(&connection->ws, out_view(&out));
}

bool session_read(struct connection *connection, struct str method, struct str params,
                  uint64_t *rpc_id)
{
    struct session *session = &connection->session;

    if (!session->ready || session->ending || connection->out.n >= GATEWAY_OUT_HIGH)
        return false;
    *rpc_id = ++connection->gateway->last_rpc_id;
    return send_request(connection, *rpc_id, method, params);
}

void session_on_command(struct connection *connection)
{
    connection->session.commands_due = true;
    loop_wake(&connection->gateway->loop);
}

static bool send_waiting(void *context, const struct store_command *command)
{
    struct connection *connection = context;
    struct session *session = &connection->session;
    size_t place = GATEWAY_IN_FLIGHT;

    for (size_t i = 0; i < GATEWAY_IN_FLIGHT; i++) {
        if (session->in_flight[i].rpc_id == 0)
            place = i;
        else if (session->in_flight[i].seq == command->seq)
            return true; /* on its way */
    }
    if (place == GATEWAY_IN_FLIGHT)
        return false;
    if (connection->out.n >= GATEWAY_OUT_HIGH) {
        session->commands_due = true;
        return false;
    }
    uint64_t rpc_id = ++connection->gateway->last_rpc_id;
    if (!send_request(connection, rpc_id, command->method,
                      with_command(connection->gateway, command->params, command))) {
        connection->dead = true; /* no memory */
        return false;
    }
    session->in_flight[place].rpc_id = rpc_id;
    session->in_flight[place].seq = command->seq;
    log_debug("gateway", "daemon %s: command %lld (%.*s) sent", session->daemon_id,
              (long long)command->seq, STR_ARG(command->method));
    return true;
}

/* Commands that the daemon could not take get new seqs when their time has come. */
static void renew(struct connection *connection)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;
    int64_t renewed, left;

    if (store_commands_renew(gateway->store, session->daemon_key, gateway->loop.wall_ms, &renewed,
                             &left) != OK) {
        session_store_failed(connection);
        return;
    }
    if (renewed > 0)
        session->commands_due = true;
    session->renew_ms = left > 0 ? gateway->loop.now_ms + GATEWAY_DEFER_MS : 0;
    if (left > 0)
        connection_timer_in(connection, 1);
}

void session_send_commands(struct connection *connection)
{
    struct session *session = &connection->session;

    if (!session->ready || session->ending)
        return;
    if (session->renew_ms != 0 && session->renew_ms <= connection->gateway->loop.now_ms)
        renew(connection);
    if (!session->commands_due || session->ending || connection->out.n >= GATEWAY_OUT_HIGH)
        return;
    session->commands_due = false; /* an answer, a new command or a new session set it again */
    if (store_commands_waiting(connection->gateway->store, session->daemon_key, send_waiting,
                               connection) != OK)
        session_store_failed(connection);
}

/* --- answers -------------------------------------------------------------------------------- */

struct refusal {
    int64_t code;
    struct str data;
};

static const struct json_field refusal_fields[] = {
    {"code", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct refusal, code), 0, 0, 0},
    {"data", JSON_FIELD_RAW, 0, offsetof(struct refusal, data), 0, 0, 0},
};

/* Whether an error says that the daemon did not take the command, so that it remembers nothing (contract §6). */
static bool is_no_outcome(const struct refusal *refusal)
{
    return refusal->code == RPC_MESSAGE_TOO_LARGE || refusal->code == RPC_NOT_READY ||
           refusal->code == RPC_BUSY || refusal->code == RPC_JOURNAL_FULL;
}

static int64_t retry_after_ms(const struct refusal *refusal)
{
    struct str value;
    int64_t ms = 0;

    if (refusal->data.n > 0 && json_member(refusal->data, "retry_after_ms", &value) &&
        json_integer(value, &ms) && ms > 0 && ms < 3600000)
        return ms;
    return GATEWAY_DEFER_MS;
}

/* Somebody who is still there gets the error and may try again; somebody who was promised delivery gets it. */
static enum err on_no_outcome(struct connection *connection, int64_t seq,
                              const struct refusal *refusal, struct str answer)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;
    size_t told = api_rpc_on_answer(gateway, session->daemon_key, seq, 0, true, answer);

    if (told > 0)
        return store_command_forget(gateway->store, session->daemon_key, seq);
    if (refusal->code == RPC_MESSAGE_TOO_LARGE) /* will not get shorter */
        return store_command_answer(gateway->store, session->daemon_key, seq, true, answer);
    int64_t after_ms = retry_after_ms(refusal);
    log_info("gateway",
             "daemon %s: command %lld was not taken (%lld); it goes out again in %lld ms",
             session->daemon_id, (long long)seq, (long long)refusal->code, (long long)after_ms);
    int64_t due_ms = gateway->loop.now_ms + after_ms;
    if (session->renew_ms == 0 || session->renew_ms > due_ms)
        session->renew_ms = due_ms;
    connection_timer_in(connection, 1);
    return store_command_defer(gateway->store, session->daemon_key, seq,
                               gateway->loop.wall_ms + after_ms);
}

/* A caller that is told of a run may ask for it at once, before its first event has come. */
static enum err announce(struct connection *connection, struct str result)
{
    char run_id[LIMIT_RUN_ID + 1];
    struct str value;

    if (!json_member(result, "run_id", &value) || !json_string_copy(value, run_id, sizeof run_id) ||
        run_id[0] == '\0')
        return OK;
    return store_run_announce(connection->gateway->store, connection->session.daemon_key, run_id);
}

static void on_command_answer(struct connection *connection, int64_t seq, bool failed,
                              struct str answer)
{
    struct gateway *gateway = connection->gateway;
    struct session *session = &connection->session;
    struct json_field_error problem;
    struct refusal refusal = {.code = 0};
    enum err err = OK;

    if (failed)
        (void)json_read(answer, refusal_fields, sizeof refusal_fields / sizeof refusal_fields[0],
                        &refusal, &problem);
    if (failed && is_no_outcome(&refusal)) {
        err = on_no_outcome(connection, seq, &refusal, answer);
    } else {
        err = store_command_answer(gateway->store, session->daemon_key, seq, failed, answer);
        if (err == OK && !failed)
            err = announce(connection, answer);
        if (err == OK)
            (void)api_rpc_on_answer(gateway, session->daemon_key, seq, 0, failed, answer);
    }
    if (err != OK)
        session_store_failed(connection);
}

void session_on_response(struct connection *connection, const struct rpc_envelope *envelope)
{
    struct session *session = &connection->session;
    bool failed = envelope->error.n > 0;
    struct str answer = failed ? envelope->error : envelope->result;
    char id[24];
    uint64_t rpc_id;

    if (!json_string_copy(envelope->id, id, sizeof id) || !str_to_u64(str_of(id), &rpc_id) ||
        rpc_id == 0)
        return; /* an error without id, or nobody's answer */
    for (size_t i = 0; i < GATEWAY_IN_FLIGHT; i++) {
        if (session->in_flight[i].rpc_id != rpc_id)
            continue;
        int64_t seq = session->in_flight[i].seq;
        session->in_flight[i].rpc_id = 0;
        session->commands_due = true;
        on_command_answer(connection, seq, failed, answer);
        return;
    }
    (void)api_rpc_on_answer(connection->gateway, session->daemon_key, 0, rpc_id, failed, answer);
}
