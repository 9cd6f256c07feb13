/* `charter run` without --detached: follows the events of one run to its end, and at a terminal
 * asks for what it waits for.  Owns the subscription and the exit code; what is shown is live.c's,
 * what is asked ask.c's.  Invariants: the exit code is what the daemon recorded, never a guess; at
 * most one request is on its way. */
#include "cli/cli.h"
#include "cli/live.h"

#include "json/read.h"

#include <string.h>

/* How often the elapsed times on a terminal move. */
#define REDRAW_MS 200

struct follow {
    struct cli *cli;
    const char *run_id;
    enum { NOTHING, STATUS, ANSWER } sent; /* the request on its way */
    bool has_ended;                        /* events.end came */
    bool is_over;
    int code;
};

static int code_of(enum cli_outcome outcome)
{
    switch (outcome) {
    case CLI_RUN_SUCCEEDED:
        return CLI_OK;
    case CLI_RUN_CANCELLED:
        return CLI_CANCELLED;
    case CLI_RUN_DENIED:
        return CLI_DENIED;
    case CLI_RUN_FAILED:
    case CLI_RUN_OPEN:
        break;
    }
    return CLI_FAILED;
}

static void finish(struct follow *follow, int code)
{
    follow->is_over = true;
    follow->code = code;
}

static void ask_status(struct follow *follow)
{
    if (follow->sent != NOTHING || cli_ask_is_open(follow->cli))
        return;
    json_put_text(cli_request(follow->cli, "run.status"), "run_id", follow->run_id);
    int code = cli_send(follow->cli);
    if (code != CLI_OK)
        finish(follow, code);
    follow->sent = STATUS;
}

/* Whether the whole run waits, the daemon alone knows: the next event may start another step. */
static void look_whether_it_waits(struct follow *follow)
{
    if (!follow->is_over && cli_progress_waits(&follow->cli->progress))
        ask_status(follow);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void after_typed(struct follow *follow, enum cli_asked asked)
{
    struct cli *cli = follow->cli;

    if (asked == CLI_ASKED_LEAVE) {
        cli->ask.state = CLI_ASK_CLOSED;
        cli_live_left_waiting(cli, cli->ask.is_gate, follow->run_id);
        finish(follow, CLI_WAITING);
    } else if (asked == CLI_ASKED_ALL) {
        cli_ask_request(cli, follow->run_id);
        int code = cli_send(cli);
        follow->sent = ANSWER;
        if (code != CLI_OK)
            finish(follow, code);
    }
}

/* The event that ends what is asked for, if it is one: an answer, ours or somebody else's, a
 * timeout, the end of the run. */
static bool settles(const struct follow *follow, const struct cli_event *event)
{
    static const char *const types[] = {"run.resumed", "run.input_submitted", "step.failed",
                                        "step.completed"};

    if (strcmp(event->type, "run.cancel_requested") == 0 ||
        follow->cli->progress.outcome != CLI_RUN_OPEN)
        return true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(event->type, types[i]) == 0)
            return strcmp(event->step_id, follow->cli->ask.step_id) == 0;
    return false;
}

/* Somebody else was faster than who sits at the terminal. */
static void leave_question(struct follow *follow)
{
    struct cli *cli = follow->cli;
    bool was_typing = cli->ask.state != CLI_ASK_SENT;

    cli_ask_close(cli);
    if (was_typing)
        cli_screen_put(&cli->screen, "  settled elsewhere, your answer is not wanted any more:\n");
}

static void on_answered(struct follow *follow, const struct rpc_envelope *message)
{
    struct cli *cli = follow->cli;
    struct str code = STR_NONE;
    int64_t number = 0;

    follow->sent = NOTHING;
    if (message->error.n > 0) {
        (void)json_member(message->error, "code", &code);
        if (cli_ask_is_open(cli) && cli_ask_again(cli, message->error))
            return;
        cli_ask_close(cli);
        cli_screen_live_clear(&cli->screen);
        cli_screen_flush(&cli->screen);
        int refused = cli_refused(cli, message->error);
        if (!json_integer(code, &number) || number != RPC_WRONG_STATE) {
            finish(follow, refused);
            return;
        }
    }
    cli_ask_close(cli);
    /* Where our own answer is still to be seen in the events, the run does not wait as the table
     * says; its next event looks again. */
    const struct cli_step *step = cli_progress_step(&cli->progress, cli->ask.step_id);
    if (step == NULL || step->state != CLI_STEP_WAITING)
        look_whether_it_waits(follow);
}

/* --- what the daemon says --------------------------------------------------------------------- */

static void on_event(struct follow *follow, struct str raw)
{
    struct cli *cli = follow->cli;
    struct cli_event event;

    if (!cli_event_read(raw, &event)) {
        finish(follow, cli_lost(cli, ERR_SYNTAX));
        return;
    }
    struct cli_step *step = cli_progress_apply(&cli->progress, &event);
    if (cli_ask_is_open(cli) && settles(follow, &event))
        leave_question(follow);
    if (cli->options.json)
        cli_print_json(cli, raw);
    else
        cli_live_event(cli, &event, step);
    look_whether_it_waits(follow);
}

static void on_gap(struct follow *follow, struct str params)
{
    struct str to = STR_NONE;

    (void)json_member(params, "to", &to);
    if (!follow->cli->options.json)
        cli_screen_live_clear(&follow->cli->screen);
    cli_screen_flush(&follow->cli->screen);
    cli_error("events up to %.*s are no longer held by the daemon; what follows is the rest",
              STR_ARG(to));
}

static void on_notification(struct follow *follow, const struct rpc_envelope *message)
{
    struct str event;

    if (str_is(str_of(message->method), "event")) {
        if (!json_member(message->params, "event", &event))
            finish(follow, cli_lost(follow->cli, ERR_SYNTAX));
        else
            on_event(follow, event);
    } else if (str_is(str_of(message->method), "events.gap")) {
        on_gap(follow, message->params);
    } else if (str_is(str_of(message->method), "events.end")) {
        follow->has_ended = true;
        if (follow->cli->progress.outcome != CLI_RUN_OPEN)
            finish(follow, code_of(follow->cli->progress.outcome));
        else
            ask_status(follow); /* its ending stands before what the daemon still holds */
    }
}

/* The run waits as a whole: asks, or leaves it. */
static void on_waiting(struct follow *follow, struct str run)
{
    struct cli *cli = follow->cli;
    struct str waiting = STR_NONE, id = STR_NONE, kind = STR_NONE;
    char step_id[LIMIT_NAME + 1];

    (void)json_member(run, "waiting_for", &kind);
    if (cli_ask_can(cli) && json_member(run, "waiting", &waiting) &&
        json_member(waiting, "step_id", &id) && json_string_copy(id, step_id, sizeof step_id)) {
        /* The event that tells of it may be on its way; when it comes, we are here again. */
        const struct cli_step *step = cli_progress_step(&cli->progress, step_id);
        if (step == NULL || step->state != CLI_STEP_WAITING)
            return;
        if (cli_ask_open(cli, run)) {
            after_typed(follow, cli_ask_next(cli));
            return;
        }
    }
    if (!cli->options.json)
        cli_live_left_waiting(cli, !json_string_is(kind, "input"), follow->run_id);
    finish(follow, CLI_WAITING);
}

/* The answer to run.status: the run waits as a whole, or has ended. */
static void on_status(struct follow *follow, struct str run)
{
    struct str status = STR_NONE;
    char text[32];

    follow->sent = NOTHING;
    (void)json_member(run, "status", &status);
    if (!json_string_copy(status, text, sizeof text)) {
        finish(follow, cli_lost(follow->cli, ERR_SYNTAX));
        return;
    }
    enum cli_outcome outcome = cli_outcome_of(str_of(text));
    if (outcome != CLI_RUN_OPEN && follow->cli->progress.outcome == CLI_RUN_OPEN) {
        if (!follow->cli->options.json)
            cli_show_run(follow->cli, run);
        finish(follow, code_of(outcome));
    } else if (str_is(str_of(text), "waiting")) {
        on_waiting(follow, run);
    } else if (follow->has_ended) {
        finish(follow, cli_lost(follow->cli, ERR_END));
    }
}

static void on_message(struct follow *follow, const struct rpc_envelope *message)
{
    if (message->kind == RPC_NOTIFICATION) {
        on_notification(follow, message);
    } else if (message->kind == RPC_RESPONSE) {
        bool is_answer = cli_connection_is_answer(&follow->cli->connection, message);
        if (follow->sent == ANSWER && is_answer) {
            on_answered(follow, message);
        } else if (message->error.n > 0) {
            cli_screen_live_clear(&follow->cli->screen);
            finish(follow, cli_refused(follow->cli, message->error));
        } else if (follow->sent == STATUS && is_answer) {
            on_status(follow, message->result);
        }
    }
}

static void on_interrupt(struct follow *follow)
{
    cli_ask_close(follow->cli);
    cli_screen_live_clear(&follow->cli->screen);
    cli_screen_flush(&follow->cli->screen);
    cli_error(
        "run %s goes on; `charter cancel %s` ends it, `charter events %s --follow` shows the rest",
        follow->run_id, follow->run_id, follow->run_id);
    finish(follow, CLI_INTERRUPTED);
}

int cli_follow(struct cli *cli, const char *run_id)
{
    struct follow follow = {.cli = cli, .run_id = run_id};
    struct rpc_envelope message;
    struct port_signals signals;

    if (port_signals_start() != OK) {
        cli_error("signals cannot be watched: %s; follow with `charter events %s --follow`",
                  port_last_error(), run_id);
        return CLI_FAILED;
    }
    cli_progress_start(&cli->progress);
    struct json_writer *w = cli_request(cli, "run.events");
    json_put_text(w, "run_id", run_id);
    json_put_u64(w, "after", 0);
    json_put_bool(w, "follow", true);
    int code = cli_send(cli);
    if (code != CLI_OK)
        return code;

    bool is_live = cli->screen.is_terminal && !cli->options.json;
    while (!follow.is_over) {
        /* The screen is drawn when all that has come is in it, not once for each event. */
        if (!cli_connection_has_message(&cli->connection)) {
            if (is_live && !cli_ask_is_open(cli))
                cli_live_draw(cli);
            cli_screen_flush(&cli->screen);
        }
        enum err err = cli_ask_is_open(cli)
                           ? cli_connection_receive_or_typed(&cli->connection, &message, &signals)
                           : cli_connection_receive(&cli->connection, is_live ? REDRAW_MS : -1,
                                                    &message, &signals);
        if (err == OK) {
            on_message(&follow, &message);
        } else if (err == ERR_AGAIN) {
            after_typed(&follow, cli_ask_typed(cli));
        } else if (err == ERR_BUSY) {
            on_interrupt(&follow);
        } else if (err != ERR_TIMEOUT) {
            cli_ask_close(cli);
            cli_screen_live_clear(&cli->screen);
            cli_screen_flush(&cli->screen);
            finish(&follow, cli_lost(cli, err));
        }
    }
    return follow.code;
}
