/* The three machines over the whole product of states and events.  What is expected is written out here, letter by letter,
 * from the pictures in run/state.h and run/engine.h and from contract §4; nothing is computed from the code. */
#include "run/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* --- runs ---------------------------------------------------------------------------------------------------------- */

/* A letter a status: none, Queued, Running, Waiting, Succeeded, Failed, Cancelled, Denied; '.' where the event is impossible. */
static const char statuses[] = "nQRWSFCD";
_Static_assert(sizeof statuses - 1 == RUN_STATUSES, "a letter for each status");

/* clang-format off */
static const struct {
    enum run_event event;
    const char *name, *next; /* a column for each status, in the order above */
} run_rows[] = {
    /*                                                        nQRWSFCD */
    {EVENT_RUN_CREATED, "run.created",                       "Q......."},
    {EVENT_RUN_STARTED, "run.started",                       ".R......"},
    {EVENT_RUN_WAITING, "run.waiting",                       "..WW...."},
    {EVENT_RUN_RESUMED, "run.resumed",                       "..RR...."},
    {EVENT_RUN_INPUT_SUBMITTED, "run.input_submitted",       "..RR...."},
    {EVENT_RUN_CANCEL_REQUESTED, "run.cancel_requested",     ".QRW...."},
    {EVENT_RUN_CANCELLED, "run.cancelled",                   ".CCC...."},
    {EVENT_RUN_SUCCEEDED, "run.succeeded",                   "..S....."},
    {EVENT_RUN_FAILED, "run.failed",                         ".FFF...."},
    {EVENT_RUN_DENIED, "run.denied",                         "..DD...."},
    /* What steps do leaves the run's status alone, but that a step which starts makes it run. */
    {EVENT_STEP_STARTED, "step.started",                     "..RR...."},
    {EVENT_STEP_SKIPPED, "step.skipped",                     "..RW...."},
    {EVENT_STEP_INTERRUPTED, "step.interrupted",             "..RW...."},
    {EVENT_STEP_PROGRESS, "step.progress",                   "..RW...."},
    {EVENT_STEP_LOG, "step.log",                             "..RW...."},
    {EVENT_STEP_COMPLETED, "step.completed",                 "..RW...."},
    {EVENT_STEP_FAILED, "step.failed",                       "..RW...."},
    {EVENT_STEP_RETRYING, "step.retrying",                   "..RW...."},
};
/* clang-format on */
_Static_assert(sizeof run_rows / sizeof run_rows[0] == RUN_EVENTS, "a row for each event");

static void runs_go_where_the_picture_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < RUN_EVENTS; i++)
        for (int from = 0; from < RUN_STATUSES; from++) {
            enum run_status next = run_next((enum run_status)from, run_rows[i].event);
            char got = next == RUN_STATUSES ? '.' : statuses[next];
            if (got != run_rows[i].next[from])
                fail_msg("%s in status %c gives %c, not %c", run_rows[i].name, statuses[from], got,
                         run_rows[i].next[from]);
        }
}

static void ended_runs_stay_so(void **state)
{
    (void)state;
    for (int status = 0; status < RUN_STATUSES; status++) {
        assert_int_equal(run_has_ended((enum run_status)status),
                         strchr("SFCD", statuses[status]) != NULL);
        if (run_has_ended((enum run_status)status))
            for (int event = 0; event < RUN_EVENTS; event++)
                assert_int_equal(run_next((enum run_status)status, (enum run_event)event),
                                 RUN_STATUSES);
    }
    assert_false(run_has_ended(RUN_STATUSES));
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */

/* Pending, Executing, Waiting, Retrying, Interrupted, Completed, Failed, Skipped. */
static const char states[] = "PEWRICFS";

static enum step_state state_of(char letter)
{
    switch (letter) {
    case 'P':
        return STEP_PENDING;
    case 'E':
        return STEP_EXECUTING;
    case 'W':
        return STEP_WAITING;
    case 'R':
        return STEP_RETRYING;
    case 'I':
        return STEP_INTERRUPTED;
    case 'C':
        return STEP_COMPLETED;
    case 'F':
        return STEP_FAILED;
    case 'S':
        return STEP_SKIPPED;
    default:
        return STEP_STATES;
    }
}

/* clang-format off */
static const struct {
    enum run_event event;
    const char *next;
} step_rows[] = {
    /*                            PEWRICFS */
    {EVENT_RUN_CREATED,          "........"},
    {EVENT_RUN_STARTED,          "........"},
    {EVENT_RUN_WAITING,          ".W......"},
    {EVENT_RUN_RESUMED,          "..E....."},
    {EVENT_RUN_INPUT_SUBMITTED,  "..E....."},
    {EVENT_RUN_CANCEL_REQUESTED, "........"},
    {EVENT_RUN_CANCELLED,        "........"},
    {EVENT_RUN_SUCCEEDED,        "........"},
    {EVENT_RUN_FAILED,           "........"},
    {EVENT_RUN_DENIED,           "........"},
    {EVENT_STEP_STARTED,         "E..EE..."},
    {EVENT_STEP_SKIPPED,         "S......."},
    {EVENT_STEP_INTERRUPTED,     ".I......"},
    {EVENT_STEP_PROGRESS,        ".E......"},
    {EVENT_STEP_LOG,             "PEWRICFS"}, /* also in the teardown, behind the step */
    {EVENT_STEP_COMPLETED,       ".C......"},
    {EVENT_STEP_FAILED,          "FFFFF..."}, /* pending: a template in `if`; waiting for an attempt: a cancel */
    {EVENT_STEP_RETRYING,        ".R......"},
};
/* clang-format on */
_Static_assert(sizeof step_rows / sizeof step_rows[0] == RUN_EVENTS, "a row for each event");

static void steps_go_where_the_picture_says(void **state)
{
    (void)state;
    assert_int_equal(strlen(states), STEP_STATES);
    for (size_t i = 0; i < RUN_EVENTS; i++)
        for (size_t from = 0; from < STEP_STATES; from++) {
            enum step_state next = step_next(state_of(states[from]), step_rows[i].event);
            if (next != state_of(step_rows[i].next[from]))
                fail_msg("event %zu in state %c gives %d, not %c", i, states[from], (int)next,
                         step_rows[i].next[from]);
        }
}

static void ended_steps_have_nothing_but_late_logs(void **state)
{
    (void)state;
    for (size_t i = 0; i < STEP_STATES; i++) {
        enum step_state from = state_of(states[i]);
        assert_int_equal(step_has_ended(from), strchr("CFS", states[i]) != NULL);
        for (int event = 0; event < RUN_EVENTS && step_has_ended(from); event++)
            assert_int_equal(step_next(from, (enum run_event)event),
                             event == EVENT_STEP_LOG ? from : STEP_STATES);
    }
}

/* --- names ----------------------------------------------------------------------------------------------------------- */

static void names_are_the_contracts(void **state)
{
    enum run_event event;
    enum run_status status;
    (void)state;

    for (size_t i = 0; i < RUN_EVENTS; i++) {
        assert_string_equal(run_event_name(run_rows[i].event), run_rows[i].name);
        assert_true(run_event_read(run_rows[i].name, &event));
        assert_int_equal(event, run_rows[i].event);
    }
    assert_false(run_event_read("daemon.started", &event));
    assert_false(run_event_read("events.dropped", &event));
    assert_false(run_event_read("run.start", &event));
    assert_false(run_event_read("", &event));

    static const char *const names[] = {"queued", "running",   "waiting", "succeeded",
                                        "failed", "cancelled", "denied"};
    for (int i = 0; i < 7; i++) {
        assert_true(run_status_read(names[i], &status));
        assert_int_equal(status, RUN_QUEUED + i);
        assert_string_equal(run_status_name(status), names[i]);
    }
    assert_false(run_status_read("none", &status));
    assert_false(run_status_read("", &status));
    for (int i = 0; i < STEP_STATES; i++)
        assert_non_null(step_state_name((enum step_state)i));
}

/* --- processes --------------------------------------------------------------------------------------------------------- */

/* Free, Launching, Setup, Idle, Executing, caNcelling, tearDown, Closing, Terminating, Killing, Gone. */
static const char lives[] = "FLSIENDCTKG";
_Static_assert(sizeof lives - 1 == PROCESS_STATES, "a letter for each state");

/* clang-format off */
static const struct {
    enum process_event event;
    const char *name, *next;
} process_rows[] = {
    /*                                         FLSIENDCTKG */
    {PROCESS_LAUNCHED, "launched",            ".S........."},
    {PROCESS_ANSWERED, "answered",            "..I.IDC...."}, /* what complied with a cancel is torn down */
    {PROCESS_REFUSED, "refused",              "..C..CC...."}, /* what was never set up has nothing to tear down */
    {PROCESS_EXECUTE, "execute",              "...E......."},
    {PROCESS_CANCEL, "cancel",                "..N.N......"},
    {PROCESS_RELEASE, "release",              "...D......."},
    {PROCESS_BROKEN, "broken",                "..TTTTTT..."},
    {PROCESS_GRACE_OVER, "grace over",        ".....TTTK.."},
    {PROCESS_EXITED, "exited",                ".GGGGGGGGG."},
};
/* clang-format on */
_Static_assert(sizeof process_rows / sizeof process_rows[0] == PROCESS_EVENTS,
               "a row for each event");

static void processes_go_where_the_picture_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROCESS_EVENTS; i++)
        for (int from = 0; from < PROCESS_STATES; from++) {
            enum process_state next = process_next((enum process_state)from, process_rows[i].event);
            char got = next == PROCESS_STATES ? '.' : lives[next];
            if (got != process_rows[i].next[from])
                fail_msg("'%s' in state %c gives %c, not %c", process_rows[i].name, lives[from],
                         got, process_rows[i].next[from]);
        }
}

static void every_process_can_be_brought_to_its_end(void **state)
{
    (void)state;
    /* From wherever it lives: broken, then two graces, then its exit; never more. */
    for (int from = PROCESS_SETUP; from <= PROCESS_KILLING; from++) {
        enum process_state at = (enum process_state)from;
        int hard = 0;
        while (at != PROCESS_KILLING && hard++ < 4) {
            enum process_state next = process_next(at, PROCESS_GRACE_OVER);
            at = next != PROCESS_STATES ? next : process_next(at, PROCESS_BROKEN);
            assert_int_not_equal(at, PROCESS_STATES);
        }
        assert_true(hard <= 2);
        assert_int_equal(process_next(at, PROCESS_EXITED), PROCESS_GONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_go_where_the_picture_says),
        cmocka_unit_test(ended_runs_stay_so),
        cmocka_unit_test(steps_go_where_the_picture_says),
        cmocka_unit_test(ended_steps_have_nothing_but_late_logs),
        cmocka_unit_test(names_are_the_contracts),
        cmocka_unit_test(processes_go_where_the_picture_says),
        cmocka_unit_test(every_process_can_be_brought_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
