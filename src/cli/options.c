/* Reads the command line by the tables of commands and options.  Owns no texts but those of its
 * refusals; never looks at what a value means.  Invariant: an option is taken only where its
 * command, or everybody, has it. */
#include "cli/options.h"

#include "base/out.h"
#include "base/str.h"

#include <string.h>

#define OPTION(member) offsetof(struct cli_options, member)

const struct cli_option cli_global_options[] = {
    {"project-path", "DIR", "the project; default: the nearest parent directory with a charter.yml",
     CLI_TEXT, OPTION(project_path)},
    {"json", NULL, "print what the daemon answered, one JSON text per line", CLI_FLAG,
     OPTION(json)},
    {"help", NULL, "print this help", CLI_FLAG, OPTION(help)},
    {"version", NULL, "print the version", CLI_FLAG, OPTION(version)},
};
const size_t cli_global_option_count = sizeof cli_global_options / sizeof *cli_global_options;

struct reader {
    const struct cli_command *commands;
    size_t count;
    struct cli_options *options;
    struct cli_parsed *parsed;
    struct cli_problem *problem;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct reader *reader, const char *format,
                                                         ...)
{
    struct out out = OUT_ON(reader->problem->text);
    va_list args;

    va_start(args, format);
    out_vformat(&out, format, args);
    va_end(args);
    if (out.overflow)
        out_text(&out, "the command line was not understood; see `charter --help`");
    out_cstr(&out);
    return false;
}

/* " run" or " runs list", for messages that send people to the help. */
static const char *first_word(const struct reader *reader)
{
    return reader->parsed->command != NULL ? reader->parsed->command->words[0] : "";
}

static const char *second_word(const struct reader *reader)
{
    return reader->parsed->command != NULL && reader->parsed->command->words[1] != NULL
               ? reader->parsed->command->words[1]
               : "";
}

static bool refuse_with_help(struct reader *reader, const char *what, const char *reason)
{
    const char *first = first_word(reader), *second = second_word(reader);
    const char *gap = *first != '\0' ? " " : "", *second_gap = *second != '\0' ? " " : "";

    return refuse(reader, "`%.80s` %s; see `charter%s%s%s%s --help`", what, reason, gap, first,
                  second_gap, second);
}

static const struct cli_option *option_in(const struct cli_option *options, size_t count,
                                          struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_is(name, options[i].name))
            return &options[i];
    return NULL;
}

static const struct cli_option *option_named(const struct reader *reader, struct str name)
{
    const struct cli_command *command = reader->parsed->command;
    const struct cli_option *option = option_in(cli_global_options, cli_global_option_count, name);

    if (option == NULL && command != NULL)
        option = option_in(command->options, command->option_count, name);
    return option;
}

static bool set_value(struct reader *reader, const struct cli_option *option, const char *argument,
                      const char *value)
{
    char *place = (char *)reader->options + option->offset;

    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)(void *)place = true;
        return true;
    case CLI_TEXT:
        *(const char **)(void *)place = value;
        return true;
    case CLI_NUMBER: {
        struct cli_number *number = (struct cli_number *)(void *)place;
        if (!str_to_u64(str_of(value), &number->value) || number->value > (uint64_t)INT64_MAX)
            return refuse_with_help(reader, argument, "wants a whole number");
        number->given = true;
        return true;
    }
    case CLI_LIST: {
        struct cli_list *list = (struct cli_list *)(void *)place;
        const char *equals = strchr(value, '=');
        if (equals == NULL || equals == value)
            return refuse_with_help(reader, argument, "wants NAME=VALUE");
        if (list->count == CLI_LIST_MAX)
            return refuse_with_help(reader, argument, "was given too often");
        list->items[list->count++] = value;
        return true;
    }
    }
    return false;
}

/* Takes one option, and the argument behind it where that is its value. */
static bool take_option(struct reader *reader, int argc, char **argv, int *at)
{
    const char *argument = argv[*at];
    struct str name, value;
    bool attached;

    if (strcmp(argument, "-h") == 0)
        argument = "--help";
    if (argument[1] != '-')
        return refuse_with_help(reader, argument, "is no option");
    attached = str_cut(str_of(argument + 2), '=', &name, &value);
    const struct cli_option *option = option_named(reader, name);
    if (option == NULL)
        return refuse_with_help(reader, argument,
                                reader->parsed->command == NULL
                                    ? "is no option that may stand before a command"
                                    : "is no option of this command");
    if (option->kind == CLI_FLAG) {
        if (attached)
            return refuse_with_help(reader, argument, "takes no value");
        return set_value(reader, option, argument, NULL);
    }
    if (attached)
        return set_value(reader, option, argument, value.p);
    if (*at + 1 >= argc)
        return refuse_with_help(reader, argument, "wants a value");
    return set_value(reader, option, argument, argv[++*at]);
}

static bool take_command_word(struct reader *reader, const char *word)
{
    struct cli_parsed *parsed = reader->parsed;

    for (size_t i = 0; i < reader->count; i++) {
        const struct cli_command *command = &reader->commands[i];
        if (parsed->group != NULL) {
            if (strcmp(command->words[0], parsed->group) == 0 &&
                strcmp(command->words[1], word) == 0) {
                parsed->command = command;
                parsed->group = NULL;
                return true;
            }
        } else if (strcmp(command->words[0], word) == 0) {
            if (command->words[1] == NULL)
                parsed->command = command;
            else
                parsed->group = command->words[0];
            return true;
        }
    }
    if (parsed->group != NULL)
        return refuse(reader, "`%.80s` is no command of `charter %s`; see `charter %s --help`",
                      word, parsed->group, parsed->group);
    return refuse(reader, "`%.80s` is no command; see `charter --help`", word);
}

static bool take_word(struct reader *reader, const char *word)
{
    struct cli_options *options = reader->options;

    if (reader->parsed->command == NULL)
        return take_command_word(reader, word);
    if (options->argument_count >= reader->parsed->command->arguments_max)
        return refuse_with_help(reader, word, "is one argument too many");
    options->arguments[options->argument_count++] = word;
    return true;
}

bool cli_options_read(const struct cli_command *commands, size_t count, int argc, char **argv,
                      struct cli_options *options, struct cli_parsed *parsed,
                      struct cli_problem *problem)
{
    struct reader reader = {commands, count, options, parsed, problem};
    bool words_only = false;

    *options = (struct cli_options){0};
    *parsed = (struct cli_parsed){0};
    for (int at = 1; at < argc; at++) {
        const char *argument = argv[at];
        if (!words_only && strcmp(argument, "--") == 0) {
            words_only = true;
        } else if (!words_only && argument[0] == '-' && argument[1] != '\0') {
            if (!take_option(&reader, argc, argv, &at))
                return false;
        } else if (!take_word(&reader, argument)) {
            return false;
        }
    }
    if (options->help || options->version)
        return true;
    if (parsed->command == NULL) {
        if (parsed->group == NULL)
            return refuse(&reader, "which command? see `charter --help`");
        return refuse(&reader, "which command of `charter %s`? see `charter %s --help`",
                      parsed->group, parsed->group);
    }
    if (options->argument_count < parsed->command->arguments_min)
        return refuse(&reader, "`charter %s%s%s` wants %s; see its --help", first_word(&reader),
                      *second_word(&reader) != '\0' ? " " : "", second_word(&reader),
                      parsed->command->arguments);
    return true;
}
