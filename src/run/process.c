/* Integration processes: started, spoken to, put to an end.  A slot is free again only when its process was reaped, its group killed and
 * its pipes are closed.  This file decides nothing about steps: it tells the engine what became of an attempt. */
#include "run/engine.h"

#include "base/assert.h"
#include "base/log.h"
#include "json/read.h"
#include "port.h"

#include <stdarg.h>
#include <string.h>

#define SETUP_MS 60000 /* contract §2: where the step has no timeout */

/* --- ends of pipes ------------------------------------------------------------------------------------------------- */

static void close_end(struct engine *engine, struct loop_fd *end)
{
    if (end->fd < 0)
        return;
    loop_remove(engine->loop, end);
    port_close(end->fd);
    end->fd = -1;
}

static void on_in(struct loop_fd *node, unsigned ready)
{
    (void)ready;
    struct process *process = node->context;
    node->wanted = 0;
    process->in_ready = true; /* written after the commit */
    process->engine->act = true;
}

static void on_out(struct loop_fd *node, unsigned ready)
{
    (void)ready;
    struct process *process = node->context;
    reader_out(process->engine, process);
}

static void on_err(struct loop_fd *node, unsigned ready)
{
    (void)ready;
    struct process *process = node->context;
    reader_err(process->engine, process);
}

void process_close_out(struct engine *engine, struct process *process)
{
    close_end(engine, &process->out);
}

void process_close_err(struct engine *engine, struct process *process)
{
    close_end(engine, &process->err);
}

/* --- states -------------------------------------------------------------------------------------------------------- */

static void set_grace(struct engine *engine, struct process *process)
{
    loop_timer_set(engine->loop, &process->grace, engine->loop->now_ms + LIMIT_GRACE_MS);
}

static void begin_request(struct engine *engine, struct process *process)
{
    process->last_id++;
    process->request = process->state;
    process->sending = true;
    process->sent = 0;
    process->request_length = 0;
    process->in_ready = true;
    engine->act = true;
}

static void send_cancel(struct process *process)
{
    char bytes[128];
    struct out out = OUT_ON(bytes);
    char id[16];
    struct out digits = OUT_ON(id);
    size_t put;

    process->cancel_due = false;
    /* In the middle of a request there is no place for a message; one that takes no input is terminated soon enough. */
    if (process->sending && process->sent > 0)
        return;
    if (process->sending) {
        process->sending = false;
        return;
    }
    out_u64(&digits, process->last_id);
    struct json_writer w = rpc_begin_notification(&out, "cancel");
    json_object(&w);
    json_put_str(&w, "id", out_view(&digits));
    json_object_end(&w);
    rpc_end(&w);
    out_byte(&out, '\n');
    if (process->in.fd >= 0)
        (void)port_write(process->in.fd, out_view(&out), &put); /* best effort: signals follow */
}

/* The entry action of each state. */
void process_change(struct engine *engine, struct process *process, enum process_event event)
{
    enum process_state next = process_next(process->state, event);

    ASSERT(next != PROCESS_STATES);
    process->state = (uint8_t)next;
    loop_timer_clear(engine->loop, &process->grace);
    switch (next) {
    case PROCESS_SETUP:
    case PROCESS_EXECUTING:
        begin_request(engine, process);
        break;
    case PROCESS_TEARDOWN:
        begin_request(engine, process);
        set_grace(engine, process);
        break;
    case PROCESS_CANCELLING:
        process->cancel_due = true; /* told after the commit, like whatever decided it */
        engine->act = true;
        set_grace(engine, process);
        break;
    case PROCESS_CLOSING:
        process->sending = false;
        close_end(engine, &process->in);
        set_grace(engine, process);
        break;
    case PROCESS_TERMINATING:
        process->sending = false;
        close_end(engine, &process->in);
        port_kill_group(process->pid, PORT_TERM);
        port_kill_group(process->pid, PORT_CONTINUE); /* a stopped one could not act on it */
        set_grace(engine, process);
        break;
    case PROCESS_KILLING:
        port_kill_group(process->pid, PORT_KILL);
        break;
    default:
        break;
    }
}

static void on_grace(struct loop_timer *timer)
{
    struct process *process = timer->context;
    struct engine *engine = process->engine;

    if (process->state >= PROCESS_KILLING)
        return; /* nothing is harder than that: it dies when the system lets it */
    if (process->state == PROCESS_TEARDOWN)
        process_log(engine, process, "log", "warning",
                    STR("teardown was not answered within the grace time"));
    if (process->state <= PROCESS_EXECUTING)
        process_broke(engine, process, FAILURE_PROTOCOL, "it closed its stdout and lives on");
    else
        process_change(engine, process, PROCESS_GRACE_OVER);
}

static void on_deadline(struct loop_timer *timer)
{
    struct process *process = timer->context;
    struct engine *engine = process->engine;
    int64_t after_ms = process->timeout_ms > 0 ? process->timeout_ms : SETUP_MS;

    if (process->failure.kind == FAILURE_NONE)
        failure_set(&process->failure, FAILURE_TIMEOUT, "no answer to %s within %lld ms",
                    process->state == PROCESS_SETUP ? "setup" : "execute", (long long)after_ms);
    process_cancel(engine, process);
}

void process_cancel(struct engine *engine, struct process *process)
{
    loop_timer_clear(engine->loop, &process->deadline);
    if (process->state == PROCESS_LAUNCHING) { /* nothing was started yet */
        process->state = PROCESS_GONE;
        engine->act = true;
    } else if (process->state == PROCESS_SETUP || process->state == PROCESS_EXECUTING) {
        process_change(engine, process, PROCESS_CANCEL);
    } else if (process->state == PROCESS_IDLE && process->step != STEP_NONE && !process->storing) {
        engine_step_failed(engine, process); /* set up, but not asked yet: nothing is in flight */
    }
}

void process_release(struct engine *engine, struct process *process)
{
    if (process->state == PROCESS_IDLE && process->step == STEP_NONE && !process->storing)
        process_change(engine, process, PROCESS_RELEASE);
}

void process_terminate(struct engine *engine, struct process *process)
{
    if (process->state >= PROCESS_SETUP && process->state < PROCESS_TERMINATING)
        process_change(engine, process, PROCESS_BROKEN);
    else if (process->state == PROCESS_TERMINATING)
        process_change(engine, process, PROCESS_GRACE_OVER);
}

/* A teardown that fails fails nothing else. */
static void warn_teardown(struct engine *engine, struct process *process, const char *why)
{
    char text[LIMIT_TEXT + 32];
    struct out out = OUT_ON(text);

    out_text(&out, "teardown failed: ");
    out_text(&out, why);
    process_log(engine, process, "log", "warning", out_view(&out));
}

void process_broke(struct engine *engine, struct process *process, enum failure_kind kind,
                   const char *format, ...)
{
    if (process->failure.kind == FAILURE_NONE) {
        char text[LIMIT_TEXT];
        struct out out = OUT_ON(text);
        va_list args;
        va_start(args, format);
        out_vformat_cut(&out, format, args);
        va_end(args);
        failure_set(&process->failure, kind, "%s", out_cstr(&out));
    }
    process_close_out(engine, process);
    if (process->state == PROCESS_TEARDOWN)
        warn_teardown(engine, process, "a broken answer");
    if (process->state >= PROCESS_SETUP && process->state < PROCESS_TERMINATING)
        process_change(engine, process, PROCESS_BROKEN);
}

/* --- taking one for a step ------------------------------------------------------------------------------------------ */

static void begin_attempt(struct engine *engine, struct process *process, unsigned step,
                          int64_t timeout_ms)
{
    process->step = process->log_step = (uint8_t)step;
    if (process->failure.kind != FAILURE_NONE) /* else its page stays as it is */
        process->failure.kind = FAILURE_NONE;
    process->tail_n = 0;
    process->timeout_ms = timeout_ms;
    if (timeout_ms > 0)
        loop_timer_set(engine->loop, &process->deadline, engine->loop->now_ms + timeout_ms);
    else if (process->state == PROCESS_LAUNCHING)
        loop_timer_set(engine->loop, &process->deadline, engine->loop->now_ms + SETUP_MS);
    engine->act = true;
}

/* All slots are taken.  Idle processes are kept for later steps of their runs; where runs that hold some wait for more, none of them would
 * ever go on.  So one idle process goes for whoever waits, one at a time; its run starts another when it needs it. */
static void make_place(struct engine *engine)
{
    struct process *idle = NULL;

    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state >= PROCESS_TEARDOWN && process->state != PROCESS_KILLING)
            return; /* a place comes free soon */
        if (process->state == PROCESS_IDLE && process->step == STEP_NONE && !process->storing)
            idle = process;
    }
    if (idle != NULL)
        process_release(engine, idle);
}

struct process *process_take(struct engine *engine, struct run *run, unsigned step,
                             const char *integration, unsigned integration_index,
                             int64_t timeout_ms)
{
    struct process *free = NULL;

    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_FREE) {
            free = free == NULL ? process : free;
            continue;
        }
        if (process->run != run || strcmp(process->name, integration) != 0 || process->storing ||
            process->state > PROCESS_EXECUTING)
            continue;
        if (process->state != PROCESS_IDLE || process->step != STEP_NONE)
            return NULL; /* steps that share a process take turns */
        process->state = PROCESS_IDLE;
        begin_attempt(engine, process, step, timeout_ms);
        return process;
    }
    if (free == NULL) {
        make_place(engine);
        return NULL;
    }
    memset(free, 0, offsetof(struct process, intake));
    free->engine = engine;
    free->state = PROCESS_LAUNCHING;
    free->run = run;
    free->integration = (uint8_t)integration_index;
    (void)str_copy(str_of(integration), free->name, sizeof free->name);
    free->in = (struct loop_fd){.fd = -1, .on_ready = on_in, .context = free};
    free->out = (struct loop_fd){.fd = -1, .on_ready = on_out, .context = free};
    free->err = (struct loop_fd){.fd = -1, .on_ready = on_err, .context = free};
    free->deadline = (struct loop_timer){.on_due = on_deadline, .context = free};
    free->grace = (struct loop_timer){.on_due = on_grace, .context = free};
    intake_start(&free->intake);
    free->storing = free->torn = false;
    free->warned_unknown = false;
    free->err_n = 0;
    free->err_cut = false;
    free->exited = false;
    run->processes++;
    begin_attempt(engine, free, step, timeout_ms);
    return free;
}

/* --- sending --------------------------------------------------------------------------------------------------------- */

/* Walks once without writing: finds a template that leads nowhere, or a request that is too long, before the first byte goes out. */
static bool measure(struct engine *engine, struct process *process, const struct scope *scope,
                    struct request_sink *sink)
{
    sink->fd = -1;
    process->request_deadline_ms = loop_timer_is_set(&process->deadline) && process->timeout_ms > 0
                                       ? (process->deadline.at_ms > engine->loop->now_ms
                                              ? process->deadline.at_ms - engine->loop->now_ms
                                              : 0)
                                       : -1;
    enum err err = request_generate(scope, sink, process);
    if (err == OK && sink->at - sink->hydrated > LIMIT_REQUEST) {
        failure_set(&process->failure, FAILURE_TOO_LARGE,
                    "the request would be %llu bytes long; the limit is %d",
                    (unsigned long long)(sink->at - sink->hydrated), LIMIT_REQUEST);
        return false;
    }
    if (err != OK) {
        failure_set(&process->failure, FAILURE_TEMPLATE, "%s",
                    scope->reason[0] != '\0' ? scope->reason : err_text(err));
        return false;
    }
    process->request_length = sink->at;
    return true;
}

void process_send(struct engine *engine, struct process *process)
{
    char reason[LIMIT_TEXT] = "";
    struct scope scope = {
        .engine = engine, .run = process->run, .step = process->step, .reason = reason};
    struct request_sink sink; /* its buffer is large: one on the stack is enough */

    process->in_ready = false;
    request_sink_begin(&sink, process->in.fd, 0);
    if (process->request_length == 0 && !measure(engine, process, &scope, &sink)) {
        process->sending = false;
        if (process->state == PROCESS_EXECUTING) {
            /* The process has done nothing wrong: it is free for other steps. */
            process_change(engine, process, PROCESS_ANSWERED);
            engine_step_failed(engine, process);
        } else {
            process_broke(engine, process, FAILURE_TEMPLATE, "%s", reason);
        }
        return;
    }
    request_sink_begin(&sink, process->in.fd, process->sent);
    (void)request_generate(&scope, &sink, process);
    process->sent += sink.sent;
    if (process->sent == process->request_length) {
        process->sending = false;
    } else if (sink.err == ERR_AGAIN) {
        process->in.wanted = PORT_WRITABLE;
    } else {
        /* It has closed its stdin, or is dead: its exit, its answer or the deadline will tell. */
        process->sending = false;
        close_end(engine, &process->in);
    }
}

/* --- ends ------------------------------------------------------------------------------------------------------------- */

static void describe_end(struct process *process)
{
    const char *what = process->intake.n > 0 ? "after half a line" : "without an answer";

    if (process->failure.kind == FAILURE_NONE) {
        if (process->signal > 0)
            failure_set(&process->failure, FAILURE_EXITED, "killed by %s %s",
                        port_signal_name(process->signal), what);
        else
            failure_set(&process->failure, FAILURE_EXITED, "exited with code %d %s",
                        process->exit_code, what);
    }
    process->failure.exit_code = process->exit_code;
    process->failure.signal = process->signal;
}

/* The slot is free afterwards. */
static void finish(struct engine *engine, struct process *process)
{
    struct run *run = process->run;

    loop_timer_clear(engine->loop, &process->deadline);
    loop_timer_clear(engine->loop, &process->grace);
    close_end(engine, &process->in);
    close_end(engine, &process->out);
    close_end(engine, &process->err);
    intake_stop(&process->intake);
    if (process->step != STEP_NONE) {
        if (process->exited)
            describe_end(process);
        engine_step_failed(engine, process);
    }
    process->state = PROCESS_FREE;
    run->processes--;
    /* A slot has come free: steps of any run may have waited for it. */
    engine_attend_all(engine);
    port_release(process->intake.tail, sizeof process->intake.tail);
}

static void on_exit_of(struct engine *engine, struct process *process)
{
    process->exited = true;
    /* Whatever it has left in its group goes with it; what it has left in its pipes is read first. */
    port_kill_group(process->pid, PORT_KILL);
    if (process->out.fd >= 0)
        reader_out_rest(engine, process);
    if (process->err.fd >= 0)
        reader_err_rest(engine, process);
    if (process->state == PROCESS_TEARDOWN) {
        struct failure end; /* the attempt may have one of its own */
        if (process->signal > 0)
            failure_set(&end, FAILURE_EXITED, "killed by %s", port_signal_name(process->signal));
        else
            failure_set(&end, FAILURE_EXITED, "exited with code %d without an answer",
                        process->exit_code);
        warn_teardown(engine, process, end.message);
    }
    process_change(engine, process, PROCESS_EXITED);
    engine->act = true;
}

bool engine_knows(const struct engine *engine, int64_t pid)
{
    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        const struct process *process = &engine->processes[i];
        if (process->state != PROCESS_FREE && process->state != PROCESS_GONE && process->pid == pid)
            return true;
    }
    return false;
}

bool engine_reaped(struct engine *engine, int64_t pid, int exit_code, int signal)
{
    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_FREE || process->state == PROCESS_GONE || process->pid != pid)
            continue;
        process->exit_code = exit_code;
        process->signal = signal;
        on_exit_of(engine, process);
        return true;
    }
    return false;
}

void processes_act(struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_LAUNCHING)
            process_launch(engine, process);
        if (process->state == PROCESS_IDLE && process->step != STEP_NONE && !process->storing) {
            if (process->timeout_ms == 0)
                loop_timer_clear(engine->loop, &process->deadline); /* it was the setup's */
            process_make_directory(engine, process);
            process_change(engine, process, PROCESS_EXECUTE);
        }
        if (process->cancel_due && process->state == PROCESS_CANCELLING)
            send_cancel(process);
        if (process->sending && process->in_ready && process->in.fd >= 0)
            process_send(engine, process);
        if (process->state == PROCESS_GONE && !process->storing)
            finish(engine, process);
    }
}
