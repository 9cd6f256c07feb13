/* The commands that run no daemon: check, limits. */
#include "daemon/daemon.h"

#include "port.h"
#include "project/python.h"

#include <string.h>

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    char bytes[1024];
    struct out out = OUT_ON(bytes);
    va_list args;

    va_start(args, format);
    out_vformat(&out, format, args);
    va_end(args);
    (void)port_stdout(out_view(&out));
}

static void on_problem(void *context, const struct project_problem *problem)
{
    char bytes[1024];
    struct out out = OUT_ON(bytes);
    (void)context;

    problem_text(problem, &out);
    out_byte(&out, '\n');
    port_stderr(out_view(&out));
}

static void on_entry_point(void *context, struct str name, struct str object, struct str package)
{
    (void)context;
    name = str_head(name, 128);
    object = str_head(object, 256);
    package = str_head(package, 128);
    say("python: %.*s = %.*s (%.*s)\n", STR_ARG(name), STR_ARG(object), STR_ARG(package));
}

int daemon_check(struct daemon *daemon)
{
    unsigned workflows = 0;
    unsigned problems = project_check(&daemon->workspace, daemon->options.project_path, on_problem,
                                      NULL, &workflows);

    python_list(daemon->options.project_path, on_entry_point, NULL);
    if (problems == 0)
        say("%s: in order, %u workflow%s\n", daemon->options.project_path, workflows,
            workflows == 1 ? "" : "s");
    else
        say("%s: %u problem%s\n", daemon->options.project_path, problems, problems == 1 ? "" : "s");
    return problems == 0 ? EXIT_STOPPED : EXIT_PROJECT;
}

/* --- limits -------------------------------------------------------------------------------------------------------------------- */

struct pool {
    const char *what, *symbol;
    size_t count, each, offset;
};

#define MEMBER(member) (((struct daemon *)0)->member)
#define POOL(what, symbol, member)                                                                 \
    {                                                                                              \
        what, symbol, sizeof MEMBER(member) / sizeof MEMBER(member)[0], sizeof MEMBER(member)[0],  \
            offsetof(struct daemon, member)                                                        \
    }
#define BUFFER(what, symbol, member)                                                               \
    {                                                                                              \
        what, symbol, 1, sizeof MEMBER(member), offsetof(struct daemon, member)                    \
    }
/* From one member up to another one. */
#define PART(what, symbol, from, to)                                                               \
    {                                                                                              \
        what, symbol, 1, offsetof(struct daemon, to) - offsetof(struct daemon, from),              \
            offsetof(struct daemon, from)                                                          \
    }

/* In the order in which they stand. */
static const struct pool pools[] = {
    BUFFER("readers of projects (helpers only)", "PROJECT_FILE_BYTES, PROJECT_TOKENS", workspace),
    BUFFER("charter.yml, read again", "PROJECT_FILE_BYTES", next_project),
    BUFFER("charter.yml, from its helper", "PROJECT_FILE_BYTES", loader_answer),
    BUFFER("journal: records to be written", "MESSAGE_BYTES", journal.buffer),
    BUFFER("journal: records that are read", "MESSAGE_BYTES", journal.window),
    PART("journal: segments and state", "-", journal.mask, started_ms),
    BUFFER("loop", "CLIENTS, PROCESSES", loop),
    PART("gateway link: state", "-", link, link.queue.bytes),
    BUFFER("gateway link: messages out", "MESSAGE_BYTES", link.queue.bytes),
    BUFFER("gateway link: message in", "MESSAGE_BYTES", link.message),
    BUFFER("gateway link: WebSocket", "MESSAGE_BYTES", link.ws),
#ifdef CONFIG_TLS
    PART("gateway link: session of TLS", "TLS", link.tls, link.tls.pool),
    BUFFER("gateway link: pool of TLS", "TLS_POOL_KIB", link.tls.pool),
#endif
    BUFFER("gateway link: addresses", "-", link.options),
    POOL("control clients: messages", "CLIENTS, MESSAGE_BYTES", control.buffers),
    POOL("control clients", "CLIENTS", control.clients),
    BUFFER("flags", "-", options),
    POOL("remembered commands", "COMMAND_KEYS", engine.commands.entries),
    BUFFER("secrets to be hidden", "-", engine.mask),
    PART("engine: state", "-", engine.loop, engine.table.ended),
    POOL("ended runs", "RETAIN_RUNS", engine.table.ended),
    POOL("runs", "RUNS_IN_FLIGHT + RUNS_WAITING", engine.table.runs),
    POOL("step records", "the same, times STEPS_PER_PLAN", engine.table.steps),
    POOL("steps that steps need", "the same", engine.table.needs),
    BUFFER("shared scratch", "MESSAGE_BYTES, PROJECT_FILE_BYTES", engine.scratch),
    POOL("integration processes", "PROCESSES, STDERR_BYTES", engine.processes),
    POOL("requests in helpers", "MESSAGE_BYTES", engine.jobs),
    BUFFER("charter.yml", "PROJECT_FILE_BYTES", project),
};

int daemon_limits(void)
{
    size_t total = 0;

    say("%-36s %8s %10s %10s %10s  %s\n", "pool", "count", "each", "bytes", "at",
        "symbols (CONFIG_…)");
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        size_t bytes = pools[i].count * pools[i].each;
        total += bytes;
        say("%-36s %8zu %10zu %10zu %10zu  %s\n", pools[i].what, pools[i].count, pools[i].each,
            bytes, pools[i].offset, pools[i].symbol);
    }
    say("%-36s %8s %10s %10zu             paths, helpers, timers, the identity; gaps for alignment\n",
        "everything else", "", "", sizeof(struct daemon) - total);
    say("%-36s %8s %10s %10zu             reserved; what is not in use is never touched, and costs no "
        "memory\n",
        "all of it", "", "", sizeof(struct daemon));
    return EXIT_STOPPED;
}
