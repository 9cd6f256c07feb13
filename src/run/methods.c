/* The methods on runs that are answered at once (contract §5); those that need a helper stand in run/job.c. */
#include "run/engine.h"
#include "run/job.h"
#include "run/waiting.h"

#include "base/assert.h"
#include "json/check.h"
#include "json/read.h"

#include <string.h>

/* --- refusals ---------------------------------------------------------------------------------------------------------- */

/* An error that is a command's outcome is remembered before it is told. */
void engine_refuse(struct engine *engine, struct rpc_call *call, const struct rpc_error *error)
{
    struct json_writer *memo;

    if (call->command.present && command_is_outcome(error->code) && engine->fatal == OK) {
        engine->fatal = journal_begin_memo(engine->journal, &memo);
        if (engine->fatal == OK) {
            command_write(memo, &call->command, NULL, error);
            engine->fatal = journal_end(engine->journal, false, NULL, NULL);
        }
        command_remember(&engine->commands, &call->command, NULL, error);
    }
    rpc_answer_error(call, error);
}

void engine_refuse_run(struct engine *engine, struct rpc_call *call, const char *run_id)
{
    struct rpc_error error;
    rpc_error_set(&error, RPC_NOT_FOUND, "no run \"%s\" is known here", run_id);
    struct out data = OUT_ON(error.data);
    struct json_writer w = json_writer(&data);
    json_object(&w);
    json_put_text(&w, "what", "run");
    json_put_text(&w, "id", run_id);
    json_object_end(&w);
    out_cstr(&data);
    engine_refuse(engine, call, &error);
}

/* --- commands ------------------------------------------------------------------------------------------------------------ */

static void answer_command_again(struct engine *engine, struct rpc_call *call,
                                 const struct command_entry *entry)
{
    struct rpc_error error = {.code = entry->code};

    if (entry->failed) {
        (void)str_copy(str_of(entry->message), error.message, sizeof error.message);
        (void)str_copy(str_of(entry->data), error.data, sizeof error.data);
        rpc_answer_error(call, &error);
        return;
    }
    if (!job_status(engine, call, entry->run_id))
        call->again = true;
}

bool run_on_command(void *context, struct rpc_call *call, const struct rpc_method *method,
                    struct str params)
{
    struct engine *engine = context;
    struct rpc_error error;
    (void)method;
    (void)params;

    /* One at a time, in the order of arrival: a cancel must find the run that is being started before it, and `seen` must not pass a
     * command whose outcome is not on disk, or a crash would lose it. */
    if (job_has_command(engine)) {
        call->again = true;
        return true;
    }
    const struct command_entry *entry = command_find(&engine->commands, call->command.key);
    if (entry != NULL && memcmp(entry->digest, call->command.digest, sizeof entry->digest) != 0) {
        rpc_error_set(&error, RPC_KEY_CONFLICT, "the key \"%s\" was used with other params",
                      call->command.key);
        struct out data = OUT_ON(error.data);
        struct json_writer w = json_writer(&data);
        json_object(&w);
        json_put_text(&w, "key", call->command.key);
        json_object_end(&w);
        out_cstr(&data);
        rpc_answer_error(call, &error);
        return true;
    }
    if (entry != NULL) {
        answer_command_again(engine, call, entry);
        return true;
    }
    if (call->command.seq > engine->commands.seen)
        return false;
    rpc_error_set(&error, RPC_NOT_FOUND,
                  "command %llu was dealt with, and its outcome is remembered no longer",
                  (unsigned long long)call->command.seq);
    (void)str_copy(STR("{\"what\":\"command\"}"), error.data, sizeof error.data);
    rpc_answer_error(call, &error);
    return true;
}

/* --- runs that wait ------------------------------------------------------------------------------------------------------- */

struct run_params {
    char run_id[LIMIT_RUN_ID + 1], step_id[LIMIT_NAME + 1], actor[LIMIT_KEY + 1], decision[16];
    char text[LIMIT_TEXT + 1]; /* comment or reason */
    struct str answers;
};

#define RUN_ID_FIELD                                                                               \
    {                                                                                              \
        "run_id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct run_params, run_id),             \
            LIMIT_RUN_ID + 1, 0, 0                                                                 \
    }
#define ACTOR_FIELD                                                                                \
    {                                                                                              \
        "actor", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct run_params, actor),               \
            LIMIT_KEY + 1, 0, 0                                                                    \
    }
#define STEP_FIELD                                                                                 \
    {                                                                                              \
        "step_id", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct run_params, step_id),           \
            LIMIT_NAME + 1, 0, 0                                                                   \
    }

/* The run, or NULL after an answer that says why not. */
static struct run *find_live(struct engine *engine, struct rpc_call *call,
                             const struct run_params *read, enum run_event type)
{
    struct run *run = table_find(&engine->table, str_of(read->run_id));

    if (run == NULL && !job_decided(engine, call, read->run_id, type, read->step_id))
        call->again = true;
    return run;
}

void run_on_resume(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        RUN_ID_FIELD,
        ACTOR_FIELD,
        STEP_FIELD,
        {"decision", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct run_params, decision), 16, 0,
         0},
        {"comment", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct run_params, text),
         LIMIT_TEXT + 1, 0, 0},
    };
    struct run_params read = {.answers = STR_NONE};

    if (!rpc_params(call, params, fields, sizeof fields / sizeof fields[0], &read))
        return;
    if (strcmp(read.decision, "approve") != 0 && strcmp(read.decision, "deny") != 0) {
        rpc_refuse_params(call, "decision", "must be \"approve\" or \"deny\"");
        return;
    }
    struct engine *engine = context;
    struct run *run = find_live(engine, call, &read, EVENT_RUN_RESUMED);
    unsigned step;
    if (run == NULL || !waiting_find(engine, call, run, WAITING_GATE, read.step_id, &step))
        return;
    waiting_decide(engine, run, step, strcmp(read.decision, "approve") == 0, read.text, read.actor,
                   call);
    engine_answer_run(engine, call, run);
}

void run_on_submit_input(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        RUN_ID_FIELD,
        ACTOR_FIELD,
        STEP_FIELD,
        {"answers", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct run_params, answers), 0, 0,
         0},
    };
    struct run_params read = {.answers = STR_NONE};

    struct engine *engine = context;
    if (!rpc_params(call, params, fields, sizeof fields / sizeof fields[0], &read))
        return;
    if (read.answers.n > LIMIT_INPUTS || json_check(read.answers, LIMIT_VALUE_DEPTH, NULL) != OK) {
        rpc_refuse_params(call, "answers", "are longer than half a message, or nested too deep");
        return;
    }
    struct run *run = find_live(engine, call, &read, EVENT_RUN_INPUT_SUBMITTED);
    unsigned step;
    if (run != NULL && waiting_find(engine, call, run, WAITING_INPUT, read.step_id, &step) &&
        !job_answers(engine, call, run, step, read.answers, read.actor))
        call->again = true;
}

/* --- cancel ---------------------------------------------------------------------------------------------------------------- */

void run_on_cancel(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        RUN_ID_FIELD,
        ACTOR_FIELD,
        {"reason", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct run_params, text),
         LIMIT_TEXT + 1, 0, 0},
    };
    struct run_params read = {.answers = STR_NONE};
    struct engine *engine = context;
    struct json_writer *w;

    if (!rpc_params(call, params, fields, sizeof fields / sizeof fields[0], &read))
        return;
    struct run *run = table_find(&engine->table, str_of(read.run_id));
    if (run == NULL) {
        /* Cancelling what has ended is no error: it is not running any more, as was wished. */
        if (table_find_ended(&engine->table, str_of(read.run_id)) == NULL)
            engine_refuse_run(engine, call, read.run_id);
        else if (!job_status(engine, call, read.run_id))
            call->again = true;
        else if (call->command.present)
            engine_remember(engine, &call->command, read.run_id);
        return;
    }
    if (run->cancels < 2) {
        w = event_begin(engine, run, EVENT_RUN_CANCEL_REQUESTED, STEP_NONE);
        if (w == NULL)
            return;
        json_put_text(w, "reason", read.text[0] == '\0' ? NULL : read.text);
        event_who(w, call, read.actor);
        (void)event_end_full(
            engine, run, EVENT_RUN_CANCEL_REQUESTED, STEP_NONE,
            &(struct event_end){.command = call->command.present ? &call->command : NULL});
        engine_attend(engine, run);
    } else if (call->command.present) {
        engine_remember(engine, &call->command, read.run_id);
    }
    engine_answer_run(engine, call, run);
}

void engine_answer_run(struct engine *engine, struct rpc_call *call, struct run *run)
{
    struct json_writer writer, *w = rpc_answer_begin(call, &writer);
    if (w == NULL)
        return;
    /* A command has taken effect: its answer must not be that it is too long (contract §6: -32001 is no outcome). */
    view_run_whole(engine, w, run, call->command.present);
    rpc_answer_end(call, w);
}

void engine_remember(struct engine *engine, const struct rpc_command *command, const char *run_id)
{
    struct json_writer *memo;

    if (engine->fatal != OK)
        return;
    engine->fatal = journal_begin_memo(engine->journal, &memo);
    if (engine->fatal != OK)
        return;
    command_write(memo, command, run_id, NULL);
    engine->fatal = journal_end(engine->journal, false, NULL, NULL);
    command_remember(&engine->commands, command, run_id, NULL);
}

/* --- reading ---------------------------------------------------------------------------------------------------------------- */

void run_on_status(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {RUN_ID_FIELD};
    struct run_params read = {.answers = STR_NONE};

    if (!rpc_params(call, params, fields, 1, &read))
        return;
    if (!job_status(context, call, read.run_id))
        call->again = true;
}

struct list_params {
    int64_t limit;
    char cursor[24], status[16];
};

void run_on_list(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        {"limit", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct list_params, limit), 0, 1,
         100},
        {"cursor", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct list_params, cursor), 24, 0, 0},
        {"status", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct list_params, status), 16, 0, 0},
    };
    struct list_params read = {.limit = 20};
    struct engine *engine = context;
    enum run_status wanted = RUN_NONE;
    struct json_writer writer, *w;
    struct ended_run *ended;
    uint64_t before = 0;
    struct run *run;

    if (!rpc_params(call, params, fields, sizeof fields / sizeof fields[0], &read))
        return;
    if (read.cursor[0] != '\0' && (!str_to_u64(str_of(read.cursor), &before) || before == 0)) {
        rpc_refuse_params(call, "cursor", "is none that runs.list has given");
        return;
    }
    if (read.status[0] != '\0' && !run_status_read(read.status, &wanted)) {
        rpc_refuse_params(call, "status", "is no status of runs");
        return;
    }
    w = rpc_answer_begin(call, &writer);
    if (w == NULL)
        return;
    json_object(w);
    json_key(w, "runs");
    json_array(w);
    uint64_t last = before;
    int64_t rows = 0;
    bool more = false;
    while (!more && table_previous(&engine->table, last, &run, &ended)) {
        uint64_t seq = run != NULL ? run->created_seq : ended->created_seq;
        enum run_status status = run != NULL ? run->status : ended->status;
        if (wanted == RUN_NONE || status == wanted) {
            /* A row that does not fit is taken back whole; the next page begins with it. */
            struct json_writer begun = *w;
            size_t n = w->out->n, cap = w->out->cap;
            more = rows == read.limit;
            if (more)
                break;
            w->out->cap -= 128; /* for what ends the answer */
            view_row(engine, w, run, ended, rows == 0);
            w->out->cap = cap;
            if (w->out->overflow && rows > 0) {
                out_truncate(w->out, n);
                *w = begun;
                more = true;
                break;
            }
            rows++;
        }
        last = seq;
    }
    json_array_end(w);
    char cursor[24];
    struct out text = OUT_ON(cursor);
    out_u64(&text, last);
    json_put_text(w, "next_cursor", more ? out_cstr(&text) : NULL);
    json_object_end(w);
    rpc_answer_end(call, w);
}
