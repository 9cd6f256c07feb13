/* The events of runs: written to the journal and applied to the table by one and the same function that replay uses, so that what is in
 * memory is always what replaying the journal would give.  Nothing else changes a run's status or a step's state. */
#include "run/checkpoint.h"

#include "base/assert.h"
#include "base/time.h"
#include "json/read.h"

#include <string.h>

/* An event as far as state depends on it. */
struct change {
    enum run_event type;
    int step; /* STEP_NONE: none */
    unsigned attempt;
    uint64_t seq, n;
    int64_t time_ms;
    struct journal_place place;
    uint32_t value_bytes; /* step.completed: of an inline value */
    bool denied;          /* this event denies the run */
    bool timed_out;       /* this step ended because the run's timeout had passed */
};

static void count_step(struct run *run, enum step_state state, int by)
{
    if (state == STEP_EXECUTING)
        run->active = (uint8_t)(run->active + by);
    if (state == STEP_WAITING)
        run->waiting = (uint8_t)(run->waiting + by);
}

static void apply_step(struct run *run, struct step *step, const struct change *change)
{
    enum step_state before = step->state;

    step->state = (uint8_t)step_next(before, change->type);
    count_step(run, before, -1);
    count_step(run, step->state, 1);
    switch (change->type) {
    case EVENT_STEP_STARTED:
        step->attempt = (uint8_t)change->attempt;
        if (step->started_ms == 0)
            step->started_ms = change->time_ms;
        break;
    case EVENT_STEP_INTERRUPTED:
        step->interruptions++;
        break;
    case EVENT_RUN_WAITING:
        step->ended = change->place;
        break;
    case EVENT_RUN_RESUMED:
    case EVENT_RUN_INPUT_SUBMITTED:
        step->ended = change->place;
        step->decided = true;
        break;
    case EVENT_STEP_COMPLETED:
        run->inline_bytes += change->value_bytes;
        break;
    default:
        break;
    }
    if (!step_has_ended(before) && step_has_ended(step->state)) {
        if (!step->decided)
            step->ended = change->place;
        step->at_ms = change->time_ms;
    }
}

/* Of runs that have begun and not ended: whether anything moves, or all waits for somebody's answer. */
static void settle_status(struct run *run)
{
    if (run->status == RUN_RUNNING || run->status == RUN_WAITING)
        run->status = run->waiting > 0 && run->active == 0 ? RUN_WAITING : RUN_RUNNING;
}

/* ERR_INVALID where the event cannot happen to this run. */
static enum err apply(struct run_table *table, struct run *run, const struct change *change)
{
    enum run_status status = run_next(run->status, change->type);
    struct step *step = change->step == STEP_NONE ? NULL : &table_steps(table, run)[change->step];

    if (status == RUN_STATUSES || change->n != run->n + 1)
        return ERR_INVALID;
    if (step != NULL && step_next(step->state, change->type) == STEP_STATES)
        return ERR_INVALID;
    run->n = change->n;
    run->status = (uint8_t)status;
    if (step != NULL)
        apply_step(run, step, change);
    settle_status(run);
    if (change->timed_out && run->outcome == OUTCOME_NONE) {
        run->outcome = OUTCOME_FAILED;
        run->timed_out = true;
    }
    if (change->denied && run->outcome == OUTCOME_NONE) {
        run->outcome = OUTCOME_DENIED;
        run->failed_step = (uint8_t)change->step;
        run->failed = change->place;
    }

    switch (change->type) {
    case EVENT_RUN_CREATED:
        run->created = change->place;
        run->created_seq = change->seq;
        run->created_ms = change->time_ms;
        break;
    case EVENT_RUN_STARTED:
        run->started_ms = change->time_ms;
        break;
    case EVENT_RUN_CANCEL_REQUESTED:
        if (run->cancels < 2)
            run->cancels++;
        if (run->cancels == 1)
            run->cancel = change->place;
        run->outcome = OUTCOME_CANCELLED;
        break;
    case EVENT_STEP_FAILED:
        /* Whose plan could not be read when it was written: then the event names none. */
        if (run->outcome == OUTCOME_NONE && (step == NULL || !step->may_fail)) {
            run->outcome = OUTCOME_FAILED;
            run->failed_step = (uint8_t)change->step;
            run->failed = change->place;
        }
        break;
    default:
        break;
    }
    if (run_has_ended(run->status))
        run->ended_ms = change->time_ms;
    return OK;
}

/* --- live --------------------------------------------------------------------------------------------------------- */

static const char *step_id_of(struct engine *engine, const struct run *run, int step,
                              char id[LIMIT_NAME + 1])
{
    char output[LIMIT_NAME + 1];
    if (step == STEP_NONE || source_names(engine, run, (unsigned)step, id, output) != OK)
        return NULL;
    return id;
}

static unsigned attempt_of(struct engine *engine, const struct run *run, enum run_event type,
                           int step)
{
    if (step == STEP_NONE || type == EVENT_STEP_SKIPPED)
        return 0;
    const struct step *record = &table_steps(&engine->table, run)[step];
    return record->attempt + (type == EVENT_STEP_STARTED ? 1U : 0U);
}

static bool is_lazy(enum run_event type)
{
    return type == EVENT_STEP_LOG || type == EVENT_STEP_PROGRESS;
}

static bool is_no_space(enum err err)
{
    return err == ERR_NO_SPACE || err == ERR_READ_ONLY;
}

enum err event_open(struct engine *engine, const struct journal_event *event,
                    struct json_writer **data)
{
    enum err err;

    /* One turn has filled the journal's buffer, and the disk is full: what has happened must be told before anything else is. */
    while (is_no_space(err = journal_begin(engine->journal, event, data)) &&
           engine->on_no_space != NULL && engine->on_no_space(engine->on_no_space_context))
        continue;
    return err;
}

struct json_writer *event_begin(struct engine *engine, struct run *run, enum run_event type,
                                int step)
{
    char id[LIMIT_NAME + 1];
    struct json_writer *data;
    struct journal_event event = {
        .type = run_event_name(type),
        .run_id = run->id,
        .n = run->n + 1,
        .step_id = step_id_of(engine, run, step, id),
        .attempt = attempt_of(engine, run, type, step),
        .time_ms = engine->loop->wall_ms,
    };

    ASSERT(run_next(run->status, type) != RUN_STATUSES);
    if (engine->fatal != OK)
        return NULL;
    if (!is_lazy(type)) {
        engine->fatal = event_open(engine, &event, &data);
        return engine->fatal == OK ? data : NULL;
    }
    enum err err = journal_begin(engine->journal, &event, &data);
    if (!is_no_space(err))
        engine->fatal =
            err; /* else a log that finds no space; the next one is counted as dropped */
    return err == OK ? data : NULL;
}

struct json_writer *event_memo(struct engine *engine)
{
    return journal_memo(engine->journal);
}

/* Replay must not have to compare names with plan.json: the step's number stands beside the event. */
static bool needs_step_memo(enum run_event type, int step)
{
    return step != STEP_NONE && !is_lazy(type);
}

bool event_end_full(struct engine *engine, struct run *run, enum run_event type, int step,
                    const struct event_end *how)
{
    struct change change = {.type = type,
                            .step = step,
                            .n = run->n + 1,
                            .time_ms = engine->loop->wall_ms,
                            .attempt = attempt_of(engine, run, type, step),
                            .value_bytes = how->value_bytes,
                            .denied = how->denied,
                            .timed_out = run->timed_out && type == EVENT_STEP_FAILED};

    if (engine->fatal != OK)
        return false;
    if (needs_step_memo(type, step) || how->command != NULL) {
        struct json_writer *memo = journal_memo(engine->journal);
        if (step != STEP_NONE)
            json_put_i64(memo, "step", step);
        if (how->value_bytes > 0)
            json_put_u64(memo, "inline", how->value_bytes);
        if (how->denied)
            json_put_bool(memo, "denied", true);
        if (change.timed_out)
            json_put_bool(memo, "timed_out", true);
        if (how->command != NULL)
            command_write(memo, how->command, run->id, NULL);
    }
    enum err err = journal_end(engine->journal, is_lazy(type), &change.seq, &change.place);
    if (err == ERR_TOO_LARGE)
        return false;
    if (err != OK) {
        engine->fatal = err;
        return false;
    }
    if (how->command != NULL)
        command_remember(&engine->commands, how->command, run->id, NULL);
    ASSERT(apply(&engine->table, run, &change) == OK);
    if (how->place != NULL)
        *how->place = change.place;
    return true;
}

bool event_end(struct engine *engine, struct run *run, enum run_event type, int step)
{
    return event_end_full(engine, run, type, step, &(struct event_end){.place = NULL});
}

void event_reason(struct engine *engine, struct run *run, enum run_event type, int step,
                  const char *reason)
{
    struct json_writer *w = event_begin(engine, run, type, step);
    if (w == NULL)
        return;
    if (reason != NULL)
        json_put_text(w, "reason", reason);
    (void)event_end(engine, run, type, step);
}

void event_who(struct json_writer *w, const struct rpc_call *call, const char *actor)
{
    json_put_text(w, "channel", call->peer->channel == RPC_LOCAL ? "local" : "gateway");
    json_put_text(w, "actor", actor[0] == '\0' ? NULL : actor);
    json_put_text(w, "by", call->peer->by);
}

/* --- replay ------------------------------------------------------------------------------------------------------- */

struct replayed {
    char type[32], run_id[LIMIT_RUN_ID + 1], time[TIME_TEXT_LENGTH + 1];
    int64_t n, attempt;
    struct str data;
};

static const struct json_field event_fields[] = {
    {"type", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct replayed, type),
     sizeof(((struct replayed *)0)->type), 0, 0},
    {"run_id", JSON_FIELD_TEXT, 0, offsetof(struct replayed, run_id), LIMIT_RUN_ID + 1, 0, 0},
    {"time", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct replayed, time), TIME_TEXT_LENGTH + 1,
     0, 0},
    {"n", JSON_FIELD_INTEGER, 0, offsetof(struct replayed, n), 0, 1, INT64_MAX},
    {"attempt", JSON_FIELD_INTEGER, 0, offsetof(struct replayed, attempt), 0, 0, 255},
    {"data", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct replayed, data), 0, 0, 0},
};

struct memo {
    bool denied, timed_out;
    int64_t step, inline_bytes, steps, concurrency, max_parallel, timeout_ms;
    char digest[65];
    struct str command;
};

static const struct json_field memo_fields[] = {
    {"step", JSON_FIELD_INTEGER, 0, offsetof(struct memo, step), 0, 0, LIMIT_STEPS - 1},
    {"denied", JSON_FIELD_BOOLEAN, 0, offsetof(struct memo, denied), 0, 0, 0},
    {"timed_out", JSON_FIELD_BOOLEAN, 0, offsetof(struct memo, timed_out), 0, 0, 0},
    {"inline", JSON_FIELD_INTEGER, 0, offsetof(struct memo, inline_bytes), 0, 0, LIMIT_MESSAGE},
    {"steps", JSON_FIELD_INTEGER, 0, offsetof(struct memo, steps), 0, 0, LIMIT_STEPS},
    {"concurrency", JSON_FIELD_INTEGER, 0, offsetof(struct memo, concurrency), 0, 0, UINT16_MAX},
    {"max_parallel", JSON_FIELD_INTEGER, 0, offsetof(struct memo, max_parallel), 0, 0, UINT16_MAX},
    {"timeout_ms", JSON_FIELD_INTEGER, 0, offsetof(struct memo, timeout_ms), 0, 0, INT64_MAX},
    {"inputs_sha256", JSON_FIELD_TEXT, 0, offsetof(struct memo, digest), 65, 0, 0},
    {"command", JSON_FIELD_OBJECT, 0, offsetof(struct memo, command), 0, 0, 0},
};

bool event_read_digest(const char *hex, unsigned char digest[32])
{
    for (size_t i = 0; i < 32; i++) {
        unsigned value = 0;
        for (size_t digit = 0; digit < 2; digit++) {
            char c = hex[2 * i + digit];
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                return false;
            value = value << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        digest[i] = (unsigned char)value;
    }
    return true;
}

bool event_take_created(struct run *run, struct str data, const char *digest)
{
    source_text(data, "workflow_id", run->workflow_id, sizeof run->workflow_id);
    return run->workflow_id[0] != '\0' && event_read_digest(digest, run->inputs_digest);
}

/* What cannot follow from what is known happened all the same: the run's end counts, all else only its number. */
static void force(struct run *run, const struct change *change)
{
    enum run_status status = run_next(RUN_RUNNING, change->type);

    run->damaged = true;
    if (change->n > run->n)
        run->n = change->n;
    if (status != RUN_STATUSES && run_has_ended(status)) {
        run->status = (uint8_t)status;
        run->ended_ms = change->time_ms;
    }
}

/* Behind a gap in a salvaged journal: a run whose numbers go on has lost nothing. */
static void note_lost(struct engine *engine, struct run *run, const struct change *change)
{
    if (change->n > run->n + 1) {
        engine->salvage.found += change->n - run->n - 1;
        run->damaged = true;
        run->n = change->n - 1;
    }
    run->unsure = false;
}

static enum err replay_event(struct engine *engine, const struct journal_record *record,
                             const struct memo *memo)
{
    struct replayed event = {.n = 0};
    struct json_field_error problem;
    struct change change = {.step = (int)memo->step,
                            .seq = record->seq,
                            .place = record->place,
                            .value_bytes = (uint32_t)memo->inline_bytes,
                            .denied = memo->denied,
                            .timed_out = memo->timed_out};

    if (json_read(record->event, event_fields, sizeof event_fields / sizeof event_fields[0], &event,
                  &problem) != OK ||
        !time_read(str_of(event.time), &change.time_ms))
        return ERR_DAMAGED;
    if (event.run_id[0] == '\0' || !run_event_read(event.type, &change.type))
        return OK; /* the daemon's own, or a drop marker: no state of runs */
    change.n = (uint64_t)event.n;
    change.attempt = (unsigned)event.attempt;

    struct run *run = table_find(&engine->table, str_of(event.run_id));
    if (change.type == EVENT_RUN_CREATED) {
        if (run != NULL)
            return ERR_DAMAGED;
        /* The id was free: whoever had it before was retained no longer. */
        struct ended_run *former = table_find_ended(&engine->table, str_of(event.run_id));
        if (former != NULL)
            former->status = RUN_NONE;
        run = table_add(&engine->table, (unsigned)memo->steps);
        if (run == NULL)
            return ERR_FULL; /* made by a build with a larger table */
        memcpy(run->id, event.run_id, sizeof run->id);
        run->concurrency = (uint16_t)memo->concurrency;
        run->max_parallel = (uint16_t)memo->max_parallel;
        run->timeout_ms = memo->timeout_ms;
        if (!event_take_created(run, event.data, memo->digest))
            return ERR_DAMAGED;
        /* A run that has ended may have lost its directory already; one that has not is failed by engine_resume(). */
        (void)source_index_plan(engine, run);
    }
    /* Older segments may have gone with a run's beginning: an ended run's last events then belong to nobody. */
    if (run == NULL)
        return OK;
    if (record->salvaged)
        note_lost(engine, run, &change);
    if (change.step != STEP_NONE && change.step >= run->step_count)
        return ERR_DAMAGED;
    if (apply(&engine->table, run, &change) != OK) {
        if (!record->salvaged)
            return ERR_DAMAGED;
        force(run, &change);
    }
    if (run_has_ended(run->status) && !engine->following) {
        char evicted[LIMIT_RUN_ID + 1];
        table_retire(&engine->table, run, record->place, evicted);
    }
    return OK;
}

static enum err replay_record(struct engine *engine, const struct journal_record *record)
{
    struct memo memo = {.step = STEP_NONE};
    struct json_field_error problem;

    if (record->memo.n > 0) {
        if (json_read(record->memo, memo_fields, sizeof memo_fields / sizeof memo_fields[0], &memo,
                      &problem) != OK)
            return ERR_DAMAGED;
        if (memo.command.n > 0 && !command_replay(&engine->commands, memo.command))
            return ERR_DAMAGED;
    }
    return record->event.n > 0 ? replay_event(engine, record, &memo)
                               : checkpoint_replay(engine, record);
}

enum err event_replay(struct engine *engine, const struct journal_record *record)
{
    if (record->lost > 0) {
        engine->salvage.lost += record->lost;
        for (size_t i = 0; i < LIMIT_RUNS; i++)
            engine->table.runs[i].unsure = true;
    }
    enum err err = replay_record(engine, record);
    /* Of a run whose beginning is lost, only that is known. */
    return err == ERR_DAMAGED && record->salvaged ? OK : err;
}
