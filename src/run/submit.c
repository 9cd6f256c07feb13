/* run.start: what can be said against a submission at once, and the job that checks the rest. */
#include "run/job.h"

#include "json/check.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

struct start_params {
    char workflow_id[LIMIT_NAME + 1], run_id[LIMIT_RUN_ID + 1], actor[LIMIT_KEY + 1];
    struct str inputs, labels;
};

static bool check_labels(struct rpc_call *call, struct str labels)
{
    struct json_walk walk = json_walk(labels);
    char key[LIMIT_LABEL_KEY + 1], value[LIMIT_LABEL_VALUE + 1];
    struct str name, raw, again;

    for (int count = 1; json_walk_next(&walk, &name, &raw); count++) {
        if (count > LIMIT_LABELS) {
            rpc_refuse_params(call, "labels", "has more labels than are allowed");
            return false;
        }
        if (!json_string_copy(name, key, sizeof key) || key[0] == '\0') {
            rpc_refuse_params(call, "labels", "has a name that is empty or too long");
            return false;
        }
        if (!json_string_copy(raw, value, sizeof value)) {
            rpc_refuse_params(call, "labels", "has a value that is no string, or too long");
            return false;
        }
        struct json_walk rest = walk;
        struct str ignored;
        while (json_walk_next(&rest, &again, &ignored))
            if (json_string_equal(again, name)) {
                rpc_refuse_params(call, "labels", "has the same name twice");
                return false;
            }
    }
    return true;
}

void engine_journal_figures(const struct engine *engine, struct rpc_error *error)
{
    struct out data = OUT_ON(error->data);
    struct json_writer w = json_writer(&data);

    json_object(&w);
    json_put_i64(&w, "bytes", journal_bytes(engine->journal));
    json_put_i64(&w, "limit", engine->journal->limit);
    json_object_end(&w);
    out_cstr(&data);
}

static bool refuse_when_closed(struct engine *engine, struct rpc_call *call)
{
    struct rpc_error error;

    if (engine->stopping || engine->superseded) {
        rpc_error_set(
            &error, RPC_NOT_READY,
            engine->superseded
                ? "another daemon has taken over this one's id; it takes no runs until it is started again"
                : "the daemon is stopping");
        engine_refuse(engine, call, &error);
        return true;
    }
    if (!pressure_refuses_runs(engine))
        return false;
    rpc_error_set(
        &error, RPC_JOURNAL_FULL,
        "the journal is nearly full: %lld of %lld bytes, and unfinished runs need %lld of them; new runs are taken when %s",
        (long long)journal_bytes(engine->journal), (long long)engine->journal->limit,
        (long long)engine_live_bytes(engine),
        pressure_is_live(engine) ? "some of them have ended"
                                 : "the gateway has acknowledged events");
    engine_journal_figures(engine, &error);
    engine_refuse(engine, call, &error);
    return true;
}

static unsigned submissions(const struct engine *engine)
{
    unsigned count = 0;
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        count += engine->jobs[i].kind == JOB_SUBMIT;
    return count;
}

/* Somebody else is submitting under the same id: whoever came second is looked at again when the first is through. */
static bool is_being_submitted(const struct engine *engine, const char *run_id)
{
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        if (engine->jobs[i].kind == JOB_SUBMIT && strcmp(engine->jobs[i].run_id, run_id) == 0)
            return true;
    return false;
}

static bool make_run_id(struct engine *engine, char run_id[LIMIT_RUN_ID + 1])
{
    unsigned char fresh[10];

    if (port_random(fresh, sizeof fresh) != OK)
        return false;
    run_id[0] = 'r';
    run_id[1] = '-';
    ulid_next(&engine->ulid, (uint64_t)engine->loop->wall_ms, fresh, run_id + 2);
    return true;
}

void run_on_start(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        {"workflow_id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct start_params, workflow_id),
         LIMIT_NAME + 1, 0, 0},
        {"inputs", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct start_params, inputs), 0, 0,
         0},
        {"run_id", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct start_params, run_id),
         LIMIT_RUN_ID + 1, 0, 0},
        {"labels", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct start_params, labels), 0, 0,
         0},
        {"actor", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct start_params, actor),
         LIMIT_KEY + 1, 0, 0},
    };
    struct start_params read = {.inputs = STR("{}"), .labels = STR("{}")};
    struct engine *engine = context;

    if (!rpc_params(call, params, fields, sizeof fields / sizeof fields[0], &read) ||
        !check_labels(call, read.labels))
        return;
    if (read.run_id[0] != '\0' && !project_is_id(str_of(read.run_id))) {
        rpc_refuse_params(
            call, "run_id",
            "must be a letter or digit, then letters, digits, '.', '_', '-', at most 64");
        return;
    }
    if (read.inputs.n > LIMIT_INPUTS) {
        rpc_refuse_params(call, "inputs", "is longer than half a message");
        return;
    }
    if (json_check(read.inputs, LIMIT_VALUE_DEPTH, NULL) != OK) {
        rpc_refuse_params(call, "inputs", "are nested too deep to be told to peers");
        return;
    }
    bool known =
        read.run_id[0] != '\0' && (table_find(&engine->table, str_of(read.run_id)) != NULL ||
                                   table_find_ended(&engine->table, str_of(read.run_id)) != NULL);
    if (!known && refuse_when_closed(engine, call))
        return;
    if (!known && engine->table.count + submissions(engine) >= LIMIT_RUNS) {
        /* Those being submitted may yet be refused; the table is full only when it is. */
        if (engine->table.count >= LIMIT_RUNS)
            job_refuse_busy(engine, call, "the run table is full");
        else
            call->again = true;
        return;
    }
    struct job *job = job_find_free(engine);
    /* A directory made now would be one of nobody's to a remover that began before: it is waited for. */
    if (job == NULL || (read.run_id[0] != '\0' && is_being_submitted(engine, read.run_id)) ||
        (!known && helper_running(&engine->remover))) {
        call->again = true;
        return;
    }
    memcpy(job->workflow_id, read.workflow_id, sizeof job->workflow_id);
    memcpy(job->actor, read.actor, sizeof job->actor);
    memcpy(job->run_id, read.run_id, sizeof job->run_id);
    job->inputs = read.inputs;
    struct out labels = OUT_ON(job->labels_text);
    json_compact(read.labels, &labels);
    job->labels_n = labels.n;
    if (labels.overflow || (job->run_id[0] == '\0' && !make_run_id(engine, job->run_id))) {
        struct rpc_error error;
        rpc_error_set(&error, RPC_INTERNAL_ERROR,
                      labels.overflow ? "the labels are too long"
                                      : "the system gives no random numbers");
        engine_refuse(engine, call, &error);
        return;
    }
    (void)job_start(engine, call, job, known ? JOB_COMPARE : JOB_SUBMIT);
}
