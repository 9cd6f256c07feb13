/* What integrations say, message by message (contract §2): logs and progress become events, answers end requests, anything else breaks the
 * protocol.  Bytes are run/reader.c's, what becomes of an attempt is run/attempt.c's. */
#include "run/engine.h"

#include "json/check.h"
#include "json/read.h"
#include "json/utf8.h"
#include "port.h"
#include "rpc/exchange.h"

#include <string.h>

#define SPARED_BYTES 512 /* a value that is hardly longer than an artifact's reference */

/* --- notifications --------------------------------------------------------------------------------------------------- */

void process_log(struct engine *engine, struct process *process, const char *stream,
                 const char *level, struct str message)
{
    struct run *run = process->run;

    if (run->status != RUN_RUNNING && run->status != RUN_WAITING)
        return;
    if (pressure_drop(engine, run, message.n))
        return;
    struct json_writer *w = event_begin(engine, run, EVENT_STEP_LOG, process->log_step);
    if (w == NULL)
        return;
    json_put_text(w, "stream", stream);
    json_put_text(w, "level", level);
    json_key(w, "message");
    json_string_begin(w);
    json_string_add(w, str_head(message, LIMIT_LOG_LINE));
    if (message.n > LIMIT_LOG_LINE)
        json_string_add(w, STR(" [cut]"));
    json_string_end(w);
    (void)event_end(engine, run, EVENT_STEP_LOG, process->log_step);
}

static void on_log(struct engine *engine, struct process *process, struct str params)
{
    struct exchange_log notice;
    struct json_field_error problem;

    if (exchange_read_log(params, &notice, &problem) != OK) {
        process_log(engine, process, "log", "warning",
                    STR("a `log` notification without level or message was ignored"));
        return;
    }
    struct out text = OUT_ON(engine->scratch.value);
    (void)json_string_decode(notice.message, &text);
    mask_text(&engine->mask, text.p,
              &text.n); /* whole: where it is cut, half a secret would pass */
    process_log(engine, process, "log",
                exchange_level_is_known(notice.level) ? notice.level : "info", out_view(&text));
}

static void on_progress(struct engine *engine, struct process *process, struct str params)
{
    struct exchange_progress notice;
    struct json_field_error problem;
    struct run *run = process->run;

    if (exchange_read_progress(params, &notice, &problem) != OK) {
        process_log(engine, process, "log", "warning",
                    STR("a malformed `progress` notification was ignored"));
        return;
    }
    if (process->step == STEP_NONE ||
        table_steps(&engine->table, run)[process->step].state != STEP_EXECUTING ||
        run->status != RUN_RUNNING)
        return;
    if (pressure_drop(engine, run, params.n))
        return;
    struct json_writer *w = event_begin(engine, run, EVENT_STEP_PROGRESS, process->step);
    if (w == NULL)
        return;
    struct out text = OUT_ON(engine->scratch.value);
    if (notice.message.n > 0)
        (void)json_string_decode(notice.message, &text);
    mask_text(&engine->mask, text.p, &text.n);
    json_put_raw(w, "current", notice.current);
    json_put_raw(w, "total", notice.total);
    if (notice.message.n > 0)
        json_put_str(w, "message", str_head(out_view(&text), LIMIT_LOG_LINE));
    else
        json_put_null(w, "message");
    (void)event_end(engine, run, EVENT_STEP_PROGRESS, process->step);
}

static void on_notification(struct engine *engine, struct process *process,
                            const struct rpc_envelope *envelope)
{
    bool in_flight = process->state == PROCESS_SETUP || process->state == PROCESS_EXECUTING ||
                     process->state == PROCESS_CANCELLING || process->state == PROCESS_TEARDOWN;
    struct str params = envelope->params.n > 0 ? envelope->params : STR("{}");

    if (in_flight && strcmp(envelope->method, "log") == 0) {
        on_log(engine, process, params);
    } else if (in_flight && strcmp(envelope->method, "progress") == 0) {
        on_progress(engine, process, params);
    } else if (!process->warned_unknown) {
        char text[160];
        struct out out = OUT_ON(text);
        process->warned_unknown = true;
        out_format(&out, "notifications \"%s\" %s are ignored", envelope->method,
                   in_flight ? "are unknown and" : "outside of a request");
        process_log(engine, process, "log", "warning", out_view(&out));
    }
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

static bool is_own_id(const struct process *process, struct str id)
{
    char text[16];
    struct out out = OUT_ON(text);
    out_u64(&out, process->last_id);
    return json_string_is(id, out_cstr(&out));
}

/* The attempt has failed by what it answered; the process itself is in order and serves on. */
static void fail_answer(struct engine *engine, struct process *process)
{
    process_change(engine, process, PROCESS_ANSWERED);
    engine_step_failed(engine, process);
}

static void take_value(struct engine *engine, struct process *process, char first, uint64_t from,
                       uint64_t length)
{
    struct run *run = process->run;
    char wanted[16];
    struct str raw;

    if (source_step(engine, run, process->step, &raw) != OK) {
        process_broke(engine, process, FAILURE_TEMPLATE, "the run's plan.json cannot be read");
        return;
    }
    source_text(raw, "output_type", wanted, sizeof wanted);
    if (!exchange_value_fits(wanted, first)) {
        failure_set(&process->failure, FAILURE_OUTPUT_TYPE, "output_type is %s, the value is a %s",
                    wanted, json_type_name(json_type(str_range(&first, 1))));
        fail_answer(engine, process);
        return;
    }
    process_change(engine, process, PROCESS_ANSWERED);
    struct out value = OUT_ON(engine->scratch.value);
    if (strcmp(wanted, "artifact") != 0 && length <= LIMIT_INLINE_VALUE &&
        run->inline_bytes + length <= LIMIT_RUN_VALUES &&
        (length <= SPARED_BYTES || !pressure_is_live(engine)) &&
        intake_read(&process->intake, from, length, &value) == OK &&
        json_check(out_view(&value), LIMIT_VALUE_DEPTH, NULL) == OK) {
        engine_step_value(engine, process, out_view(&value), STR_NONE);
        return;
    }
    process->store_path[0] = '\0';
    process->store_from = from;
    process->store_length = length;
    (void)str_copy(STR("application/json"), process->store_media, sizeof process->store_media);
    store_start(engine, process);
}

static void take_artifact(struct engine *engine, struct process *process, struct str raw)
{
    struct exchange_artifact named;
    struct json_field_error problem;
    char wanted[16];
    struct str step;

    if (exchange_read_artifact(raw, &named, &problem) != OK) {
        process_broke(engine, process, FAILURE_PROTOCOL,
                      "result.artifact must have a path and may have a media_type");
        return;
    }
    wanted[0] = '\0';
    if (source_step(engine, process->run, process->step, &step) == OK)
        source_text(step, "output_type", wanted, sizeof wanted);
    if (!exchange_artifact_fits(wanted)) {
        failure_set(&process->failure, FAILURE_OUTPUT_TYPE,
                    "output_type is %s, the result is an artifact", wanted);
        fail_answer(engine, process);
        return;
    }
    memcpy(process->store_path, named.path, sizeof named.path);
    memcpy(process->store_media, named.media_type, sizeof named.media_type);
    process_change(engine, process, PROCESS_ANSWERED);
    store_start(engine, process);
}

static void take_error(struct engine *engine, struct process *process, struct str raw)
{
    struct exchange_error answer;
    struct json_field_error problem;
    bool setup = process->state == PROCESS_SETUP;

    if (exchange_read_error(raw, &answer, &problem) != OK) {
        process_broke(engine, process, FAILURE_PROTOCOL, "malformed error answer: %s %s",
                      problem.path, problem.reason);
        return;
    }
    struct out text = OUT_ON(engine->scratch.value);
    if (answer.message.n > 0)
        (void)json_string_decode(answer.message, &text);
    mask_text(&engine->mask, text.p, &text.n);
    struct str message = str_head(out_view(&text), LIMIT_TEXT - 1);
    failure_set(&process->failure, setup ? FAILURE_SETUP_FAILED : FAILURE_INTEGRATION_ERROR, "%.*s",
                STR_ARG(message));
    process->failure.has_code = true;
    process->failure.code = answer.code;
    process->failure.no_retry = answer.no_retry;
    if (setup)
        process_change(engine, process,
                       PROCESS_REFUSED); /* the end of the process ends the attempt */
    else
        fail_answer(engine, process);
}

static void warn_teardown(struct engine *engine, struct process *process, struct str error)
{
    char text[512];
    struct out out = OUT_ON(text);
    struct str message = STR_NONE;

    out_text(&out, "teardown failed: ");
    if (json_member(error, "message", &message) && !json_string_decode(message, &out))
        out_text(&out, "(a message too long to show)");
    process_log(engine, process, "log", "warning", out_view(&out));
}

static void on_result(struct engine *engine, struct process *process, struct str result)
{
    const struct json_extent *extents = process->intake.scan.extents;
    struct str artifact;

    switch ((enum process_state)process->state) {
    case PROCESS_SETUP:
        if (!exchange_setup_is_ok(result)) {
            failure_set(&process->failure, FAILURE_SETUP_FAILED,
                        "setup answered that it is not ok");
            process_change(engine, process, PROCESS_REFUSED);
            return;
        }
        process_change(engine, process, PROCESS_ANSWERED);
        engine->act = true;
        return;
    case PROCESS_EXECUTING: {
        bool has_value = json_scan_has(&process->intake.scan, INTAKE_VALUE);
        bool has_artifact = json_scan_has(&process->intake.scan, INTAKE_ARTIFACT);
        const char *problem = exchange_result_problem(has_value, has_artifact);
        if (problem != NULL) {
            process_broke(engine, process, FAILURE_PROTOCOL, "%s", problem);
        } else if (has_value) {
            take_value(engine, process, extents[INTAKE_VALUE].first, extents[INTAKE_VALUE].start,
                       extents[INTAKE_VALUE].end - extents[INTAKE_VALUE].start);
        } else {
            struct out text = OUT_ON(engine->scratch.line);
            uint64_t length = extents[INTAKE_ARTIFACT].end - extents[INTAKE_ARTIFACT].start;
            artifact =
                length < 4096 && intake_read(&process->intake, extents[INTAKE_ARTIFACT].start,
                                             length, &text) == OK
                    ? out_view(&text)
                    : STR_NONE;
            take_artifact(engine, process, artifact);
        }
        return;
    }
    default: /* cancelling, teardown */
        process_change(engine, process, PROCESS_ANSWERED);
        return;
    }
}

static void on_answer(struct engine *engine, struct process *process, struct str id,
                      struct str result, struct str error)
{
    bool expected = process->state == PROCESS_SETUP || process->state == PROCESS_EXECUTING ||
                    process->state == PROCESS_CANCELLING || process->state == PROCESS_TEARDOWN;

    if (!expected || !is_own_id(process, id)) {
        if (process->state == PROCESS_CANCELLING || process->state >= PROCESS_CLOSING)
            return; /* late answers are nobody's any more */
        process_broke(engine, process, FAILURE_PROTOCOL,
                      expected ? "an answer with id %.*s; \"%u\" is in flight"
                               : "an answer with id %.*s that nobody waits for",
                      id.n == 0   ? 4
                      : id.n > 80 ? 80
                                  : (int)id.n,
                      id.n > 0 ? id.p : "null", process->last_id);
        return;
    }
    if (process->sending && process->state != PROCESS_CANCELLING &&
        process->sent < process->request_length && process->request_length > 0 &&
        process->in.fd >= 0 && process->sent == 0) {
        process_broke(engine, process, FAILURE_PROTOCOL, "an answer before the question");
        return;
    }
    /* What it said on stderr before belongs before the answer, as far as two pipes have an order. */
    if (process->err.fd >= 0)
        reader_err(engine, process);
    process->sending = false; /* who answers early wants no more of the question */
    if (error.n == 0) {
        on_result(engine, process, result);
    } else if (process->state == PROCESS_TEARDOWN) {
        warn_teardown(engine, process, error);
        process_change(engine, process, PROCESS_ANSWERED);
    } else if (process->state == PROCESS_CANCELLING) {
        process_change(engine, process, PROCESS_ANSWERED);
    } else {
        take_error(engine, process, error);
    }
}

/* An answer to `execute` that is longer than a message: read by its extents. */
static void on_long_line(struct engine *engine, struct process *process)
{
    const struct json_extent *extents = process->intake.scan.extents;
    uint64_t id_length = extents[INTAKE_ID].end - extents[INTAKE_ID].start;
    struct out id = OUT_ON(engine->scratch.line);

    if (json_scan_has(&process->intake.scan, INTAKE_METHOD) ||
        !json_scan_has(&process->intake.scan, INTAKE_RESULT) ||
        json_scan_has(&process->intake.scan, INTAKE_ERROR)) {
        process_broke(engine, process, FAILURE_TOO_LARGE,
                      "a message of %llu bytes; only results may pass %d",
                      (unsigned long long)process->intake.n, LIMIT_MESSAGE);
        return;
    }
    if (id_length > 400 ||
        intake_read(&process->intake, extents[INTAKE_ID].start, id_length, &id) != OK)
        id = OUT_ON(engine->scratch.line);
    on_answer(engine, process, out_view(&id), STR("{}"), STR_NONE);
}

/* The members of the envelope, as the intake has found them. */
static void find_members(const struct intake *intake, struct str line,
                         struct str values[RPC_MEMBERS])
{
    for (size_t i = 0; i < RPC_MEMBERS; i++) {
        const struct json_extent *extent = &intake->scan.extents[i];
        values[i] = json_scan_has(&intake->scan, i)
                        ? str_range(line.p + extent->start, (size_t)(extent->end - extent->start))
                        : STR_NONE;
    }
}

void conversation_line(struct engine *engine, struct process *process)
{
    struct str values[RPC_MEMBERS];
    struct out text = OUT_ON(engine->scratch.line);
    struct rpc_envelope envelope;
    struct rpc_error error;

    if (process->intake.n > LIMIT_MESSAGE) {
        on_long_line(engine, process);
        return;
    }
    struct str line = intake_line(&process->intake);
    if (line.n == 0) {
        if (intake_read(&process->intake, 0, process->intake.n, &text) != OK) {
            process_broke(engine, process, FAILURE_PROTOCOL, "its line cannot be read back: %s",
                          port_last_error());
            return;
        }
        line = out_view(&text);
    }
    find_members(&process->intake, line, values);
    if (rpc_read_members(values, &envelope, &error) != OK) {
        process_broke(engine, process, FAILURE_PROTOCOL, "%s", error.message);
        return;
    }
    switch (envelope.kind) {
    case RPC_RESPONSE:
        intake_keep(&process->intake); /* a helper may have to store what it says */
        on_answer(engine, process, envelope.id, envelope.result, envelope.error);
        break;
    case RPC_NOTIFICATION:
        on_notification(engine, process, &envelope);
        break;
    case RPC_REQUEST:
        process_broke(engine, process, FAILURE_PROTOCOL,
                      "it sent a request (\"%s\"); integrations only answer and notify",
                      envelope.method);
        break;
    }
}
