/* Submissions, and answers that must be worked out from files: each in a helper process, so that a large project, a slow disk or a hostile
 * pattern holds up its own caller alone.  A job's views of the request are good until the helper has been forked: it has its own copy. */
#include "run/job.h"
#include "run/waiting.h"

#include "base/assert.h"
#include "base/log.h"
#include "json/check.h"
#include "json/read.h"
#include "port.h"
#include "project/describe.h"

#include <string.h>

#define JOB_TIMEOUT_MS 20000
#define JOB_CPU_S 10

struct job *job_find_free(struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        if (engine->jobs[i].kind == JOB_FREE) {
            engine->jobs[i].engine = engine;
            return &engine->jobs[i];
        }
    return NULL;
}

bool job_has_command(const struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++) {
        const struct job *job = &engine->jobs[i];
        if (job->kind != JOB_FREE && job->call.command.present)
            return true;
    }
    return false;
}

/* --- in the helper ------------------------------------------------------------------------------------------------------- */

static void write_refusal(struct out *answer, const struct rpc_error *error)
{
    struct json_writer w = json_writer(answer);

    out_reset(answer);
    json_object(&w);
    json_key(&w, "error");
    json_object(&w);
    json_put_i64(&w, "code", error->code);
    json_put_text(&w, "message", error->message);
    json_put_raw(&w, "data", str_of(error->data));
    json_object_end(&w);
    json_object_end(&w);
}

static int write_ended(struct job *job, struct out *answer)
{
    struct engine *engine = job->engine;
    struct ended_run *ended = table_find_ended(&engine->table, str_of(job->run_id));
    struct json_writer w = json_writer(answer);

    journal_detach(engine->journal);
    json_object(&w);
    json_key(&w, "ok");
    if (job->kind == JOB_ARTIFACTS) {
        if (!view_artifacts(engine, &w, job->run_id))
            return 1;
    } else if (!view_ended_whole(engine, &w, ended, job->call.command.present)) {
        return 1;
    }
    json_object_end(&w);
    return 0;
}

/* Around the result. */
#define OK_BYTES (sizeof "{\"ok\":}" - 1)

/* A result that goes into the answer as it is gets the room that is there. */
static int write_result(struct job *job, struct out *answer)
{
    struct engine *engine = job->engine;
    const size_t cap = answer->cap, max = rpc_result_max(&job->call) + OK_BYTES;
    int exit_code = 0;

    if (max < cap)
        answer->cap = max;
    if (job->kind == JOB_LIST)
        project_list(engine->workspace, engine->project, answer);
    else if (job->kind == JOB_SHOW)
        project_show(engine->workspace, engine->project, str_of(job->workflow_id), answer);
    else
        exit_code = write_ended(job, answer);
    if (answer->overflow) {
        struct rpc_error error;
        rpc_too_large(&job->call, answer->n + answer->lost - OK_BYTES, &error);
        answer->cap = cap;
        write_refusal(answer, &error);
    }
    return exit_code;
}

static int job_work(void *context, struct out *answer)
{
    struct job *job = context;
    struct engine *engine = job->engine;
    struct project_submission submission = {
        .workflow_id = str_of(job->workflow_id),
        .run_id = str_of(job->run_id),
        .inputs = job->inputs,
        .digest_only = job->kind == JOB_COMPARE,
    };
    struct rpc_error error;

    switch (job->kind) {
    case JOB_SUBMIT:
    case JOB_COMPARE:
        project_submit(engine->workspace, engine->project, &submission, answer);
        break;
    case JOB_ANSWERS:
        project_answers(engine->workspace, job->fields, job->inputs, answer);
        break;
    case JOB_LIST:
    case JOB_SHOW:
    case JOB_STATUS:
    case JOB_ARTIFACTS:
        return write_result(job, answer);
    case JOB_DECIDED:
        journal_detach(engine->journal);
        view_decision(engine, table_find_ended(&engine->table, str_of(job->run_id)), job->decided,
                      job->step_id, &error);
        write_refusal(answer, &error);
        break;
    case JOB_FREE:
        break;
    }
    return 0;
}

/* --- what became of it ----------------------------------------------------------------------------------------------------- */

void job_refuse_busy(struct engine *engine, struct rpc_call *call, const char *what)
{
    struct rpc_error error;
    rpc_error_set(&error, RPC_BUSY, "busy: %s", what);
    (void)str_copy(STR("{\"retry_after_ms\":1000}"), error.data, sizeof error.data);
    engine_refuse(engine, call, &error);
}

static void refuse_conflict(struct engine *engine, struct rpc_call *call, const char *run_id)
{
    struct rpc_error error;
    rpc_error_set(&error, RPC_RUN_ID_CONFLICT,
                  "run \"%s\" was started with another workflow or other inputs", run_id);
    struct out data = OUT_ON(error.data);
    struct json_writer w = json_writer(&data);
    json_object(&w);
    json_put_text(&w, "run_id", run_id);
    json_object_end(&w);
    out_cstr(&data);
    engine_refuse(engine, call, &error);
}

static void write_created(struct json_writer *w, const struct job *job,
                          const struct project_accepted *accepted, struct str labels)
{
    json_put_text(w, "workflow_id", job->workflow_id);
    json_put_raw(w, "inputs", accepted->inputs);
    json_put_raw(w, "labels", labels);
    event_who(w, &job->call, job->actor);
    json_put_text(w, "plan_sha256", accepted->plan_sha256);
}

static void write_created_memo(struct json_writer *memo, const struct job *job,
                               const struct project_accepted *accepted)
{
    json_put_i64(memo, "steps", accepted->steps);
    json_put_i64(memo, "concurrency", accepted->concurrency);
    json_put_i64(memo, "max_parallel", accepted->max_parallel);
    json_put_i64(memo, "timeout_ms", accepted->timeout_ms);
    json_put_text(memo, "inputs_sha256", accepted->inputs_sha256);
    if (job->call.command.present)
        command_write(memo, &job->call.command, job->run_id, NULL);
}

static void accept_run(struct engine *engine, struct job *job,
                       const struct project_accepted *accepted, struct str labels)
{
    struct run *run = table_add(&engine->table, (unsigned)accepted->steps);
    struct json_writer *w;
    struct str data;

    if (run == NULL) {
        job_refuse_busy(engine, &job->call, "the run table is full");
        return;
    }
    memcpy(run->id, job->run_id, sizeof run->id);
    if (source_index_plan(engine, run) != OK) {
        table_remove(&engine->table, run);
        struct rpc_error error;
        rpc_error_set(&error, RPC_INTERNAL_ERROR,
                      "plan.json, just written, cannot be read: %s; the run was not accepted",
                      port_last_error());
        engine_refuse(engine, &job->call, &error);
        return;
    }
    run->concurrency = (uint16_t)accepted->concurrency;
    run->max_parallel = (uint16_t)accepted->max_parallel;
    run->timeout_ms = accepted->timeout_ms;
    w = event_begin(engine, run, EVENT_RUN_CREATED, STEP_NONE);
    if (w == NULL)
        return;
    write_created(w, job, accepted, labels);
    write_created_memo(event_memo(engine), job, accepted);
    if (!event_end(engine, run, EVENT_RUN_CREATED, STEP_NONE)) {
        table_remove(&engine->table, run);
        struct rpc_error error;
        rpc_error_set(&error, RPC_INVALID_INPUT, "inputs and labels are too long for one event");
        engine_refuse(engine, &job->call, &error);
        return;
    }
    if (source_data(engine, run->created, &data) != OK ||
        !event_take_created(run, data, accepted->inputs_sha256))
        log_error("run", "%s: its beginning, just written, cannot be read back", run->id);
    if (job->call.command.present)
        command_remember(&engine->commands, &job->call.command, run->id, NULL);
    engine_attend(engine, run);
    /* The answer says what holds when it is read: a run for which there is a place has begun. */
    engine_let_in(engine, run);
    engine_answer_run(engine, &job->call, run);
}

static bool is_same(struct engine *engine, const struct job *job, const char *digest)
{
    struct run *run = table_find(&engine->table, str_of(job->run_id));
    struct ended_run *ended = table_find_ended(&engine->table, str_of(job->run_id));
    const unsigned char *known = run != NULL     ? run->inputs_digest
                                 : ended != NULL ? ended->inputs_digest
                                                 : NULL;
    char hex[64], workflow_id[LIMIT_NAME + 1] = "";
    struct out out = OUT_ON(hex);
    struct str data;

    if (known == NULL)
        return false;
    if (source_data(engine, run != NULL ? run->created : ended->created, &data) == OK)
        source_text(data, "workflow_id", workflow_id, sizeof workflow_id);
    out_hex(&out, known, 32);
    return str_is(out_view(&out), digest) && strcmp(workflow_id, job->workflow_id) == 0;
}

static void on_submitted(struct engine *engine, struct job *job, struct str result,
                         struct str labels)
{
    struct project_accepted accepted;

    if (!project_accepted_read(result, &accepted)) {
        struct rpc_error error;
        rpc_error_set(&error, RPC_INTERNAL_ERROR, "the submission's helper gave no sense");
        engine_refuse(engine, &job->call, &error);
        return;
    }
    if (job->kind == JOB_SUBMIT) {
        accept_run(engine, job, &accepted, labels);
    } else if (!is_same(engine, job, accepted.inputs_sha256)) {
        refuse_conflict(engine, &job->call, job->run_id);
    } else {
        if (job->call.command.present)
            engine_remember(engine, &job->call.command, job->run_id);
        job->kind = JOB_FREE; /* its place serves the answer */
        struct rpc_call call = job->call;
        if (!job_status(engine, &call, job->run_id))
            job_refuse_busy(engine, &call, "too many requests are being worked on");
    }
}

/* The answers fit their fields.  Others may have answered meanwhile: the first record in the journal wins. */
static void on_answers(struct engine *engine, struct job *job, struct str result)
{
    struct run *run = table_find(&engine->table, str_of(job->run_id));
    char step_id[LIMIT_NAME + 1];
    struct str answers;
    unsigned step;

    memcpy(step_id, job->step_id, sizeof step_id);
    if (run == NULL) {
        struct rpc_call call = job->call;
        char run_id[LIMIT_RUN_ID + 1];
        memcpy(run_id, job->run_id, sizeof run_id);
        job->kind = JOB_FREE; /* its place serves the answer */
        if (!job_decided(engine, &call, run_id, EVENT_RUN_INPUT_SUBMITTED, step_id))
            job_refuse_busy(engine, &call, "too many requests are being worked on");
        return;
    }
    if (!waiting_find(engine, &job->call, run, WAITING_INPUT, job->step_id, &step))
        return;
    if (!json_member(result, "answers", &answers) ||
        !waiting_submit(engine, run, step, answers, job->actor, &job->call)) {
        struct rpc_error error;
        rpc_error_set(&error, RPC_INVALID_INPUT, "the answers are too long for an event");
        engine_refuse(engine, &job->call, &error);
        return;
    }
    engine_answer_run(engine, &job->call, run);
}

static void on_job_done(struct helper *helper, enum err outcome, struct str answer, int exit_code)
{
    struct job *job = helper->owner;
    struct engine *engine = job->engine;
    struct project_answer read;
    struct rpc_error error;

    rpc_resume(&job->call);
    if (outcome != OK || exit_code != 0) {
        rpc_error_set(&error, outcome == ERR_TIMEOUT ? RPC_TIMEOUT : RPC_INTERNAL_ERROR, "%.*s",
                      outcome == OK ? 46 : (int)(answer.n < 200 ? answer.n : 200),
                      outcome == OK ? "its events are held by the journal no longer" : answer.p);
        /* A command that is answered with a run as it is has been remembered already. */
        if (job->kind == JOB_STATUS)
            rpc_answer_error(&job->call, &error);
        else
            engine_refuse(engine, &job->call, &error);
    } else if (!project_answer_read(answer, &read) || !read.ok) {
        error.code = read.code;
        memcpy(error.message, read.message, sizeof error.message);
        memcpy(error.data, read.data, sizeof error.data);
        if (read.code == RPC_JOURNAL_FULL)
            engine_journal_figures(engine, &error); /* which its helper does not know */
        engine_refuse(engine, &job->call, &error);
    } else if (job->kind == JOB_SUBMIT || job->kind == JOB_COMPARE) {
        on_submitted(engine, job, read.result, str_range(job->labels_text, job->labels_n));
    } else if (job->kind == JOB_ANSWERS) {
        on_answers(engine, job, read.result);
    } else {
        rpc_answer_raw(&job->call, read.result);
    }
    if (!helper_running(&job->helper))
        job->kind = JOB_FREE;
    /* Whoever waits for a free place, or for a command's outcome, is looked at again. */
    engine->job_ended = true;
    loop_wake(engine->loop);
}

bool job_start(struct engine *engine, struct rpc_call *call, struct job *job, enum job_kind kind)
{
    struct helper_job work = {.work = job_work,
                              .context = job,
                              .cpu_s = JOB_CPU_S,
                              .timeout_ms = JOB_TIMEOUT_MS,
                              .buffer = job->buffer,
                              .size = sizeof job->buffer,
                              .on_done = on_job_done};
    struct rpc_error error;

    job->kind = kind;
    job->call = *call; /* the helper's answer has to fit into the caller's */
    job->helper.owner = job;
    if (helper_start(engine->loop, &job->helper, &work) != OK) {
        job->kind = JOB_FREE;
        rpc_error_set(&error, RPC_BUSY, "busy: no helper process could be started: %s",
                      port_last_error());
        (void)str_copy(STR("{\"retry_after_ms\":1000}"), error.data, sizeof error.data);
        engine_refuse(engine, call, &error);
        return true;
    }
    rpc_put_off(call, &job->call);
    return true;
}

/* --- the methods ------------------------------------------------------------------------------------------------------------ */

bool job_status(struct engine *engine, struct rpc_call *call, const char *run_id)
{
    struct run *run = table_find(&engine->table, str_of(run_id));
    struct job *job;

    if (run != NULL) {
        engine_answer_run(engine, call, run);
        return true;
    }
    if (table_find_ended(&engine->table, str_of(run_id)) == NULL) {
        engine_refuse_run(engine, call, run_id);
        return true;
    }
    job = job_find_free(engine);
    if (job == NULL)
        return false;
    (void)str_copy(str_of(run_id), job->run_id, sizeof job->run_id);
    return job_start(engine, call, job, JOB_STATUS);
}

bool job_decided(struct engine *engine, struct rpc_call *call, const char *run_id,
                 enum run_event type, const char *step_id)
{
    struct job *job;

    if (table_find_ended(&engine->table, str_of(run_id)) == NULL) {
        engine_refuse_run(engine, call, run_id);
        return true;
    }
    job = job_find_free(engine);
    if (job == NULL)
        return false;
    job->decided = type;
    (void)str_copy(str_of(run_id), job->run_id, sizeof job->run_id);
    (void)str_copy(str_of(step_id), job->step_id, sizeof job->step_id);
    return job_start(engine, call, job, JOB_DECIDED);
}

bool job_answers(struct engine *engine, struct rpc_call *call, struct run *run, unsigned step,
                 struct str answers, const char *actor)
{
    struct job *job = job_find_free(engine);
    char output[LIMIT_NAME + 1];

    if (job == NULL)
        return false;
    memcpy(job->run_id, run->id, sizeof job->run_id);
    (void)str_copy(str_of(actor), job->actor, sizeof job->actor);
    /* Both views are good until the helper has been forked. */
    job->inputs = answers;
    if (source_names(engine, run, step, job->step_id, output) != OK ||
        !waiting_fields(engine, run, step, &job->fields))
        job->fields = STR("{}");
    return job_start(engine, call, job, JOB_ANSWERS);
}

void run_on_artifacts(void *context, struct rpc_call *call, struct str params)
{
    struct named {
        char run_id[LIMIT_RUN_ID + 1];
    } read;
    static const struct json_field fields[] = {
        {"run_id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct named, run_id), LIMIT_RUN_ID + 1,
         0, 0},
    };
    struct engine *engine = context;

    if (!rpc_params(call, params, fields, 1, &read))
        return;
    if (table_find(&engine->table, str_of(read.run_id)) == NULL &&
        table_find_ended(&engine->table, str_of(read.run_id)) == NULL) {
        engine_refuse_run(engine, call, read.run_id);
        return;
    }
    struct job *job = job_find_free(engine);
    if (job == NULL) {
        call->again = true;
        return;
    }
    memcpy(job->run_id, read.run_id, sizeof job->run_id);
    (void)job_start(engine, call, job, JOB_ARTIFACTS);
}

void run_on_workflows_list(void *context, struct rpc_call *call, struct str params)
{
    struct job *job = job_find_free(context);
    (void)params;
    if (job == NULL)
        call->again = true;
    else
        (void)job_start(context, call, job, JOB_LIST);
}

void run_on_workflows_show(void *context, struct rpc_call *call, struct str params)
{
    struct named {
        char workflow_id[LIMIT_NAME + 1];
    } read;
    static const struct json_field fields[] = {
        {"workflow_id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct named, workflow_id),
         LIMIT_NAME + 1, 0, 0},
    };
    struct job *job = job_find_free(context);

    if (!rpc_params(call, params, fields, 1, &read))
        return;
    if (job == NULL) {
        call->again = true;
        return;
    }
    memcpy(job->workflow_id, read.workflow_id, sizeof job->workflow_id);
    (void)job_start(context, call, job, JOB_SHOW);
}

void jobs_cancel(struct engine *engine)
{
    struct rpc_error error;

    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++) {
        struct job *job = &engine->jobs[i];
        if (job->kind == JOB_FREE)
            continue;
        int64_t pid = job->helper.pid;
        helper_cancel(&job->helper);
        if (pid != 0 && job->kind == JOB_SUBMIT)
            describe_abandon(pid);
        rpc_resume(&job->call);
        rpc_error_set(&error, RPC_NOT_READY, "the daemon is stopping");
        engine_refuse(engine, &job->call, &error);
        job->kind = JOB_FREE;
    }
}
