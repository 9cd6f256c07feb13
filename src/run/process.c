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
#define ARGV_MAX 64
#define ENV_MAX 64

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

static void send_cancel(struct engine *engine, struct process *process)
{
    (void)engine;
    char bytes[128];
    struct out out = OUT_ON(bytes);
    char id[16];
    struct out digits = OUT_ON(id);
    size_t put;

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
        send_cancel(engine, process);
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

    if (process->state == PROCESS_TEARDOWN)
        process_log(engine, process, "log", "warning", STR("teardown was not answered within the grace time"));
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

void process_broke(struct engine *engine, struct process *process, enum failure_kind kind, const char *format, ...)
{
    if (process->failure.kind == FAILURE_NONE) {
        char text[LIMIT_TEXT];
        struct out out = OUT_ON(text);
        va_list args;
        va_start(args, format);
        out_vformat(&out, format, args);
        va_end(args);
        if (out.overflow)
            out = (struct out){.p = text, .cap = sizeof text, .n = sizeof text - 1};
        failure_set(&process->failure, kind, "%s", out_cstr(&out));
    }
    process_close_out(engine, process);
    if (process->state >= PROCESS_SETUP && process->state < PROCESS_TERMINATING)
        process_change(engine, process, PROCESS_BROKEN);
}

/* --- taking one for a step ------------------------------------------------------------------------------------------ */

static void begin_attempt(struct engine *engine, struct process *process, unsigned step, int64_t timeout_ms)
{
    process->step = process->log_step = (uint8_t)step;
    process->failure.kind = FAILURE_NONE;
    process->tail_n = 0;
    process->timeout_ms = timeout_ms;
    if (timeout_ms > 0)
        loop_timer_set(engine->loop, &process->deadline, engine->loop->now_ms + timeout_ms);
    else if (process->state == PROCESS_LAUNCHING)
        loop_timer_set(engine->loop, &process->deadline, engine->loop->now_ms + SETUP_MS);
    engine->act = true;
}

struct process *process_take(struct engine *engine, struct run *run, unsigned step, const char *integration,
                             unsigned integration_index, int64_t timeout_ms)
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
    if (free == NULL)
        return NULL;
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
    free->storing = false;
    free->warned_unknown = false;
    free->err_n = 0;
    free->err_cut = false;
    free->exited = false;
    run->processes++;
    begin_attempt(engine, free, step, timeout_ms);
    return free;
}

/* --- launching ------------------------------------------------------------------------------------------------------ */

struct launch {
    const char *argv[ARGV_MAX + 1], *env[ENV_MAX + 1];
    size_t argc, envc;
    struct out text; /* the strings, NUL-terminated */
};

static const char *launch_end(struct launch *launch, size_t start)
{
    out_byte(&launch->text, '\0');
    return launch->text.p + start;
}

static bool add_env(struct launch *launch, const char *name, const char *value)
{
    size_t start = launch->text.n;
    if (launch->envc == ENV_MAX)
        return false;
    out_text(&launch->text, name);
    out_byte(&launch->text, '=');
    out_text(&launch->text, value);
    launch->env[launch->envc++] = launch_end(launch, start);
    return !launch->text.overflow;
}

static bool add_inherited(struct launch *launch, const char *name, const char *otherwise)
{
    const char *value = port_environment(name);
    value = value != NULL ? value : otherwise;
    return value == NULL || add_env(launch, name, value);
}

static enum err add_declared_env(const struct scope *scope, struct launch *launch, struct str env)
{
    struct json_walk walk = json_walk(env);
    struct str name, value;

    while (json_walk_next(&walk, &name, &value)) {
        size_t start = launch->text.n;
        if (launch->envc == ENV_MAX || !json_string_decode(name, &launch->text))
            return ERR_TOO_LARGE;
        out_byte(&launch->text, '=');
        enum err err = request_text(scope, value, &launch->text);
        if (err != OK)
            return err;
        if (memchr(launch->text.p + start, '\0', launch->text.n - start) != NULL)
            return ERR_INVALID;
        launch->env[launch->envc++] = launch_end(launch, start);
    }
    return launch->text.overflow ? ERR_TOO_LARGE : OK;
}

static bool add_arguments(struct launch *launch, struct str command)
{
    struct json_walk walk = json_walk(command);
    struct str ignored, value;

    while (json_walk_next(&walk, &ignored, &value)) {
        size_t start = launch->text.n;
        if (launch->argc == ARGV_MAX || !json_string_decode(value, &launch->text))
            return false;
        launch->argv[launch->argc++] = launch_end(launch, start);
    }
    return launch->argc > 0 && !launch->text.overflow;
}

static int64_t limit_of(struct str limits, const char *name)
{
    struct str raw;
    int64_t value;
    return json_member(limits, name, &raw) && json_integer(raw, &value) ? value : 0;
}

static void fail_launch(struct engine *engine, struct process *process, enum failure_kind kind, const char *what,
                        const char *why)
{
    if (process->failure.kind == FAILURE_NONE)
        failure_set(&process->failure, kind, "%s: %s", what, why);
    process->state = PROCESS_GONE;
    engine->act = true;
}

/* The directories that an attempt may write into; they are there already from the second attempt on. */
static void make_directories(struct engine *engine, const struct process *process, const char *step_id)
{
    char path[LIMIT_PATH];
    struct out out;

    source_run_path(engine, process->run->id, "files", path);
    (void)port_make_directory(path, 0700);
    out = (struct out){.p = path, .cap = sizeof path, .n = strlen(path)};
    out_byte(&out, '/');
    out_text(&out, step_id);
    (void)port_make_directory(out_cstr(&out), 0700);
}

static void step_id_of(struct engine *engine, const struct process *process, char id[LIMIT_NAME + 1])
{
    char output[LIMIT_NAME + 1];
    id[0] = '\0';
    if (process->step != STEP_NONE)
        (void)source_names(engine, process->run, process->step, id, output);
}

static enum err prepare(struct engine *engine, struct process *process, struct launch *launch, struct port_spawn *spawn,
                        char *reason)
{
    struct scope scope = {.engine = engine, .run = process->run, .step = process->step, .secrets = true, .reason = reason};
    char id[LIMIT_NAME + 1];
    struct str raw, command, env, limits;

    enum err err = source_integrations(engine, process->run, &raw);
    if (err != OK || !json_member(raw, process->name, &raw) || !json_member(raw, "command", &command)) {
        struct out out = out_on(reason, LIMIT_TEXT);
        out_text(&out, "the run's plan.json cannot be read");
        out_cstr(&out);
        return ERR_DAMAGED;
    }
    step_id_of(engine, process, id);
    launch->text = OUT_ON(engine->scratch.value);
    bool fits = add_arguments(launch, command) && add_inherited(launch, "PATH", "/usr/local/bin:/usr/bin:/bin") &&
                add_inherited(launch, "HOME", NULL) && add_inherited(launch, "LANG", NULL) &&
                add_inherited(launch, "TZ", NULL) && add_env(launch, "CHARTER_RUN_ID", process->run->id) &&
                add_env(launch, "CHARTER_STEP_ID", id) && add_env(launch, "CHARTER_DAEMON_ID", engine->daemon_id) &&
                add_env(launch, "CHARTER_PROJECT", engine->project->root);
    err = OK;
    if (fits && json_member(raw, "env", &env)) {
        /* Secrets are resolved in scratch.value: what is gathered so far moves out of the way. */
        launch->text.p = engine->scratch.environment;
        launch->text.cap = sizeof engine->scratch.environment;
        fits = launch->text.n <= launch->text.cap;
        if (fits) {
            memcpy(launch->text.p, engine->scratch.value, launch->text.n);
            for (size_t i = 0; i < launch->argc; i++)
                launch->argv[i] = launch->text.p + (launch->argv[i] - engine->scratch.value);
            for (size_t i = 0; i < launch->envc; i++)
                launch->env[i] = launch->text.p + (launch->env[i] - engine->scratch.value);
            err = add_declared_env(&scope, launch, env);
        }
    }
    if (err == ERR_NOT_FOUND)
        return err;
    if (!fits || err != OK) {
        struct out out = out_on(reason, LIMIT_TEXT);
        out_text(&out, err == ERR_INVALID ? "a value of its `env` holds a NUL" : "its command and environment are too long");
        out_cstr(&out);
        return ERR_TOO_LARGE;
    }
    *spawn = (struct port_spawn){.argv = launch->argv, .env = launch->env, .directory = engine->project->root};
    if (json_member(raw, "limits", &limits)) {
        spawn->memory_bytes = limit_of(limits, "memory_mb") * 1024 * 1024;
        spawn->cpu_s = limit_of(limits, "cpu_s");
        spawn->open_files = limit_of(limits, "open_files");
        spawn->processes = limit_of(limits, "processes");
    }
    make_directories(engine, process, id);
    return OK;
}

static bool watch(struct engine *engine, struct loop_fd *end, int fd, unsigned char wanted)
{
    end->fd = fd;
    end->wanted = wanted;
    return loop_add(engine->loop, end) == OK;
}

static void launch_process(struct engine *engine, struct process *process)
{
    char reason[LIMIT_TEXT] = "";
    struct launch launch = {.argc = 0};
    struct port_spawn spawn;
    struct port_child child;

    enum err err = prepare(engine, process, &launch, &spawn, reason);
    if (err != OK) {
        fail_launch(engine, process, err == ERR_NOT_FOUND ? FAILURE_TEMPLATE : FAILURE_SPAWN_FAILED, process->name, reason);
        return;
    }
    err = port_spawn(&spawn, &child);
    if (err != OK) {
        fail_launch(engine, process, FAILURE_SPAWN_FAILED, launch.argv[0], port_last_error());
        return;
    }
    port_wipe(engine->scratch.environment, launch.text.n);
    engine->metrics.processes_started++;
    process->pid = child.pid;
    bool watched = watch(engine, &process->in, child.in, 0);
    watched = watch(engine, &process->out, child.out, PORT_READABLE) && watched;
    watched = watch(engine, &process->err, child.err, PORT_READABLE) && watched;
    process_change(engine, process, PROCESS_LAUNCHED);
    if (!watched)
        process_broke(engine, process, FAILURE_SPAWN_FAILED, "%s: no room to watch its pipes", process->name);
}

/* --- sending --------------------------------------------------------------------------------------------------------- */

/* Walks once without writing: finds a template that leads nowhere, or a request that is too long, before the first byte goes out. */
static bool measure(struct engine *engine, struct process *process, const struct scope *scope)
{
    struct request_sink sink = {.fd = -1};

    process->request_deadline_ms =
        loop_timer_is_set(&process->deadline) && process->timeout_ms > 0
            ? (process->deadline.at_ms > engine->loop->now_ms ? process->deadline.at_ms - engine->loop->now_ms : 0)
            : -1;
    enum err err = request_generate(scope, &sink, process);
    if (err == OK && sink.at - sink.hydrated > LIMIT_REQUEST) {
        failure_set(&process->failure, FAILURE_TOO_LARGE, "the request would be %llu bytes long; the limit is %d",
                    (unsigned long long)(sink.at - sink.hydrated), LIMIT_REQUEST);
        return false;
    }
    if (err != OK) {
        failure_set(&process->failure, FAILURE_TEMPLATE, "%s",
                    scope->reason[0] != '\0' ? scope->reason : err_text(err));
        return false;
    }
    process->request_length = sink.at;
    return true;
}

void process_send(struct engine *engine, struct process *process)
{
    char reason[LIMIT_TEXT] = "";
    struct scope scope = {.engine = engine, .run = process->run, .step = process->step, .reason = reason};
    struct request_sink sink = {.fd = process->in.fd, .skip = process->sent};

    process->in_ready = false;
    if (process->request_length == 0 && !measure(engine, process, &scope)) {
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
            failure_set(&process->failure, FAILURE_EXITED, "killed by %s %s", port_signal_name(process->signal), what);
        else
            failure_set(&process->failure, FAILURE_EXITED, "exited with code %d %s", process->exit_code, what);
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
    engine_attend(engine, run);
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
    process_change(engine, process, PROCESS_EXITED);
    engine->act = true;
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
            launch_process(engine, process);
        if (process->state == PROCESS_IDLE && process->step != STEP_NONE && !process->storing) {
            if (process->timeout_ms == 0)
                loop_timer_clear(engine->loop, &process->deadline); /* it was the setup's */
            process_change(engine, process, PROCESS_EXECUTE);
        }
        if (process->sending && process->in_ready && process->in.fd >= 0)
            process_send(engine, process);
        if (process->state == PROCESS_GONE && !process->storing)
            finish(engine, process);
    }
}
