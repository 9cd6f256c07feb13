/* Runs as callers see them (contract §5): the run object of run.status, the rows of runs.list, hello's summary. */
#include "run/checkpoint.h"
#include "run/waiting.h"

#include "base/log.h"
#include "json/read.h"
#include "json/utf8.h"
#include "port.h"

#include <string.h>

static void put_time(struct json_writer *w, const char *key, int64_t unix_ms)
{
    if (unix_ms == 0)
        json_put_null(w, key);
    else
        json_put_time(w, key, unix_ms);
}

#define UNCUT SIZE_MAX

/* An error with so many bytes of its message and no stderr; that it is not all is said. */
static void put_cut(struct engine *engine, struct json_writer *w, struct str error, size_t max)
{
    struct json_walk walk = json_walk(error);
    struct out text = OUT_ON(engine->scratch.value);
    struct str name, value;
    char key[16];

    json_object(w);
    while (json_walk_next(&walk, &name, &value)) {
        if (!json_string_copy(name, key, sizeof key))
            continue;
        if (strcmp(key, "message") == 0 && json_string_decode(value, &text)) {
            struct str cut = str_head(out_view(&text), max);
            json_put_str(w, key, str_head(cut, utf8_cut(cut)));
        } else {
            json_put_raw(w, key, strcmp(key, "stderr") == 0 ? STR("[]") : value);
        }
    }
    json_put_bool(w, "shortened", true);
    json_object_end(w);
}

/* The error of a step.failed or run.failed event, or null. */
static void put_error(struct engine *engine, struct json_writer *w, struct journal_place place,
                      size_t max)
{
    struct str data, error = STR_NONE;

    if (place.segment != 0 && source_data(engine, place, &data) == OK)
        (void)json_member(data, "error", &error);
    json_key(w, "error");
    if (max == UNCUT || error.n == 0)
        json_raw(w, error);
    else
        put_cut(engine, w, error, max);
}

/* failed: of an ended run, where each step's step.failed stands; NULL: the table knows. */
static void put_steps(struct engine *engine, struct json_writer *w, const struct run *run,
                      const struct journal_place *failed, size_t error_max)
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
        struct journal_place at = {0, 0, 0};
        if (steps[i].state == STEP_FAILED)
            at = failed != NULL && failed[i].segment != 0 ? failed[i] : steps[i].ended;
        put_error(engine, w, at, error_max);
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

/* What is told of a run, live or ended. */
struct told {
    struct run *run;                    /* NULL: an ended one, as a row */
    const struct ended_run *ended;      /* NULL: a live one */
    const struct journal_place *failed; /* of an ended one: put_steps() */
};

static void put_live(struct engine *engine, struct json_writer *w, struct run *run, bool whole,
                     size_t error_max)
{
    struct created created;

    json_object(w);
    json_put_text(w, "run_id", run->id);
    json_put_text(w, "workflow_id", run->workflow_id);
    json_put_text(w, "status", run_status_name(run->status));
    waiting_write(engine, w, run);
    if (whole) {
        put_steps(engine, w, run, NULL, error_max);
        json_put_null(w, "outputs");
    }
    put_error(engine, w,
              run->outcome == OUTCOME_FAILED ? run->failed : (struct journal_place){0, 0, 0},
              error_max);
    read_created(engine, run->created, &created);
    json_put_raw(w, "labels", created.labels);
    put_time(w, "created_at", run->created_ms);
    put_time(w, "started_at", run->started_ms);
    put_time(w, "ended_at", run->ended_ms);
    json_object_end(w);
}

static void put_ended(struct engine *engine, struct json_writer *w, const struct told *told,
                      bool whole, size_t error_max)
{
    const struct ended_run *ended = told->ended;
    struct created created;
    struct str data, outputs = STR_NONE;

    json_object(w);
    json_put_text(w, "run_id", ended->id);
    read_created(engine, ended->created, &created);
    json_put_text(w, "workflow_id", created.workflow_id);
    json_put_text(w, "status", run_status_name(ended->status));
    json_put_null(w, "waiting_for");
    json_put_null(w, "waiting");
    if (whole) {
        put_steps(engine, w, told->run, told->failed, error_max);
        if (source_data(engine, ended->ended, &data) == OK)
            (void)json_member(data, "outputs", &outputs);
        json_put_raw(w, "outputs", outputs);
    }
    put_error(engine, w,
              ended->status == RUN_FAILED ? ended->ended : (struct journal_place){0, 0, 0},
              error_max);
    read_created(engine, ended->created, &created);
    json_put_raw(w, "labels", created.labels);
    put_time(w, "created_at", ended->created_ms);
    put_time(w, "started_at", ended->started_ms);
    put_time(w, "ended_at", ended->ended_ms);
    json_object_end(w);
}

static void put_least(struct engine *engine, struct json_writer *w, const struct told *told)
{
    const struct run *run = told->run;
    const struct ended_run *ended = told->ended;
    struct created created;

    json_object(w);
    json_put_text(w, "run_id", ended != NULL ? ended->id : run->id);
    read_created(engine, ended != NULL ? ended->created : run->created, &created);
    json_put_text(w, "workflow_id", created.workflow_id);
    json_put_text(w, "status", run_status_name(ended != NULL ? ended->status : run->status));
    json_object_end(w);
}

/* What comes behind the run in the answer. */
#define BEHIND 8

enum how { ALL, SHORT, SHORTER, ROW, SHORT_ROW, LEAST };

/* From the first of these ways to the first that fits, or the last. */
static void put_what_fits(struct engine *engine, struct json_writer *w, const struct told *told,
                          enum how first, enum how last)
{
    const struct json_writer begun = *w;
    const size_t at = w->out->n, room = out_room(w->out);
    const size_t share = room / 4 / (told->run != NULL ? told->run->step_count + 1U : 1U);
    const size_t error_max[] = {
        [ALL] = UNCUT, [SHORT] = share, [SHORTER] = 0, [ROW] = UNCUT, [SHORT_ROW] = 0};

    if (room < BEHIND) {
        (void)out_take(w->out, BEHIND);
        json_null(w);
        return;
    }
    w->out->cap -= BEHIND;
    for (enum how how = first;; how++) {
        if (how == LEAST)
            put_least(engine, w, told);
        else if (told->ended != NULL)
            put_ended(engine, w, told, how < ROW, error_max[how]);
        else
            put_live(engine, w, told->run, how < ROW, error_max[how]);
        if (!w->out->overflow || how == last)
            break;
        *w = begun;
        out_truncate(w->out, at);
    }
    w->out->cap += BEHIND;
}

void view_row(struct engine *engine, struct json_writer *w, struct run *run,
              const struct ended_run *ended, bool must_fit)
{
    const struct told told = {.run = run, .ended = run != NULL ? NULL : ended};
    put_what_fits(engine, w, &told, ROW, must_fit ? LEAST : ROW);
}

void view_run_whole(struct engine *engine, struct json_writer *w, struct run *run, bool must_fit)
{
    const struct told told = {.run = run};
    put_what_fits(engine, w, &told, ALL, must_fit ? LEAST : SHORTER);
}

/* --- an ended run, whole ------------------------------------------------------------------------------------------------ */

/* A run that has ended, as its records make it once more. */
struct rebuilt {
    struct run *run;
    struct journal_place failed
        [LIMIT_STEPS]; /* of each step, its step.failed, where that was met; its table has decisions there */
};

static void note_failure(struct rebuilt *rebuilt, const struct journal_record *record)
{
    struct str type, step;
    int64_t index;

    if (json_member(record->event, "type", &type) && json_string_is(type, "step.failed") &&
        json_member(record->memo, "step", &step) && json_integer(step, &index) && index >= 0 &&
        index < LIMIT_STEPS)
        rebuilt->failed[index] = record->place;
}

static bool is_about(const struct journal_record *record, const struct ended_run *ended)
{
    struct str run_id, seq;
    int64_t created_seq;

    if (record->seq != 0)
        return record->seq >= ended->created_seq && json_member(record->event, "run_id", &run_id) &&
               json_string_is(run_id, ended->id);
    /* An earlier run may have had the same id. */
    return checkpoint_is_about(record->memo, ended->id) &&
           (!json_member(record->memo, "run", &seq) ||
            (json_member(seq, "created_seq", &seq) && json_integer(seq, &created_seq) &&
             (uint64_t)created_seq == ended->created_seq));
}

/* Replays one run's records into a table that is ours alone: in helpers, as it reads as much journal as there is and uses the table
 * up.  A run whose first segments have gone begins with what the oldest checkpoint says of it. */
static bool rebuild(struct engine *engine, const struct ended_run *ended, struct rebuilt *rebuilt)
{
    uint64_t first = journal_first_seq(engine->journal);
    struct journal_cursor cursor =
        journal_cursor_at(engine->journal, ended->created_seq > first ? ended->created_seq : first);
    struct journal_record record;

    memset(&engine->table, 0, sizeof engine->table);
    memset(rebuilt, 0, sizeof *rebuilt);
    engine->following = true;
    while (journal_next_record(engine->journal, &cursor, &record) == OK) {
        if (!is_about(&record, ended))
            continue;
        if (event_replay(engine, &record) != OK)
            return false;
        rebuilt->run = table_find(&engine->table, str_of(ended->id));
        if (rebuilt->run == NULL)
            continue;
        note_failure(rebuilt, &record);
        if (run_has_ended(rebuilt->run->status))
            return true;
    }
    return false;
}

bool view_ended_whole(struct engine *engine, struct json_writer *w, const struct ended_run *ended,
                      bool must_fit)
{
    struct ended_run kept = *ended;
    struct rebuilt rebuilt;

    if (!rebuild(engine, &kept, &rebuilt))
        return false;
    const struct told told = {.run = rebuilt.run, .ended = &kept, .failed = rebuilt.failed};
    put_what_fits(engine, w, &told, ALL, must_fit ? LEAST : SHORTER);
    return true;
}

/* --- what was decided, of an ended run -------------------------------------------------------------------------------- */

/* Writes the members of -32011 when this is the event that is asked for. */
static bool put_decision(struct engine *engine, struct out *data, struct journal_place place,
                         enum run_event type, const char *status)
{
    static const char *const members[] = {"decision", "actor", "by"};
    struct str said, raw;
    char name[32];
    enum run_event read;

    if (source_data(engine, place, &said) != OK)
        return false;
    source_text(engine->scratch.event_raw, "type", name, sizeof name);
    if (!run_event_read(name, &read) || read != type)
        return false;
    struct json_writer w = json_writer(data);
    out_reset(data);
    json_object(&w);
    json_put_text(&w, "status", status);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        json_put_raw(&w, members[i], json_member(said, members[i], &raw) ? raw : STR_NONE);
    json_put_raw(&w, "time", json_member(engine->scratch.event_raw, "time", &raw) ? raw : STR_NONE);
    json_object_end(&w);
    return true;
}

/* The last of the run's decisions of that type, at that step or ("") at any: what stands last in the journal counts. */
static void find_decision(struct engine *engine, const struct ended_run *ended, enum run_event type,
                          const char *step_id, struct out *data)
{
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    struct journal_place last = {0, 0, 0};
    struct rebuilt rebuilt;

    if (!rebuild(engine, ended, &rebuilt))
        return;
    const struct step *steps = table_steps(&engine->table, rebuilt.run);
    for (unsigned i = 0; i < rebuilt.run->step_count; i++) {
        struct journal_place at = steps[i].ended;
        if (!steps[i].decided || at.segment < last.segment ||
            (at.segment == last.segment && at.offset < last.offset) ||
            (step_id[0] != '\0' &&
             (source_names(engine, rebuilt.run, i, id, output) != OK || strcmp(id, step_id) != 0)))
            continue;
        if (put_decision(engine, data, at, type, run_status_name(ended->status)))
            last = at;
    }
}

void view_decision(struct engine *engine, const struct ended_run *ended, enum run_event type,
                   const char *step_id, struct rpc_error *error)
{
    struct ended_run kept = *ended;

    rpc_error_set(error, RPC_WRONG_STATE, "run \"%s\" is %s: it has ended", kept.id,
                  run_status_name(kept.status));
    struct out data = OUT_ON(error->data);
    find_decision(engine, &kept, type, step_id, &data);
    if (data.n == 0 || data.overflow || data.n == data.cap) {
        struct json_writer w = json_writer(&data);
        out_reset(&data);
        json_object(&w);
        json_put_text(&w, "status", run_status_name(kept.status));
        json_object_end(&w);
    }
    out_cstr(&data);
}

/* --- artifacts ------------------------------------------------------------------------------------------------------------ */

static void put_artifact(struct engine *engine, struct json_writer *w, const struct run *run,
                         unsigned step)
{
    static const char *const members[] = {"sha256", "bytes", "path", "media_type"};
    const struct step *record = &table_steps(&engine->table, run)[step];
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    struct str data, reference, inner, value;

    if (record->state != STEP_COMPLETED || source_data(engine, record->ended, &data) != OK ||
        !json_member(data, "artifact", &reference) ||
        !json_member(reference, "$artifact", &inner) ||
        source_names(engine, run, step, id, output) != OK)
        return;
    json_object(w);
    json_put_text(w, "step_id", id);
    json_put_text(w, "output", output[0] != '\0' ? output : NULL);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        value = STR_NONE;
        (void)json_member(inner, members[i], &value);
        json_put_raw(w, members[i], value);
    }
    json_object_end(w);
}

bool view_artifacts(struct engine *engine, struct json_writer *w, const char *run_id)
{
    const struct run *run = table_find(&engine->table, str_of(run_id));
    const struct ended_run *ended = table_find_ended(&engine->table, str_of(run_id));
    struct rebuilt rebuilt;

    if (run == NULL) {
        struct ended_run kept = *ended;
        if (!rebuild(engine, &kept, &rebuilt))
            return false;
        run = rebuilt.run;
    }
    json_object(w);
    json_key(w, "artifacts");
    json_array(w);
    for (unsigned i = 0; i < run->step_count; i++)
        put_artifact(engine, w, run, i);
    json_array_end(w);
    json_object_end(w);
    return true;
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
