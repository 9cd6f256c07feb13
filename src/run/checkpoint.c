#include "run/checkpoint.h"

#include "base/log.h"
#include "json/read.h"

#include <string.h>

#define STEPS_A_MEMO 16   /* so that a memo fits the smallest record */
#define CARRIES_A_TURN 16 /* so that a turn stays short */

/* --- what steps and runs have in common: places and names ------------------------------------------------------------- */

static void put_place(struct json_writer *w, const char *key, struct journal_place place)
{
    if (place.segment == 0)
        return;
    json_key(w, key);
    json_array(w);
    json_u64(w, place.segment);
    json_u64(w, place.offset);
    json_u64(w, place.length);
    json_array_end(w);
}

/* Takes the next elements of an array as numbers of 32 bits. */
static bool take_u32(struct json_walk *walk, uint32_t *const to[], size_t count)
{
    struct str name, value;
    int64_t number;

    for (size_t i = 0; i < count; i++) {
        if (!json_walk_next(walk, &name, &value) || !json_integer(value, &number) || number < 0 ||
            number > UINT32_MAX)
            return false;
        *to[i] = (uint32_t)number;
    }
    return true;
}

static bool take_place(struct json_walk *walk, struct journal_place *place)
{
    return take_u32(walk, (uint32_t *[]){&place->segment, &place->offset, &place->length}, 3);
}

/* A member that is not there leaves the place nowhere. */
static bool read_place(struct str raw, struct journal_place *place)
{
    struct json_walk walk = json_walk(raw);
    *place = (struct journal_place){0, 0, 0};
    return raw.n == 0 || take_place(&walk, place);
}

static bool read_state(struct str raw, uint8_t *state)
{
    for (int i = 0; i < STEP_STATES; i++)
        if (json_string_is(raw, step_state_name((enum step_state)i))) {
            *state = (uint8_t)i;
            return true;
        }
    return false;
}

static void put_digest(struct json_writer *w, const unsigned char digest[32])
{
    char hex[64];
    struct out out = OUT_ON(hex);
    out_hex(&out, digest, 32);
    json_put_str(w, "inputs_sha256", out_view(&out));
}

/* --- writing ----------------------------------------------------------------------------------------------------------- */

/* Begins {KEY:{"run_id":… */
static struct json_writer *begin(struct engine *engine, const char *key, const char *run_id)
{
    struct json_writer *w;

    if (journal_begin_memo(engine->journal, &w) != OK)
        return NULL;
    json_key(w, key);
    json_object(w);
    json_put_text(w, "run_id", run_id);
    return w;
}

static bool end(struct engine *engine, struct json_writer *w)
{
    json_object_end(w);
    return journal_end(engine->journal, true, NULL, NULL) == OK;
}

static bool write_run(struct engine *engine, const struct run *run)
{
    struct json_writer *w = begin(engine, "run", run->id);

    if (w == NULL)
        return false;
    json_put_text(w, "workflow_id", run->workflow_id);
    json_put_text(w, "status", run_status_name(run->status));
    json_put_u64(w, "n", run->n);
    json_put_u64(w, "steps", run->step_count);
    json_put_u64(w, "outcome", run->outcome);
    json_put_u64(w, "cancels", run->cancels);
    json_put_u64(w, "failed_step", run->failed_step);
    json_put_bool(w, "timed_out", run->timed_out);
    if (run->damaged)
        json_put_bool(w, "damaged", true);
    json_put_u64(w, "inline", run->inline_bytes);
    json_put_u64(w, "concurrency", run->concurrency);
    json_put_u64(w, "max_parallel", run->max_parallel);
    json_put_i64(w, "timeout_ms", run->timeout_ms);
    put_digest(w, run->inputs_digest);
    json_put_u64(w, "created_seq", run->created_seq);
    json_put_i64(w, "created_ms", run->created_ms);
    json_put_i64(w, "started_ms", run->started_ms);
    put_place(w, "created", run->created);
    put_place(w, "failed", run->failed);
    put_place(w, "cancel", run->cancel);
    return end(engine, w);
}

static void write_step(struct json_writer *w, const struct step *step)
{
    bool has_ended = step_has_ended((enum step_state)step->state);

    if (step->state == STEP_PENDING) {
        json_null(w);
        return;
    }
    json_array(w);
    json_string(w, str_of(step_state_name((enum step_state)step->state)));
    json_u64(w, step->attempt);
    json_u64(w, step->interruptions);
    json_u64(w, step->decided);
    json_i64(w, step->started_ms);
    /* Until then it is a time of this daemon's life; a start counts anew. */
    json_i64(w, has_ended ? step->at_ms : 0);
    json_u64(w, step->ended.segment);
    json_u64(w, step->ended.offset);
    json_u64(w, step->ended.length);
    json_array_end(w);
}

static bool write_steps(struct engine *engine, const struct run *run)
{
    const struct step *steps = table_steps(&engine->table, run);

    for (unsigned first = 0; first < run->step_count; first += STEPS_A_MEMO) {
        unsigned end_of_memo =
            first + STEPS_A_MEMO < run->step_count ? first + STEPS_A_MEMO : run->step_count;
        unsigned begun = first;
        while (begun < end_of_memo && steps[begun].state == STEP_PENDING)
            begun++;
        if (begun == end_of_memo)
            continue; /* as table_add() leaves them */
        struct json_writer *w = begin(engine, "run_steps", run->id);
        if (w == NULL)
            return false;
        json_put_u64(w, "first", first);
        json_key(w, "steps");
        json_array(w);
        for (unsigned i = first; i < end_of_memo; i++)
            write_step(w, &steps[i]);
        json_array_end(w);
        if (!end(engine, w))
            return false;
    }
    return true;
}

static bool write_ended(struct engine *engine, const struct ended_run *ended)
{
    struct json_writer *w = begin(engine, "ended", ended->id);

    if (w == NULL)
        return false;
    json_put_text(w, "status", run_status_name(ended->status));
    put_digest(w, ended->inputs_digest);
    json_put_u64(w, "created_seq", ended->created_seq);
    json_put_i64(w, "created_ms", ended->created_ms);
    json_put_i64(w, "started_ms", ended->started_ms);
    json_put_i64(w, "ended_ms", ended->ended_ms);
    json_put_u64(w, "needs", ended->needs);
    put_place(w, "created", ended->created);
    put_place(w, "ended", ended->ended);
    return end(engine, w);
}

static bool write_command(struct engine *engine, const struct command_entry *entry)
{
    struct json_writer *memo;

    if (journal_begin_memo(engine->journal, &memo) != OK)
        return false;
    command_write_entry(memo, entry);
    return journal_end(engine->journal, true, NULL, NULL) == OK;
}

void checkpoint_write(struct engine *engine)
{
    const struct command_table *commands = &engine->commands;

    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *run = &engine->table.runs[i];
        if (run->status != RUN_NONE && !(write_run(engine, run) && write_steps(engine, run)))
            return;
    }
    for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++)
        if (engine->table.ended[i].status != RUN_NONE &&
            !write_ended(engine, &engine->table.ended[i]))
            return;
    for (size_t i = 0; i < LIMIT_COMMAND_KEYS; i++) {
        /* From the oldest on, so that replay fills the table in the same order. */
        const struct command_entry *entry =
            &commands->entries[(commands->next + i) % LIMIT_COMMAND_KEYS];
        if (entry->seq != 0 && !write_command(engine, entry))
            return;
    }
}

/* --- reading ----------------------------------------------------------------------------------------------------------- */

/* All that the memos' objects may have. */
struct said {
    char run_id[LIMIT_RUN_ID + 1], workflow_id[LIMIT_NAME + 1], status[16], digest[65];
    int64_t n, steps, outcome, cancels, failed_step, inline_bytes, concurrency, max_parallel,
        timeout_ms, created_seq, created_ms, started_ms, ended_ms, needs, first;
    bool timed_out, damaged;
    struct str created, failed, cancel, ended, step_list, from, event;
};

#define INTEGER(name, member, minimum, maximum)                                                    \
    {                                                                                              \
        name, JSON_FIELD_INTEGER, 0, offsetof(struct said, member), 0, minimum, maximum            \
    }
#define TEXT(name, member, flags)                                                                  \
    {                                                                                              \
        name, JSON_FIELD_TEXT, flags, offsetof(struct said, member),                               \
            sizeof(((struct said *)0)->member), 0, 0                                               \
    }
#define ARRAY(name, member)                                                                        \
    {                                                                                              \
        name, JSON_FIELD_ARRAY, 0, offsetof(struct said, member), 0, 0, 0                          \
    }

static bool read_said(struct str raw, struct said *said)
{
    static const struct json_field fields[] = {
        TEXT("run_id", run_id, JSON_REQUIRED),
        TEXT("workflow_id", workflow_id, 0),
        TEXT("status", status, 0),
        TEXT("inputs_sha256", digest, 0),
        INTEGER("n", n, 0, INT64_MAX),
        INTEGER("outcome", outcome, 0, OUTCOME_DENIED),
        INTEGER("cancels", cancels, 0, 2),
        INTEGER("failed_step", failed_step, 0, UINT8_MAX),
        INTEGER("inline", inline_bytes, 0, UINT32_MAX),
        INTEGER("concurrency", concurrency, 0, UINT16_MAX),
        INTEGER("max_parallel", max_parallel, 0, UINT16_MAX),
        INTEGER("timeout_ms", timeout_ms, 0, INT64_MAX),
        INTEGER("created_seq", created_seq, 0, INT64_MAX),
        INTEGER("created_ms", created_ms, 0, 0),
        INTEGER("started_ms", started_ms, 0, 0),
        INTEGER("ended_ms", ended_ms, 0, 0),
        INTEGER("needs", needs, 0, UINT32_MAX),
        INTEGER("first", first, 0, LIMIT_STEPS),
        {"timed_out", JSON_FIELD_BOOLEAN, 0, offsetof(struct said, timed_out), 0, 0, 0},
        {"damaged", JSON_FIELD_BOOLEAN, 0, offsetof(struct said, damaged), 0, 0, 0},
        ARRAY("created", created),
        ARRAY("failed", failed),
        ARRAY("cancel", cancel),
        ARRAY("ended", ended),
        ARRAY("from", from),
        {"steps", JSON_FIELD_RAW, 0, offsetof(struct said, step_list), 0, 0, 0},
        {"event", JSON_FIELD_OBJECT, 0, offsetof(struct said, event), 0, 0, 0},
    };
    struct json_field_error problem;

    *said = (struct said){.failed_step = LIMIT_STEPS};
    return json_read(raw, fields, sizeof fields / sizeof fields[0], said, &problem) == OK;
}

static enum err replay_run(struct engine *engine, const struct said *said)
{
    enum run_status status;
    int64_t steps;

    if (table_find(&engine->table, str_of(said->run_id)) != NULL)
        return OK;
    if (!run_status_read(said->status, &status) || run_has_ended(status) ||
        !json_integer(said->step_list, &steps) || steps < 0 || steps > LIMIT_STEPS)
        return ERR_DAMAGED;
    struct run *run = table_add(&engine->table, (unsigned)steps);
    if (run == NULL)
        return ERR_FULL;
    run->status = (uint8_t)status;
    memcpy(run->id, said->run_id, sizeof run->id);
    memcpy(run->workflow_id, said->workflow_id, sizeof run->workflow_id);
    run->n = (uint64_t)said->n;
    run->outcome = (uint8_t)said->outcome;
    run->cancels = (uint8_t)said->cancels;
    run->failed_step = (uint8_t)said->failed_step;
    run->timed_out = said->timed_out;
    run->damaged = said->damaged;
    run->inline_bytes = (uint32_t)said->inline_bytes;
    run->concurrency = (uint16_t)said->concurrency;
    run->max_parallel = (uint16_t)said->max_parallel;
    run->timeout_ms = said->timeout_ms;
    run->created_seq = (uint64_t)said->created_seq;
    run->created_ms = said->created_ms;
    run->started_ms = said->started_ms;
    if (!event_read_digest(said->digest, run->inputs_digest) ||
        !read_place(said->created, &run->created) || !read_place(said->failed, &run->failed) ||
        !read_place(said->cancel, &run->cancel))
        return ERR_DAMAGED;
    /* Where that cannot be read, engine_resume() fails the run. */
    (void)source_index_plan(engine, run);
    return OK;
}

static bool replay_step(struct run *run, struct step *step, struct str raw)
{
    struct json_walk walk = json_walk(raw);
    struct str name, value;
    uint32_t attempt, interruptions, decided;

    if (!json_walk_next(&walk, &name, &value) || !read_state(value, &step->state) ||
        !take_u32(&walk, (uint32_t *[]){&attempt, &interruptions, &decided}, 3) ||
        !json_walk_next(&walk, &name, &value) || !json_integer(value, &step->started_ms) ||
        !json_walk_next(&walk, &name, &value) || !json_integer(value, &step->at_ms) ||
        !take_place(&walk, &step->ended))
        return false;
    step->attempt = (uint8_t)attempt;
    step->interruptions = (uint8_t)interruptions;
    step->decided = decided != 0;
    if (step->state == STEP_EXECUTING)
        run->active++;
    if (step->state == STEP_WAITING)
        run->waiting++;
    return true;
}

static enum err replay_steps(struct engine *engine, const struct said *said)
{
    struct run *run = table_find(&engine->table, str_of(said->run_id));
    struct json_walk walk = json_walk(said->step_list);
    struct str name, value;

    if (run == NULL)
        return ERR_DAMAGED;
    for (int64_t i = said->first; json_walk_next(&walk, &name, &value); i++) {
        if (i >= run->step_count)
            return ERR_DAMAGED;
        struct step *step = &table_steps(&engine->table, run)[i];
        /* One that has begun is known from its events already. */
        if (json_type(value) == JSON_NULL || step->state != STEP_PENDING)
            continue;
        if (!replay_step(run, step, value))
            return ERR_DAMAGED;
    }
    return OK;
}

static enum err replay_ended(struct engine *engine, const struct said *said)
{
    char evicted[LIMIT_RUN_ID + 1];
    enum run_status status;

    if (table_find_ended(&engine->table, str_of(said->run_id)) != NULL)
        return OK;
    if (!run_status_read(said->status, &status) || !run_has_ended(status))
        return ERR_DAMAGED;
    struct ended_run *ended = table_add_ended(&engine->table, evicted);
    ended->status = (uint8_t)status;
    memcpy(ended->id, said->run_id, sizeof ended->id);
    ended->created_seq = (uint64_t)said->created_seq;
    ended->created_ms = said->created_ms;
    ended->started_ms = said->started_ms;
    ended->ended_ms = said->ended_ms;
    ended->needs = (uint32_t)said->needs;
    return event_read_digest(said->digest, ended->inputs_digest) &&
                   read_place(said->created, &ended->created) &&
                   read_place(said->ended, &ended->ended)
               ? OK
               : ERR_DAMAGED;
}

static enum err replay_carried(struct engine *engine, const struct journal_record *record,
                               const struct said *said)
{
    struct run *run = table_find(&engine->table, str_of(said->run_id));
    struct journal_place from = {0, 0, 0}, to = record->place;
    struct json_walk walk = json_walk(said->from);

    if (!take_u32(&walk, (uint32_t *[]){&from.segment, &from.offset}, 2) || said->event.n == 0)
        return ERR_DAMAGED;
    if (run == NULL)
        return OK; /* it has ended since */
    to.offset += (uint32_t)(said->event.p - record->memo.p);
    to.length = (uint32_t)said->event.n;
    table_move(&engine->table, run, from, to);
    return OK;
}

enum err checkpoint_replay(struct engine *engine, const struct journal_record *record)
{
    struct json_walk walk = json_walk(record->memo);
    struct str name, value;
    struct said said;

    if (!json_walk_next(&walk, &name, &value) || json_type(value) != JSON_OBJECT ||
        json_string_is(name, "command"))
        return OK;
    bool is_run = json_string_is(name, "run"), is_steps = json_string_is(name, "run_steps"),
         is_ended = json_string_is(name, "ended"), is_carried = json_string_is(name, "carried");
    if (!is_run && !is_steps && !is_ended && !is_carried)
        return OK;
    if (!read_said(value, &said))
        return ERR_DAMAGED;
    return is_run     ? replay_run(engine, &said)
           : is_steps ? replay_steps(engine, &said)
           : is_ended ? replay_ended(engine, &said)
                      : replay_carried(engine, record, &said);
}

bool checkpoint_is_about(struct str memo, const char *run_id)
{
    struct json_walk walk = json_walk(memo);
    struct str name, value, found;

    return json_walk_next(&walk, &name, &value) && json_member(value, "run_id", &found) &&
           json_string_is(found, run_id);
}

/* --- carrying ------------------------------------------------------------------------------------------------------------ */

/* The first place of an unfinished run up to that segment. */
static bool find_old(struct engine *engine, uint32_t segment, struct run **run,
                     struct journal_place *place)
{
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        *run = &engine->table.runs[i];
        if ((*run)->status != RUN_NONE && table_oldest_place(&engine->table, *run, place) &&
            place->segment <= segment)
            return true;
    }
    return false;
}

/* Writes the event once more and lets the run's places point there.  What is on disk is checked before: a record that has gone bad must
 * not get a good checksum. */
static enum err carry(struct engine *engine, struct run *run, struct journal_place from)
{
    struct journal_place memo, to;
    struct json_writer *w = begin(engine, "carried", run->id);

    if (w == NULL)
        return ERR_NO_SPACE;
    json_key(w, "from");
    json_array(w);
    json_u64(w, from.segment);
    json_u64(w, from.offset);
    json_array_end(w);
    json_key(w, "event");
    struct out *out = json_raw_begin(w);
    to.offset = (uint32_t)journal_length(engine->journal);
    enum err err = journal_copy(engine->journal, from, out);
    to.length = (uint32_t)journal_length(engine->journal) - to.offset;
    json_object_end(w);
    if (err != OK) {
        journal_drop(engine->journal);
        return err;
    }
    err = journal_end(engine->journal, false, NULL, &memo);
    if (err != OK)
        return err;
    to.segment = memo.segment;
    to.offset += memo.offset;
    table_move(&engine->table, run, from, to);
    return OK;
}

enum engine_carried engine_carry(struct engine *engine, uint32_t segment)
{
    struct journal_place from;
    struct run *run;
    bool moved = false;

    for (int count = 0; count < CARRIES_A_TURN; count++) {
        if (!find_old(engine, segment, &run, &from))
            return moved ? CARRY_GOES_ON : CARRY_DONE;
        enum err err = carry(engine, run, from);
        if (err == ERR_NO_SPACE)
            return CARRY_GOES_ON;
        if (err != OK) {
            log_error(
                "journal",
                "segment %u, offset %u: an event of run %s cannot be read (%s): the segment stays",
                from.segment, from.offset, run->id, err_text(err));
            return CARRY_FAILED;
        }
        moved = true;
    }
    return CARRY_GOES_ON;
}

unsigned engine_settle_salvage(struct engine *engine)
{
    unsigned damaged = 0;

    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &engine->table.runs[i];
        if (run->unsure && engine->salvage.lost > engine->salvage.found)
            run->damaged = true;
        run->unsure = false;
        damaged += run->status != RUN_NONE && run->damaged;
    }
    return damaged;
}

void engine_give_up(struct engine *engine, uint32_t segment)
{
    struct journal_place from, nowhere = {0, 0, 0};
    struct run *run;

    while (find_old(engine, segment, &run, &from)) {
        table_move(&engine->table, run, from, nowhere);
        run->damaged = true;
    }
}

int64_t engine_live_bytes(struct engine *engine)
{
    int64_t bytes = 0;

    for (size_t i = 0; i < LIMIT_RUNS; i++)
        if (engine->table.runs[i].status != RUN_NONE)
            bytes += table_place_bytes(&engine->table, &engine->table.runs[i]);
    return bytes;
}

bool engine_is_reading(const struct engine *engine)
{
    bool reads = engine->outputs.run != NULL;

    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        reads = reads || engine->jobs[i].kind == JOB_STATUS ||
                engine->jobs[i].kind == JOB_ARTIFACTS || engine->jobs[i].kind == JOB_DECIDED;
    return reads;
}
