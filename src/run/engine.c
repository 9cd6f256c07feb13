/* What happens next: the scheduler of runs and steps.  It looks only at runs that want attention, once a turn, before the commit; all that it
 * decides it says in events.  Ordinary steps go in order; `when: failure` and `when: always` follow after the others have ended. */
#include "run/job.h"
#include "run/waiting.h"

#include "base/assert.h"
#include "base/log.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

#define HELD_MS 1000 /* how often space is looked for while integrations wait */

#define INTERRUPTIONS_MAX 5 /* contract §4, recovery */

void engine_attend(struct engine *engine, struct run *run)
{
    run->attention = true;
    engine->work = true;
    loop_wake(engine->loop);
}

void engine_attend_all(struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_RUNS; i++)
        if (engine->table.runs[i].status != RUN_NONE)
            engine_attend(engine, &engine->table.runs[i]);
}

/* --- one run, one look --------------------------------------------------------------------------------------------------- */

/* Whether a `when` step applies to how the run ends; ordinary steps only while nothing has gone wrong. */
static bool applies(const struct run *run, const struct step *step)
{
    switch ((enum step_when)step->when) {
    case WHEN_ALWAYS:
        return run->cancels < 2;
    case WHEN_FAILURE:
        return run->outcome == OUTCOME_FAILED;
    case WHEN_SUCCESS:
        break;
    }
    return run->outcome == OUTCOME_NONE;
}

/* Whether what the step comes after has ended: the steps that it needs, or in a plan without `needs` all before it. */
static bool needs_are_met(const struct engine *engine, const struct run *run, unsigned step)
{
    const struct step *steps = &engine->table.steps[run->step_first];
    const struct step_needs *needs = &engine->table.needs[run->step_first + step];

    for (unsigned i = 0; i < run->step_count; i++) {
        bool needed = run->graph ? (needs->bits[i / 32] >> (i % 32) & 1) != 0
                                 : i < step && steps[i].when == WHEN_SUCCESS;
        if (needed && !step_has_ended(steps[i].state))
            return false;
    }
    return true;
}

/* `when` steps come last, in order, after every ordinary step that still applies has ended and none is in flight. */
static bool comes_last(const struct engine *engine, const struct run *run, unsigned step)
{
    const struct step *steps = &engine->table.steps[run->step_first];

    for (unsigned i = 0; i < run->step_count; i++) {
        bool in_flight = steps[i].state == STEP_EXECUTING || steps[i].state == STEP_WAITING;
        bool before = steps[i].when == WHEN_SUCCESS || i < step;
        if (i != step && before &&
            (in_flight || (!step_has_ended(steps[i].state) && applies(run, &steps[i]))))
            return false;
    }
    return true;
}

static bool is_ready(const struct engine *engine, const struct run *run, unsigned step)
{
    const struct step *record = &engine->table.steps[run->step_first + step];

    if (step_has_ended(record->state) || record->state == STEP_EXECUTING ||
        record->state == STEP_WAITING || !applies(run, record))
        return false;
    if (record->state == STEP_RETRYING && record->at_ms > engine->loop->now_ms)
        return false; /* its time comes: engine_next_ms() knows */
    return record->when == WHEN_SUCCESS ? needs_are_met(engine, run, step)
                                        : comes_last(engine, run, step);
}

/* Whether anything of the run is still to come or in flight. */
static bool has_more(const struct engine *engine, const struct run *run)
{
    const struct step *steps = &engine->table.steps[run->step_first];

    for (unsigned i = 0; i < run->step_count; i++)
        if (steps[i].state == STEP_EXECUTING || steps[i].state == STEP_WAITING ||
            (!step_has_ended(steps[i].state) && applies(run, &steps[i])))
            return true;
    return false;
}

/* Whether any step that may still run wants this process. */
static bool is_wanted(struct engine *engine, const struct run *run, const struct process *process)
{
    const struct step *steps = table_steps(&engine->table, run);

    if (engine->stopping || run->status == RUN_WAITING)
        return false; /* a run that waits for people keeps no process waiting with it */
    for (unsigned i = 0; i < run->step_count; i++)
        if (!step_has_ended(steps[i].state) && steps[i].integration == process->integration &&
            applies(run, &steps[i]))
            return true;
    return false;
}

static void release_processes(struct engine *engine, struct run *run)
{
    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_IDLE && process->run == run && process->step == STEP_NONE &&
            !is_wanted(engine, run, process))
            process_release(engine, process);
    }
}

/* What an ended attempt leaves when it stops the others: a failure, a cancel, the run's timeout. */
static void cancel_processes(struct engine *engine, struct run *run, enum failure_kind kind,
                             const char *message)
{
    const struct step *steps = table_steps(&engine->table, run);

    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_FREE || process->run != run || process->step == STEP_NONE)
            continue;
        if (applies(run, &steps[process->step]))
            continue; /* an `always` step goes on */
        if (process->failure.kind == FAILURE_NONE)
            failure_set(&process->failure, kind, "%s", message);
        process_cancel(engine, process);
    }
}

static void settle_interrupted(struct engine *engine, struct run *run, unsigned step)
{
    struct step *record = &table_steps(&engine->table, run)[step];
    char policy[16];
    struct str raw;

    policy[0] = '\0';
    if (source_step(engine, run, step, &raw) == OK)
        source_text(raw, "on_interrupt", policy, sizeof policy);
    if (strcmp(policy, "fail") == 0)
        attempt_fail_early(engine, run, step, FAILURE_INTERRUPTED,
                           "the daemon ended during this step, and on_interrupt is fail");
    else if (record->interruptions >= INTERRUPTIONS_MAX)
        attempt_fail_early(engine, run, step, FAILURE_INTERRUPTED, "interrupted 5 times");
}

/* Steps that wait for a retry, an answer or a new attempt when the run has come to another end: nothing will come of them. */
static void drop_waiting_steps(struct engine *engine, struct run *run, const char *why)
{
    const struct step *steps = table_steps(&engine->table, run);

    for (unsigned i = 0; i < run->step_count; i++) {
        if (applies(run, &steps[i]))
            continue;
        if (steps[i].state == STEP_WAITING)
            waiting_close(engine, run, i, why);
        else if (steps[i].state == STEP_RETRYING || steps[i].state == STEP_INTERRUPTED)
            attempt_fail_early(engine, run, i, FAILURE_CANCELLED, why);
    }
}

/* Whether something is to happen at a step at a known time. */
static bool is_timed(const struct step *step)
{
    return (step->state == STEP_RETRYING || step->state == STEP_WAITING) && step->at_ms != 0;
}

static void check_times(struct engine *engine, struct run *run)
{
    struct step *steps = table_steps(&engine->table, run);

    for (unsigned i = 0; i < run->step_count; i++) {
        if (!is_timed(&steps[i]) || steps[i].at_ms > engine->loop->now_ms)
            continue;
        if (steps[i].state == STEP_RETRYING)
            steps[i].at_ms = 0; /* it may begin; where it has no place yet, no clock brings one */
        else
            waiting_time_out(engine, run, i);
    }
}

/* --- places in flight --------------------------------------------------------------------------------------------------- */

static bool concurrency_allows(const struct engine *engine, const struct run *run)
{
    unsigned same = 0;

    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *other = &engine->table.runs[i];
        if ((other->status == RUN_RUNNING || other->status == RUN_WAITING) &&
            strcmp(other->workflow_id, run->workflow_id) == 0)
            same++;
    }
    return run->concurrency == 0 || same < run->concurrency;
}

/* A queued run starts when there is a place, its workflow allows one more, and nobody is before it: neither a run that was answered
 * and wants its place back, nor an older one in the queue that could start as well. */
static bool has_room(const struct engine *engine, const struct run *run)
{
    if (engine->table.in_flight >= LIMIT_RUNS_IN_FLIGHT || engine->paused || engine->stopping ||
        !concurrency_allows(engine, run))
        return false;
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *other = &engine->table.runs[i];
        if ((other->status == RUN_RUNNING || other->wants_place) && !other->counted)
            return false;
        if (other->status == RUN_QUEUED && other->created_seq < run->created_seq &&
            other->outcome == OUTCOME_NONE && concurrency_allows(engine, other))
            return false;
    }
    return true;
}

/* A run that waits for people gives its place back once its processes are gone, and takes one when it goes on. */
static void settle_place(struct engine *engine, struct run *run)
{
    /* Beside an open gate a step may be tried again, or be next for a place: then the run has work to do. */
    run->wants_place = run->status == RUN_RUNNING;
    for (unsigned i = 0; run->status == RUN_WAITING && i < run->step_count && !run->wants_place;
         i++)
        run->wants_place = is_ready(engine, run, i);
    if (!run->wants_place && run->status == RUN_WAITING && run->counted && run->processes == 0) {
        run->counted = false;
        engine->table.in_flight--;
        engine_attend_all(engine);
    } else if (run->wants_place && !run->counted &&
               engine->table.in_flight < LIMIT_RUNS_IN_FLIGHT) {
        run->counted = true;
        engine->table.in_flight++;
    }
}

static void start_queued(struct engine *engine, struct run *run)
{
    if (!has_room(engine, run))
        return;
    event_reason(engine, run, EVENT_RUN_STARTED, STEP_NONE, NULL);
    run->counted = true;
    engine->table.in_flight++;
    run->deadline_ms = run->timeout_ms > 0 ? engine->loop->now_ms + run->timeout_ms : 0;
    /* Another of the same workflow behind it may have been held up by this one. */
    engine_attend_all(engine);
}

void engine_let_in(struct engine *engine, struct run *run)
{
    if (run->status == RUN_QUEUED && run->outcome == OUTCOME_NONE)
        start_queued(engine, run);
}

static void check_run_timeout(struct engine *engine, struct run *run)
{
    if (run->deadline_ms == 0 || run->deadline_ms > engine->loop->now_ms ||
        run->outcome != OUTCOME_NONE)
        return;
    run->timed_out = true;
    run->outcome = OUTCOME_FAILED;
}

static const char *stop_message(const struct run *run)
{
    return run->timed_out                      ? "the run's timeout has passed"
           : run->outcome == OUTCOME_CANCELLED ? "the run was cancelled"
           : run->outcome == OUTCOME_DENIED    ? "the run was denied"
                                               : "another step has failed";
}

/* Starts what is ready and has room. */
static void start_steps(struct engine *engine, struct run *run)
{
    struct step *steps = table_steps(&engine->table, run);
    unsigned side_by_side = run->graph && run->max_parallel > 0 ? run->max_parallel : 1;

    for (unsigned i = 0; i < run->step_count && run->executing < side_by_side; i++) {
        if (engine->stopping || engine->fatal != OK)
            return;
        if (steps[i].state == STEP_INTERRUPTED && is_ready(engine, run, i))
            settle_interrupted(engine, run, i);
        /* One that waits for a place, or for its turn with its integration, does not hold up those behind it. */
        if (is_ready(engine, run, i))
            (void)step_start(engine, run, i);
    }
}

static void look_at(struct engine *engine, struct run *run)
{
    run->attention = false;
    pressure_tell(engine, run, false);
    if (run->status == RUN_QUEUED) {
        if (run->outcome == OUTCOME_CANCELLED)
            ending_cancel(engine, run);
        else
            start_queued(engine, run);
        if (run->status != RUN_RUNNING)
            return;
    }
    check_run_timeout(engine, run);
    check_times(engine, run);
    if (run->outcome != OUTCOME_NONE) {
        cancel_processes(engine, run, FAILURE_CANCELLED, stop_message(run));
        drop_waiting_steps(engine, run, stop_message(run));
    }
    settle_place(engine, run);
    if (run->counted)
        start_steps(engine, run);
    release_processes(engine, run);
    settle_place(engine, run);
    if (!has_more(engine, run) && !run->ending && run->executing == 0 && run->processes == 0 &&
        engine->fatal == OK) {
        pressure_tell(engine, run, true);
        ending_end(engine, run);
    }
}

/* Whether a deadline of the run has come: its own, a retry's, a gate's. */
static bool is_due(const struct engine *engine, const struct run *run)
{
    const struct step *steps = &engine->table.steps[run->step_first];
    int64_t now = engine->loop->now_ms;

    if (run->deadline_ms != 0 && run->deadline_ms <= now && run->outcome == OUTCOME_NONE)
        return true;
    for (unsigned i = 0; i < run->step_count; i++)
        if (is_timed(&steps[i]) && steps[i].at_ms <= now)
            return true;
    return false;
}

void engine_advance(struct engine *engine)
{
    if (engine->held)
        (void)pressure_holds(engine);
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE || run->attention || !is_due(engine, run))
            continue;
        run->attention = true;
        engine->work = true;
    }
    /* Looking at one may call for another look at others: rounds until all are quiet, each bounded by the table. */
    for (int round = 0; engine->work && round < 4; round++) {
        engine->work = false;
        for (size_t i = 0; i < LIMIT_RUNS && engine->fatal == OK; i++)
            if (engine->table.runs[i].status != RUN_NONE && engine->table.runs[i].attention)
                look_at(engine, &engine->table.runs[i]);
    }
}

int64_t engine_next_ms(const struct engine *engine)
{
    /* A disk says nothing when it has space again. */
    int64_t next = engine->held ? engine->loop->now_ms + HELD_MS : -1;

    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE)
            continue;
        if (run->deadline_ms != 0 && run->outcome == OUTCOME_NONE &&
            (next < 0 || run->deadline_ms < next))
            next = run->deadline_ms;
        for (unsigned s = 0; s < run->step_count; s++) {
            const struct step *step = &engine->table.steps[run->step_first + s];
            if (is_timed(step) && (next < 0 || step->at_ms < next))
                next = step->at_ms;
        }
    }
    return next;
}

void engine_act(struct engine *engine)
{
    if (!engine->act || engine->fatal != OK)
        return;
    engine->act = false;
    processes_act(engine);
}

/* --- the daemon's side ------------------------------------------------------------------------------------------------------ */

void engine_start(struct engine *engine, struct loop *loop, struct journal *journal,
                  struct project *project, struct project_workspace *workspace)
{
    engine->loop = loop;
    engine->journal = journal;
    engine->project = project;
    engine->workspace = workspace;
    source_keep_spare(engine);
}

void engine_resume(struct engine *engine, bool crashed)
{
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE)
            continue;
        cleanup_halves(engine, run);
        if (run->damaged) {
            struct failure failure;
            failure_set(&failure, FAILURE_INTERRUPTED,
                        "the journal was damaged: events of this run are lost");
            ending_fail(engine, run, &failure);
            continue;
        }
        if (run->status == RUN_RUNNING) {
            run->counted = true;
            engine->table.in_flight++;
        }
        /* The run's time goes on while the daemon is down, as far as the wall clock can be believed. */
        if (run->timeout_ms > 0 && run->started_ms > 0) {
            run->deadline_ms = engine->loop->now_ms +
                               waiting_left(engine->loop->wall_ms,
                                            run->started_ms + run->timeout_ms, run->timeout_ms);
        }
        struct step *steps = table_steps(&engine->table, run);
        for (unsigned s = 0; s < run->step_count; s++) {
            if (steps[s].state == STEP_EXECUTING && steps[s].decided)
                waiting_finish(engine, run, s);
            else if (steps[s].state == STEP_EXECUTING)
                attempt_interrupt(engine, run, s,
                                  crashed ? "the daemon crashed" : "the daemon was stopped");
            if (steps[s].state == STEP_RETRYING)
                steps[s].at_ms = 0;
            if (steps[s].state == STEP_WAITING)
                waiting_resume(engine, run, s);
            if (steps[s].plan_length == 0 && !run_has_ended(run->status)) {
                struct failure failure;
                failure_set(&failure, FAILURE_TEMPLATE, "the run's plan.json is gone or damaged");
                ending_fail(engine, run, &failure);
                break;
            }
        }
        if (run->status != RUN_NONE)
            engine_attend(engine, run);
    }
    cleanup_ended(engine);
    engine->remover_wanted = true;
    engine_clean_up(engine);
}

void engine_cancel_all(struct engine *engine, const char *reason)
{
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE || run->cancels > 0)
            continue;
        struct json_writer *w = event_begin(engine, run, EVENT_RUN_CANCEL_REQUESTED, STEP_NONE);
        if (w == NULL)
            return;
        json_put_text(w, "reason", reason);
        json_put_text(w, "channel", "gateway");
        json_put_null(w, "actor");
        json_put_text(w, "by", "daemon");
        (void)event_end(engine, run, EVENT_RUN_CANCEL_REQUESTED, STEP_NONE);
        engine_attend(engine, run);
    }
}

/* What helpers work on can be asked for again, or is done again after the next start. */
static void give_up_helpers(struct engine *engine)
{
    jobs_cancel(engine);
    if (engine->outputs.run != NULL) {
        helper_cancel(&engine->outputs.helper);
        engine->outputs.run->ending = false;
        engine->outputs.run = NULL;
    }
    store_give_up(engine);
}

void engine_stop(struct engine *engine, bool now)
{
    engine->stopping = true;
    if (now)
        give_up_helpers(engine);
    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_FREE)
            continue;
        if (process->step == STEP_NONE) {
            if (now)
                process_terminate(engine, process);
            else
                process_release(engine, process);
            continue;
        }
        if (!now)
            continue; /* it has the grace time */
        if (process->failure.kind == FAILURE_NONE)
            failure_set(&process->failure, FAILURE_INTERRUPTED, "the daemon was stopped");
        if (process->state == PROCESS_LAUNCHING || process->state == PROCESS_SETUP ||
            process->state == PROCESS_EXECUTING)
            process_cancel(engine, process);
        else
            process_terminate(engine, process);
    }
}

bool engine_is_quiet(const struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_PROCESSES; i++)
        if (engine->processes[i].state != PROCESS_FREE)
            return false;
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        if (engine->jobs[i].kind != JOB_FREE)
            return false;
    return engine->outputs.run == NULL;
}

bool engine_is_executing(const struct engine *engine)
{
    return engine->executing > 0;
}
