/* The dispatcher and answers: who may call what, what a command must carry, and what becomes of answers whose peer has
 * gone or whose size is too much. */
#include "rpc/rpc.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A peer with room for one message, which counts what is begun and ended. */
static struct {
    struct rpc_peer peer;
    struct out out;
    char bytes[LIMIT_MESSAGE];
    int begun, taken, dropped;
} place;

static struct {
    int calls, commands;
    char params[512];
    struct rpc_call call, off;
    bool put_off, again, answered;
    size_t answer_bytes;
} handler;

static struct out *on_begin(struct rpc_peer *peer)
{
    assert_ptr_equal(peer, &place.peer);
    assert_int_equal(place.begun, place.taken + place.dropped);
    place.begun++;
    out_reset(&place.out);
    return &place.out;
}

static void on_end(struct rpc_peer *peer, bool ok)
{
    assert_ptr_equal(peer, &place.peer);
    if (ok) {
        assert_false(place.out.overflow);
        place.taken++;
    } else {
        place.dropped++;
        out_reset(&place.out);
    }
}

static void handle(void *context, struct rpc_call *call, struct str params)
{
    assert_ptr_equal(context, &handler);
    handler.calls++;
    handler.call = *call;
    assert_true(str_copy(params, handler.params, sizeof handler.params));
    if (handler.again) {
        call->again = true;
        return;
    }
    if (handler.put_off) {
        rpc_put_off(call, &handler.off);
        return;
    }
    rpc_answer_raw(call, STR("{\"ok\":true}"));
}

static bool on_command(void *context, struct rpc_call *call, const struct rpc_method *method,
                       struct str params)
{
    assert_ptr_equal(context, &handler);
    assert_true(call->command.present);
    assert_true((method->flags & RPC_METHOD_CHANGES) != 0);
    assert_true(params.n > 0);
    handler.commands++;
    handler.call = *call;
    if (handler.answered)
        rpc_answer_raw(call, STR("\"before\""));
    return handler.answered;
}

static const struct rpc_method methods[] = {
    {"read", 0, handle},
    {"change", RPC_METHOD_CHANGES, handle},
    {"local", RPC_METHOD_LOCAL_ONLY, handle},
};

static struct rpc_dispatcher dispatcher = {
    .methods = methods, .count = 3, .context = &handler, .on_command = on_command};

static int start(void **state)
{
    (void)state;
    memset(&handler, 0, sizeof handler);
    memset(&place, 0, sizeof place);
    place.peer.begin = on_begin;
    place.peer.message_max = LIMIT_MESSAGE;
    place.peer.end = on_end;
    place.peer.generation = 7;
    place.out = OUT_ON(place.bytes);
    return 0;
}

static enum err send_text(enum rpc_channel channel, const char *text)
{
    struct rpc_envelope envelope;
    struct rpc_error error;
    place.peer.channel = channel;
    assert_int_equal(rpc_read(str_of(text), &envelope, &error), OK);
    return rpc_dispatch(&dispatcher, &place.peer, &envelope);
}

#define REQUEST(method, params)                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"" method "\",\"params\":" params "}"

static void assert_answer(const char *expected)
{
    assert_int_equal(place.begun, place.taken + place.dropped);
    assert_string_equal(out_cstr(&place.out), expected);
}

static void assert_answer_has(const char *piece)
{
    assert_int_equal(place.taken, 1);
    if (strstr(out_cstr(&place.out), piece) == NULL)
        fail_msg("'%s' is not in %s", piece, place.bytes);
}

#define OK_ANSWER "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{\"ok\":true}}"

/* --- methods ------------------------------------------------------------------------------------------------------ */

static void methods_are_called_with_their_params(void **state)
{
    (void)state;
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("read", "{\"a\": [1 ]}")), OK);
    assert_string_equal(handler.params, "{\"a\": [1 ]}");
    assert_int_equal(handler.call.generation, 7);
    assert_false(handler.call.command.present);
    assert_answer(OK_ANSWER);

    assert_int_equal(send_text(RPC_GATEWAY, "{\"jsonrpc\":\"2.0\",\"id\":-3,\"method\":\"read\"}"),
                     OK);
    assert_string_equal(handler.params, "{}");
    assert_answer("{\"jsonrpc\":\"2.0\",\"id\":-3,\"result\":{\"ok\":true}}");
}

static void notifications_are_served_and_never_answered(void **state)
{
    (void)state;
    assert_int_equal(send_text(RPC_LOCAL, "{\"jsonrpc\":\"2.0\",\"method\":\"read\"}"), OK);
    assert_int_equal(handler.calls, 1);
    assert_int_equal(send_text(RPC_LOCAL, "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}"), OK);
    assert_int_equal(handler.calls, 1);
    assert_int_equal(place.begun, 0);
}

static void answers_are_nobodys_business(void **state)
{
    (void)state;
    assert_int_equal(send_text(RPC_LOCAL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"), OK);
    assert_int_equal(send_text(RPC_GATEWAY, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}"), OK);
    assert_int_equal(handler.calls + place.begun, 0);
}

static void unknown_methods_are_refused_by_name(void **state)
{
    (void)state;
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("run.strat", "{}")), OK);
    assert_answer_has("\"code\":-32601");
    assert_answer_has("run.strat");
    /* A prefix of a name is no name. */
    start(NULL);
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("rea", "{}")), OK);
    assert_answer_has("\"code\":-32601");
    assert_int_equal(handler.calls, 0);
}

static void local_methods_are_unknown_over_the_link(void **state)
{
    (void)state;
    assert_int_equal(send_text(RPC_GATEWAY, REQUEST("local", "{}")), OK);
    assert_int_equal(handler.calls, 0);
    assert_answer_has("\"code\":-32601");
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("local", "{}")), OK);
    assert_int_equal(handler.calls, 1);
}

/* --- commands ------------------------------------------------------------------------------------------------------ */

static void changes_over_the_link_carry_a_command(void **state)
{
    (void)state;
    assert_int_equal(
        send_text(RPC_GATEWAY,
                  REQUEST("change", "{\"command\":{\"seq\":42,\"key\":\"k\\u00e9\"},\"a\":1}")),
        OK);
    assert_int_equal(handler.commands, 1);
    assert_int_equal(handler.calls, 1);
    assert_true(handler.call.command.present);
    assert_int_equal(handler.call.command.seq, 42);
    assert_string_equal(handler.call.command.key, "k\xc3\xa9");
    assert_answer(OK_ANSWER);
}

/* More than any build takes, four times. */
#define KEY_32 "01234567890123456789012345678901"

static void malformed_commands_are_refused(void **state)
{
    static const struct {
        const char *params;
        int code;
        const char *path;
    } cases[] = {
        {"{}", -32602, "\"path\":\"command\""},
        {"{\"command\":null}", -32602, "\"path\":\"command\""},
        {"{\"command\":42}", -32602, "\"path\":\"command\""},
        {"{\"command\":[]}", -32602, "\"path\":\"command\""},
        {"{\"command\":{}}", -32602, "\"path\":\"command.seq\""},
        {"{\"command\":{\"key\":\"k\"}}", -32602, "\"path\":\"command.seq\""},
        {"{\"command\":{\"seq\":0,\"key\":\"k\"}}", -32602, "\"path\":\"command.seq\""},
        {"{\"command\":{\"seq\":-1,\"key\":\"k\"}}", -32602, "\"path\":\"command.seq\""},
        {"{\"command\":{\"seq\":1.0,\"key\":\"k\"}}", -32602, "\"path\":\"command.seq\""},
        {"{\"command\":{\"seq\":\"1\",\"key\":\"k\"}}", -32602, "\"path\":\"command.seq\""},
        {"{\"command\":{\"seq\":9223372036854775808,\"key\":\"k\"}}", -32602,
         "\"path\":\"command.seq\""},
        {"{\"command\":{\"seq\":1}}", -32602, "\"path\":\"command.key\""},
        {"{\"command\":{\"seq\":1,\"key\":\"\"}}", -32602, "\"path\":\"command.key\""},
        {"{\"command\":{\"seq\":1,\"key\":5}}", -32602, "\"path\":\"command.key\""},
        {"{\"command\":{\"seq\":1,\"key\":\"a\\u0000\"}}", -32602, "\"path\":\"command.key\""},
        {"{\"command\":{\"seq\":1,\"key\":"
         "\"" KEY_32 KEY_32 KEY_32 KEY_32 "x\"}}",
         -32602, "\"path\":\"command.key\""},
        {"{\"command\":{\"seq\":1,\"key\":\"k\",\"key\":\"l\"}}", -32600,
         "command.key is given twice"},
        {"{\"command\":{\"seq\":1,\"key\":\"k\"},\"command\":{}}", -32600,
         "command is given twice"},
    };
    char text[512], code[32];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(NULL);
        snprintf(text, sizeof text,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"change\",\"params\":%s}",
                 cases[i].params);
        snprintf(code, sizeof code, "\"code\":%d", cases[i].code);
        assert_int_equal(send_text(RPC_GATEWAY, text), OK);
        assert_int_equal(handler.calls + handler.commands, 0);
        assert_answer_has(code);
        assert_answer_has(cases[i].path);
    }
}

static void a_command_without_id_is_dropped(void **state)
{
    (void)state;
    assert_int_equal(send_text(RPC_GATEWAY, "{\"jsonrpc\":\"2.0\",\"method\":\"change\",\"params\":"
                                            "{\"command\":{\"seq\":1,\"key\":\"k\"}}}"),
                     OK);
    assert_int_equal(handler.calls + handler.commands + place.begun, 0);
}

static void local_changes_and_remote_reads_need_no_command(void **state)
{
    (void)state;
    /* What stands in `command` there is an unknown member like any other. */
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("change", "{\"command\":5}")), OK);
    assert_int_equal(send_text(RPC_GATEWAY, REQUEST("read", "{\"command\":5}")), OK);
    assert_int_equal(handler.calls, 2);
    assert_int_equal(handler.commands, 0);
    assert_false(handler.call.command.present);
}

static void a_command_that_was_answered_before_reaches_no_method(void **state)
{
    (void)state;
    handler.answered = true;
    assert_int_equal(
        send_text(RPC_GATEWAY, REQUEST("change", "{\"command\":{\"seq\":1,\"key\":\"k\"}}")), OK);
    assert_int_equal(handler.calls, 0);
    assert_answer("{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":\"before\"}");
}

static void digest_of(const char *method_and_params, unsigned char digest[32])
{
    char text[512];
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",%s}", method_and_params);
    assert_int_equal(send_text(RPC_GATEWAY, text), OK);
    memcpy(digest, handler.call.command.digest, 32);
}

static void the_digest_covers_params_without_command_byte_for_byte(void **state)
{
    unsigned char first[32], other[32];
    (void)state;

    digest_of(
        "\"method\":\"change\",\"params\":{\"a\":1,\"command\":{\"seq\":1,\"key\":\"k\"},\"b\":\"x\"}",
        first);
    digest_of(
        "\"params\":{\"command\":{\"seq\":9,\"key\":\"l\"},\"a\":1,\"b\":\"x\"},\"method\":\"change\"",
        other);
    assert_memory_equal(first, other, 32);
    digest_of(
        "\"method\":\"change\",\"params\":{\"a\":1,\"b\":\"x\",\"c\\u006fmmand\":{\"seq\":9,\"key\":\"l\"}}",
        other);
    assert_memory_equal(first, other, 32);

    static const char *const others[] = {
        "\"method\":\"change\",\"params\":{\"b\":\"x\",\"a\":1,\"command\":{\"seq\":1,\"key\":\"k\"}}",
        "\"method\":\"change\",\"params\":{\"a\":1.0,\"command\":{\"seq\":1,\"key\":\"k\"},\"b\":\"x\"}",
        "\"method\":\"change\",\"params\":{\"a\":1,\"command\":{\"seq\":1,\"key\":\"k\"},\"b\":\"\\u0078\"}",
        "\"method\":\"change\",\"params\":{\"a\":1,\"command\":{\"seq\":1,\"key\":\"k\"}}",
        "\"method\":\"change\",\"params\":{\"a\":1,\"command\":{\"seq\":1,\"key\":\"k\"},\"b\":\"x\",\"c\":null}",
        "\"method\":\"change\",\"params\":{\"command\":{\"seq\":1,\"key\":\"k\"}}",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        digest_of(others[i], other);
        assert_memory_not_equal(first, other, 32);
    }
}

/* --- no room, later answers ----------------------------------------------------------------------------------------- */

static void without_room_a_peer_keeps_its_request(void **state)
{
    (void)state;
    handler.again = true;
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("read", "{}")), ERR_AGAIN);
    assert_int_equal(send_text(RPC_GATEWAY, REQUEST("read", "{}")), ERR_AGAIN);
    assert_int_equal(place.begun, 0);
}

static void a_call_that_was_put_off_is_answered_later(void **state)
{
    (void)state;
    handler.put_off = true;
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("read", "{}")), OK);
    assert_int_equal(place.peer.pending, 1);
    assert_int_equal(place.begun, 0);
    rpc_resume(&handler.off);
    assert_int_equal(place.peer.pending, 0);
    rpc_answer_raw(&handler.off, STR("[1]"));
    assert_answer("{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":[1]}");
}

static void a_notification_that_was_put_off_is_not_pending(void **state)
{
    (void)state;
    handler.put_off = true;
    assert_int_equal(send_text(RPC_LOCAL, "{\"jsonrpc\":\"2.0\",\"method\":\"read\"}"), OK);
    assert_int_equal(place.peer.pending, 0);
    rpc_resume(&handler.off);
    assert_int_equal(place.peer.pending, 0);
    rpc_answer_raw(&handler.off, STR("[1]"));
    assert_int_equal(place.begun, 0);
}

static void what_a_peer_asked_that_has_gone_is_told_to_nobody(void **state)
{
    struct json_writer w;
    struct rpc_error error;
    (void)state;

    handler.put_off = true;
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("read", "{}")), OK);
    /* The place is given to another connection, which asks something of its own. */
    struct rpc_call first = handler.off;
    place.peer.generation++;
    place.peer.pending = 0;
    assert_int_equal(send_text(RPC_LOCAL, REQUEST("read", "{}")), OK);
    assert_int_equal(place.peer.pending, 1);

    rpc_resume(&first);
    assert_int_equal(place.peer.pending, 1);
    struct rpc_call once_more;
    rpc_put_off(&first, &once_more);
    rpc_resume(&once_more);
    assert_int_equal(place.peer.pending, 1);
    assert_null(rpc_answer_begin(&first, &w));
    rpc_answer_raw(&first, STR("1"));
    rpc_error_set(&error, RPC_CANCELLED, "x");
    rpc_answer_error(&first, &error);
    rpc_refuse_params(&first, "a", "b");
    assert_int_equal(place.begun, 0);

    rpc_resume(&handler.off);
    rpc_answer_raw(&handler.off, STR("2"));
    assert_int_equal(place.peer.pending, 0);
    assert_answer("{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":2}");
}

/* --- answers too large ------------------------------------------------------------------------------------------------ */

static void answer_of(size_t bytes)
{
    struct rpc_call call = {.peer = &place.peer, .generation = place.peer.generation, .id = "1"};
    struct json_writer writer, *w = rpc_answer_begin(&call, &writer);
    assert_non_null(w);
    json_string_begin(w);
    for (size_t i = 0; i < bytes; i++)
        json_string_add(w, STR("x"));
    json_string_end(w);
    rpc_answer_end(&call, w);
}

static void an_answer_too_large_becomes_an_error(void **state)
{
    size_t around = strlen("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\"}");
    char limit[64];
    (void)state;

    struct rpc_call call = {.peer = &place.peer, .id = "1"};
    assert_int_equal(rpc_result_max(&call), LIMIT_MESSAGE - around + 2); /* the quotes */
    answer_of(LIMIT_MESSAGE - around);
    assert_int_equal(place.out.n, LIMIT_MESSAGE);
    assert_int_equal(place.taken, 1);
    assert_int_equal(place.dropped, 0);

    start(NULL);
    answer_of(LIMIT_MESSAGE - around + 1);
    assert_int_equal(place.dropped, 1);
    snprintf(limit, sizeof limit, "\"data\":{\"limit\":%d,\"size\":%d}", LIMIT_MESSAGE,
             LIMIT_MESSAGE + 1);
    assert_answer_has("\"code\":-32001");
    assert_answer_has(limit);
    assert_answer_has("\"id\":1,");
}

/* --- params --------------------------------------------------------------------------------------------------------- */

struct wanted {
    char name[8];
    int64_t n;
};

static const struct json_field fields[] = {
    {"name", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct wanted, name), 8, 0, 0},
    {"n", JSON_FIELD_INTEGER, 0, offsetof(struct wanted, n), 0, 1, 9},
};

static void params_are_read_or_refused_with_path_and_reason(void **state)
{
    static const struct {
        const char *params, *piece, *more;
    } cases[] = {
        {"{}", "\"code\":-32602", "\"path\":\"name\""},
        {"{\"name\":1}", "\"code\":-32602", "\"path\":\"name\""},
        {"{\"name\":\"12345678\"}", "\"code\":-32602", "\"path\":\"name\""},
        {"{\"name\":\"a\",\"n\":10}", "\"code\":-32602", "\"path\":\"n\""},
        {"{\"name\":\"a\",\"n\":10}", "\"reason\":\"", "invalid params: n "},
        {"{\"name\":\"a\",\"name\":\"b\"}", "\"code\":-32600", "params.name is given twice"},
    };
    struct rpc_call call = {.peer = &place.peer, .generation = 7, .id = "1"};
    struct wanted wanted = {"", 0};
    (void)state;
    assert_true(
        rpc_params(&call, STR("{\"name\":\"1234567\",\"n\":9,\"x\":[]}"), fields, 2, &wanted));
    assert_string_equal(wanted.name, "1234567");
    assert_int_equal(wanted.n, 9);
    assert_int_equal(place.begun, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(NULL);
        assert_false(rpc_params(&call, str_of(cases[i].params), fields, 2, &wanted));
        assert_answer_has(cases[i].piece);
        assert_answer_has(cases[i].more);
    }
}

static void a_reason_that_does_not_fit_is_left_out_of_the_data(void **state)
{
    struct rpc_call call = {.peer = &place.peer, .generation = 7, .id = "1"};
    char reason[LIMIT_ERROR_DATA + 64];
    (void)state;
    memset(reason, '"', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    rpc_refuse_params(&call, "path", reason);
    assert_answer_has("\"code\":-32602");
    assert_null(strstr(place.bytes, "\"data\""));
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(methods_are_called_with_their_params),
        TEST(notifications_are_served_and_never_answered),
        TEST(answers_are_nobodys_business),
        TEST(unknown_methods_are_refused_by_name),
        TEST(local_methods_are_unknown_over_the_link),
        TEST(changes_over_the_link_carry_a_command),
        TEST(malformed_commands_are_refused),
        TEST(a_command_without_id_is_dropped),
        TEST(local_changes_and_remote_reads_need_no_command),
        TEST(a_command_that_was_answered_before_reaches_no_method),
        TEST(the_digest_covers_params_without_command_byte_for_byte),
        TEST(without_room_a_peer_keeps_its_request),
        TEST(a_call_that_was_put_off_is_answered_later),
        TEST(a_notification_that_was_put_off_is_not_pending),
        TEST(what_a_peer_asked_that_has_gone_is_told_to_nobody),
        TEST(an_answer_too_large_becomes_an_error),
        TEST(params_are_read_or_refused_with_path_and_reason),
        TEST(a_reason_that_does_not_fit_is_left_out_of_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
