/* What integrations say: answers and notifications on stdout, lines on stderr.  One bounded read a turn and pipe, so that a loud one cannot starve the
 * rest; whatever breaks the protocol ends the attempt, and names the byte or the member. */
#include "run/engine.h"

#include "json/check.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

#define CHUNK 16384
#define REST_MAX (1024 * 1024) /* what a pipe can hold at most when its writer is gone */

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

struct notice {
    char level[16];
    struct str message, current, total;
};

static void on_log(struct engine *engine, struct process *process, struct str params)
{
    static const struct json_field fields[] = {
        {"level", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct notice, level), 16, 0, 0},
        {"message", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(struct notice, message), 0, 0, 0},
    };
    struct notice notice = {.message = STR_NONE};
    struct json_field_error problem;

    if (json_read(params, fields, 2, &notice, &problem) != OK) {
        process_log(engine, process, "log", "warning",
                    STR("a `log` notification without level or message was ignored"));
        return;
    }
    struct out text = OUT_ON(engine->scratch.value);
    (void)json_string_decode(notice.message, &text);
    mask_text(&engine->mask, text.p,
              &text.n); /* whole: where it is cut, half a secret would pass */
    bool known = strcmp(notice.level, "debug") == 0 || strcmp(notice.level, "info") == 0 ||
                 strcmp(notice.level, "warning") == 0 || strcmp(notice.level, "error") == 0;
    process_log(engine, process, "log", known ? notice.level : "info", out_view(&text));
}

static bool is_number(struct str raw)
{
    return json_type(raw) == JSON_NUMBER;
}

static void on_progress(struct engine *engine, struct process *process, struct str params)
{
    static const struct json_field fields[] = {
        {"current", JSON_FIELD_RAW, JSON_REQUIRED, offsetof(struct notice, current), 0, 0, 0},
        {"total", JSON_FIELD_RAW, JSON_NULLABLE, offsetof(struct notice, total), 0, 0, 0},
        {"message", JSON_FIELD_STRING, JSON_NULLABLE, offsetof(struct notice, message), 0, 0, 0},
    };
    struct notice notice = {.message = STR_NONE};
    struct json_field_error problem;
    struct run *run = process->run;

    if (json_read(params, fields, 3, &notice, &problem) != OK || !is_number(notice.current) ||
        (notice.total.n > 0 && !is_number(notice.total))) {
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

static bool type_fits(const char *wanted, char first)
{
    enum json_type type = json_type(str_range(&first, 1));

    if (strcmp(wanted, "text") == 0)
        return type == JSON_STRING;
    if (strcmp(wanted, "number") == 0)
        return type == JSON_NUMBER;
    if (strcmp(wanted, "boolean") == 0)
        return type == JSON_BOOLEAN;
    if (strcmp(wanted, "list") == 0)
        return type == JSON_ARRAY;
    if (strcmp(wanted, "object") == 0)
        return type == JSON_OBJECT;
    return true;
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
    if (!type_fits(wanted, first)) {
        failure_set(&process->failure, FAILURE_OUTPUT_TYPE, "output_type is %s, the value is a %s",
                    wanted, json_type_name(json_type(str_range(&first, 1))));
        fail_answer(engine, process);
        return;
    }
    process_change(engine, process, PROCESS_ANSWERED);
    struct out value = OUT_ON(engine->scratch.value);
    if (strcmp(wanted, "artifact") != 0 && length <= LIMIT_INLINE_VALUE &&
        run->inline_bytes + length <= LIMIT_RUN_VALUES &&
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
    struct named {
        char path[256], media[128];
    } named = {.media = "application/octet-stream"};
    static const struct json_field fields[] = {
        {"path", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct named, path), 256, 0, 0},
        {"media_type", JSON_FIELD_TEXT, 0, offsetof(struct named, media), 128, 0, 0},
    };
    struct json_field_error problem;
    char wanted[16];
    struct str step;

    if (json_type(raw) != JSON_OBJECT || json_read(raw, fields, 2, &named, &problem) != OK ||
        named.path[0] == '\0') {
        process_broke(engine, process, FAILURE_PROTOCOL,
                      "result.artifact must have a path and may have a media_type");
        return;
    }
    wanted[0] = '\0';
    if (source_step(engine, process->run, process->step, &step) == OK)
        source_text(step, "output_type", wanted, sizeof wanted);
    if (strcmp(wanted, "artifact") != 0 && strcmp(wanted, "json") != 0) {
        failure_set(&process->failure, FAILURE_OUTPUT_TYPE,
                    "output_type is %s, the result is an artifact", wanted);
        fail_answer(engine, process);
        return;
    }
    memcpy(process->store_path, named.path, sizeof named.path);
    memcpy(process->store_media, named.media, sizeof named.media);
    process_change(engine, process, PROCESS_ANSWERED);
    store_start(engine, process);
}

static void take_error(struct engine *engine, struct process *process, struct str raw)
{
    struct answer {
        int64_t code;
        struct str message, data;
    } answer = {.code = 0};
    static const struct json_field fields[] = {
        {"code", JSON_FIELD_INTEGER, 0, offsetof(struct answer, code), 0, 0, 0},
        {"message", JSON_FIELD_STRING, 0, offsetof(struct answer, message), 0, 0, 0},
        {"data", JSON_FIELD_RAW, 0, offsetof(struct answer, data), 0, 0, 0},
    };
    struct json_field_error problem;
    bool setup = process->state == PROCESS_SETUP;
    struct str retry;

    if (json_read(raw, fields, 3, &answer, &problem) != OK) {
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
    process->failure.no_retry = json_member(answer.data, "retry", &retry) &&
                                json_type(retry) == JSON_BOOLEAN && !json_is_true(retry);
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
    struct str ok, artifact;

    switch ((enum process_state)process->state) {
    case PROCESS_SETUP:
        if (json_member(result, "ok", &ok) && json_type(ok) == JSON_BOOLEAN && !json_is_true(ok)) {
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
        if (has_value == has_artifact) {
            process_broke(engine, process, FAILURE_PROTOCOL,
                          "a result has exactly one of value and artifact; this one has %s",
                          has_value ? "both" : "neither");
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
                      id.n > 80 ? 80 : (int)id.n, id.n > 0 ? id.p : "null", process->last_id);
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

static void on_line(struct engine *engine, struct process *process)
{
    struct out text = OUT_ON(engine->scratch.line);
    struct rpc_envelope envelope;
    struct rpc_error error;

    if (process->intake.n > LIMIT_MESSAGE) {
        on_long_line(engine, process);
        return;
    }
    if (intake_read(&process->intake, 0, process->intake.n, &text) != OK) {
        process_broke(engine, process, FAILURE_PROTOCOL, "its line cannot be read back: %s",
                      port_last_error());
        return;
    }
    if (rpc_read(out_view(&text), &envelope, &error) != OK) {
        process_broke(engine, process, FAILURE_PROTOCOL, "%s", error.message);
        return;
    }
    if (envelope.kind == RPC_RESPONSE)
        on_answer(engine, process, envelope.id, envelope.result, envelope.error);
    else if (envelope.kind == RPC_NOTIFICATION)
        on_notification(engine, process, &envelope);
    else
        process_broke(engine, process, FAILURE_PROTOCOL,
                      "it sent a request (\"%s\"); integrations only answer and notify",
                      envelope.method);
}

/* --- stdout ------------------------------------------------------------------------------------------------------------ */

/* Whether the bytes behind an answer to `execute` hold another answer: two answers are a protocol error, and the first must not have
 * completed the step by then. */
static bool has_second_answer(struct str rest)
{
    static const struct json_scan_path paths[] = {{"result", NULL}, {"error", NULL}};
    struct json_scan scan;
    struct str line;

    while (rest.n > 0) {
        if (!str_cut(rest, '\n', &line, &rest))
            return false;
        json_scan_start(&scan, paths, 2, LIMIT_JSON_DEPTH);
        if (json_scan_feed(&scan, line) == OK && json_scan_end(&scan) == OK &&
            (json_scan_has(&scan, 0) || json_scan_has(&scan, 1)))
            return true;
    }
    return false;
}

static void spill_path(struct engine *engine, const struct process *process, char path[LIMIT_PATH])
{
    char name[32];
    struct out out = OUT_ON(name);
    out_text(&out, "spill-");
    out_u64(&out, (uint64_t)(process - engine->processes));
    source_run_path(engine, process->run->id, out_cstr(&out), path);
}

static void take_bytes(struct engine *engine, struct process *process, struct str bytes)
{
    char path[LIMIT_PATH];
    uint64_t limit = process->state == PROCESS_EXECUTING ? (uint64_t)LIMIT_ARTIFACT + LIMIT_MESSAGE
                                                         : LIMIT_MESSAGE;
    size_t used;

    spill_path(engine, process, path);
    while (bytes.n > 0 && process->out.fd >= 0) {
        const struct json_scan *scan = &process->intake.scan;
        enum err err = intake_feed(&process->intake, bytes, limit, path, &used);
        if (err == ERR_AGAIN)
            return;
        bytes = str_from(bytes, used);
        if (err == ERR_TOO_LARGE) {
            process_broke(engine, process, FAILURE_TOO_LARGE, "a line of more than %llu bytes",
                          (unsigned long long)limit);
        } else if (err == ERR_SYNTAX) {
            process_broke(engine, process, FAILURE_PROTOCOL, "its line is no JSON: %s at byte %llu",
                          scan->check.reason != NULL ? scan->check.reason : "it ends too early",
                          (unsigned long long)scan->check.offset);
        } else if (err == ERR_INVALID) {
            process_broke(engine, process, FAILURE_PROTOCOL,
                          scan->duplicate >= 0 ? "a member is given twice"
                                               : "a message is an object");
        } else if (err != OK) {
            process_broke(engine, process, FAILURE_TOO_LARGE, "its line cannot be kept: %s",
                          port_last_error());
        } else if (process->state == PROCESS_EXECUTING &&
                   (json_scan_has(scan, INTAKE_RESULT) || json_scan_has(scan, INTAKE_ERROR)) &&
                   has_second_answer(bytes)) {
            process_broke(engine, process, FAILURE_PROTOCOL, "two answers to one request");
        } else {
            on_line(engine, process);
            if (!process->storing)
                intake_next(&process->intake);
            else
                return; /* its line must stay where it is; what stands behind it in the chunk was asked for by nobody */
        }
    }
}

static void on_out_end(struct engine *engine, struct process *process)
{
    process_close_out(engine, process);
    if (process->exited)
        return;
    /* Its exit mostly follows at once and says more; one that lives on without a voice gets the grace time. */
    if (!loop_timer_is_set(&process->grace))
        loop_timer_set(engine->loop, &process->grace, engine->loop->now_ms + LIMIT_GRACE_MS);
}

void reader_out(struct engine *engine, struct process *process)
{
    char *chunk = engine->scratch.chunk_out;
    size_t got;

    if (process->storing) {
        process->out.wanted = 0; /* until the answer is stored: its line occupies the intake */
        return;
    }
    enum err err = port_read(process->out.fd, chunk, CHUNK, &got);
    if (err == ERR_AGAIN)
        return;
    if (err != OK) {
        on_out_end(engine, process);
        return;
    }
    take_bytes(engine, process, str_range(chunk, got));
}

void reader_out_rest(struct engine *engine, struct process *process)
{
    size_t got, total = 0;

    while (process->out.fd >= 0 && !process->storing && total < REST_MAX &&
           port_read(process->out.fd, engine->scratch.chunk_out, CHUNK, &got) == OK) {
        take_bytes(engine, process, str_range(engine->scratch.chunk_out, got));
        total += got;
    }
    process_close_out(engine, process);
}

/* --- stderr ------------------------------------------------------------------------------------------------------------ */

/* Keeps the last lines for the error that may come; the oldest go first. */
static void remember(struct process *process, struct str line)
{
    if (line.n + 1 > sizeof process->tail)
        line = str_from(line, line.n + 1 - sizeof process->tail);
    while (process->tail_n + line.n + 1 > sizeof process->tail) {
        struct str first, rest;
        (void)str_cut(str_range(process->tail, process->tail_n), '\n', &first, &rest);
        memmove(process->tail, rest.p, rest.n);
        process->tail_n = rest.n;
    }
    memcpy(process->tail + process->tail_n, line.p, line.n);
    process->tail_n += line.n;
    process->tail[process->tail_n++] = '\n';
}

static void end_err_line(struct engine *engine, struct process *process)
{
    struct str line = str_range(process->err_line, process->err_n);

    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n > 0) {
        remember(process, line);
        process_log(engine, process, "stderr", process->err_cut ? "warning" : "info", line);
    }
    process->err_n = 0;
    process->err_cut = false;
}

static void take_err(struct engine *engine, struct process *process, struct str bytes)
{
    while (bytes.n > 0) {
        struct str piece = str_head(bytes, str_find(bytes, '\n'));
        bool ends = piece.n < bytes.n;
        bytes = str_from(bytes, piece.n + (ends ? 1 : 0));
        static const char mark[] = " [cut]";
        size_t room = sizeof process->err_line - sizeof mark - process->err_n;
        if (!process->err_cut) {
            memcpy(process->err_line + process->err_n, piece.p, piece.n < room ? piece.n : room);
            process->err_n += piece.n < room ? piece.n : room;
            if (piece.n > room) {
                memcpy(process->err_line + process->err_n, mark, sizeof mark - 1);
                process->err_n += sizeof mark - 1;
                process->err_cut = true;
            }
        }
        if (ends)
            end_err_line(engine, process);
    }
}

void reader_err(struct engine *engine, struct process *process)
{
    size_t got;
    enum err err = port_read(process->err.fd, engine->scratch.chunk_err, CHUNK, &got);

    if (err == ERR_AGAIN)
        return;
    if (err != OK) {
        end_err_line(engine, process);
        process_close_err(engine, process);
        return;
    }
    take_err(engine, process, str_range(engine->scratch.chunk_err, got));
}

void reader_err_rest(struct engine *engine, struct process *process)
{
    size_t got, total = 0;

    while (process->err.fd >= 0 && total < REST_MAX &&
           port_read(process->err.fd, engine->scratch.chunk_err, CHUNK, &got) == OK) {
        take_err(engine, process, str_range(engine->scratch.chunk_err, got));
        total += got;
    }
    end_err_line(engine, process);
    process_close_err(engine, process);
}
