/* cli/progress.h: what a run's events say about it. */
#include "base/out.h"
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct cli_progress progress;

static struct cli_step *apply(const char *type, const char *step, const char *data)
{
    char text[1024];
    struct out out = OUT_ON(text);
    struct cli_event event;

    out_format(
        &out,
        "{\"seq\":1,\"run_id\":\"r-1\",\"n\":1,\"time\":\"2026-01-31T12:00:00.500Z\",\"type\":\"%s\",",
        type);
    if (step != NULL)
        out_format(&out, "\"step_id\":\"%s\",\"attempt\":2,", step);
    out_format(&out, "\"data\":%s}", data);
    assert_true(cli_event_read(out_view(&out), &event));
    assert_int_equal(event.time_ms, 1769860800500);
    return cli_progress_apply(&progress, &event);
}

static int start(void **state)
{
    (void)state;
    cli_progress_start(&progress);
    return 0;
}

static void a_step_follows_its_last_event(void **state)
{
    (void)state;
    struct cli_step *step = apply("step.started", "a", "{}");
    assert_string_equal(step->id, "a");
    assert_int_equal(step->state, CLI_STEP_RUNNING);
    assert_int_equal(step->attempt, 2);
    assert_ptr_equal(
        apply("step.progress", "a", "{\"current\":1,\"total\":null,\"message\":\"x\"}"), step);
    assert_true(step->progress.known);
    assert_int_equal(step->progress.total, 0);
    assert_string_equal(step->message, "x");
    apply("step.retrying", "a", "{}");
    assert_int_equal(step->state, CLI_STEP_RETRYING);
    apply("step.started", "a", "{}");
    assert_string_equal(step->message, "");
    apply("step.completed", "a", "{\"value\":1}");
    assert_int_equal(step->state, CLI_STEP_ENDED);
    assert_int_equal(progress.count, 1);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    struct cli_step *step = apply(
        "step.progress", "a",
        "{\"current\":1,\"message\":\"x" /* 1 + 2 * 64 bytes: the cut falls into a character */
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
        "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\"}");
    assert_int_equal(strlen(step->message), 127);
    assert_int_equal((unsigned char)step->message[126], 0xbc);
}

static void a_run_waits_when_a_step_does_and_none_executes(void **state)
{
    (void)state;
    assert_false(cli_progress_waits(&progress));
    apply("step.started", "work", "{}");
    apply("step.started", "review", "{}");
    apply("run.waiting", "review", "{\"for\":\"gate\"}");
    assert_false(cli_progress_waits(&progress));
    apply("step.completed", "work", "{}");
    assert_true(cli_progress_waits(&progress));
    apply("run.resumed", "review", "{\"decision\":\"approve\"}");
    assert_false(cli_progress_waits(&progress));
    apply("step.completed", "review", "{}");
    assert_false(cli_progress_waits(&progress));
}

static void endings_are_outcomes_and_requests_are_not(void **state)
{
    (void)state;
    apply("run.started", NULL, "{}");
    apply("run.cancel_requested", NULL, "{}");
    assert_int_equal(progress.outcome, CLI_RUN_OPEN);
    apply("run.cancelled", NULL, "{}");
    assert_int_equal(progress.outcome, CLI_RUN_CANCELLED);
    assert_int_equal(progress.ended_ms - progress.started_ms, 0);
    assert_int_equal(cli_outcome_of(STR("waiting")), CLI_RUN_OPEN);
    assert_int_equal(cli_outcome_of(STR("open")), CLI_RUN_OPEN);
    assert_int_equal(cli_outcome_of(STR("denied")), CLI_RUN_DENIED);
    assert_string_equal(cli_outcome_text(CLI_RUN_FAILED), "failed");
}

static void unknown_events_change_nothing(void **state)
{
    (void)state;
    assert_null(apply("daemon.started", NULL, "{}"));
    assert_null(apply("events.dropped", NULL, "{}"));
    apply("run.something", NULL, "{}");
    assert_int_equal(progress.outcome, CLI_RUN_OPEN);
    assert_int_equal(progress.count, 0);
}

static void more_steps_than_the_table_has_are_passed_over(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_STEPS + 3; i++) {
        char id[16];
        struct out out = OUT_ON(id);
        out_format(&out, "s%d", i);
        struct cli_step *step = apply("step.started", out_cstr(&out), "{}");
        assert_int_equal(step == NULL, i >= LIMIT_STEPS);
    }
}

static void what_is_no_event_is_refused(void **state)
{
    struct cli_event event;
    (void)state;

    assert_false(cli_event_read(STR("[]"), &event));
    assert_false(cli_event_read(STR("{}"), &event));
    assert_false(cli_event_read(STR("{\"seq\":1}"), &event));
    assert_false(cli_event_read(STR("{\"seq\":\"1\",\"type\":\"x\"}"), &event));
    assert_true(cli_event_read(STR("{\"seq\":1,\"type\":\"x\",\"new\":1}"), &event));
    assert_int_equal(cli_event_data(&event, "any").n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_step_follows_its_last_event, start),
        cmocka_unit_test_setup(a_long_message_is_cut_between_characters, start),
        cmocka_unit_test_setup(a_run_waits_when_a_step_does_and_none_executes, start),
        cmocka_unit_test_setup(endings_are_outcomes_and_requests_are_not, start),
        cmocka_unit_test_setup(unknown_events_change_nothing, start),
        cmocka_unit_test_setup(more_steps_than_the_table_has_are_passed_over, start),
        cmocka_unit_test_setup(what_is_no_event_is_refused, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
