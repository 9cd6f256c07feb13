/* Starting an integration's program: its command, its environment and nothing else of the daemon's (contract §2). */
#include "run/engine.h"

#include "json/read.h"
#include "port.h"

#include <string.h>

#define ARGV_MAX 64
#define ENV_MAX 64
#define WRITABLE_MAX 16
/* When memory runs out, an integration goes before the daemon. */
#define OOM_SCORE 200

struct launch {
    const char *argv[ARGV_MAX + 1], *env[ENV_MAX + 1], *writable[WRITABLE_MAX + 2];
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

/* A variable that is there already is replaced: the first of two is what most programs see. */
static void place_env(struct launch *launch, const char *assignment)
{
    size_t name = str_find(str_of(assignment), '=') + 1, at = 0;

    while (at < launch->envc && strncmp(launch->env[at], assignment, name) != 0)
        at++;
    launch->env[at] = assignment;
    launch->envc += at == launch->envc;
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
        place_env(launch, launch_end(launch, start));
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

static int64_t limit_of(struct str limits, const char *name, int64_t otherwise)
{
    struct str raw;
    int64_t value;
    return json_member(limits, name, &raw) && json_integer(raw, &value) ? value : otherwise;
}

/* Where it may write: the project, and what `sandbox: {write: […]}` adds.  `sandbox: false` takes the walls away. */
static bool add_writable(struct engine *engine, struct launch *launch, struct str integration,
                         struct port_spawn *spawn)
{
    struct str sandbox = STR_NONE, write = STR_NONE, ignored, value;
    size_t count = 0;

    if (json_member(integration, "sandbox", &sandbox) && json_type(sandbox) == JSON_BOOLEAN &&
        !json_is_true(sandbox))
        return true;
    launch->writable[count++] = engine->project->root;
    if (json_member(sandbox, "write", &write)) {
        struct json_walk walk = json_walk(write);
        while (json_walk_next(&walk, &ignored, &value)) {
            size_t start = launch->text.n;
            if (count > WRITABLE_MAX || !json_string_decode(value, &launch->text))
                return false;
            launch->writable[count++] = launch_end(launch, start);
        }
    }
    spawn->writable = launch->writable;
    return !launch->text.overflow;
}

/* Another user passes through folders that are ours; their names it cannot read. */
static void open_folders(struct engine *engine, const struct process *process)
{
    static const char *const folders[] = {"/.charter", "/.charter/runs"};
    char path[LIMIT_PATH];

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        struct out out = OUT_ON(path);
        out_text(&out, engine->project->root);
        out_text(&out, folders[i]);
        (void)port_set_mode(out_cstr(&out), 0711);
    }
    source_run_path(engine, process->run->id, "", path);
    (void)port_set_mode(path, 0711);
    source_run_path(engine, process->run->id, "files", path);
    (void)port_set_mode(path, 0711);
}

static void fail_launch(struct engine *engine, struct process *process, enum failure_kind kind,
                        const char *what, const char *why)
{
    if (process->failure.kind == FAILURE_NONE)
        failure_set(&process->failure, kind, "%s: %s", what, why);
    process->state = PROCESS_GONE;
    engine->act = true;
}

static void step_id_of(struct engine *engine, const struct process *process,
                       char id[LIMIT_NAME + 1])
{
    char output[LIMIT_NAME + 1];
    id[0] = '\0';
    if (process->step != STEP_NONE)
        (void)source_names(engine, process->run, process->step, id, output);
}

/* The directory that an attempt may write into; it is there already from the second attempt on. */
void process_make_directory(struct engine *engine, const struct process *process)
{
    char path[LIMIT_PATH], step_id[LIMIT_NAME + 1];
    struct out out;

    step_id_of(engine, process, step_id);
    source_run_path(engine, process->run->id, "files", path);
    (void)port_make_directory(path, 0700);
    out = (struct out){.p = path, .cap = sizeof path, .n = strlen(path)};
    out_byte(&out, '/');
    out_text(&out, step_id);
    (void)port_make_directory(out_cstr(&out), 0700);
    if (process->uid >= 0) {
        open_folders(engine, process);
        (void)port_set_owner(path, process->uid, process->gid);
    }
}

static enum err prepare(struct engine *engine, struct process *process, struct launch *launch,
                        struct port_spawn *spawn, char *reason)
{
    struct scope scope = {.engine = engine,
                          .run = process->run,
                          .step = process->step,
                          .secrets = true,
                          .reason = reason};
    char id[LIMIT_NAME + 1];
    struct str raw, command, env, limits;

    enum err err = source_integrations(engine, process->run, &raw);
    if (err != OK || !json_member(raw, process->name, &raw) ||
        !json_member(raw, "command", &command)) {
        struct out out = out_on(reason, LIMIT_TEXT);
        out_text(&out, "the run's plan.json cannot be read");
        out_cstr(&out);
        return ERR_DAMAGED;
    }
    step_id_of(engine, process, id);
    launch->text = OUT_ON(engine->scratch.value);
    bool fits = add_arguments(launch, command) &&
                add_inherited(launch, "PATH", "/usr/local/bin:/usr/bin:/bin") &&
                add_inherited(launch, "HOME", NULL) && add_inherited(launch, "LANG", NULL) &&
                add_inherited(launch, "TZ", NULL) &&
                add_env(launch, "CHARTER_RUN_ID", process->run->id) &&
                add_env(launch, "CHARTER_STEP_ID", id) &&
                add_env(launch, "CHARTER_DAEMON_ID", engine->daemon_id) &&
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
        out_text(&out, err == ERR_INVALID ? "a value of its `env` holds a NUL"
                                          : "its command and environment are too long");
        out_cstr(&out);
        return ERR_TOO_LARGE;
    }
    *spawn = (struct port_spawn){.argv = launch->argv,
                                 .env = launch->env,
                                 .directory = engine->project->root,
                                 .oom_score = OOM_SCORE};
    if (json_member(raw, "limits", &limits)) {
        spawn->memory_bytes = limit_of(limits, "memory_mb", 0) * 1024 * 1024;
        spawn->cpu_s = limit_of(limits, "cpu_s", 0);
        spawn->open_files = limit_of(limits, "open_files", 0);
        spawn->processes = limit_of(limits, "processes", 0);
        spawn->nice = (int)limit_of(limits, "nice", 0);
        spawn->oom_score = (int)limit_of(limits, "oom_score", OOM_SCORE);
    }
    process->uid = spawn->uid = limit_of(raw, "uid", -1);
    process->gid = spawn->gid = limit_of(raw, "gid", -1);
    spawn->changes_user = spawn->uid >= 0;
    if (!add_writable(engine, launch, raw, spawn)) {
        struct out out = out_on(reason, LIMIT_TEXT);
        out_text(&out, "its command, environment and folders are too long");
        out_cstr(&out);
        return ERR_TOO_LARGE;
    }
    return OK;
}

static bool watch(struct engine *engine, struct loop_fd *end, int fd, unsigned char wanted)
{
    end->fd = fd;
    end->wanted = wanted;
    return loop_add(engine->loop, end) == OK;
}

void process_launch(struct engine *engine, struct process *process)
{
    char reason[LIMIT_TEXT] = "";
    struct launch launch = {.argc = 0};
    struct port_spawn spawn;
    struct port_child child;

    enum err err = prepare(engine, process, &launch, &spawn, reason);
    if (err != OK) {
        fail_launch(engine, process, err == ERR_NOT_FOUND ? FAILURE_TEMPLATE : FAILURE_SPAWN_FAILED,
                    process->name, reason);
        return;
    }
    if (spawn.changes_user)
        open_folders(engine, process); /* its program may stand in .charter */
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
        process_broke(engine, process, FAILURE_SPAWN_FAILED, "%s: no room to watch its pipes",
                      process->name);
}
