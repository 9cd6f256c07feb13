/* `charter resume` and `charter submit-input` without an answer: asks at the terminal for what a
 * run waits for, sends it, shows the run.  Owns the subscription that tells when somebody else was
 * faster; the questions are ask.c's. */
#include "cli/cli.h"

#include "json/read.h"

#include <string.h>

struct answer {
    struct cli *cli;
    const char *run_id;
    bool is_sent, is_over;
    int code;
};

static void finish(struct answer *answer, int code)
{
    answer->is_over = true;
    answer->code = code;
}

/* What the run waits for, if it is of this kind and at the step that was named. */
static int find(struct cli *cli, const char *run_id, bool is_gate, struct str *run)
{
    struct str kind = STR_NONE, waiting = STR_NONE, step = STR_NONE, status = STR_NONE;
    char id[LIMIT_NAME + 1] = "", word[32] = "";

    json_put_text(cli_request(cli, "run.status"), "run_id", run_id);
    int code = cli_call(cli, run);
    if (code != CLI_OK)
        return code;
    (void)json_member(*run, "waiting_for", &kind);
    (void)json_member(*run, "status", &status);
    if (json_member(*run, "waiting", &waiting) && json_member(waiting, "step_id", &step))
        (void)json_string_copy(step, id, sizeof id);
    (void)json_string_copy(status, word, sizeof word);
    if (id[0] == '\0') {
        cli_error("run %s waits for nothing: it is %s", run_id, word);
        return CLI_REFUSED;
    }
    if (cli->options.step != NULL && strcmp(cli->options.step, id) != 0) {
        cli_error("it is step %s that run %s waits for first; for step %s give %s", id, run_id,
                  cli->options.step, is_gate ? "--approve or --deny" : "--answers JSON");
        return CLI_REFUSED;
    }
    if (json_string_is(kind, is_gate ? "gate" : "input"))
        return CLI_OK;
    cli_error("run %s waits for %s at step %s; answer it with `charter %s %s`", run_id,
              is_gate ? "answers" : "a decision", id, is_gate ? "submit-input" : "resume", run_id);
    return CLI_REFUSED;
}

static void after_typed(struct answer *answer, enum cli_asked asked)
{
    struct cli *cli = answer->cli;

    if (asked == CLI_ASKED_LEAVE) {
        cli->ask.state = CLI_ASK_CLOSED;
        cli_screen_put(&cli->screen, "run ");
        cli_screen_text(&cli->screen, str_of(answer->run_id));
        cli_screen_put(&cli->screen, " is left waiting\n");
        finish(answer, CLI_WAITING);
    } else if (asked == CLI_ASKED_ALL) {
        cli_ask_request(cli, answer->run_id);
        int code = cli_send(cli);
        answer->is_sent = true;
        if (code != CLI_OK)
            finish(answer, code);
    }
}

/* A step waits once: whatever ends its waiting is seen here, whenever it happened. */
static void on_event(struct answer *answer, struct str raw)
{
    static const char *const words[] = {"approve", "deny"};
    struct cli *cli = answer->cli;
    struct cli_event event;
    char decision[16], who[LIMIT_KEY + 1];

    if (answer->is_sent || !cli_event_read(raw, &event) ||
        strcmp(event.step_id, cli->ask.step_id) != 0)
        return;
    bool is_decided = strcmp(event.type, "run.resumed") == 0;
    if (!is_decided && strcmp(event.type, "run.input_submitted") != 0 &&
        strcmp(event.type, "step.failed") != 0)
        return;
    cli_ask_close(cli);
    cli_screen_flush(&cli->screen);
    if (!json_string_copy(cli_event_data(&event, "actor"), who, sizeof who) &&
        !json_string_copy(cli_event_data(&event, "by"), who, sizeof who))
        str_copy(STR("the daemon"), who, sizeof who);
    if (!json_string_copy(cli_event_data(&event, "decision"), decision, sizeof decision))
        decision[0] = '\0';
    if (is_decided)
        cli_error("decided elsewhere meanwhile: %s by %s; `charter status %s` shows the run",
                  strcmp(decision, words[0]) == 0 ? words[0] : words[1], who, answer->run_id);
    else if (strcmp(event.type, "step.failed") == 0)
        cli_error("step %s waits no more; `charter status %s` shows the run", event.step_id,
                  answer->run_id);
    else
        cli_error("answered elsewhere meanwhile, by %s; `charter status %s` shows the run", who,
                  answer->run_id);
    finish(answer, CLI_REFUSED);
}

static void on_message(struct answer *answer, const struct rpc_envelope *message)
{
    struct cli *cli = answer->cli;
    struct str event;

    if (message->kind == RPC_NOTIFICATION) {
        if (strcmp(message->method, "event") == 0 && json_member(message->params, "event", &event))
            on_event(answer, event);
        return;
    }
    if (message->kind != RPC_RESPONSE)
        return;
    if (message->error.n > 0) {
        answer->is_sent = false;
        if (cli_connection_is_answer(&cli->connection, message) &&
            cli_ask_again(cli, message->error))
            return;
        cli_ask_close(cli);
        cli_screen_flush(&cli->screen);
        finish(answer, cli_refused(cli, message->error));
    } else if (answer->is_sent && cli_connection_is_answer(&cli->connection, message)) {
        cli_show_run(cli, message->result);
        finish(answer, CLI_OK);
    }
}

int cli_answer(struct cli *cli, bool is_gate)
{
    struct answer answer = {.cli = cli, .run_id = cli->options.arguments[0]};
    struct rpc_envelope message;
    struct port_signals signals;
    struct str run, waiting, text;

    int code = find(cli, answer.run_id, is_gate, &run);
    if (code != CLI_OK)
        return code;
    if (json_member(run, "waiting", &waiting) && json_member(waiting, "message", &text) &&
        json_type(text) == JSON_STRING) {
        struct out decoded = OUT_ON(cli->text);
        (void)json_string_decode(text, &decoded);
        cli_screen_block(&cli->screen, "  ", out_view(&decoded));
    }
    if (!cli_ask_open(cli, run))
        return cli_lost(cli, ERR_SYNTAX);

    struct json_writer *w = cli_request(cli, "run.events");
    json_put_text(w, "run_id", answer.run_id);
    json_put_u64(w, "after", 0);
    json_put_bool(w, "follow", true);
    code = cli_send(cli);
    if (code != CLI_OK)
        return code;
    after_typed(&answer, cli_ask_next(cli));
    while (!answer.is_over) {
        cli_screen_flush(&cli->screen);
        enum err err = cli_connection_receive_or_typed(&cli->connection, &message, &signals);
        if (err == OK) {
            on_message(&answer, &message);
        } else if (err == ERR_AGAIN) {
            after_typed(&answer, cli_ask_typed(cli));
        } else {
            cli_ask_close(cli);
            cli_screen_flush(&cli->screen);
            finish(&answer, cli_lost(cli, err));
        }
    }
    return answer.code;
}
