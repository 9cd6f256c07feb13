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
    long long count;
    size_t each;
};

#define POOL(what, symbol, count, type)                                                            \
    {                                                                                              \
        what, symbol, (long long)(count), sizeof(type)                                             \
    }
#define BUFFER(what, symbol, member)                                                               \
    {                                                                                              \
        what, symbol, 1, sizeof(((struct daemon *)0)->member)                                      \
    }

int daemon_limits(void)
{
    static const struct pool pools[] = {
        POOL("runs", "RUNS_IN_FLIGHT + RUNS_WAITING", LIMIT_RUNS, struct run),
        POOL("step records", "the same, times STEPS_PER_PLAN", LIMIT_STEP_RECORDS, struct step),
        POOL("ended runs", "RETAIN_RUNS", LIMIT_RETAIN_RUNS, struct ended_run),
        POOL("integration processes", "PROCESSES", LIMIT_PROCESSES, struct process),
        POOL("remembered commands", "COMMAND_KEYS", LIMIT_COMMAND_KEYS, struct command_entry),
        POOL("requests in helpers", "MESSAGE_BYTES", LIMIT_SUBMISSIONS, struct job),
        POOL("control clients", "CLIENTS, MESSAGE_BYTES", LIMIT_CLIENTS, struct control_client),
        BUFFER("journal", "MESSAGE_BYTES", journal),
        {"gateway link", "MESSAGE_BYTES", 1, sizeof(struct link) - sizeof(struct tls)},
        BUFFER("TLS of the link", "TLS_POOL_KIB", link.tls),
        BUFFER("shared scratch", "MESSAGE_BYTES, PROJECT_FILE_BYTES", engine.scratch),
        BUFFER("secrets to be hidden", "-", engine.mask),
        BUFFER("charter.yml", "PROJECT_FILE_BYTES", project),
        BUFFER("charter.yml, read again", "PROJECT_FILE_BYTES", next_project),
        BUFFER("charter.yml, from its helper", "PROJECT_FILE_BYTES", loader_answer),
        BUFFER("loop", "CLIENTS, PROCESSES", loop),
        BUFFER("readers of projects (helpers only)", "PROJECT_FILE_BYTES, PROJECT_TOKENS",
               workspace),
    };
    size_t total = 0;

    say("%-36s %8s %10s %10s  %s\n", "pool", "count", "each", "bytes", "symbols (CONFIG_…)");
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        size_t bytes = (size_t)pools[i].count * pools[i].each;
        total += bytes;
        say("%-36s %8lld %10zu %10zu  %s\n", pools[i].what, pools[i].count, pools[i].each, bytes,
            pools[i].symbol);
    }
    say("%-36s %8s %10s %10zu\n", "everything else", "", "", sizeof(struct daemon) - total);
    say("%-36s %8s %10s %10zu  reserved; what is not in use is never touched, and costs no memory\n",
        "all of it", "", "", sizeof(struct daemon));
    return EXIT_STOPPED;
}
