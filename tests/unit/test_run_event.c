/* What is in memory is what replaying the journal gives, after every event; and a journal that contradicts itself is
 * damaged. */
#include "run_rig.h"

#include <stdio.h>
#include <string.h>

#define STEP(id)                                                                                   \
    "{\"id\":\"" id                                                                                \
    "\",\"output\":null,\"kind\":\"uses\",\"uses\":\"x\",\"with\":{},\"inputs\":{},"               \
    "\"output_type\":\"json\",\"when\":\"success\",\"continue_on_error\":false}"

static const char *const steps[] = {STEP("a"), STEP("b"), STEP("c")};

static void begin(void)
{
    run_rig_plan("null", "\"x\":{\"command\":[\"./x\"],\"config\":{},\"env\":{},\"limits\":{}}",
                 steps, 3);
    run_rig_begin("{}");
}

/* The same run and the same steps, but for what no record tells: places in this process's memory and its clock. */
static void assert_replayed(void)
{
    struct run before = *run;
    struct step steps_before[3];
    memcpy(steps_before, table_steps(&engine.table, run), sizeof steps_before);

    assert_int_equal(run_rig_replay(), OK);
    assert_non_null(run);
    assert_int_equal(run->status, before.status);
    assert_int_equal(run->outcome, before.outcome);
    assert_int_equal(run->cancels, before.cancels);
    assert_int_equal(run->failed_step, before.failed_step);
    assert_int_equal(run->n, before.n);
    assert_int_equal(run->created_seq, before.created_seq);
    assert_int_equal(run->created_ms, before.created_ms);
    assert_int_equal(run->started_ms, before.started_ms);
    assert_int_equal(run->inline_bytes, before.inline_bytes);
    assert_int_equal(run->step_count, before.step_count);
    assert_memory_equal(&run->created, &before.created, sizeof before.created);
    assert_memory_equal(&run->failed, &before.failed, sizeof before.failed);
    assert_memory_equal(&run->cancel, &before.cancel, sizeof before.cancel);
    assert_string_equal(run->workflow_id, before.workflow_id);
    for (int i = 0; i < 3; i++) {
        const struct step *now = &table_steps(&engine.table, run)[i], *then = &steps_before[i];
        assert_int_equal(now->state, then->state);
        assert_int_equal(now->attempt, then->attempt);
        assert_int_equal(now->interruptions, then->interruptions);
        assert_int_equal(now->started_ms, then->started_ms);
        assert_int_equal(now->plan_offset, then->plan_offset);
        assert_memory_equal(&now->ended, &then->ended, sizeof then->ended);
    }
}

static void replay_gives_the_same_state_after_every_event(void **state)
{
    static const struct {
        enum run_event type;
        int step;
    } script[] = {
        {EVENT_STEP_STARTED, 0},
        {EVENT_STEP_LOG, 0},
        {EVENT_STEP_PROGRESS, 0},
        {EVENT_STEP_RETRYING, 0},
        {EVENT_STEP_STARTED, 0},
        {EVENT_STEP_INTERRUPTED, 0},
        {EVENT_STEP_STARTED, 0},
        {EVENT_STEP_COMPLETED, 0},
        {EVENT_STEP_STARTED, 1},
        {EVENT_RUN_WAITING, 1},
        {EVENT_RUN_RESUMED, 1},
        {EVENT_STEP_COMPLETED, 1},
        {EVENT_STEP_LOG, 1},
        {EVENT_STEP_STARTED, 2},
        {EVENT_STEP_FAILED, 2},
        {EVENT_RUN_CANCEL_REQUESTED, STEP_NONE},
        {EVENT_RUN_CANCEL_REQUESTED, STEP_NONE},
    };
    (void)state;
    begin();
    assert_replayed();
    for (size_t i = 0; i < sizeof script / sizeof script[0]; i++) {
        run_rig_event(script[i].type, script[i].step);
        assert_replayed();
    }
}

/* The text of the event at a place, or "". */
static void read_place(struct journal_place place, char text[4096])
{
    struct out to = out_on(text, 4096);
    if (place.segment != 0)
        assert_int_equal(journal_read(engine.journal, place, &to), OK);
    out_cstr(&to);
}

/* All that the run's places say, in one text. */
static void read_places(char text[32768])
{
    static char event[4096];
    struct out all = out_on(text, 32768);
    const struct step *of = table_steps(&engine.table, run);
    struct journal_place places[] = {run->created, run->failed, run->cancel,
                                     of[0].ended,  of[1].ended, of[2].ended};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        read_place(places[i], event);
        out_format(&all, "%zu %s\n", i, event);
    }
    assert_false(all.overflow);
    out_cstr(&all);
}

static void a_run_survives_the_loss_of_all_older_segments_after_every_event(void **state)
{
    static const struct {
        enum run_event type;
        int step;
    } script[] = {
        {EVENT_STEP_STARTED, 0},
        {EVENT_STEP_INTERRUPTED, 0},
        {EVENT_STEP_STARTED, 0},
        {EVENT_STEP_COMPLETED, 0},
        {EVENT_STEP_STARTED, 1},
        {EVENT_RUN_WAITING, 1},
        {EVENT_RUN_RESUMED, 1},
        {EVENT_STEP_COMPLETED, 1},
        {EVENT_STEP_STARTED, 2},
        {EVENT_STEP_RETRYING, 2},
        {EVENT_STEP_STARTED, 2},
        {EVENT_STEP_FAILED, 2},
        {EVENT_RUN_CANCEL_REQUESTED, STEP_NONE},
    };
    static char before[32768], after[32768];
    (void)state;
    begin();
    for (size_t i = 0; i < sizeof script / sizeof script[0]; i++) {
        run_rig_event(script[i].type, script[i].step);
        read_places(before);
        run_rig_turn_over();
        assert_replayed();
        read_places(after);
        assert_string_equal(after, before);
        /* Carried once more, from where it was carried to. */
        run_rig_turn_over();
        assert_replayed();
        read_places(after);
        assert_string_equal(after, before);
    }
}

static void an_ended_run_whose_beginning_is_gone_is_told_whole(void **state)
{
    static char answer[16384], again[16384];
    struct out out = OUT_ON(answer), out_again = OUT_ON(again);
    struct json_writer w = json_writer(&out), w_again = json_writer(&out_again);
    (void)state;
    begin();
    run_rig_completed(0, "{\"n\":1}");
    run_rig_failed(1, "{\"kind\":\"exited\",\"message\":\"boom\",\"exit_code\":3}");
    run_rig_turn_over();
    run_rig_skipped(2);
    run_rig_event(EVENT_RUN_FAILED, STEP_NONE);
    assert_int_equal(run_rig_replay(), OK);
    const struct ended_run *ended = table_find_ended(&engine.table, STR("r-1"));
    assert_non_null(ended);
    assert_true(view_ended_whole(&engine, &w, ended, false));
    assert_non_null(strstr(out_cstr(&out), "\"id\":\"b\",\"status\":\"failed\",\"attempt\":1"));
    assert_non_null(strstr(answer, "boom"));
    assert_non_null(strstr(answer, "\"id\":\"c\",\"status\":\"skipped\""));
    assert_non_null(strstr(answer, "\"workflow_id\":\"w\""));
    /* A checkpoint tells of it as well, as long as the segments are there that it needs. */
    engine.following = false;
    assert_int_equal(run_rig_replay(), OK);
    ended = table_find_ended(&engine.table, STR("r-1"));
    assert_non_null(ended);
    assert_int_equal(ended->needs, 2);
    assert_true(view_ended_whole(&engine, &w_again, ended, false));
    assert_string_equal(out_cstr(&out_again), answer);
}

static void an_ended_run_is_among_the_ended_ones(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++)
        run_rig_skipped(i);
    run_rig_event(EVENT_RUN_SUCCEEDED, STEP_NONE);
    assert_int_equal(run_rig_replay(), OK);
    assert_null(run);
    const struct ended_run *ended = table_find_ended(&engine.table, STR("r-1"));
    assert_non_null(ended);
    assert_int_equal(ended->status, RUN_SUCCEEDED);
    assert_int_equal(engine.table.count, 0);
}

static void events_count_from_one_and_have_their_attempt(void **state)
{
    struct str data;
    (void)state;
    begin();
    assert_int_equal(run->n, 2);
    run_rig_started(0);
    run_rig_event(EVENT_STEP_RETRYING, 0);
    run_rig_started(0);
    assert_int_equal(run->n, 5);
    assert_int_equal(table_steps(&engine.table, run)[0].attempt, 2);
    assert_int_equal(source_data(&engine, run->created, &data), OK);
    assert_memory_equal(data.p, "{\"workflow_id\":\"w\",\"inputs\":{}}", 31);
}

static enum err replay_text(uint64_t seq, const char *event, const char *memo)
{
    struct journal_record record = {.seq = seq, .event = str_of(event), .memo = str_of(memo)};
    return event_replay(&engine, &record);
}

#define EVENT(n, type)                                                                             \
    "{\"seq\":9,\"run_id\":\"r-1\",\"n\":" n                                                       \
    ",\"time\":\"2026-01-31T12:00:00.123Z\",\"type\":\"" type "\",\"data\":{}}"

static void contradictions_are_damage(void **state)
{
    static const struct {
        const char *event, *memo;
    } cases[] = {
        {EVENT("4", "step.started"), "{\"step\":0}"},   /* a number is missing */
        {EVENT("2", "step.started"), "{\"step\":0}"},   /* one stands twice */
        {EVENT("3", "step.completed"), "{\"step\":0}"}, /* it was never started */
        {EVENT("3", "run.started"), ""},
        {EVENT("3", "run.created"), "{\"steps\":3}"},
        {EVENT("3", "step.started"), "{\"step\":3}"},
        {EVENT("3", "step.started"), "{\"step\":-1}"},
        {EVENT("3", "step.started"), "{\"step\":\"0\"}"},
        {"{\"seq\":9,\"run_id\":\"r-1\",\"n\":3,\"time\":\"now\",\"type\":\"step.log\",\"data\":{}}",
         ""},
        {"{\"seq\":9,\"run_id\":\"r-1\",\"n\":3,\"type\":\"step.log\",\"data\":{}}", ""},
        {"", "{\"command\":{\"seq\":1}}"},
        {"", "{\"command\":1}"},
    };
    (void)state;
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum err err = replay_text(9, cases[i].event, cases[i].memo);
        if (err != ERR_DAMAGED)
            fail_msg("%s %s: %d", cases[i].event, cases[i].memo, (int)err);
        assert_int_equal(run->n, 2);
    }
    assert_int_equal(replay_text(9, EVENT("3", "step.started"), "{\"step\":0}"), OK);
    /* What belongs to no run, or to one that is known no longer, changes nothing. */
    assert_int_equal(
        replay_text(
            10,
            "{\"seq\":10,\"time\":\"2026-01-31T12:00:00.123Z\",\"type\":\"daemon.started\",\"data\":{}}",
            ""),
        OK);
    assert_int_equal(
        replay_text(
            11,
            "{\"seq\":11,\"run_id\":\"r-0\",\"n\":7,\"time\":\"2026-01-31T12:00:00.123Z\",\"type\":\"step.log\",\"data\":{}}",
            ""),
        OK);
    assert_int_equal(run->n, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_rig_start, run_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replay_gives_the_same_state_after_every_event),
        TEST(a_run_survives_the_loss_of_all_older_segments_after_every_event),
        TEST(an_ended_run_whose_beginning_is_gone_is_told_whole),
        TEST(an_ended_run_is_among_the_ended_ones),
        TEST(events_count_from_one_and_have_their_attempt),
        TEST(contradictions_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
