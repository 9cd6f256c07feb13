/* Requests and their answers, and what the CLI says when there is none.  Owns the words of
 * refusals; never decides what a result means. */
#include "cli/cli.h"

#include "cli/text.h"
#include "json/read.h"

#define ANSWER_TIMEOUT_MS 60000

void cli_error(const char *format, ...)
{
    char text[1536], line[3072];
    struct out out = OUT_ON(text), safe = OUT_ON(line);
    va_list args;

    va_start(args, format);
    out_vformat(&out, format, args);
    va_end(args);
    if (out.overflow)
        out_text(&out, "the message is too long to be shown");
    out_text(&safe, "charter: ");
    cli_text_put(&safe, out_view(&out), 1400);
    out_byte(&safe, '\n');
    port_stderr(out_view(&safe));
}

void cli_print_json(struct cli *cli, struct str raw)
{
    cli_screen_json(&cli->screen, raw);
}

static int no_daemon(struct cli *cli, enum err err)
{
    if (err == ERR_DENIED)
        cli_error("the daemon of %s belongs to another user: %s; ask as its user or as root",
                  cli->project, port_last_error());
    else
        cli_error(
            "no daemon for this project: start one with `charter-daemon start --project-path %s`",
            cli->project);
    return CLI_NO_DAEMON;
}

static int ensure_open(struct cli *cli)
{
    if (cli->connection.is_open)
        return CLI_OK;
    enum err err = cli_connection_open(&cli->connection, cli->project);
    return err == OK ? CLI_OK : no_daemon(cli, err);
}

struct json_writer *cli_request(struct cli *cli, const char *method)
{
    return cli_connection_request(&cli->connection, method);
}

int cli_lost(struct cli *cli, enum err err)
{
    switch (err) {
    case ERR_TIMEOUT:
        cli_error("the daemon of %s does not answer; its log may say why", cli->project);
        break;
    case ERR_SYNTAX:
    case ERR_INVALID:
        cli_error("what the daemon of %s answered is not the protocol of charter " CHARTER_VERSION
                  "; use a charter and a charter-daemon of the same version",
                  cli->project);
        break;
    case ERR_TOO_LARGE:
        cli_error("the daemon of %s sends messages over %d bytes, the limit of this charter; build "
                  "both with the "
                  "same limits",
                  cli->project, LIMIT_MESSAGE);
        break;
    default:
        cli_error("the daemon of %s went away; when it has started again, `charter status` and "
                  "`charter runs list` "
                  "say how far it came",
                  cli->project);
    }
    return CLI_NO_DAEMON;
}

/* What to do about a refusal, by its code; "" where the message says it all. */
static const char *advice(int64_t code, struct str what, bool has_file)
{
    switch (code) {
    case RPC_NOT_FOUND:
        return json_string_is(what, "workflow") ? "; `charter workflows list` shows what there is"
               : json_string_is(what, "run")    ? "; `charter runs list` shows what there is"
                                                : "";
    case RPC_INVALID_INPUT:
        /* A file's line is named: what is wrong stands there, and not in what was given. */
        return has_file ? "; mend it, then try `charter-daemon check`"
                        : "; `charter workflows show` tells what a workflow takes";
    case RPC_INVALID_PLAN:
    case RPC_UNRESOLVED_INTEGRATION:
        return "; mend it, then try `charter-daemon check`";
    case RPC_NOT_READY:
        return "; try again in a moment";
    case RPC_BUSY:
        return "; try again when a run has ended";
    case RPC_RUN_ID_CONFLICT:
        return "; choose another --run-id, or none";
    case RPC_WRONG_STATE:
        return "; `charter status` shows the run";
    case RPC_MESSAGE_TOO_LARGE:
        return "; pass large values as files that the integrations read";
    case RPC_METHOD_NOT_FOUND:
        return "; this daemon is of another version than this charter";
    default:
        return "";
    }
}

struct refusal {
    int64_t code;
    struct str message, data;
};

struct refusal_data {
    struct str path, reason, file, status, decision, actor;
    int64_t line, column;
};

static void add_text(struct cli *cli, struct out *out, const char *before, struct str raw)
{
    struct out text = OUT_ON(cli->text);

    if (raw.n == 0)
        return;
    out_text(out, before);
    if (json_string_decode(raw, &text))
        cli_text_put(out, out_view(&text), 300);
    else
        cli_text_put(out, raw, 300);
}

/* Whether the message already says what stands in the data, so that it need not be said again. */
static bool mentions(struct str message, struct str raw)
{
    struct str inner = raw.n >= 2 ? str_range(raw.p + 1, raw.n - 2) : STR_NONE;

    for (size_t i = 0; inner.n > 0 && i + inner.n <= message.n; i++)
        if (str_equal(str_range(message.p + i, inner.n), inner))
            return true;
    return false;
}

static void add_data(struct cli *cli, struct out *out, struct str message, struct str raw)
{
    static const struct json_field fields[] = {
        {.name = "path", .type = JSON_FIELD_STRING, .offset = offsetof(struct refusal_data, path)},
        {.name = "reason",
         .type = JSON_FIELD_STRING,
         .offset = offsetof(struct refusal_data, reason)},
        {.name = "file", .type = JSON_FIELD_STRING, .offset = offsetof(struct refusal_data, file)},
        {.name = "line", .type = JSON_FIELD_INTEGER, .offset = offsetof(struct refusal_data, line)},
        {.name = "column",
         .type = JSON_FIELD_INTEGER,
         .offset = offsetof(struct refusal_data, column)},
        {.name = "status",
         .type = JSON_FIELD_STRING,
         .offset = offsetof(struct refusal_data, status)},
        {.name = "decision",
         .type = JSON_FIELD_STRING,
         .offset = offsetof(struct refusal_data, decision)},
        {.name = "actor",
         .type = JSON_FIELD_STRING,
         .offset = offsetof(struct refusal_data, actor)},
    };
    struct refusal_data data = {0};
    struct json_field_error ignored;

    if (json_type(raw) != JSON_OBJECT ||
        json_read(raw, fields, sizeof fields / sizeof *fields, &data, &ignored) != OK)
        return;
    if (!mentions(message, data.path))
        add_text(cli, out, ", at ", data.path);
    if (!mentions(message, data.reason))
        add_text(cli, out, ": ", data.reason);
    if (data.file.n > 0 && !mentions(message, data.file)) {
        add_text(cli, out, ", in ", data.file);
        if (data.line > 0)
            out_format(out, ":%lld:%lld", (long long)data.line, (long long)data.column);
    }
    if (!mentions(message, data.status))
        add_text(cli, out, ", it is ", data.status);
    add_text(cli, out, ", decided: ", data.decision);
    add_text(cli, out, " by ", data.actor);
}

int cli_refused(struct cli *cli, struct str error)
{
    static const struct json_field fields[] = {
        {.name = "code", .type = JSON_FIELD_INTEGER, .offset = offsetof(struct refusal, code)},
        {.name = "message", .type = JSON_FIELD_STRING, .offset = offsetof(struct refusal, message)},
        {.name = "data", .type = JSON_FIELD_RAW, .offset = offsetof(struct refusal, data)},
    };
    struct refusal refusal = {0};
    struct json_field_error problem;
    struct str what = STR_NONE, file;
    char line[1200];
    struct out out = OUT_ON(line);

    if (json_read(error, fields, sizeof fields / sizeof *fields, &refusal, &problem) != OK)
        return cli_lost(cli, ERR_SYNTAX);
    if (cli->options.json) {
        struct out whole = OUT_ON(cli->values);
        struct json_writer w = json_writer(&whole);
        json_object(&w);
        json_put_raw(&w, "error", error);
        json_object_end(&w);
        cli_print_json(cli, out_view(&whole));
    }
    add_text(cli, &out, "", refusal.message);
    add_data(cli, &out, refusal.message, refusal.data);
    (void)json_member(refusal.data, "what", &what);
    out_text(&out, advice(refusal.code, what, json_member(refusal.data, "file", &file)));
    out_format(&out, " (%lld)", (long long)refusal.code);
    cli_error("%s", out_cstr(&out));
    return CLI_REFUSED;
}

int cli_send(struct cli *cli)
{
    int code = ensure_open(cli);

    if (code != CLI_OK)
        return code;
    enum err err = cli_connection_send(&cli->connection);
    if (err == ERR_TOO_LARGE) {
        cli_error("the request is longer than the %d bytes of a message; pass large values as "
                  "files that the "
                  "integrations read",
                  LIMIT_MESSAGE);
        return CLI_USAGE;
    }
    return err == OK ? CLI_OK : cli_lost(cli, err);
}

int cli_call(struct cli *cli, struct str *result)
{
    struct rpc_envelope envelope;
    struct port_signals signals;
    int code = cli_send(cli);

    while (code == CLI_OK) {
        enum err err =
            cli_connection_receive(&cli->connection, ANSWER_TIMEOUT_MS, &envelope, &signals);
        if (err == ERR_BUSY)
            return CLI_INTERRUPTED;
        if (err != OK)
            return cli_lost(cli, err);
        if (envelope.kind != RPC_RESPONSE)
            continue;
        /* An error without id is about the connection or about a request that could not be read:
         * ours. */
        if (envelope.error.n > 0)
            return cli_refused(cli, envelope.error);
        if (!cli_connection_is_answer(&cli->connection, &envelope))
            continue;
        *result = envelope.result;
        return CLI_OK;
    }
    return code;
}
