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

void daemon_link_options(struct daemon *daemon)
{
    struct link_options *options = &daemon->link_options;
    const struct options *flags = &daemon->options;
    const char *token =
        flags->token_file[0] != '\0' ? flags->token_file : daemon->project.token_file;

    /* Flags win over charter.yml. */
    if (flags->gateway_count > 0) {
        memcpy(options->urls, flags->gateways, sizeof options->urls);
        options->url_count = flags->gateway_count;
    } else {
        memcpy(options->urls, daemon->project.gateway_urls, sizeof options->urls);
        options->url_count = daemon->project.gateway_url_count;
    }
    options->tls = flags->tls;
    options->proxy = flags->proxy;
    (void)str_copy(str_of(token), options->token_file, sizeof options->token_file);
    options->backoff_initial_ms = flags->reconnect_first_ms;
    options->backoff_max_ms = flags->reconnect_longest_ms;
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
    memcpy(daemon->next_project.root, daemon->project.root, sizeof daemon->project.root);
    /* Only what is used is copied: most of the buffer is never touched. */
    memcpy(&daemon->project, &daemon->next_project, offsetof(struct project, config));
    daemon->project.config_size = daemon->next_project.config_size;
    memcpy(daemon->project.config, daemon->next_project.config, daemon->project.config_size + 1);
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
    daemon->loaded = true;
    if (at_start)
        return;
    if (daemon->load_failed) {
        log_warning("project", "the project goes on with what charter.yml said before");
    } else {
        log_info("project", "charter.yml was read again; it holds for later runs");
        daemon_link_options(daemon);
        link_reconfigure(&daemon->link, &daemon->link_options);
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
