/* What integrations write: lines on stdout, of which run/conversation.c makes sense, and lines on stderr, which become events.  One bounded
 * read a turn and pipe, so that a loud one cannot starve the rest. */
#include "run/engine.h"

#include "json/check.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

#define CHUNK 16384
#define REST_MAX (1024 * 1024) /* what a pipe can hold at most when its writer is gone */

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
    out_text(&out, INTAKE_SPILL);
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
        } else if (err == ERR_INVALID && scan->duplicate >= 0) {
            const struct json_scan_path *twice = &scan->paths[scan->duplicate];
            process_broke(engine, process, FAILURE_PROTOCOL, "the member \"%s\"%s is given twice",
                          twice->outer, twice->inner == NULL ? "" : ", or one in it,");
        } else if (err == ERR_INVALID) {
            process_broke(engine, process, FAILURE_PROTOCOL, "a message is an object");
        } else if (err != OK) {
            process_broke(engine, process, FAILURE_TOO_LARGE, "its line cannot be kept: %s",
                          port_last_error());
        } else if (process->state == PROCESS_EXECUTING &&
                   (json_scan_has(scan, INTAKE_RESULT) || json_scan_has(scan, INTAKE_ERROR)) &&
                   has_second_answer(bytes)) {
            process_broke(engine, process, FAILURE_PROTOCOL, "two answers to one request");
        } else {
            conversation_line(engine, process);
            if (!process->storing)
                intake_next(&process->intake);
            else {
                /* Its line must stay where it is.  What stands behind it in the chunk was asked for by nobody; when
                 * that is part of a line, so is its other part. */
                process->torn = bytes.n > 0 && bytes.p[bytes.n - 1] != '\n';
                return;
            }
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

    /* Until the answer is stored, as its line occupies the intake; or until what it says can be written down. */
    if (process->storing || pressure_holds(engine)) {
        process->out.wanted = 0;
        return;
    }
    enum err err = port_read(process->out.fd, chunk, CHUNK, &got);
    if (err == ERR_AGAIN)
        return;
    if (err != OK) {
        on_out_end(engine, process);
        return;
    }
    struct str bytes = str_range(chunk, got);
    if (process->torn) {
        size_t end = str_find(bytes, '\n');
        process->torn = end == bytes.n;
        bytes = str_from(bytes, end + 1);
    }
    take_bytes(engine, process, bytes);
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

    if (pressure_holds(engine)) {
        process->err.wanted = 0;
        return;
    }
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
