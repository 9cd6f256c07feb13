/* Any bytes as a message: what is read points into it and has the form that the contract asks for; what is refused has one
 * of three codes; dispatched, a request gets exactly one answer, which is a message itself. */
#include "json/check.h"
#include "rpc/rpc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char bytes[LIMIT_MESSAGE];
static struct out answer;
static int answers, begun, calls;

static struct out *on_begin(struct rpc_peer *peer)
{
    (void)peer;
    begun++;
    out_reset(&answer);
    return &answer;
}

static void on_end(struct rpc_peer *peer, bool ok)
{
    (void)peer;
    if (ok)
        answers++;
    else
        out_reset(&answer);
}

static void echo(void *context, struct rpc_call *call, struct str params)
{
    (void)context;
    calls++;
    MUST(json_type(params) == JSON_OBJECT);
    rpc_answer_raw(call, params);
}

struct wanted {
    char text[8];
    int64_t number;
    bool boolean;
};

static void read_some(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        {"text", JSON_FIELD_TEXT, 0, offsetof(struct wanted, text), 8, 0, 0},
        {"number", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct wanted, number), 0, 1, 100},
        {"boolean", JSON_FIELD_BOOLEAN, 0, offsetof(struct wanted, boolean), 0, 0, 0},
    };
    struct wanted wanted = {"", 1, false};
    (void)context;
    calls++;
    if (!rpc_params(call, params, fields, 3, &wanted))
        return;
    MUST(strlen(wanted.text) < 8 && wanted.number >= 1 && wanted.number <= 100);
    rpc_answer_raw(call, STR("{}"));
}

static bool on_command(void *context, struct rpc_call *call, const struct rpc_method *method,
                       struct str params)
{
    size_t n = strlen(call->command.key);
    (void)context;
    (void)params;
    MUST((method->flags & RPC_METHOD_CHANGES) != 0);
    MUST(call->command.present && call->command.seq >= 1 && n >= 1 && n <= LIMIT_KEY);
    return false;
}

static const struct rpc_method methods[] = {
    {"m", 0, echo},
    {"c", RPC_METHOD_CHANGES, echo},
    {"l", RPC_METHOD_LOCAL_ONLY, echo},
    {"r", 0, read_some},
};

static void lies_inside(struct str part, struct str message)
{
    MUST(part.n == 0 || (part.p >= message.p && part.p + part.n <= message.p + message.n));
}

static void dispatch(const struct rpc_envelope *envelope, enum rpc_channel channel)
{
    static const struct rpc_dispatcher dispatcher = {
        .methods = methods, .count = 4, .on_command = on_command};
    struct rpc_peer peer = {.channel = channel,
                            .generation = 3,
                            .message_max = LIMIT_MESSAGE,
                            .begin = on_begin,
                            .end = on_end};
    struct rpc_envelope back;
    struct rpc_error error;

    answers = begun = calls = 0;
    answer = OUT_ON(bytes);
    MUST(rpc_dispatch(&dispatcher, &peer, envelope) == OK);
    MUST(peer.pending == 0);
    MUST(answers == (envelope->kind == RPC_REQUEST));
    MUST(calls <= 1 && begun >= answers && begun <= 2);
    if (answers == 0)
        return;
    MUST(answer.n <= LIMIT_MESSAGE);
    MUST(rpc_read(out_view(&answer), &back, &error) == OK);
    MUST(back.kind == RPC_RESPONSE && str_equal(back.id, envelope->id));
    MUST(calls == 1 || back.error.n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = str_range((const char *)data, size);
    struct rpc_envelope envelope;
    struct rpc_error error;

    if (size > LIMIT_MESSAGE)
        return 0;
    memset(&error, 0, sizeof error);
    enum err err = rpc_read(message, &envelope, &error);
    lies_inside(envelope.id, message);
    MUST((err == ERR_SYNTAX) == (json_check(message, LIMIT_JSON_DEPTH, NULL) != OK));
    if (envelope.id.n > 0)
        MUST(envelope.id.n < sizeof((struct rpc_call *)0)->id &&
             (json_type(envelope.id) == JSON_STRING || json_type(envelope.id) == JSON_NUMBER));
    if (err != OK) {
        MUST(error.code == RPC_PARSE_ERROR || error.code == RPC_INVALID_REQUEST ||
             error.code == RPC_INVALID_PARAMS);
        MUST((error.code == RPC_PARSE_ERROR) == (err == ERR_SYNTAX));
        MUST(strlen(error.message) > 0);
        struct out out = OUT_ON(bytes);
        rpc_write_error(&out, envelope.id, &error);
        MUST(!out.overflow && json_check(out_view(&out), 8, NULL) == OK);
        return 0;
    }
    lies_inside(envelope.params, message);
    lies_inside(envelope.result, message);
    lies_inside(envelope.error, message);
    MUST(strlen(envelope.method) < sizeof envelope.method);
    MUST(envelope.params.n == 0 || json_type(envelope.params) == JSON_OBJECT);
    if (envelope.kind == RPC_RESPONSE)
        MUST((envelope.result.n > 0) != (envelope.error.n > 0));
    else
        MUST((envelope.kind == RPC_REQUEST) == (envelope.id.n > 0));
    dispatch(&envelope, RPC_LOCAL);
    dispatch(&envelope, RPC_GATEWAY);
    return 0;
}
