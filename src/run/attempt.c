/* What became of an attempt at a step: its value, its failure, whether it is tried again.  Says so in events; what happens next is
 * run/engine.c's business. */
#include "run/engine.h"

#include "base/assert.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

static void step_left(struct engine *engine, struct process *process)
{
    struct run *run = process->run;

    loop_timer_clear(engine->loop, &process->deadline);
    process->step = STEP_NONE;
    run->executing--;
    engine->executing--;
    /* A place has come free: whoever waits for one may go on. */
    engine_attend_all(engine);
    engine_attend(engine, run);
}

void engine_step_value(struct engine *engine, struct process *process, struct str raw,
                       struct str reference)
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
    ASSERT(event_end_full(engine, run, EVENT_STEP_COMPLETED, (int)step,
                          &(struct event_end){.value_bytes = (uint32_t)raw.n}));
}

struct retry {
    int64_t max_attempts, initial_ms, max_ms, multiplier_milli;
};

static void read_retry(struct engine *engine, const struct run *run, unsigned step,
                       struct retry *retry)
{
    static const struct json_field fields[] = {
        {"max_attempts", JSON_FIELD_INTEGER, 0, offsetof(struct retry, max_attempts), 0, 1, 100},
        {"initial_ms", JSON_FIELD_INTEGER, 0, offsetof(struct retry, initial_ms), 0, 0, INT64_MAX},
        {"max_ms", JSON_FIELD_INTEGER, 0, offsetof(struct retry, max_ms), 0, 0, INT64_MAX},
        {"multiplier_milli", JSON_FIELD_INTEGER, 0, offsetof(struct retry, multiplier_milli), 0,
         1000, INT64_MAX},
    };
    struct json_field_error problem;
    struct str raw, declared;

    *retry = (struct retry){
        .max_attempts = 1, .initial_ms = 500, .max_ms = 30000, .multiplier_milli = 2000};
    if (source_step(engine, run, step, &raw) == OK && json_member(raw, "retry", &declared) &&
        json_type(declared) == JSON_OBJECT)
        (void)json_read(declared, fields, sizeof fields / sizeof fields[0], retry, &problem);
}

/* Half of the exponential delay is certain, half is chance: retries of many runs spread without coming too early. */
static int64_t retry_delay(const struct retry *retry, unsigned failures)
{
    int64_t delay = retry->initial_ms, factor = retry->multiplier_milli;
    uint32_t chance = 0;

    for (unsigned i = 1; i < failures && delay < retry->max_ms; i++)
        delay = delay > INT64_MAX / factor ? retry->max_ms : delay * factor / 1000;
    if (delay > retry->max_ms)
        delay = retry->max_ms;
    (void)port_random(&chance, sizeof chance);
    return delay - (int64_t)((uint64_t)(delay / 2) * chance / UINT32_MAX);
}

/* step.retrying with its delay, or step.failed.  Lines full of control bytes grow sixfold when they are escaped: where the event is too long
 * with them, the failure is told without. */
static void say_failure(struct engine *engine, struct run *run, unsigned step,
                        const struct process *process, const struct failure *failure,
                        enum run_event type, int64_t delay_ms)
{
    unsigned attempt = table_steps(&engine->table, run)[step].attempt;
    struct str lines = process == NULL ? STR_NONE : str_range(process->tail, process->tail_n);
    bool done = false;

    while (!done) {
        struct json_writer *w = event_begin(engine, run, type, (int)step);
        if (w == NULL)
            return;
        json_key(w, "error");
        failure_write(w, failure, lines);
        if (type == EVENT_STEP_RETRYING) {
            json_put_i64(w, "next_attempt", attempt + 1);
            json_put_i64(w, "delay_ms", delay_ms);
        }
        done = event_end(engine, run, type, (int)step) || lines.n == 0;
        lines = STR_NONE;
    }
}

void attempt_fail(struct engine *engine, struct run *run, unsigned step,
                  const struct process *process, const struct failure *failure)
{
    struct step *record = &table_steps(&engine->table, run)[step];
    unsigned failures = (unsigned)record->attempt - record->interruptions;
    struct retry retry;

    read_retry(engine, run, step, &retry);
    if (record->state == STEP_EXECUTING && run->outcome == OUTCOME_NONE &&
        failure_may_be_retried(failure) && failures < (unsigned)retry.max_attempts) {
        int64_t delay = retry_delay(&retry, failures);
        say_failure(engine, run, step, process, failure, EVENT_STEP_RETRYING, delay);
        record->at_ms = engine->loop->now_ms + delay;
        return;
    }
    say_failure(engine, run, step, process, failure, EVENT_STEP_FAILED, 0);
}

void attempt_interrupt(struct engine *engine, struct run *run, unsigned step, const char *reason)
{
    event_reason(engine, run, EVENT_STEP_INTERRUPTED, (int)step, reason);
}

void engine_step_failed(struct engine *engine, struct process *process)
{
    struct run *run = process->run;
    unsigned step = process->step;

    step_left(engine, process);
    if (process->failure.kind == FAILURE_INTERRUPTED)
        attempt_interrupt(engine, run, step, process->failure.message);
    else
        attempt_fail(engine, run, step, process, &process->failure);
}

/* A step that fails before it has a process: its `if` or its plan is at fault. */
void attempt_fail_early(struct engine *engine, struct run *run, unsigned step,
                        enum failure_kind kind, const char *message)
{
    struct failure failure;
    failure_set(&failure, kind, "%s", message);
    attempt_fail(engine, run, step, NULL, &failure);
    engine_attend(engine, run);
}
