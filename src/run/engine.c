/* What happens next: the scheduler of runs and steps.  It looks only at runs that want attention, once a turn, before the commit; all that it
 * decides it says in events.  Ordinary steps go in order; `when: failure` and `when: always` follow after the others have ended. */
#include "run/engine.h"

#include "base/assert.h"
#include "base/log.h"
#include "json/read.h"
#include "port.h"
#include "project/condition.h"
#include "project/template.h"

#include <string.h>

#define INTERRUPTIONS_MAX 5 /* contract §4, recovery */

void engine_attend(struct engine *engine, struct run *run)
{
    run->attention = true;
    engine->work = true;
    loop_wake(engine->loop);
}

static void attend_all(struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_RUNS; i++)
        if (engine->table.runs[i].status != RUN_NONE)
            engine_attend(engine, &engine->table.runs[i]);
}

/* --- what became of an attempt ---------------------------------------------------------------------------------------- */

static void step_left(struct engine *engine, struct process *process)
{
    struct run *run = process->run;

    loop_timer_clear(engine->loop, &process->deadline);
    process->step = STEP_NONE;
    run->executing--;
    engine->executing--;
    /* A place has come free: whoever waits for one may go on. */
    attend_all(engine);
    engine_attend(engine, run);
}

void engine_step_value(struct engine *engine, struct process *process, struct str raw, struct str reference)
{
    struct run *run = process->run;
    unsigned step = process->step;
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];

    output[0] = '\0';
    (void)source_names(engine, run, step, id, output);
    step_left(engine, process);
    struct json_writer *w = event_begin(engine, run, EVENT_STEP_COMPLETED, (int)step);
    if (w == NULL)
        return;
    json_put_raw(w, raw.n > 0 ? "value" : "artifact", raw.n > 0 ? raw : reference);
    json_put_text(w, "output", output[0] == '\0' ? NULL : output);
    ASSERT(event_end_value(engine, run, EVENT_STEP_COMPLETED, (int)step, (uint32_t)raw.n));
}

struct retry {
    int64_t max_attempts, initial_ms, max_ms;
    struct str multiplier;
};

static void read_retry(struct engine *engine, const struct run *run, unsigned step, struct retry *retry)
{
    static const struct json_field fields[] = {
        {"max_attempts", JSON_FIELD_INTEGER, 0, offsetof(struct retry, max_attempts), 0, 1, 100},
        {"initial_ms", JSON_FIELD_INTEGER, 0, offsetof(struct retry, initial_ms), 0, 0, INT64_MAX},
        {"max_ms", JSON_FIELD_INTEGER, 0, offsetof(struct retry, max_ms), 0, 0, INT64_MAX},
        {"multiplier", JSON_FIELD_RAW, 0, offsetof(struct retry, multiplier), 0, 0, 0},
    };
    struct json_field_error problem;
    struct str raw, declared;

    *retry = (struct retry){.max_attempts = 1, .initial_ms = 500, .max_ms = 30000, .multiplier = STR("2")};
    if (source_step(engine, run, step, &raw) == OK && json_member(raw, "retry", &declared) &&
        json_type(declared) == JSON_OBJECT)
        (void)json_read(declared, fields, sizeof fields / sizeof fields[0], retry, &problem);
}

/* A number in thousandths: "1.5" is 1500.  Plans are checked to hold plain decimals here. */
static int64_t thousandths(struct str raw)
{
    struct str whole, fraction;
    int64_t value = 1, sum;

    (void)str_cut(raw, '.', &whole, &fraction);
    if (!str_to_i64(whole, &value) || value < 1)
        value = 1;
    sum = value * 1000;
    for (int64_t weight = 100; weight > 0 && fraction.n > 0; weight /= 10, fraction = str_from(fraction, 1))
        if (fraction.p[0] >= '0' && fraction.p[0] <= '9')
            sum += (fraction.p[0] - '0') * weight;
    return sum;
}

/* Half of the exponential delay is certain, half is chance: retries of many runs spread without coming too early. */
static int64_t retry_delay(const struct retry *retry, unsigned failures)
{
    int64_t delay = retry->initial_ms, factor = thousandths(retry->multiplier);
    uint32_t chance = 0;

    for (unsigned i = 1; i < failures && delay < retry->max_ms; i++)
        delay = delay > INT64_MAX / factor ? retry->max_ms : delay * factor / 1000;
    if (delay > retry->max_ms)
        delay = retry->max_ms;
    (void)port_random(&chance, sizeof chance);
    return delay - (int64_t)((uint64_t)(delay / 2) * chance / UINT32_MAX);
}

static void write_failure(struct json_writer *w, const struct process *process, const struct failure *failure)
{
    json_key(w, "error");
    failure_write(w, failure, process == NULL ? STR_NONE : str_range(process->tail, process->tail_n));
}

static void fail_step(struct engine *engine, struct run *run, unsigned step, const struct process *process,
                      const struct failure *failure)
{
    struct step *record = &table_steps(&engine->table, run)[step];
    unsigned failures = (unsigned)record->attempt - record->interruptions;
    struct retry retry;
    struct json_writer *w;

    read_retry(engine, run, step, &retry);
    if (record->state == STEP_EXECUTING && run->outcome == OUTCOME_NONE &&
        failure_may_be_retried(failure) && failures < (unsigned)retry.max_attempts) {
        int64_t delay = retry_delay(&retry, failures);
        w = event_begin(engine, run, EVENT_STEP_RETRYING, (int)step);
        if (w == NULL)
            return;
        write_failure(w, process, failure);
        json_put_i64(w, "next_attempt", record->attempt + 1);
        json_put_i64(w, "delay_ms", delay);
        (void)event_end(engine, run, EVENT_STEP_RETRYING, (int)step);
        record->at_ms = engine->loop->now_ms + delay;
        return;
    }
    w = event_begin(engine, run, EVENT_STEP_FAILED, (int)step);
    if (w == NULL)
        return;
    write_failure(w, process, failure);
    (void)event_end(engine, run, EVENT_STEP_FAILED, (int)step);
}

static void interrupt_step(struct engine *engine, struct run *run, unsigned step, const char *reason)
{
    event_reason(engine, run, EVENT_STEP_INTERRUPTED, (int)step, reason);
}

void engine_step_failed(struct engine *engine, struct process *process)
{
    struct run *run = process->run;
    unsigned step = process->step;

    step_left(engine, process);
    if (process->failure.kind == FAILURE_INTERRUPTED)
        interrupt_step(engine, run, step, process->failure.message);
    else
        fail_step(engine, run, step, process, &process->failure);
}

/* --- starting a step ---------------------------------------------------------------------------------------------------- */

/* A step that fails before it has a process: its `if` or its plan is at fault. */
static void fail_early(struct engine *engine, struct run *run, unsigned step, enum failure_kind kind, const char *message)
{
    struct failure failure;
    failure_set(&failure, kind, "%s", message);
    fail_step(engine, run, step, NULL, &failure);
    engine_attend(engine, run);
}

static enum err resolve_operand(const struct scope *scope, struct condition_operand *operand, char *copy, size_t size)
{
    struct resolved value;

    if (operand->kind != CONDITION_TEMPLATE)
        return OK;
    enum err err = resolve_path(scope, operand->text, &value);
    if (err != OK)
        return err;
    /* Both sides may come from different events: each is copied before the next is read. */
    struct out out = out_on(copy, size);
    out_str(&out, value.raw);
    if (out.overflow) {
        (void)str_copy(STR("a value in `if` is too large to be judged"), scope->reason, LIMIT_TEXT);
        return ERR_TOO_LARGE;
    }
    *operand = (struct condition_operand){.kind = CONDITION_JSON, .text = out_view(&out)};
    return OK;
}

static enum err judge_if(struct engine *engine, struct run *run, unsigned step, struct str raw_if, bool *holds, char *reason)
{
    struct scope scope = {.engine = engine, .run = run, .step = step, .reason = reason};
    struct out text = OUT_ON(engine->scratch.condition);
    struct condition condition;
    const char *why = "";
    size_t half = sizeof engine->scratch.line / 2;

    if (json_type(raw_if) == JSON_BOOLEAN) {
        *holds = json_is_true(raw_if);
        return OK;
    }
    if (!json_string_decode(raw_if, &text) || condition_parse(out_view(&text), &condition, &why) != OK) {
        (void)str_copy(str_of(why), reason, LIMIT_TEXT);
        return ERR_SYNTAX;
    }
    enum err err = resolve_operand(&scope, &condition.left, engine->scratch.line, half);
    if (err == OK && condition.test != CONDITION_TRUTH)
        err = resolve_operand(&scope, &condition.right, engine->scratch.line + half, half);
    if (err != OK)
        return err;
    err = condition_judge(&condition, holds);
    if (err != OK)
        (void)str_copy(STR("`if` compares a container"), reason, LIMIT_TEXT);
    return err;
}

enum started { STARTED, WAITS, ENDED };

/* Judges `if`, takes a process, says step.started. */
static enum started start_step(struct engine *engine, struct run *run, unsigned step)
{
    struct step *record = &table_steps(&engine->table, run)[step];
    char name[LIMIT_NAME + 1], reason[LIMIT_TEXT] = "";
    struct str raw, value;
    int64_t timeout_ms = 0;
    bool holds = true;

    if (source_step(engine, run, step, &raw) != OK) {
        fail_early(engine, run, step, FAILURE_TEMPLATE, "the run's plan.json cannot be read");
        return ENDED;
    }
    if (record->state == STEP_PENDING && json_member(raw, "if", &value) && json_type(value) != JSON_NULL) {
        enum err err = judge_if(engine, run, step, value, &holds, reason);
        if (err != OK) {
            fail_early(engine, run, step, FAILURE_TEMPLATE, reason[0] != '\0' ? reason : err_text(err));
            return ENDED;
        }
        if (!holds) {
            event_reason(engine, run, EVENT_STEP_SKIPPED, (int)step, "if");
            return ENDED;
        }
    }
    if (engine->executing >= LIMIT_STEPS_EXECUTING)
        return WAITS;
    if (source_step(engine, run, step, &raw) != OK)
        return WAITS;
    source_text(raw, "uses", name, sizeof name);
    if (json_member(raw, "timeout_ms", &value))
        (void)json_integer(value, &timeout_ms);
    struct process *process = process_take(engine, run, step, name, record->integration, timeout_ms);
    if (process == NULL)
        return WAITS;
    struct json_writer *w = event_begin(engine, run, EVENT_STEP_STARTED, (int)step);
    if (w == NULL)
        return WAITS;
    json_put_text(w, "uses", name);
    (void)event_end(engine, run, EVENT_STEP_STARTED, (int)step);
    run->executing++;
    engine->executing++;
    engine->metrics.steps_started++;
    return STARTED;
}

/* --- ending a run ------------------------------------------------------------------------------------------------------- */

static void retire(struct engine *engine, struct run *run, struct journal_place ended)
{
    char evicted[LIMIT_RUN_ID + 1];

    if (engine->scratch.step_run == run)
        engine->scratch.step_run = NULL;
    table_retire(&engine->table, run, ended, evicted);
    if (evicted[0] != '\0') {
        engine->remover_wanted = true;
        engine_clean_up(engine);
    }
    /* A place is free: the queue moves up. */
    attend_all(engine);
}

static bool end_event(struct engine *engine, struct run *run, enum run_event type, struct journal_place *place)
{
    return event_end_at(engine, run, type, STEP_NONE, 0, place);
}

/* The run's outputs: resolved into the event itself, at most LIMIT_INPUTS. */
static bool write_outputs(struct engine *engine, struct run *run, struct json_writer *w, char *reason)
{
    struct scope scope = {.engine = engine, .run = run, .step = STEP_NONE, .reason = reason};
    struct out text = OUT_ON(engine->scratch.line);
    struct request_sink sink = {.fd = -1, .memory = &text};
    struct str raw;

    enum err err = source_outputs(engine, run, &raw);
    if (err == OK)
        err = request_value(&scope, &sink, raw, false);
    if (err == OK && (text.overflow || text.n > LIMIT_INPUTS)) {
        struct out out = out_on(reason, LIMIT_TEXT);
        out_format(&out, "the run's outputs are longer than %d bytes", LIMIT_INPUTS);
        out_cstr(&out);
        err = ERR_TOO_LARGE;
    }
    if (err != OK)
        return false;
    if (w != NULL)
        json_put_raw(w, "outputs", out_view(&text));
    return true;
}

static void end_failed(struct engine *engine, struct run *run, const struct failure *failure)
{
    struct journal_place place;
    struct str data = STR_NONE, error = STR_NONE;
    char id[LIMIT_NAME + 1] = "", output[LIMIT_NAME + 1];

    if (failure == NULL && run->failed_step != LIMIT_STEPS) {
        (void)source_names(engine, run, run->failed_step, id, output);
        if (source_data(engine, run->failed, &data) == OK)
            (void)json_member(data, "error", &error);
    }
    struct json_writer *w = event_begin(engine, run, EVENT_RUN_FAILED, STEP_NONE);
    if (w == NULL)
        return;
    if (failure != NULL)
        write_failure(w, NULL, failure);
    else
        json_put_raw(w, "error", error);
    json_put_text(w, "step_id", id[0] == '\0' ? NULL : id);
    if (end_event(engine, run, EVENT_RUN_FAILED, &place))
        retire(engine, run, place);
}

static void end_cancelled(struct engine *engine, struct run *run)
{
    struct journal_place place;
    struct str data = STR_NONE, reason = STR_NONE;

    if (source_data(engine, run->cancel, &data) == OK)
        (void)json_member(data, "reason", &reason);
    struct json_writer *w = event_begin(engine, run, EVENT_RUN_CANCELLED, STEP_NONE);
    if (w == NULL)
        return;
    json_put_raw(w, "reason", reason);
    if (end_event(engine, run, EVENT_RUN_CANCELLED, &place))
        retire(engine, run, place);
}

static void end_run(struct engine *engine, struct run *run)
{
    char reason[LIMIT_TEXT] = "";
    struct journal_place place;
    struct failure failure;

    switch ((enum run_outcome)run->outcome) {
    case OUTCOME_CANCELLED:
        end_cancelled(engine, run);
        return;
    case OUTCOME_FAILED:
        if (run->timed_out) {
            failure_set(&failure, FAILURE_TIMEOUT, "the run took longer than %lld ms", (long long)run->timeout_ms);
            end_failed(engine, run, &failure);
        } else {
            end_failed(engine, run, NULL);
        }
        return;
    case OUTCOME_DENIED:
    case OUTCOME_NONE:
        break;
    }
    if (!write_outputs(engine, run, NULL, reason)) {
        failure_set(&failure, FAILURE_TEMPLATE, "outputs: %s", reason);
        end_failed(engine, run, &failure);
        return;
    }
    struct json_writer *w = event_begin(engine, run, EVENT_RUN_SUCCEEDED, STEP_NONE);
    if (w == NULL)
        return;
    (void)write_outputs(engine, run, w, reason);
    if (end_event(engine, run, EVENT_RUN_SUCCEEDED, &place))
        retire(engine, run, place);
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

static bool is_due(struct engine *engine, const struct step *step)
{
    return step->state != STEP_RETRYING || step->at_ms <= engine->loop->now_ms;
}

/* The next step in order, ordinary ones before `when` ones; -1: none is left. */
static int next_step(struct engine *engine, const struct run *run)
{
    const struct step *steps = table_steps(&engine->table, run);

    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < run->step_count; i++)
            if ((steps[i].when == WHEN_SUCCESS) == (pass == 0) && !step_has_ended(steps[i].state) &&
                applies(run, &steps[i]))
                return (int)i;
    return -1;
}

/* Whether any step that may still run wants this process. */
static bool is_wanted(struct engine *engine, const struct run *run, const struct process *process)
{
    const struct step *steps = table_steps(&engine->table, run);

    if (engine->stopping)
        return false;
    for (unsigned i = 0; i < run->step_count; i++)
        if (!step_has_ended(steps[i].state) && steps[i].integration == process->integration && applies(run, &steps[i]))
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
static void cancel_processes(struct engine *engine, struct run *run, enum failure_kind kind, const char *message)
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
        fail_early(engine, run, step, FAILURE_INTERRUPTED, "the daemon ended during this step, and on_interrupt is fail");
    else if (record->interruptions >= INTERRUPTIONS_MAX)
        fail_early(engine, run, step, FAILURE_INTERRUPTED, "interrupted 5 times");
}

/* A step that waits for its retry, or was interrupted, when the run has come to another end: it will not be tried again. */
static void drop_waiting_steps(struct engine *engine, struct run *run)
{
    const struct step *steps = table_steps(&engine->table, run);

    for (unsigned i = 0; i < run->step_count; i++)
        if ((steps[i].state == STEP_RETRYING || steps[i].state == STEP_INTERRUPTED) && !applies(run, &steps[i]))
            fail_early(engine, run, i, FAILURE_CANCELLED, "the run ended before the next attempt");
}

static bool has_room(struct engine *engine, const struct run *run)
{
    unsigned same = 0;

    if (engine->table.in_flight >= LIMIT_RUNS_IN_FLIGHT || engine->paused || engine->stopping)
        return false;
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *other = &engine->table.runs[i];
        if (other->status == RUN_QUEUED && other->created_seq < run->created_seq && other->outcome == OUTCOME_NONE &&
            strcmp(other->workflow_id, run->workflow_id) == 0)
            return false; /* first come, first served */
        if (other->counted && strcmp(other->workflow_id, run->workflow_id) == 0)
            same++;
    }
    return run->concurrency == 0 || same < run->concurrency;
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
    attend_all(engine);
}

static void check_run_timeout(struct engine *engine, struct run *run)
{
    if (run->deadline_ms == 0 || run->deadline_ms > engine->loop->now_ms || run->outcome != OUTCOME_NONE)
        return;
    run->timed_out = true;
    run->outcome = OUTCOME_FAILED;
}

static const char *stop_message(const struct run *run)
{
    return run->timed_out                       ? "the run's timeout has passed"
           : run->outcome == OUTCOME_CANCELLED ? "the run was cancelled"
                                               : "another step has failed";
}

static void look_at(struct engine *engine, struct run *run)
{
    struct step *steps = table_steps(&engine->table, run);
    int next;

    run->attention = false;
    if (run->status == RUN_QUEUED) {
        if (run->outcome == OUTCOME_CANCELLED)
            end_cancelled(engine, run);
        else
            start_queued(engine, run);
        if (run->status != RUN_RUNNING)
            return;
    }
    check_run_timeout(engine, run);
    if (run->outcome != OUTCOME_NONE) {
        cancel_processes(engine, run, FAILURE_CANCELLED, stop_message(run));
        drop_waiting_steps(engine, run);
    }
    while (run->executing == 0 && !engine->stopping && engine->fatal == OK && (next = next_step(engine, run)) >= 0) {
        if (steps[next].state == STEP_INTERRUPTED)
            settle_interrupted(engine, run, (unsigned)next);
        if (step_has_ended(steps[next].state))
            continue;
        if (!is_due(engine, &steps[next])) {
            release_processes(engine, run);
            return; /* its time comes: engine_next_ms() knows */
        }
        enum started started = start_step(engine, run, (unsigned)next);
        if (started != ENDED)
            return;
    }
    release_processes(engine, run);
    if (run->executing == 0 && run->processes == 0 && next_step(engine, run) < 0 && engine->fatal == OK)
        end_run(engine, run);
}

void engine_advance(struct engine *engine)
{
    int64_t now = engine->loop->now_ms;

    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE)
            continue;
        if (run->deadline_ms != 0 && run->deadline_ms <= now && !run->timed_out)
            run->attention = true;
        if (!run->attention && run->executing == 0) {
            const struct step *steps = table_steps(&engine->table, run);
            for (unsigned s = 0; s < run->step_count; s++)
                run->attention = run->attention || (steps[s].state == STEP_RETRYING && steps[s].at_ms <= now);
        }
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
    int64_t next = -1;

    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE)
            continue;
        if (run->deadline_ms != 0 && !run->timed_out && (next < 0 || run->deadline_ms < next))
            next = run->deadline_ms;
        for (unsigned s = 0; s < run->step_count; s++) {
            const struct step *step = &engine->table.steps[run->step_first + s];
            if (step->state == STEP_RETRYING && (next < 0 || step->at_ms < next))
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

/* --- directories of runs that nobody retains ------------------------------------------------------------------------------ */

struct removal {
    const struct engine *engine;
    char path[LIMIT_PATH];
    unsigned depth;
};

static bool remove_entry(void *context, const char *name)
{
    struct removal *removal = context, inner = *removal;
    struct port_stat stat;
    struct out out = {.p = inner.path, .cap = sizeof inner.path, .n = strlen(inner.path)};

    out_byte(&out, '/');
    out_text(&out, name);
    out_cstr(&out);
    if (port_unlink(inner.path) == OK || port_stat(inner.path, &stat) != OK || stat.kind != PORT_DIRECTORY)
        return true;
    inner.depth++;
    if (inner.depth < 16) /* integrations own what they write below files/; a tree deeper than that stays */
        (void)port_list(inner.path, remove_entry, &inner);
    (void)port_remove_directory(inner.path);
    return true;
}

static bool remove_unknown(void *context, const char *name)
{
    struct removal *removal = context;
    struct engine *engine = (struct engine *)(uintptr_t)removal->engine;

    if (table_find(&engine->table, str_of(name)) != NULL || table_find_ended(&engine->table, str_of(name)) != NULL)
        return true;
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        if (engine->jobs[i].kind != JOB_FREE && strcmp(engine->jobs[i].run_id, name) == 0)
            return true;
    return remove_entry(removal, name);
}

static int remover_work(void *context, struct out *answer)
{
    struct removal removal = {.engine = context};
    (void)answer;
    source_run_path(context, "", "", removal.path);
    removal.path[strlen(removal.path) - 1] = '\0';
    (void)port_list(removal.path, remove_unknown, &removal);
    return 0;
}

static void on_removed(struct helper *helper, enum err outcome, struct str answer, int exit_code)
{
    (void)answer;
    (void)exit_code;
    struct engine *engine = helper->owner;
    if (outcome != OK)
        log_warning("run", "directories of old runs could not be removed: %s", err_text(outcome));
    engine_clean_up(engine);
}

/* The helper is a copy of this process: it knows which runs are retained at the moment when it starts, and those that begin later have
 * names that it does not see or directories that are listed in `jobs`. */
void engine_clean_up(struct engine *engine)
{
    struct helper_job job = {.work = remover_work, .context = engine, .timeout_ms = 60000,
                             .buffer = engine->remover_answer, .size = sizeof engine->remover_answer,
                             .on_done = on_removed};

    if (!engine->remover_wanted || helper_running(&engine->remover))
        return;
    engine->remover_wanted = false;
    engine->remover.owner = engine;
    if (helper_start(engine->loop, &engine->remover, &job) != OK)
        engine->remover_wanted = true; /* with the next run that goes */
}

/* --- the daemon's side ------------------------------------------------------------------------------------------------------ */

void engine_start(struct engine *engine, struct loop *loop, struct journal *journal, struct project *project,
                  struct project_workspace *workspace)
{
    engine->loop = loop;
    engine->journal = journal;
    engine->project = project;
    engine->workspace = workspace;
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        engine->jobs[i].engine = engine;
}

void engine_resume(struct engine *engine, bool crashed)
{
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE)
            continue;
        if (run->status == RUN_RUNNING || run->status == RUN_WAITING) {
            run->counted = true;
            engine->table.in_flight++;
        }
        /* The run's time goes on while the daemon is down, as far as the wall clock can be believed. */
        if (run->timeout_ms > 0 && run->started_ms > 0) {
            int64_t left = run->started_ms + run->timeout_ms - engine->loop->wall_ms;
            left = left < 0 ? 0 : left > run->timeout_ms ? run->timeout_ms : left;
            run->deadline_ms = engine->loop->now_ms + left;
        }
        struct step *steps = table_steps(&engine->table, run);
        for (unsigned s = 0; s < run->step_count; s++) {
            if (steps[s].state == STEP_EXECUTING)
                interrupt_step(engine, run, s, crashed ? "the daemon crashed" : "the daemon was stopped");
            if (steps[s].state == STEP_RETRYING)
                steps[s].at_ms = engine->loop->now_ms;
            if (steps[s].plan_length == 0 && !run_has_ended(run->status)) {
                struct failure failure;
                failure_set(&failure, FAILURE_TEMPLATE, "the run's plan.json is gone or damaged");
                end_failed(engine, run, &failure);
                break;
            }
        }
        if (run->status != RUN_NONE)
            engine_attend(engine, run);
    }
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

void engine_stop(struct engine *engine, bool now)
{
    engine->stopping = true;
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
        if (process->state == PROCESS_LAUNCHING || process->state == PROCESS_SETUP || process->state == PROCESS_EXECUTING)
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
    return true;
}

bool engine_is_executing(const struct engine *engine)
{
    return engine->executing > 0;
}
