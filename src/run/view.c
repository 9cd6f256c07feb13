/* Runs as callers see them (contract §5): the run object of run.status, the rows of runs.list, hello's summary. */
#include "run/waiting.h"

#include "base/log.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

static void put_time(struct json_writer *w, const char *key, int64_t unix_ms)
{
    if (unix_ms == 0)
        json_put_null(w, key);
    else
        json_put_time(w, key, unix_ms);
}

/* The error of a step.failed or run.failed event, or null. */
static void put_error(struct engine *engine, struct json_writer *w, struct journal_place place)
{
    struct str data, error = STR_NONE;
    if (place.segment != 0 && source_data(engine, place, &data) == OK)
        (void)json_member(data, "error", &error);
    json_put_raw(w, "error", error);
}

/* Of an ended run: the event is found by where the walk has met it. */
static void put_walked_error(struct engine *engine, struct json_writer *w,
                             struct journal_cursor cursor)
{
    struct out event = OUT_ON(engine->scratch.event);
    struct str data, error = STR_NONE;

    if (cursor.next_seq != 0 && journal_next(engine->journal, &cursor, &event, NULL, NULL) == OK &&
        json_member(out_view(&event), "data", &data))
        (void)json_member(data, "error", &error);
    json_put_raw(w, "error", error);
}

/* failed: of an ended run, where each step's step.failed stands; NULL: the table knows. */
static void put_steps(struct engine *engine, struct json_writer *w, const struct run *run,
                      const struct journal_cursor *failed)
{
    const struct step *steps = table_steps(&engine->table, run);
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];

    json_key(w, "steps");
    json_array(w);
    for (unsigned i = 0; i < run->step_count; i++) {
        json_object(w);
        (void)source_names(engine, run, i, id, output);
        json_put_text(w, "id", id);
        json_put_text(w, "status", step_state_name(steps[i].state));
        json_put_i64(w, "attempt", steps[i].attempt);
        put_time(w, "started_at", steps[i].started_ms);
        put_time(w, "ended_at", step_has_ended(steps[i].state) ? steps[i].at_ms : 0);
        if (failed != NULL)
            put_walked_error(engine, w, failed[i]);
        else
            put_error(engine, w,
                      steps[i].state == STEP_FAILED ? steps[i].ended
                                                    : (struct journal_place){0, 0, 0});
        json_object_end(w);
    }
    json_array_end(w);
}

struct created {
    char workflow_id[LIMIT_NAME + 1];
    struct str labels;
};

static void read_created(struct engine *engine, struct journal_place place, struct created *created)
{
    struct str data;
    created->workflow_id[0] = '\0';
    created->labels = STR("{}");
    if (source_data(engine, place, &data) != OK)
        return;
    source_text(data, "workflow_id", created->workflow_id, sizeof created->workflow_id);
    (void)json_member(data, "labels", &created->labels);
}

void view_run(struct engine *engine, struct json_writer *w, struct run *run, bool whole)
{
    struct created created;

    json_object(w);
    json_put_text(w, "run_id", run->id);
    json_put_text(w, "workflow_id", run->workflow_id);
    json_put_text(w, "status", run_status_name(run->status));
    waiting_write(engine, w, run);
    if (whole) {
        put_steps(engine, w, run, NULL);
        json_put_null(w, "outputs");
    }
    put_error(engine, w,
              run->outcome == OUTCOME_FAILED ? run->failed : (struct journal_place){0, 0, 0});
    read_created(engine, run->created, &created);
    json_put_raw(w, "labels", created.labels);
    put_time(w, "created_at", run->created_ms);
    put_time(w, "started_at", run->started_ms);
    put_time(w, "ended_at", run->ended_ms);
    json_object_end(w);
}

static void put_ended(struct engine *engine, struct json_writer *w, const struct ended_run *ended,
                      const struct run *run, const struct journal_cursor *failed)
{
    struct created created;
    struct str data, outputs = STR_NONE;

    json_object(w);
    json_put_text(w, "run_id", ended->id);
    read_created(engine, ended->created, &created);
    json_put_text(w, "workflow_id", created.workflow_id);
    json_put_text(w, "status", run_status_name(ended->status));
    json_put_null(w, "waiting_for");
    json_put_null(w, "waiting");
    if (run != NULL) {
        put_steps(engine, w, run, failed);
        if (source_data(engine, ended->ended, &data) == OK)
            (void)json_member(data, "outputs", &outputs);
        json_put_raw(w, "outputs", outputs);
    }
    put_error(engine, w,
              ended->status == RUN_FAILED ? ended->ended : (struct journal_place){0, 0, 0});
    read_created(engine, ended->created, &created);
    json_put_raw(w, "labels", created.labels);
    put_time(w, "created_at", ended->created_ms);
    put_time(w, "started_at", ended->started_ms);
    put_time(w, "ended_at", ended->ended_ms);
    json_object_end(w);
}

void view_ended(struct engine *engine, struct json_writer *w, struct ended_run *ended)
{
    put_ended(engine, w, ended, NULL, NULL);
}

/* Calls `on_event` for the events of one run, in order, up to its end.  In helpers alone: it reads as much journal as there is. */
static bool walk_events(struct engine *engine, const char *run_id, uint64_t created_seq,
                        bool (*on_event)(void *context, struct str event, struct journal_cursor at),
                        void *context)
{
    struct journal_cursor cursor = journal_cursor_after(engine->journal, created_seq - 1);
    char bytes[LIMIT_RECORD];
    struct str found;
    uint64_t seq;
    size_t need;

    for (;;) {
        struct out event = OUT_ON(bytes);
        struct journal_cursor at = cursor;
        enum err err = journal_next(engine->journal, &cursor, &event, &seq, &need);
        if (err != OK)
            return err == ERR_END;
        if (json_member(out_view(&event), "run_id", &found) && json_string_is(found, run_id) &&
            !on_event(context, out_view(&event), at))
            return true;
    }
}

/* --- an ended run, whole ------------------------------------------------------------------------------------------------ */

struct follow {
    struct engine *engine;
    struct json_writer *w;
    const struct ended_run *ended;
    bool done;
    struct journal_cursor failed[LIMIT_STEPS]; /* of each step, its step.failed; next_seq 0: none */
};

/* Which step has become a failed one by the last event. */
static void note_failure(struct follow *follow, const struct run *run, struct journal_cursor at)
{
    const struct step *steps = table_steps(&follow->engine->table, run);

    for (unsigned i = 0; i < run->step_count; i++)
        if (steps[i].state == STEP_FAILED && follow->failed[i].next_seq == 0)
            follow->failed[i] = at;
}

static bool on_followed(void *context, struct str event, struct journal_cursor at)
{
    struct follow *follow = context;
    struct run *run = &follow->engine->table.runs[0];

    if (!event_follow(follow->engine, event, at.next_seq))
        return false;
    note_failure(follow, run, at);
    if (!run_has_ended(run->status))
        return true;
    put_ended(follow->engine, follow->w, follow->ended, run, follow->failed);
    follow->done = true;
    return false;
}

bool view_ended_whole(struct engine *engine, struct json_writer *w, const struct ended_run *ended)
{
    struct ended_run kept = *ended;
    struct follow follow = {.engine = engine, .w = w, .ended = &kept};

    /* The copy's table is ours: one slot is all that it takes. */
    memset(&engine->table, 0, sizeof engine->table);
    engine->following = true;
    return walk_events(engine, kept.id, kept.created_seq, on_followed, &follow) && follow.done;
}

/* --- what was decided, of an ended run -------------------------------------------------------------------------------- */

struct decision {
    enum run_event type;
    const char *step_id; /* "": any */
    const char *status;
    struct out *data;
};

static bool on_decision(void *context, struct str event, struct journal_cursor at)
{
    static const char *const members[] = {"decision", "actor", "by"};
    struct decision *decision = context;
    char type[32], step_id[LIMIT_NAME + 1];
    enum run_event read;
    struct str data, raw;
    (void)at;

    source_text(event, "type", type, sizeof type);
    source_text(event, "step_id", step_id, sizeof step_id);
    if (!run_event_read(type, &read) || read != decision->type ||
        (decision->step_id[0] != '\0' && strcmp(decision->step_id, step_id) != 0) ||
        !json_member(event, "data", &data))
        return true;
    struct json_writer w = json_writer(decision->data);
    out_reset(decision->data);
    json_object(&w);
    json_put_text(&w, "status", decision->status);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        json_put_raw(&w, members[i], json_member(data, members[i], &raw) ? raw : STR_NONE);
    json_put_raw(&w, "time", json_member(event, "time", &raw) ? raw : STR_NONE);
    json_object_end(&w);
    return true; /* the last one counts */
}

void view_decision(struct engine *engine, struct out *answer, const struct ended_run *ended,
                   enum run_event type, const char *step_id)
{
    struct json_writer w = json_writer(answer);
    struct rpc_error error;

    rpc_error_set(&error, RPC_WRONG_STATE, "run \"%s\" is %s: it has ended", ended->id,
                  run_status_name(ended->status));
    struct out data = OUT_ON(error.data);
    struct decision decision = {
        .type = type, .step_id = step_id, .status = run_status_name(ended->status), .data = &data};
    (void)walk_events(engine, ended->id, ended->created_seq, on_decision, &decision);
    json_object(&w);
    json_key(&w, "error");
    json_object(&w);
    json_put_i64(&w, "code", error.code);
    json_put_text(&w, "message", error.message);
    json_key(&w, "data");
    if (data.n > 0 && !data.overflow) {
        json_raw(&w, out_view(&data));
    } else {
        json_object(&w);
        json_put_text(&w, "status", decision.status);
        json_object_end(&w);
    }
    json_object_end(&w);
    json_object_end(&w);
}

/* --- artifacts ------------------------------------------------------------------------------------------------------------ */

static bool on_artifact(void *context, struct str event, struct journal_cursor at)
{
    struct follow *follow = context;
    struct str type, data, reference, inner, value = STR_NONE, step_id = STR_NONE;
    struct json_writer *w = follow->w;
    (void)at;

    if (!json_member(event, "type", &type) || !json_string_is(type, "step.completed") ||
        !json_member(event, "data", &data) || !json_member(data, "artifact", &reference) ||
        !json_member(reference, "$artifact", &inner))
        return true;
    (void)json_member(event, "step_id", &step_id);
    (void)json_member(data, "output", &value);
    json_object(w);
    json_put_raw(w, "step_id", step_id);
    json_put_raw(w, "output", value);
    static const char *const members[] = {"sha256", "bytes", "path", "media_type"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        value = STR_NONE;
        (void)json_member(inner, members[i], &value);
        json_put_raw(w, members[i], value);
    }
    json_object_end(w);
    return true;
}

bool view_artifacts(struct engine *engine, struct json_writer *w, const char *run_id,
                    uint64_t created_seq)
{
    struct follow follow = {.engine = engine, .w = w};

    json_object(w);
    json_key(w, "artifacts");
    json_array(w);
    bool whole = walk_events(engine, run_id, created_seq, on_artifact, &follow);
    json_array_end(w);
    json_object_end(w);
    return whole;
}

/* --- hello ----------------------------------------------------------------------------------------------------------------- */

void engine_write_hello_runs(struct engine *engine, struct json_writer *w)
{
    json_key(w, "runs");
    json_array(w);
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *run = &engine->table.runs[i];
        if (run->status == RUN_NONE)
            continue;
        json_object(w);
        json_put_text(w, "run_id", run->id);
        json_put_text(w, "status", run_status_name(run->status));
        json_put_u64(w, "n", run->n);
        json_object_end(w);
    }
    json_array_end(w);
}
