/* Ending a run: the one event that says how, and the slot given back.  Nothing of the run is in flight any more when this is called. */
#include "run/engine.h"

#include "json/read.h"

#include <string.h>

static void retire(struct engine *engine, struct run *run, struct journal_place ended)
{
    char evicted[LIMIT_RUN_ID + 1];

    if (engine->scratch.step_run == run)
        engine->scratch.step_run = NULL;
    table_retire(&engine->table, run, ended, evicted);
    engine->metrics.runs_ended++;
    if (evicted[0] != '\0') {
        engine->remover_wanted = true;
        engine_clean_up(engine);
    }
    /* A place is free: the queue moves up. */
    engine_attend_all(engine);
}

static bool end_event(struct engine *engine, struct run *run, enum run_event type,
                      struct journal_place *place)
{
    return event_end_full(engine, run, type, STEP_NONE, &(struct event_end){.place = place});
}

/* The run's outputs, resolved in scratch.line.  ERR_TOO_LARGE: over LIMIT_INPUTS, they become an artifact; others with reason. */
static enum err resolve_outputs(struct engine *engine, struct run *run, struct str *outputs,
                                char *reason)
{
    struct scope scope = {.engine = engine, .run = run, .step = STEP_NONE, .reason = reason};
    struct out text = OUT_ON(engine->scratch.line);
    struct request_sink sink = {.fd = -1, .memory = &text};
    struct str raw;

    enum err err = source_outputs(engine, run, &raw);
    if (err == OK)
        err = request_value(&scope, &sink, raw, false);
    *outputs = out_view(&text);
    return err == OK && (text.overflow || text.n > LIMIT_INPUTS) ? ERR_TOO_LARGE : err;
}

void ending_fail(struct engine *engine, struct run *run, const struct failure *failure)
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
    json_key(w, "error");
    if (failure != NULL)
        failure_write(w, failure, STR_NONE);
    else
        json_raw(w, error);
    json_put_text(w, "step_id", id[0] == '\0' ? NULL : id);
    if (end_event(engine, run, EVENT_RUN_FAILED, &place))
        retire(engine, run, place);
}

void ending_cancel(struct engine *engine, struct run *run)
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

/* Who said no, or that nobody said anything in time. */
static void end_denied(struct engine *engine, struct run *run)
{
    struct str data = STR_NONE, actor = STR_NONE, by = STR_NONE, comment = STR_NONE;
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    struct journal_place place;

    if (source_names(engine, run, run->failed_step, id, output) != OK)
        id[0] = '\0';
    if (source_data(engine, run->failed, &data) == OK) {
        (void)json_member(data, "actor", &actor);
        (void)json_member(data, "by", &by);
        (void)json_member(data, "comment", &comment);
    }
    struct json_writer *w = event_begin(engine, run, EVENT_RUN_DENIED, STEP_NONE);
    if (w == NULL)
        return;
    json_put_text(w, "step_id", id);
    if (json_type(by) != JSON_STRING || json_string_is(by, WAITING_TIMEOUT)) {
        json_put_text(w, "reason", "timeout");
    } else {
        json_put_raw(w, "actor", actor);
        json_put_raw(w, "by", by);
        json_put_raw(w, "comment", comment);
    }
    if (end_event(engine, run, EVENT_RUN_DENIED, &place))
        retire(engine, run, place);
}

void ending_succeed(struct engine *engine, struct run *run, struct str outputs)
{
    struct journal_place place;
    struct json_writer *w = event_begin(engine, run, EVENT_RUN_SUCCEEDED, STEP_NONE);

    if (w == NULL)
        return;
    json_put_raw(w, "outputs", outputs);
    if (end_event(engine, run, EVENT_RUN_SUCCEEDED, &place))
        retire(engine, run, place);
}

void ending_end(struct engine *engine, struct run *run)
{
    char reason[LIMIT_TEXT] = "";
    struct failure failure;
    struct str outputs;

    switch ((enum run_outcome)run->outcome) {
    case OUTCOME_CANCELLED:
        ending_cancel(engine, run);
        return;
    case OUTCOME_FAILED:
        if (run->timed_out) {
            failure_set(&failure, FAILURE_TIMEOUT, "the run took longer than %lld ms",
                        (long long)run->timeout_ms);
            ending_fail(engine, run, &failure);
        } else {
            ending_fail(engine, run, NULL);
        }
        return;
    case OUTCOME_DENIED:
        end_denied(engine, run);
        return;
    case OUTCOME_NONE:
        break;
    }
    enum err err = resolve_outputs(engine, run, &outputs, reason);
    if (err == OK) {
        ending_succeed(engine, run, outputs);
    } else if (err == ERR_TOO_LARGE) {
        outputs_store(engine, run);
    } else {
        failure_set(&failure, FAILURE_TEMPLATE, "outputs: %s", reason);
        ending_fail(engine, run, &failure);
    }
}
