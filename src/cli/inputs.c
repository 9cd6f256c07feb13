/* From the words of a command line to the JSON inputs of a run.  Owns the conversion by declared
 * type; leaves every constraint to the daemon, which checks them all anyway.  Invariant: what
 * comes out is one valid JSON object. */
#include "cli/cli.h"

#include "json/check.h"
#include "json/read.h"

#include <string.h>

static int bad_object(const char *option, const char *what)
{
    cli_error("--%s %s; give it a JSON object like '{\"name\":\"value\"}', or @FILE", option, what);
    return CLI_USAGE;
}

/* Reads what stdin has, to its end. */
static enum err read_stdin(char *to, size_t size, size_t *got)
{
    *got = 0;
    for (;;) {
        size_t count;
        if (*got == size)
            return ERR_TOO_LARGE;
        enum err err = port_read(0, to + *got, size - *got, &count);
        if (err == ERR_END)
            return OK;
        if (err == ERR_AGAIN) {
            struct port_watch watch = {.fd = 0, .wanted = PORT_READABLE};
            struct port_signals signals;
            err = port_wait(&watch, 1, -1, &signals);
        } else if (err == OK) {
            *got += count;
        }
        if (err != OK)
            return err;
    }
}

int cli_read_object(struct cli *cli, const char *option, const char *argument, struct str *object)
{
    struct json_problem problem;
    char words[160];
    struct out out = OUT_ON(words);
    size_t got;

    if (argument[0] == '@') {
        enum err err = strcmp(argument, "@-") == 0
                           ? read_stdin(cli->text, sizeof cli->text, &got)
                           : port_read_file(argument + 1, cli->text, sizeof cli->text, &got);
        if (err == ERR_TOO_LARGE) {
            out_format(&out, "%.100s is longer than %d bytes", argument, LIMIT_MESSAGE);
            return bad_object(option, out_cstr(&out));
        }
        if (err != OK) {
            cli_error("--%s %s cannot be read: %s", option, argument, port_last_error());
            return CLI_USAGE;
        }
        *object = str_trim(str_range(cli->text, got));
    } else {
        *object = str_trim(str_of(argument));
    }
    if (json_check(*object, LIMIT_JSON_DEPTH, &problem) != OK) {
        out_format(&out, "is no JSON at byte %zu (%s)", problem.offset, problem.reason);
        return bad_object(option, out_cstr(&out));
    }
    if (json_type(*object) != JSON_OBJECT)
        return bad_object(option, "is no JSON object");
    return CLI_OK;
}

static bool is_integer(struct str text)
{
    int64_t ignored;

    return json_check(text, 1, NULL) == OK && json_integer(text, &ignored);
}

static bool is_of_type(struct str text, enum json_type type)
{
    return json_check(text, LIMIT_JSON_DEPTH, NULL) == OK && json_type(text) == type;
}

/* The value of NAME=VALUE by the type that the manifest declares; an input that it does not know
 * goes out as a string, for the daemon to refuse by its name. */
static int put_converted(struct json_writer *w, struct str name, struct str value,
                         struct str manifest)
{
    struct str inputs, declared, type = STR_NONE;
    const char *wanted;
    bool fits;

    if (json_member(manifest, "inputs", &inputs) && json_member_named(inputs, name, &declared))
        (void)json_member(declared, "type", &type);
    if (json_string_is(type, "integer")) {
        fits = is_integer(value);
        wanted = "a whole number";
    } else if (json_string_is(type, "number")) {
        fits = is_of_type(value, JSON_NUMBER);
        wanted = "a number";
    } else if (json_string_is(type, "boolean")) {
        fits = is_of_type(value, JSON_BOOLEAN);
        wanted = "true or false";
    } else if (json_string_is(type, "array")) {
        fits = is_of_type(value, JSON_ARRAY);
        wanted = "a JSON array";
    } else if (json_string_is(type, "object")) {
        fits = is_of_type(value, JSON_OBJECT);
        wanted = "a JSON object";
    } else {
        json_string(w, value);
        return CLI_OK;
    }
    if (fits) {
        json_raw(w, value);
        return CLI_OK;
    }
    cli_error(
        "--input %.*s: `%.*s` is not %s; `charter workflows show` tells what the workflow takes",
        STR_ARG(name), (int)(value.n < 200 ? value.n : 200), value.p, wanted);
    return CLI_USAGE;
}

/* Index of the last --input of that name, which is the one that counts; -1: there is none. */
static int last_named(const struct cli_list *list, struct str name)
{
    struct str given, value;

    for (size_t i = list->count; i > 0; i--) {
        str_cut(str_of(list->items[i - 1]), '=', &given, &value);
        if (str_equal(given, name))
            return (int)i - 1;
    }
    return -1;
}

/* The members of --inputs that no --input replaces; a name that is there twice stays so, for the
 * daemon to refuse. */
static int put_given(struct json_writer *w, struct str given, const struct cli_list *list)
{
    struct json_walk walk = json_walk(given);
    struct str name, value;

    while (json_walk_next(&walk, &name, &value)) {
        char decoded[4 * LIMIT_NAME];
        struct out text = OUT_ON(decoded);
        if (!json_string_decode(name, &text))
            return bad_object("inputs", "has a name that no input can have");
        if (last_named(list, out_view(&text)) >= 0)
            continue;
        json_key_str(w, out_view(&text));
        json_raw(w, value);
    }
    return CLI_OK;
}

int cli_inputs(struct cli *cli, struct str manifest, struct str *object)
{
    const struct cli_list *list = &cli->options.input;
    struct out out = OUT_ON(cli->values);
    struct json_writer w = json_writer(&out);
    struct str given = STR_NONE, name, value;
    int code = CLI_OK;

    if (cli->options.inputs != NULL)
        code = cli_read_object(cli, "inputs", cli->options.inputs, &given);
    if (code != CLI_OK)
        return code;

    json_object(&w);
    if (given.n > 0)
        code = put_given(&w, given, list);
    for (size_t i = 0; i < list->count && code == CLI_OK; i++) {
        str_cut(str_of(list->items[i]), '=', &name, &value);
        if (last_named(list, name) != (int)i)
            continue;
        json_key_str(&w, name);
        code = put_converted(&w, name, value, manifest);
    }
    if (code != CLI_OK)
        return code;
    json_object_end(&w);
    if (out.overflow) {
        cli_error("the inputs are longer than a message of %d bytes; pass large values as files "
                  "that the integrations "
                  "read",
                  LIMIT_MESSAGE);
        return CLI_USAGE;
    }
    *object = out_view(&out);
    return CLI_OK;
}
