/* Envelopes (contract §1): every rule of what is a request, a notification, an answer, or refused, and with which code;
 * and the writers of whole messages. */
#include "rpc/rpc.h"

#include "json/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct rpc_envelope envelope;
static struct rpc_error error;

static enum err read_text(const char *text)
{
    memset(&error, 0, sizeof error);
    return rpc_read(str_of(text), &envelope, &error);
}

static void assert_str(struct str got, const char *expected)
{
    if (!str_is(got, expected))
        fail_msg("'%.*s' is not '%s'", STR_ARG(got), expected);
}

/* --- what is taken ------------------------------------------------------------------------------------------------ */

static void requests_keep_the_text_of_id_and_params(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0062\",\"method\":\"run.start\","
                               "\"params\":{ \"n\" : 1.50e+3 , \"n2\":[1, 2]}}"),
                     OK);
    assert_int_equal(envelope.kind, RPC_REQUEST);
    assert_str(envelope.id, "\"a\\u0062\"");
    assert_string_equal(envelope.method, "run.start");
    assert_str(envelope.params, "{ \"n\" : 1.50e+3 , \"n2\":[1, 2]}");
    assert_int_equal(envelope.result.n + envelope.error.n, 0);
}

static void members_stand_in_any_order_and_unknown_ones_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(read_text("\r\n {\"params\":{},\"x\":1,\"x\":2,\"method\":\"m\",\"id\":7,"
                               "\"jsonrpc\":\"2.0\"} \t"),
                     OK);
    assert_int_equal(envelope.kind, RPC_REQUEST);
    assert_str(envelope.id, "7");
    assert_str(envelope.params, "{}");
}

static void member_names_are_compared_decoded(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("{\"\\u006asonrpc\":\"2\\u002e0\",\"i\\u0064\":1,\"meth\\u006fd\":\"\\u006d\"}"),
        OK);
    assert_str(envelope.id, "1");
    assert_string_equal(envelope.method, "m");
}

static void a_request_without_id_is_a_notification(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{}}"), OK);
    assert_int_equal(envelope.kind, RPC_NOTIFICATION);
    assert_int_equal(envelope.id.n, 0);
    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"method\":\"log\"}"), OK);
    assert_int_equal(envelope.params.n, 0);
}

static void answers_have_a_result_or_an_error(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":null}"), OK);
    assert_int_equal(envelope.kind, RPC_RESPONSE);
    assert_str(envelope.result, "null");
    assert_int_equal(envelope.error.n, 0);

    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-1}}"), OK);
    assert_int_equal(envelope.kind, RPC_RESPONSE);
    assert_str(envelope.error, "{\"code\":-1}");
    assert_int_equal(envelope.result.n, 0);

    /* A peer that could not read our id answers with null. */
    assert_int_equal(
        read_text("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"\"}}"),
        OK);
    assert_int_equal(envelope.kind, RPC_RESPONSE);
    assert_int_equal(envelope.id.n, 0);
}

static void a_name_that_no_method_can_have_is_an_unknown_method(void **state)
{
    char text[256];
    char name[64];
    (void)state;

    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\u0000b\"}"), OK);
    assert_string_equal(envelope.method, "");
    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}"), OK);
    assert_string_equal(envelope.method, "");
    for (size_t n = sizeof envelope.method - 1; n <= sizeof envelope.method; n++) {
        memset(name, 'm', n);
        name[n] = '\0';
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"}", name);
        assert_int_equal(read_text(text), OK);
        assert_string_equal(envelope.method, n < sizeof envelope.method ? name : "");
    }
}

/* --- ids ---------------------------------------------------------------------------------------------------------- */

static enum err read_id(const char *raw)
{
    static char text[2048];
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":%s}", raw);
    return read_text(text);
}

static void ids_are_integers_and_strings(void **state)
{
    static const char *const taken[] = {"0",
                                        "-0",
                                        "-1",
                                        "42",
                                        "18446744073709551616",
                                        "\"\"",
                                        "\"h\"",
                                        "\"\xc3\xa9\"",
                                        "\"\\ud83d\\ude00\"",
                                        "\"\\\"\\\\\""};
    static const char *const refused[] = {"null", "true", "false", "1.0", "1e3",      "1E3",
                                          "-1.5", "{}",   "[]",    "[1]", "{\"a\":1}"};
    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        assert_int_equal(read_id(taken[i]), OK);
        assert_int_equal(envelope.kind, RPC_REQUEST);
        assert_str(envelope.id, taken[i]);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(read_id(refused[i]), ERR_INVALID);
        assert_int_equal(error.code, RPC_INVALID_REQUEST);
        assert_int_equal(envelope.id.n, 0);
    }
}

static void ids_have_at_most_64_bytes_decoded(void **state)
{
    char raw[512];
    (void)state;

    for (int n = 63; n <= 65; n++) {
        raw[0] = '"';
        memset(raw + 1, 'x', (size_t)n);
        memcpy(raw + 1 + n, "\"", 2);
        assert_int_equal(read_id(raw), n <= 64 ? OK : ERR_INVALID);
    }
    /* The longest raw form of 64 bytes: it still fits the place that a call has for it. */
    for (int n = 64; n <= 65; n++) {
        struct out out = OUT_ON(raw);
        out_byte(&out, '"');
        for (int i = 0; i < n; i++)
            out_text(&out, "\\u0041");
        out_byte(&out, '"');
        out_cstr(&out);
        assert_int_equal(read_id(raw), n <= 64 ? OK : ERR_INVALID);
        if (n == 64)
            assert_true(envelope.id.n < sizeof((struct rpc_call *)0)->id);
    }
    for (int n = 64; n <= 65; n++) {
        memset(raw, '7', (size_t)n);
        raw[n] = '\0';
        assert_int_equal(read_id(raw), n <= 64 ? OK : ERR_INVALID);
    }
}

static void a_refused_request_keeps_an_id_that_was_read(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"jsonrpc\":\"1.0\",\"id\":\"a\",\"method\":\"m\"}"), ERR_INVALID);
    assert_str(envelope.id, "\"a\"");
    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":5}"), ERR_INVALID);
    assert_str(envelope.id, "5");
    assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"m\",\"params\":[1]}"),
                     ERR_INVALID);
    assert_str(envelope.id, "5");
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void refusals_have_their_codes(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"", RPC_PARSE_ERROR, "parse error"},
        {"   ", RPC_PARSE_ERROR, "parse error"},
        {"{", RPC_PARSE_ERROR, "at byte 1"},
        {"{\"a\":1,}", RPC_PARSE_ERROR, "at byte 7"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"m\"} x", RPC_PARSE_ERROR, "parse error"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}", RPC_PARSE_ERROR, "parse error"},
        {"\xef\xbb\xbf{}", RPC_PARSE_ERROR, "at byte 0"},
        {"[]", RPC_INVALID_REQUEST, "batch"},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}]", RPC_INVALID_REQUEST, "batch"},
        {"null", RPC_INVALID_REQUEST, "object"},
        {"\"text\"", RPC_INVALID_REQUEST, "object"},
        {"17", RPC_INVALID_REQUEST, "object"},
        {"{}", RPC_INVALID_REQUEST, "jsonrpc"},
        {"{\"jsonrpc\":2.0,\"method\":\"m\"}", RPC_INVALID_REQUEST, "jsonrpc"},
        {"{\"jsonrpc\":\"2\",\"method\":\"m\"}", RPC_INVALID_REQUEST, "jsonrpc"},
        {"{\"jsonrpc\":\"2.0\"}", RPC_INVALID_REQUEST, "method"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST, "method"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":null}", RPC_INVALID_REQUEST, "method"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":{}}", RPC_INVALID_REQUEST, "method"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[]}", RPC_INVALID_PARAMS,
         "object"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":null}", RPC_INVALID_PARAMS,
         "object"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":\"p\"}", RPC_INVALID_PARAMS,
         "object"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"result\":1}", RPC_INVALID_REQUEST,
         "either a request or an answer"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"error\":{}}", RPC_INVALID_REQUEST,
         "either a request or an answer"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{}}", RPC_INVALID_REQUEST,
         "either a result or an error"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":\"no\"}", RPC_INVALID_REQUEST, "error"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":null}", RPC_INVALID_REQUEST, "error"},
        {"{\"jsonrpc\":\"2.0\",\"id\":true,\"result\":1}", RPC_INVALID_REQUEST, "id"},
        {"{\"id\":1,\"result\":1}", RPC_INVALID_REQUEST, "jsonrpc"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read_text(cases[i].text) == OK)
            fail_msg("%s is taken", cases[i].text);
        if (error.code != cases[i].code || strstr(error.message, cases[i].says) == NULL)
            fail_msg("%s gives %d '%s'", cases[i].text, error.code, error.message);
        assert_string_equal(error.data, error.code != RPC_INVALID_PARAMS
                                            ? ""
                                            : "{\"path\":\"\",\"reason\":\"must be an object\"}");
    }
}

static void a_known_member_given_twice_is_named(void **state)
{
    static const char *const members[] = {
        "\"jsonrpc\":\"2.0\"", "\"id\":1",     "\"method\":\"m\"",
        "\"params\":{}",       "\"result\":1", "\"error\":{}",
    };
    char text[256], quoted[32];
    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        struct str name, rest;
        (void)str_cut(str_of(members[i]), ':', &name, &rest);
        snprintf(quoted, sizeof quoted, "%.*s is given twice", STR_ARG(name));
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",%s,%s}",
                 members[i], members[i]);
        assert_int_equal(read_text(text), ERR_INVALID);
        assert_int_equal(error.code, RPC_INVALID_REQUEST);
        if (i != 4 && i != 5 && strstr(error.message, quoted) == NULL)
            fail_msg("%s: %s", text, error.message);
    }
    /* A second spelling of the same name is the same name. */
    assert_int_equal(
        read_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"m\\u0065thod\":\"n\"}"),
        ERR_INVALID);
    assert_non_null(strstr(error.message, "\"method\" is given twice"));
}

static void a_nul_byte_is_no_json(void **state)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\0\"}";
    (void)state;
    assert_int_equal(rpc_read(str_range(text, sizeof text - 1), &envelope, &error), ERR_SYNTAX);
    assert_int_equal(error.code, RPC_PARSE_ERROR);
}

static void depth_is_bounded(void **state)
{
    char text[512];
    (void)state;
    /* The message itself is the first container, params the second. */
    for (int deep = LIMIT_JSON_DEPTH; deep <= LIMIT_JSON_DEPTH + 1; deep++) {
        struct out out = OUT_ON(text);
        out_text(&out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"a\":");
        for (int i = 2; i < deep; i++)
            out_byte(&out, '[');
        for (int i = 2; i < deep; i++)
            out_byte(&out, ']');
        out_text(&out, "}}");
        out_cstr(&out);
        assert_int_equal(read_text(text), deep <= LIMIT_JSON_DEPTH ? OK : ERR_SYNTAX);
        if (deep > LIMIT_JSON_DEPTH)
            assert_int_equal(error.code, RPC_PARSE_ERROR);
    }
}

/* Payload does not count, however many values it holds; names and values of the envelope do. */
static void tokens_of_the_envelope_are_bounded(void **state)
{
    static char text[16 * LIMIT_JSON_TOKENS];
    (void)state;
    for (int payload = 0; payload < 2; payload++) {
        struct out out = OUT_ON(text);
        out_text(&out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"");
        out_text(&out, payload ? ",\"params\":{\"x\":[0" : "");
        for (int i = 0; i < LIMIT_JSON_TOKENS; i++)
            out_text(&out, payload ? ",1" : ",\"x\":1");
        out_text(&out, payload ? "]}}" : "}");
        assert_int_equal(read_text(out_cstr(&out)), payload ? OK : ERR_INVALID);
        if (!payload)
            assert_int_equal(error.code, RPC_INVALID_REQUEST);
    }
}

static void nothing_is_read_beyond_the_message(void **state)
{
    static const char text[] =
        "{\"jsonrpc\":\"2.0\",\"id\":12,\"method\":\"m\",\"params\":{\"a\":[1]}}";
    char bytes[sizeof text];
    (void)state;
    /* Every cut of a message is no message; the sanitizers see reads past its end. */
    for (size_t n = 0; n < sizeof text - 1; n++) {
        memcpy(bytes, text, n);
        assert_int_equal(rpc_read(str_range(bytes, n), &envelope, &error), ERR_SYNTAX);
    }
}

/* --- writers ------------------------------------------------------------------------------------------------------- */

static void messages_are_written_whole(void **state)
{
    char bytes[1024];
    struct out out = OUT_ON(bytes);
    struct json_writer w;
    (void)state;

    rpc_error_set(&error, RPC_NOT_FOUND, "no run \"%s\"", "r-\xc3\xa9");
    rpc_write_error(&out, STR("\"x\\u0041\""), &error);
    assert_string_equal(out_cstr(&out),
                        "{\"jsonrpc\":\"2.0\",\"id\":\"x\\u0041\",\"error\":{\"code\":-32005,"
                        "\"message\":\"no run \\\"r-\xc3\xa9\\\"\"}}");
    out_reset(&out);
    (void)str_copy(STR("{\"what\":\"run\"}"), error.data, sizeof error.data);
    rpc_write_error(&out, STR_NONE, &error);
    assert_non_null(strstr(out_cstr(&out), "\"id\":null,"));
    assert_non_null(strstr(out_cstr(&out), "\"data\":{\"what\":\"run\"}}}"));

    out_reset(&out);
    w = rpc_begin_notification(&out, "event");
    json_object(&w);
    json_object_end(&w);
    rpc_end(&w);
    assert_string_equal(out_cstr(&out), "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{}}");

    out_reset(&out);
    w = rpc_begin_request(&out, "1", "setup");
    json_null(&w);
    rpc_end(&w);
    assert_string_equal(out_cstr(&out),
                        "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"setup\",\"params\":null}");

    out_reset(&out);
    w = rpc_begin_result(&out, STR("-4"));
    json_i64(&w, 1);
    rpc_end(&w);
    assert_string_equal(out_cstr(&out), "{\"jsonrpc\":\"2.0\",\"id\":-4,\"result\":1}");
}

static void long_error_messages_are_cut(void **state)
{
    char text[600];
    (void)state;
    memset(text, 'm', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    rpc_error_set(&error, RPC_INTERNAL_ERROR, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_string_equal(error.data, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_keep_the_text_of_id_and_params),
        cmocka_unit_test(members_stand_in_any_order_and_unknown_ones_are_ignored),
        cmocka_unit_test(member_names_are_compared_decoded),
        cmocka_unit_test(a_request_without_id_is_a_notification),
        cmocka_unit_test(answers_have_a_result_or_an_error),
        cmocka_unit_test(a_name_that_no_method_can_have_is_an_unknown_method),
        cmocka_unit_test(ids_are_integers_and_strings),
        cmocka_unit_test(ids_have_at_most_64_bytes_decoded),
        cmocka_unit_test(a_refused_request_keeps_an_id_that_was_read),
        cmocka_unit_test(refusals_have_their_codes),
        cmocka_unit_test(a_known_member_given_twice_is_named),
        cmocka_unit_test(a_nul_byte_is_no_json),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(tokens_of_the_envelope_are_bounded),
        cmocka_unit_test(nothing_is_read_beyond_the_message),
        cmocka_unit_test(messages_are_written_whole),
        cmocka_unit_test(long_error_messages_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
