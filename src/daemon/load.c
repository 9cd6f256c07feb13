/* charter.yml: read and checked in a helper, taken over whole or not at all. */
#include "daemon/daemon.h"

#include "base/log.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

#define LOAD_TIMEOUT_MS 20000

static int load_work(void *context, struct out *answer)
{
    struct daemon *daemon = context;
    struct project_problem problem;
    return project_load(&daemon->workspace, daemon->project.root, answer, &problem) ? 0 : 1;
}

struct link_options daemon_link_options(const struct daemon *daemon)
{
    const struct options *flags = &daemon->options;
    bool flagged = flags->gateway_count > 0; /* flags win over charter.yml */
    struct link_options options = {
        .url_count = flagged ? flags->gateway_count : daemon->project.gateway_url_count,
        .token_file = flags->token_file[0] != '\0' ? flags->token_file : daemon->project.token_file,
        .proxy = &flags->proxy,
        .tls = &flags->tls,
        .backoff_initial_ms = flags->reconnect_first_ms,
        .backoff_max_ms = flags->reconnect_longest_ms,
    };

    for (size_t i = 0; i < options.url_count; i++)
        options.urls[i] = flagged ? flags->gateways[i] : daemon->project.gateway_urls[i];
    return options;
}

/* The loader's words, for the log and for exit 3. */
static void say_refused(struct daemon *daemon, enum err outcome, struct str answer)
{
    struct project_answer read;

    if (outcome == OK && (project_answer_read(answer, &read), true))
        log_error("project", "%s", read.message);
    else
        log_error("project", "charter.yml could not be read: %.*s", STR_ARG(answer));
    daemon->load_failed = true;
}

static void take(struct daemon *daemon, struct str answer)
{
    struct project_answer read;
    char reason[LIMIT_TEXT];

    if (!project_answer_read(answer, &read) || !read.ok ||
        !project_take(&daemon->next_project, read.result)) {
        say_refused(daemon, OK, answer);
        return;
    }
    struct str config = str_range(daemon->next_project.config, daemon->next_project.config_size);
    if (!engine_learn_secrets(&daemon->engine, config, reason)) {
        log_error("project", "charter.yml: %s", reason);
        daemon->load_failed = true;
        return;
    }
    project_become(&daemon->project, &daemon->next_project);
}

static void on_loaded(struct helper *helper, enum err outcome, struct str answer, int exit_code)
{
    struct daemon *daemon = helper->owner;
    bool at_start = !daemon->loaded;

    if (outcome != OK || exit_code != 0)
        say_refused(daemon, outcome, answer);
    else
        take(daemon, answer);
    port_release(daemon->loader_answer, sizeof daemon->loader_answer);
    port_release(&daemon->next_project, sizeof daemon->next_project);
    daemon->loaded = true;
    if (at_start)
        return;
    if (daemon->load_failed) {
        log_warning("project", "the project goes on with what charter.yml said before");
    } else {
        log_info("project", "charter.yml was read again; it holds for later runs");
        struct link_options options = daemon_link_options(daemon);
        link_reconfigure(&daemon->link, &options);
    }
    if (daemon->reload_again)
        daemon_reload(daemon);
}

static bool start_loader(struct daemon *daemon)
{
    struct helper_job job = {.work = load_work,
                             .context = daemon,
                             .cpu_s = 10,
                             .timeout_ms = LOAD_TIMEOUT_MS,
                             .buffer = daemon->loader_answer,
                             .size = sizeof daemon->loader_answer,
                             .on_done = on_loaded};

    daemon->loader.owner = daemon;
    daemon->reload_again = false;
    daemon->load_failed = false;
    if (helper_start(&daemon->loop, &daemon->loader, &job) == OK)
        return true;
    log_error("project", "no helper process could be started: %s", port_last_error());
    return false;
}

bool daemon_load_project(struct daemon *daemon)
{
    struct port_signals signals;
    int exit_code, signal;
    int64_t pid;

    if (!start_loader(daemon))
        return false;
    while (!daemon->loaded) {
        if (loop_wait(&daemon->loop, -1, &signals) != OK)
            return false;
        while (port_reap(&pid, &exit_code, &signal) == OK)
            (void)helper_reaped(&daemon->loop, pid, exit_code, signal);
    }
    return !daemon->load_failed;
}

void daemon_reload(struct daemon *daemon)
{
    if (helper_running(&daemon->loader))
        daemon->reload_again = true;
    else
        (void)start_loader(daemon);
}
