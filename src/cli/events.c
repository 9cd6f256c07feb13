/* `charter events`: the stored events of a run or of the whole daemon, one a line.  Owns how an
 * event looks in that list; never leaves one out. */
#include "cli/cli.h"

#include "json/read.h"

#include <string.h>

static void put_plain(struct cli *cli, const char *before, struct str raw)
{
    struct out text = OUT_ON(cli->text);

    if (raw.n == 0)
        return;
    cli_screen_put(&cli->screen, before);
    cli_screen_text(&cli->screen, json_string_decode(raw, &text) ? out_view(&text) : raw);
}

/* What matters of the data in words, or the data itself. */
static void put_data(struct cli *cli, const struct cli_event *event)
{
    if (strcmp(event->type, "step.log") == 0) {
        put_plain(cli, "  ", cli_event_data(event, "level"));
        put_plain(cli, ": ", cli_event_data(event, "message"));
    } else if (strcmp(event->type, "step.progress") == 0) {
        put_plain(cli, "  ", cli_event_data(event, "current"));
        put_plain(cli, "/", cli_event_data(event, "total"));
        put_plain(cli, " ", cli_event_data(event, "message"));
    } else if (json_count(event->data) > 0) {
        cli_screen_put(&cli->screen, "  ");
        cli_screen_text(&cli->screen, event->data);
    }
}

static void print_event(struct cli *cli, const struct cli_event *event)
{
    struct cli_screen *screen = &cli->screen;

    cli_screen_format(screen, "%6lld ", (long long)event->seq);
    cli_screen_text(screen, str_of(event->time));
    cli_screen_put(screen, " ");
    if (cli->options.argument_count == 0) {
        cli_screen_column(screen, str_of(*event->run_id == '\0' ? "-" : event->run_id), 29);
    }
    cli_screen_text(screen, str_of(event->type));
    if (*event->step_id != '\0') {
        cli_screen_put(screen, " ");
        cli_screen_text(screen, str_of(event->step_id));
    }
    if (event->attempt > 1)
        cli_screen_format(screen, " (attempt %lld)", (long long)event->attempt);
    put_data(cli, event);
    cli_screen_put(screen, "\n");
}

static int on_event(struct cli *cli, struct str params)
{
    struct cli_event event;
    struct str raw;

    if (!json_member(params, "event", &raw) || !cli_event_read(raw, &event))
        return cli_lost(cli, ERR_SYNTAX);
    if (cli->options.json)
        cli_print_json(cli, raw);
    else
        print_event(cli, &event);
    return CLI_OK;
}

static void on_gap(struct cli *cli, struct str params)
{
    struct str from = STR_NONE, to = STR_NONE;

    (void)json_member(params, "from", &from);
    (void)json_member(params, "to", &to);
    cli_screen_flush(&cli->screen);
    cli_error("events %.*s to %.*s are no longer held by the daemon; what follows is the rest",
              STR_ARG(from), STR_ARG(to));
}

int cli_events(struct cli *cli)
{
    const struct cli_options *options = &cli->options;
    struct rpc_envelope message;
    struct port_signals signals;

    struct json_writer *w = cli_request(cli, "run.events");
    if (options->argument_count > 0)
        json_put_text(w, "run_id", options->arguments[0]);
    json_put_u64(w, "after", options->after.value);
    json_put_bool(w, "follow", options->follow);
    int code = cli_send(cli);
    bool is_over = false;

    while (code == CLI_OK && !is_over) {
        if (!cli_connection_has_message(&cli->connection))
            cli_screen_flush(&cli->screen);
        if (cli->screen.gone)
            return CLI_FAILED;
        enum err err = cli_connection_receive(&cli->connection, options->follow ? -1 : 60000,
                                              &message, &signals);
        if (err != OK) {
            cli_screen_flush(&cli->screen);
            return cli_lost(cli, err);
        }
        if (message.kind == RPC_RESPONSE && message.error.n > 0)
            code = cli_refused(cli, message.error);
        else if (message.kind != RPC_NOTIFICATION)
            continue;
        else if (strcmp(message.method, "event") == 0)
            code = on_event(cli, message.params);
        else if (strcmp(message.method, "events.gap") == 0)
            on_gap(cli, message.params);
        else if (strcmp(message.method, "events.end") == 0)
            is_over = true;
    }
    return code;
}
