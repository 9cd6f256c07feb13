/* What the parts of the `charter` command share: its one struct, the exit codes, and what a command
 * may do.
 *
 * `charter` is a client of the control socket (contract §5): it keeps no state of its own
 * between two calls, reads nothing of .charter/ but the socket and its address, and takes every
 * decision from what the daemon answers. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/connection.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/screen.h"

enum cli_exit {
    CLI_OK = 0, /* also: the run succeeded */
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_DENIED = 3,
    CLI_CANCELLED = 4,
    CLI_WAITING = 5,
    CLI_NO_DAEMON = 6,
    CLI_REFUSED = 7,
    CLI_INTERRUPTED = 130 /* 128 + SIGINT, as shells have it */
};

struct cli {
    const struct cli_command *command;
    struct cli_options options;
    struct cli_screen screen;
    struct cli_connection connection;
    struct cli_progress progress;
    struct cli_ask ask;
    char project[LIMIT_PATH];     /* absolute; "" before cli_project_find() */
    char text[LIMIT_MESSAGE + 1]; /* of --inputs and --answers, and of decoded strings */
    char values[LIMIT_MESSAGE];   /* the inputs of a run, put together */
};

/* The table of commands, in the order of the help text (commands.c). */
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* Fills cli->project from --project-path, CHARTER_PROJECT_PATH or the nearest parent directory
 * with a charter.yml (find.c). CLI_USAGE, said on stderr, where there is none. */
int cli_project_find(struct cli *cli);

/* One request and its answer (call.c): the writer stands inside the params object; then
 * cli_call() sends it and waits. Connects first where needed. CLI_OK with *result (borrowed
 * until the next call), or what was said on stderr and, with --json, as {"error":…} on stdout. */
struct json_writer *cli_request(struct cli *cli, const char *method);
int cli_call(struct cli *cli, struct str *result);
/* The same in two halves, for requests among notifications. `id` is the request's. */
int cli_send(struct cli *cli);
/* Says what an error object means and what to do next; CLI_REFUSED. */
int cli_refused(struct cli *cli, struct str error);
/* Says that the daemon went away or talks nonsense, by what cli_connection_receive() gave;
 * CLI_NO_DAEMON. */
int cli_lost(struct cli *cli, enum err err);

/* "charter: …" on stderr, one line, terminal escapes made visible; the message says what to do
 * next. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* JSON on a line of its own, for --json. */
void cli_print_json(struct cli *cli, struct str raw);

/* The commands that have files of their own. */
int cli_run(struct cli *cli);       /* run.c */
int cli_events(struct cli *cli);    /* events.c */
int cli_init(struct cli *cli);      /* init.c */
int cli_artifacts(struct cli *cli); /* artifacts.c */
int cli_artifact_get(struct cli *cli);
/* What a run waits for, asked at the terminal: of `charter resume` and `charter submit-input`
 * without an answer on the command line (answer.c). */
int cli_answer(struct cli *cli, bool is_gate);

/* Follows a run to its end, or until it waits for somebody; the exit code of `charter run`
 * (follow.c). */
int cli_follow(struct cli *cli, const char *run_id);

/* Rendering for people (show.c). */
void cli_show_run(struct cli *cli, struct str run);
void cli_show_runs(struct cli *cli, struct str result);
void cli_show_workflows(struct cli *cli, struct str result);
void cli_show_workflow(struct cli *cli, struct str result);
void cli_show_daemon(struct cli *cli, struct str result);
/* The members of a run's outputs, texts with their lines. */
void cli_show_outputs(struct cli *cli, struct str outputs);

/* Puts the inputs of a run together (inputs.c): --inputs, then --input over it, converted by the
 * declared types in `manifest` (raw; STR_NONE where no --input was given). *object is in
 * cli->values. */
int cli_inputs(struct cli *cli, struct str manifest, struct str *object);
/* A JSON object from `argument`: the text itself, @FILE, or @- for stdin; in cli->text. `option`
 * is for messages. */
int cli_read_object(struct cli *cli, const char *option, const char *argument, struct str *object);

/* Help texts (help.c). */
void cli_help(struct cli *cli);
void cli_help_on(struct cli *cli, const struct cli_command *command);
void cli_help_group(struct cli *cli, const char *word);

#endif
