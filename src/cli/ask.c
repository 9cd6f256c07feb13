/* Asks for a decision or for answers.  Owns the questions and what was typed so far; never talks to
 * the daemon.  Invariant: `answers` is a JSON object whose members have the declared types. */
#include "cli/ask.h"

#include "cli/cli.h"
#include "json/check.h"
#include "json/read.h"

#include <string.h>

bool cli_ask_can(const struct cli *cli)
{
    return cli->screen.is_terminal && port_is_terminal(0) && !cli->options.json;
}

bool cli_ask_is_open(const struct cli *cli)
{
    return cli->ask.state != CLI_ASK_CLOSED;
}

static struct str member(struct str object, const char *name)
{
    struct str value;

    if (!json_member(object, name, &value) || json_type(value) == JSON_NULL)
        return STR_NONE;
    return value;
}

static struct str fields_of(const struct cli_ask *ask)
{
    return str_range(ask->fields, ask->fields_n);
}

/* The field of that index: its name decoded, its declaration raw. */
static bool field_at(const struct cli_ask *ask, size_t index, char name[LIMIT_NAME + 1],
                     struct str *declared)
{
    struct json_walk walk = json_walk(fields_of(ask));
    struct str raw;

    for (size_t i = 0; json_walk_next(&walk, &raw, declared); i++)
        if (i == index)
            return json_string_copy(raw, name, LIMIT_NAME + 1);
    return false;
}

/* --- questions -------------------------------------------------------------------------------- */

static void put_text(struct cli *cli, const char *before, struct str raw)
{
    struct out text = OUT_ON(cli->text);

    if (raw.n == 0)
        return;
    cli_screen_put(&cli->screen, before);
    cli_screen_text(&cli->screen, json_string_decode(raw, &text) ? out_view(&text) : raw);
}

static void put_choices(struct cli *cli, struct str choices)
{
    struct json_walk walk = json_walk(choices);
    const char *before = ", one of ";
    struct str name, choice;

    while (json_walk_next(&walk, &name, &choice)) {
        put_text(cli, before, choice);
        before = ", ";
    }
}

static const char *words_for(struct str type)
{
    return json_string_is(type, "integer")   ? "a whole number"
           : json_string_is(type, "number")  ? "a number"
           : json_string_is(type, "boolean") ? "yes or no"
           : json_string_is(type, "array")   ? "a list, as JSON"
           : json_string_is(type, "object")  ? "an object, as JSON"
                                             : "text";
}

static void put_declaration(struct cli *cli, const char *name, struct str declared)
{
    struct cli_screen *screen = &cli->screen;
    struct str initial = member(declared, "default");

    cli_screen_put(screen, "  ");
    cli_screen_text(screen, str_of(name));
    put_text(cli, ": ", member(declared, "description"));
    cli_screen_put(screen, "\n    ");
    cli_screen_put(screen, words_for(member(declared, "type")));
    put_text(cli, " of ", member(declared, "items"));
    put_choices(cli, member(declared, "enum"));
    put_text(cli, ", at least ", member(declared, "minimum"));
    put_text(cli, ", at most ", member(declared, "maximum"));
    put_text(cli, ", characters at least ", member(declared, "min_length"));
    put_text(cli, ", characters at most ", member(declared, "max_length"));
    put_text(cli, ", matching ", member(declared, "pattern"));
    if (json_type(initial) == JSON_BOOLEAN)
        cli_screen_put(screen, json_is_true(initial) ? "; default yes" : "; default no");
    else if (initial.n > 0)
        put_text(cli, "; default ", initial);
    else
        cli_screen_put(screen, json_is_true(member(declared, "required")) ? "; required"
                                                                          : "; may be left empty");
    cli_screen_put(screen, "\n");
}

static void put_prompt(struct cli *cli)
{
    struct cli_ask *ask = &cli->ask;
    char name[LIMIT_NAME + 1];
    struct str declared;

    if (ask->state == CLI_ASK_DECISION) {
        cli_screen_put(&cli->screen, "  ");
        cli_screen_text(&cli->screen, str_of(ask->step_id));
        cli_screen_put(&cli->screen, ": approve, deny, or leave it waiting? ");
    } else if (ask->state == CLI_ASK_COMMENT) {
        cli_screen_put(&cli->screen, "  comment (may be left empty): ");
    } else if (ask->state == CLI_ASK_FIELD && field_at(ask, ask->field, name, &declared)) {
        cli_screen_put(&cli->screen, "  ");
        cli_screen_text(&cli->screen, str_of(name));
        cli_screen_put(&cli->screen, "> ");
    }
    cli_screen_flush(&cli->screen);
}

static void ask_field(struct cli *cli)
{
    char name[LIMIT_NAME + 1];
    struct str declared;

    if (field_at(&cli->ask, cli->ask.field, name, &declared)) {
        put_declaration(cli, name, declared);
        put_prompt(cli);
    }
}

/* Says what is wrong with what was typed, and asks once more. */
static enum cli_asked complain(struct cli *cli, const char *text)
{
    cli_screen_put(&cli->screen, "  ");
    cli_screen_put(&cli->screen, text);
    cli_screen_put(&cli->screen, "\n");
    put_prompt(cli);
    return CLI_ASKED_MORE;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Sets the answer of a field, or takes it away where `value` is STR_NONE; false where the message
 * would be too long. */
static bool set_answer(struct cli_ask *ask, const char *field, struct str value)
{
    struct json_walk walk = json_walk(str_range(ask->answers, ask->answers_n));
    struct out out = OUT_ON(ask->spare);
    struct json_writer w = json_writer(&out);
    char decoded[LIMIT_NAME + 1];
    struct str name, old;

    json_object(&w);
    while (json_walk_next(&walk, &name, &old)) {
        if (!json_string_copy(name, decoded, sizeof decoded) || strcmp(decoded, field) == 0)
            continue;
        json_put_raw(&w, decoded, old);
    }
    if (value.n > 0)
        json_put_raw(&w, field, value);
    json_object_end(&w);
    if (out.overflow)
        return false;
    ask->answers_n = out_view(&out).n;
    memcpy(ask->answers, ask->spare, ask->answers_n);
    return true;
}

static bool is_one_of(struct str typed, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal_nocase(typed, str_of(words[i])))
            return true;
    return false;
}

#define IS_ONE_OF(typed, words) is_one_of((typed), (words), sizeof(words) / sizeof *(words))

/* What was typed as JSON of the declared type, in *out; NULL, or what it should have been. */
static const char *convert(struct str typed, struct str type, struct out *out)
{
    static const char *const yes[] = {"yes", "y", "true"}, *const no[] = {"no", "n", "false"};
    int64_t ignored;
    bool is_json = json_check(typed, LIMIT_JSON_DEPTH, NULL) == OK;

    if (json_string_is(type, "boolean")) {
        if (!IS_ONE_OF(typed, yes) && !IS_ONE_OF(typed, no))
            return "that is not yes or no";
        out_text(out, IS_ONE_OF(typed, yes) ? "true" : "false");
    } else if (json_string_is(type, "integer")) {
        if (!is_json || !json_integer(typed, &ignored))
            return "that is not a whole number";
        out_str(out, typed);
    } else if (json_string_is(type, "number")) {
        if (!is_json || json_type(typed) != JSON_NUMBER)
            return "that is not a number";
        out_str(out, typed);
    } else if (json_string_is(type, "array")) {
        if (!is_json || json_type(typed) != JSON_ARRAY)
            return "that is not a list in JSON, like [\"a\",\"b\"]";
        out_str(out, typed);
    } else if (json_string_is(type, "object")) {
        if (!is_json || json_type(typed) != JSON_OBJECT)
            return "that is not an object in JSON, like {\"name\":\"value\"}";
        out_str(out, typed);
    } else {
        struct json_writer w = json_writer(out);
        /* The one text that cannot be typed as it is: the empty one. */
        json_string(&w, str_is(typed, "\"\"") ? STR_NONE : typed);
    }
    return out->overflow ? "that is longer than an answer may be" : NULL;
}

static bool is_chosen(struct str choices, struct str value)
{
    struct json_walk walk = json_walk(choices);
    struct str name, choice;

    if (json_type(choices) != JSON_ARRAY)
        return true;
    while (json_walk_next(&walk, &name, &choice))
        if (json_equal(choice, value))
            return true;
    return false;
}

static enum cli_asked take_field(struct cli *cli, struct str typed)
{
    struct cli_ask *ask = &cli->ask;
    struct out value = OUT_ON(cli->text);
    char name[LIMIT_NAME + 1];
    struct str declared;

    if (!field_at(ask, ask->field, name, &declared))
        return CLI_ASKED_LEAVE;
    if (typed.n == 0) {
        if (member(declared, "default").n == 0 && json_is_true(member(declared, "required")))
            return complain(cli, json_string_is(member(declared, "type"), "string")
                                     ? "an answer is required; \"\" stands for the empty text"
                                     : "an answer is required");
        (void)set_answer(ask, name, STR_NONE);
    } else {
        const char *wrong = convert(typed, member(declared, "type"), &value);
        if (wrong != NULL)
            return complain(cli, wrong);
        if (!is_chosen(member(declared, "enum"), out_view(&value)))
            return complain(cli, "that is none of the choices");
        if (!set_answer(ask, name, out_view(&value)))
            return complain(cli, "the answers together are longer than a message may be");
    }
    ask->field = ask->again ? json_count(fields_of(ask)) : ask->field + 1;
    ask_field(cli);
    return cli_ask_next(cli);
}

static enum cli_asked take_decision(struct cli *cli, struct str typed)
{
    static const char *const approve[] = {"approve", "a", "yes", "y"};
    static const char *const deny[] = {"deny", "d", "no", "n"};
    static const char *const leave[] = {"leave", "l"};
    struct cli_ask *ask = &cli->ask;

    if (IS_ONE_OF(typed, leave))
        return CLI_ASKED_LEAVE;
    if (!IS_ONE_OF(typed, approve) && !IS_ONE_OF(typed, deny))
        return complain(cli, "please answer approve, deny or leave (a, d or l)");
    ask->approve = IS_ONE_OF(typed, approve);
    if (cli->options.comment == NULL) {
        ask->state = CLI_ASK_COMMENT;
        put_prompt(cli);
        return CLI_ASKED_MORE;
    }
    ask->state = CLI_ASK_SENT;
    return CLI_ASKED_ALL;
}

static enum cli_asked take_comment(struct cli *cli, struct str typed)
{
    if (!str_copy(typed, cli->ask.comment, sizeof cli->ask.comment))
        return complain(cli, "that is longer than a comment may be");
    cli->ask.state = CLI_ASK_SENT;
    return CLI_ASKED_ALL;
}

enum cli_asked cli_ask_typed(struct cli *cli)
{
    struct cli_ask *ask = &cli->ask;
    size_t got;
    enum err err = port_read(0, ask->line, sizeof ask->line, &got);

    if (err == ERR_AGAIN)
        return CLI_ASKED_MORE;
    if (err != OK) { /* Ctrl-D, or the terminal is gone: its line has not ended */
        cli_screen_put(&cli->screen, "\n");
        return CLI_ASKED_LEAVE;
    }
    struct str typed = str_trim(str_range(ask->line, got));
    if (ask->line[got - 1] != '\n')
        cli_screen_put(&cli->screen, "\n");
    if (ask->state == CLI_ASK_DECISION)
        return take_decision(cli, typed);
    if (ask->state == CLI_ASK_COMMENT)
        return take_comment(cli, typed);
    if (ask->state == CLI_ASK_FIELD)
        return take_field(cli, typed);
    return CLI_ASKED_MORE; /* typed ahead, while nothing was asked */
}

/* --- from question to request ----------------------------------------------------------------- */

/* Then the message of the one that is asked for may stand far above. */
static bool several_wait(const struct cli_progress *progress)
{
    size_t waiting = 0;

    for (size_t i = 0; i < progress->count; i++)
        waiting += progress->steps[i].state == CLI_STEP_WAITING;
    return waiting > 1;
}

bool cli_ask_open(struct cli *cli, struct str run)
{
    struct cli_ask *ask = &cli->ask;
    struct str waiting = member(run, "waiting"), fields = member(waiting, "fields");
    struct str kind = member(run, "waiting_for");

    ask->is_gate = json_string_is(kind, "gate");
    if (!json_string_copy(member(waiting, "step_id"), ask->step_id, sizeof ask->step_id) ||
        (!ask->is_gate && (!json_string_is(kind, "input") || json_type(fields) != JSON_OBJECT ||
                           fields.n > sizeof ask->fields)))
        return false;
    ask->state = ask->is_gate ? CLI_ASK_DECISION : CLI_ASK_FIELD;
    ask->again = false;
    ask->field = 0;
    ask->comment[0] = '\0';
    ask->fields_n = ask->is_gate ? 0 : fields.n;
    if (ask->fields_n > 0)
        memcpy(ask->fields, fields.p, ask->fields_n);
    ask->answers_n = 2;
    memcpy(ask->answers, "{}", 2);

    cli_screen_live_clear(&cli->screen);
    if (several_wait(&cli->progress)) {
        cli_screen_put(&cli->screen, "  ");
        cli_screen_text(&cli->screen, str_of(ask->step_id));
        put_text(cli, ": ", member(waiting, "message"));
        cli_screen_put(&cli->screen, "\n");
    }
    put_text(cli, "  until ", member(waiting, "deadline"));
    if (member(waiting, "deadline").n > 0)
        cli_screen_put(&cli->screen, "\n");
    /* What was typed before the question was there is no answer to it. */
    port_terminal_discard(0);
    if (ask->is_gate) {
        put_prompt(cli);
    } else {
        cli_screen_put(&cli->screen, "  an empty line takes the default; Ctrl-D leaves the run "
                                     "waiting\n");
        ask_field(cli);
    }
    return true;
}

enum cli_asked cli_ask_next(struct cli *cli)
{
    struct cli_ask *ask = &cli->ask;

    if (ask->state != CLI_ASK_FIELD || ask->field < json_count(fields_of(ask)))
        return CLI_ASKED_MORE;
    ask->state = CLI_ASK_SENT;
    return CLI_ASKED_ALL;
}

void cli_ask_request(struct cli *cli, const char *run_id)
{
    const struct cli_ask *ask = &cli->ask;
    struct json_writer *w = cli_request(cli, ask->is_gate ? "run.resume" : "run.submit_input");
    const char *comment = cli->options.comment != NULL ? cli->options.comment : ask->comment;

    json_put_text(w, "run_id", run_id);
    json_put_text(w, "step_id", ask->step_id);
    if (cli->options.actor != NULL)
        json_put_text(w, "actor", cli->options.actor);
    if (!ask->is_gate) {
        json_put_raw(w, "answers", str_range(ask->answers, ask->answers_n));
        return;
    }
    json_put_text(w, "decision", ask->approve ? "approve" : "deny");
    if (*comment != '\0')
        json_put_text(w, "comment", comment);
}

/* The index of the field that a path like "answers.days[0]" names; the count where none is. */
static size_t field_of_path(const struct cli_ask *ask, const char *path)
{
    const char *name = strchr(path, '.');
    char field[LIMIT_NAME + 1];
    struct str declared;
    size_t count = json_count(fields_of(ask)), length;

    name = name == NULL ? path : name + 1;
    length = strcspn(name, ".[");
    for (size_t i = 0; i < count; i++)
        if (field_at(ask, i, field, &declared) && str_equal(str_of(field), str_range(name, length)))
            return i;
    return count;
}

bool cli_ask_again(struct cli *cli, struct str error)
{
    struct cli_ask *ask = &cli->ask;
    struct str data = member(error, "data"), reason = member(data, "reason");
    char path[256] = "";
    int64_t code;

    if (ask->is_gate || !json_integer(member(error, "code"), &code) || code != RPC_INVALID_INPUT)
        return false;
    (void)json_string_copy(member(data, "path"), path, sizeof path);
    ask->field = field_of_path(ask, path);
    ask->again = ask->field < json_count(fields_of(ask));
    if (!ask->again && json_count(fields_of(ask)) == 0)
        return false;
    cli_screen_put(&cli->screen, "  refused: ");
    cli_screen_text(&cli->screen, str_of(path));
    put_text(cli, path[0] == '\0' ? "" : " ", reason.n > 0 ? reason : member(error, "message"));
    cli_screen_put(&cli->screen, "\n");
    if (!ask->again)
        ask->field = 0;
    ask->state = CLI_ASK_FIELD;
    ask_field(cli);
    return true;
}

void cli_ask_close(struct cli *cli)
{
    if (cli->ask.state != CLI_ASK_CLOSED && cli->ask.state != CLI_ASK_SENT) {
        cli_screen_put(&cli->screen, "\n");
        /* Half a line for a question that is gone must not answer the next one. */
        port_terminal_discard(0);
    }
    cli->ask.state = CLI_ASK_CLOSED;
}
