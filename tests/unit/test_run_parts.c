/* The small parts of the run room: what a failure says, and references to artifacts. */
#include "run/artifact.h"
#include "run/failure.h"

#include "json/check.h"
#include "json/read.h"
#include "port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char text[32 * 1024];

static const char *written(const struct failure *failure, const char *stderr_lines)
{
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    failure_write(&w, failure, str_of(stderr_lines));
    assert_false(out.overflow);
    assert_int_equal(json_check(out_view(&out), 8, NULL), OK);
    return out_cstr(&out);
}

static void failures_have_kind_message_and_stderr(void **state)
{
    static struct failure failure;
    (void)state;
    failure_set(&failure, FAILURE_TEMPLATE, "no %s", "\"x\"");
    assert_string_equal(written(&failure, ""),
                        "{\"kind\":\"template\",\"message\":\"no \\\"x\\\"\",\"stderr\":[]}");
    assert_string_equal(
        written(&failure, "one\n\n  three\n"),
        "{\"kind\":\"template\",\"message\":\"no \\\"x\\\"\",\"stderr\":[\"one\",\"\",\"  three\"]}");
    assert_string_equal(
        written(&failure, "no end"),
        "{\"kind\":\"template\",\"message\":\"no \\\"x\\\"\",\"stderr\":[\"no end\"]}");
    assert_string_equal(
        written(&failure, "\xff\n"),
        "{\"kind\":\"template\",\"message\":\"no \\\"x\\\"\",\"stderr\":[\"\xEF\xBF\xBD\"]}");
}

static void exits_signals_and_codes_are_told_where_there_are_any(void **state)
{
    static struct failure failure;
    (void)state;
    failure_set(&failure, FAILURE_EXITED, "m");
    failure.exit_code = 0;
    assert_string_equal(written(&failure, ""),
                        "{\"kind\":\"exited\",\"message\":\"m\",\"stderr\":[],\"exit_code\":0}");
    failure_set(&failure, FAILURE_EXITED, "m");
    failure.signal = 9;
    assert_string_equal(
        written(&failure, ""),
        "{\"kind\":\"exited\",\"message\":\"m\",\"stderr\":[],\"signal\":\"SIGKILL\"}");
    failure_set(&failure, FAILURE_INTEGRATION_ERROR, "m");
    failure.has_code = true;
    failure.code = INT64_MIN;
    assert_string_equal(written(&failure, ""),
                        "{\"kind\":\"integration_error\",\"message\":\"m\",\"stderr\":[],"
                        "\"code\":-9223372036854775808}");
    /* Set anew, nothing of the last one stays. */
    failure_set(&failure, FAILURE_TIMEOUT, "m");
    assert_string_equal(written(&failure, ""),
                        "{\"kind\":\"timeout\",\"message\":\"m\",\"stderr\":[]}");
}

static void long_messages_are_cut(void **state)
{
    static struct failure failure;
    static char message[4000];
    struct str raw;
    (void)state;
    memset(message, 'm', sizeof message - 1);
    failure_set(&failure, FAILURE_PROTOCOL, "%s", message);
    assert_int_equal(strlen(failure.message), LIMIT_TEXT);
    assert_true(json_member(str_of(written(&failure, "")), "message", &raw));
    assert_int_equal(raw.n, LIMIT_TEXT + 2);
}

static void kinds_are_the_contracts(void **state)
{
    static const struct {
        enum failure_kind kind;
        const char *name;
        bool retried;
    } kinds[] = {
        {FAILURE_SPAWN_FAILED, "spawn_failed", true},
        {FAILURE_SETUP_FAILED, "setup_failed", true},
        {FAILURE_INTEGRATION_ERROR, "integration_error", true},
        {FAILURE_EXITED, "exited", true},
        {FAILURE_PROTOCOL, "protocol", true},
        {FAILURE_TOO_LARGE, "too_large", true},
        {FAILURE_TIMEOUT, "timeout", true},
        {FAILURE_CANCELLED, "cancelled", false},
        {FAILURE_INTERRUPTED, "interrupted", true},
        {FAILURE_OUTPUT_TYPE, "output_type", true},
        {FAILURE_TEMPLATE, "template", false},
    };
    static struct failure failure;
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        assert_string_equal(failure_kind_name(kinds[i].kind), kinds[i].name);
        failure_set(&failure, kinds[i].kind, "m");
        assert_int_equal(failure_may_be_retried(&failure), kinds[i].retried);
        failure.no_retry = true;
        assert_false(failure_may_be_retried(&failure));
    }
}

/* --- artifacts ---------------------------------------------------------------------------------------------------------- */

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void references_come_back_as_they_were_written(void **state)
{
    struct artifact artifact = {
        .sha256 = SHA, .bytes = INT64_MAX, .path = "a/\"b\"/\xc3\xa9", .media_type = "text/plain"};
    struct artifact back;
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    (void)state;
    artifact_write(&w, &artifact);
    assert_string_equal(out_cstr(&out),
                        "{\"$artifact\":{\"sha256\":\"" SHA "\",\"bytes\":9223372036854775807,"
                        "\"path\":\"a/\\\"b\\\"/\xc3\xa9\",\"media_type\":\"text/plain\"}}");
    memset(&back, 0xff, sizeof back);
    assert_true(artifact_read(out_view(&out), &back));
    assert_string_equal(back.sha256, artifact.sha256);
    assert_string_equal(back.path, artifact.path);
    assert_string_equal(back.media_type, artifact.media_type);
    assert_int_equal(back.bytes, artifact.bytes);
}

static void the_longest_reference_comes_back(void **state)
{
    struct artifact artifact = {.sha256 = SHA, .bytes = 1}, back;
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    (void)state;
    memset(artifact.path, 'p', sizeof artifact.path - 1);
    memset(artifact.media_type, 'm', sizeof artifact.media_type - 1);
    artifact_write(&w, &artifact);
    assert_true(artifact_read(out_view(&out), &back));
    assert_string_equal(back.path, artifact.path);
    assert_string_equal(back.media_type, artifact.media_type);
}

static void what_is_no_reference_is_refused(void **state)
{
    static const char *const cases[] = {
        "{}",
        "[]",
        "null",
        "\"$artifact\"",
        "{\"$artifact\":null}",
        "{\"$artifact\":{}}",
        "{\"$artifact\":{\"sha256\":\"" SHA "\",\"bytes\":1,\"path\":\"p\"}}",
        "{\"$artifact\":{\"sha256\":\"" SHA "0\",\"bytes\":1,\"path\":\"p\",\"media_type\":\"m\"}}",
        "{\"$artifact\":{\"sha256\":\"" SHA "\",\"bytes\":-1,\"path\":\"p\",\"media_type\":\"m\"}}",
        "{\"$artifact\":{\"sha256\":\"" SHA
        "\",\"bytes\":1.5,\"path\":\"p\",\"media_type\":\"m\"}}",
        "{\"$artifact\":{\"sha256\":\"" SHA "\",\"bytes\":1,\"path\":5,\"media_type\":\"m\"}}",
        "{\"$artifact\":{\"sha256\":\"" SHA
        "\",\"bytes\":1,\"path\":\"p\\u0000\",\"media_type\":\"m\"}}",
    };
    struct artifact artifact;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (artifact_read(str_of(cases[i]), &artifact))
            fail_msg("%s is taken", cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_have_kind_message_and_stderr),
        cmocka_unit_test(exits_signals_and_codes_are_told_where_there_are_any),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(kinds_are_the_contracts),
        cmocka_unit_test(references_come_back_as_they_were_written),
        cmocka_unit_test(the_longest_reference_comes_back),
        cmocka_unit_test(what_is_no_reference_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
