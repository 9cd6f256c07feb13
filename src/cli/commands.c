/* The table of commands with their options, and the commands that are one request and one
 * answer.  A new command is one row here. */
#include "cli/cli.h"

#include "json/read.h"

#define OPTION(member) offsetof(struct cli_options, member)
#define OPTIONS(array) (array), sizeof(array) / sizeof *(array)
#define NO_OPTIONS NULL, 0

/* Prints the answer as it is, or shows it. */
static int answer(struct cli *cli, void (*show)(struct cli *cli, struct str result))
{
    struct str result;
    int code = cli_call(cli, &result);

    if (code != CLI_OK)
        return code;
    if (cli->options.json)
        cli_print_json(cli, result);
    else
        show(cli, result);
    return CLI_OK;
}

static struct json_writer *run_request(struct cli *cli, const char *method)
{
    struct json_writer *w = cli_request(cli, method);

    json_put_text(w, "run_id", cli->options.arguments[0]);
    return w;
}

static void put_optional(struct json_writer *w, const char *key, const char *text)
{
    if (text != NULL)
        json_put_text(w, key, text);
}

static int status(struct cli *cli)
{
    run_request(cli, "run.status");
    return answer(cli, cli_show_run);
}

static int runs_list(struct cli *cli)
{
    struct json_writer *w = cli_request(cli, "runs.list");

    if (cli->options.limit.given)
        json_put_u64(w, "limit", cli->options.limit.value);
    put_optional(w, "cursor", cli->options.cursor);
    put_optional(w, "status", cli->options.status);
    return answer(cli, cli_show_runs);
}

static int cancel(struct cli *cli)
{
    struct json_writer *w = run_request(cli, "run.cancel");

    put_optional(w, "reason", cli->options.reason);
    put_optional(w, "actor", cli->options.actor);
    return answer(cli, cli_show_run);
}

static int resume(struct cli *cli)
{
    if (!cli->options.approve && !cli->options.deny && cli_ask_can(cli))
        return cli_answer(cli, true);
    if (cli->options.approve == cli->options.deny) {
        cli_error("`charter resume` wants either --approve or --deny; at a terminal, without "
                  "--json, it asks");
        return CLI_USAGE;
    }
    struct json_writer *w = run_request(cli, "run.resume");
    json_put_text(w, "decision", cli->options.approve ? "approve" : "deny");
    put_optional(w, "step_id", cli->options.step);
    put_optional(w, "actor", cli->options.actor);
    put_optional(w, "comment", cli->options.comment);
    return answer(cli, cli_show_run);
}

static int submit_input(struct cli *cli)
{
    struct str answers;

    if (cli->options.answers == NULL && cli_ask_can(cli))
        return cli_answer(cli, false);
    if (cli->options.answers == NULL) {
        cli_error("`charter submit-input` wants --answers JSON, or --answers @FILE; at a terminal, "
                  "without --json, it asks");
        return CLI_USAGE;
    }
    int code = cli_read_object(cli, "answers", cli->options.answers, &answers);
    if (code != CLI_OK)
        return code;
    struct json_writer *w = run_request(cli, "run.submit_input");
    json_put_raw(w, "answers", answers);
    put_optional(w, "step_id", cli->options.step);
    put_optional(w, "actor", cli->options.actor);
    return answer(cli, cli_show_run);
}

static int workflows_list(struct cli *cli)
{
    cli_request(cli, "workflows.list");
    return answer(cli, cli_show_workflows);
}

static int workflows_show(struct cli *cli)
{
    json_put_text(cli_request(cli, "workflows.show"), "workflow_id", cli->options.arguments[0]);
    return answer(cli, cli_show_workflow);
}

static int daemon_status(struct cli *cli)
{
    cli_request(cli, "daemon.status");
    return answer(cli, cli_show_daemon);
}

/* The daemon answers when it begins to stop, and closes its connections when it has stopped. */
static int daemon_stop(struct cli *cli)
{
    struct json_writer *w = cli_request(cli, "daemon.stop");
    struct rpc_envelope message;
    struct port_signals signals;
    struct str result;

    if (cli->options.drain)
        json_put_bool(w, "drain", true);
    if (cli->options.timeout_s.given)
        json_put_u64(w, "timeout_s", cli->options.timeout_s.value);
    int code = cli_call(cli, &result);
    if (code != CLI_OK)
        return code;
    if (cli->options.json)
        cli_print_json(cli, result);
    cli_screen_flush(&cli->screen);
    while (cli_connection_receive(&cli->connection, -1, &message, &signals) == OK)
        continue;
    if (!cli->options.json)
        cli_screen_put(&cli->screen, "stopped\n");
    return CLI_OK;
}

/* --- the tables -------------------------------------------------------------------------------
 * --------------------- */

#define ACTOR                                                                                      \
    {                                                                                              \
        "actor", "NAME", "who asks, for the record", CLI_TEXT, OPTION(actor)                       \
    }
#define STEP                                                                                       \
    {                                                                                              \
        "step", "ID", "which step, where several wait", CLI_TEXT, OPTION(step)                     \
    }

static const struct cli_option run_options[] = {
    {"input", "NAME=VALUE", "one input, converted by its declared type; wins over --inputs",
     CLI_LIST, OPTION(input)},
    {"inputs", "JSON|@FILE", "all inputs as one JSON object; @- reads stdin", CLI_TEXT,
     OPTION(inputs)},
    {"detached", NULL, "print the run's id and return", CLI_FLAG, OPTION(detached)},
    {"run-id", "ID", "an id of your own: given again, it answers the same run", CLI_TEXT,
     OPTION(run_id)},
    {"label", "NAME=VALUE", "a label of the run; may be given often", CLI_LIST, OPTION(label)},
    ACTOR,
};
static const struct cli_option runs_options[] = {
    {"limit", "N", "at most so many, 1 to 100; default 20", CLI_NUMBER, OPTION(limit)},
    {"cursor", "TOKEN", "go on where the last list ended", CLI_TEXT, OPTION(cursor)},
    {"status", "S", "queued, running, waiting, succeeded, failed, cancelled or denied", CLI_TEXT,
     OPTION(status)},
};
static const struct cli_option events_options[] = {
    {"follow", NULL, "go on with new ones; with RUN_ID to its end", CLI_FLAG, OPTION(follow)},
    {"after", "SEQ", "only those after this one; default 0", CLI_NUMBER, OPTION(after)},
};
static const struct cli_option cancel_options[] = {
    {"reason", "TEXT", "why, for the record", CLI_TEXT, OPTION(reason)},
    ACTOR,
};
static const struct cli_option resume_options[] = {
    {"approve", NULL, "let the run go on", CLI_FLAG, OPTION(approve)},
    {"deny", NULL, "end it as denied", CLI_FLAG, OPTION(deny)},
    {"comment", "TEXT", "why, for the record", CLI_TEXT, OPTION(comment)},
    STEP,
    ACTOR,
};
static const struct cli_option submit_options[] = {
    {"answers", "JSON|@FILE", "the answers as one JSON object; @- reads stdin", CLI_TEXT,
     OPTION(answers)},
    STEP,
    ACTOR,
};
static const struct cli_option stop_options[] = {
    {"drain", NULL, "take no new runs, and wait for the steps that execute", CLI_FLAG,
     OPTION(drain)},
    {"timeout", "SECONDS", "how long to wait for them at most", CLI_NUMBER, OPTION(timeout_s)},
};

#define RUN_NOTES                                                                                  \
    "Follows the run to its end and exits with 0 succeeded, 1 failed, 3 denied, 4 cancelled or\n"  \
    "5 left waiting for a decision or an answer. At a terminal it asks for these itself.\n"        \
    "Ctrl-C ends the following, not the run.\n"                                                    \
    "With --json the first line is the run, the lines after it are its events.\n"

#define ANSWER_NOTES "Without an answer on the command line it asks for one, at a terminal.\n"

#define ARTIFACT_NOTES                                                                               \
    "NAME is that of an output or a step, or the first eight or more digits of its SHA-256, which\n" \
    "is compared while it is written: exit code 1 where it differs.\n"

const struct cli_command cli_commands[] = {
    {{"run", NULL},
     "WORKFLOW_ID",
     1,
     1,
     "start a run and follow it to its end",
     RUN_NOTES,
     OPTIONS(run_options),
     cli_run},
    {{"status", NULL}, "RUN_ID", 1, 1, "how a run stands, step by step", NULL, NO_OPTIONS, status},
    {{"runs", "list"}, "", 0, 0, "runs, newest first", NULL, OPTIONS(runs_options), runs_list},
    {{"events", NULL},
     "[RUN_ID]",
     0,
     1,
     "what happened, in a run or in all",
     NULL,
     OPTIONS(events_options),
     cli_events},
    {{"artifacts", NULL},
     "RUN_ID",
     1,
     1,
     "values of a run that are files",
     NULL,
     NO_OPTIONS,
     cli_artifacts},
    {{"artifact", "get"},
     "RUN_ID NAME",
     2,
     2,
     "write one to standard output",
     ARTIFACT_NOTES,
     NO_OPTIONS,
     cli_artifact_get},
    {{"cancel", NULL}, "RUN_ID", 1, 1, "cancel a run", NULL, OPTIONS(cancel_options), cancel},
    {{"resume", NULL},
     "RUN_ID",
     1,
     1,
     "decide what a run waits for",
     ANSWER_NOTES,
     OPTIONS(resume_options),
     resume},
    {{"submit-input", NULL},
     "RUN_ID",
     1,
     1,
     "answer what a run waits for",
     ANSWER_NOTES,
     OPTIONS(submit_options),
     submit_input},
    {{"workflows", "list"},
     "",
     0,
     0,
     "the workflows of the project",
     NULL,
     NO_OPTIONS,
     workflows_list},
    {{"workflows", "show"},
     "WORKFLOW_ID",
     1,
     1,
     "its inputs and steps",
     NULL,
     NO_OPTIONS,
     workflows_show},
    {{"daemon", "status"},
     "",
     0,
     0,
     "how the daemon and its gateway link stand",
     NULL,
     NO_OPTIONS,
     daemon_status},
    {{"daemon", "stop"},
     "",
     0,
     0,
     "stop the daemon; returns when it has stopped",
     NULL,
     OPTIONS(stop_options),
     daemon_stop},
    {{"init", NULL}, "[PATH]", 0, 1, "write a small working project", NULL, NO_OPTIONS, cli_init},
};
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;
