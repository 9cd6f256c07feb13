/* The command line as tables: every command names its options, and both the parser and the help
 * texts read the same table. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_LIST_MAX 256
#define CLI_ARGUMENTS_MAX 2

struct cli;

struct cli_list {
    const char *items[CLI_LIST_MAX];
    size_t count;
};

struct cli_number {
    bool given;
    uint64_t value;
};

struct cli_options {
    /* everywhere */
    const char *project_path;
    bool json, help, version;
    /* what stands without dashes behind the command's words */
    const char *arguments[CLI_ARGUMENTS_MAX];
    size_t argument_count;
    /* of single commands */
    bool detached, follow, approve, deny, drain;
    struct cli_list input, label;
    const char *inputs, *run_id, *cursor, *status, *reason, *comment, *answers, *step, *actor;
    struct cli_number limit, after, timeout_s;
};

enum cli_option_kind { CLI_FLAG, CLI_TEXT, CLI_NUMBER, CLI_LIST };

struct cli_option {
    const char *name;  /* without dashes */
    const char *value; /* how the help calls it; NULL for flags */
    const char *help;
    enum cli_option_kind kind;
    size_t offset; /* in struct cli_options */
};

struct cli_command {
    const char *words[2];  /* "runs", "list"; or "run", NULL */
    const char *arguments; /* "WORKFLOW_ID"; "" for none */
    size_t arguments_min, arguments_max;
    const char *summary;
    const char *notes; /* more for --help; NULL for none */
    const struct cli_option *options;
    size_t option_count;
    int (*run)(struct cli *cli);
};

extern const struct cli_option cli_global_options[];
extern const size_t cli_global_option_count;

/* Why a command line was not understood. */
struct cli_problem {
    char text[256];
};

struct cli_parsed {
    const struct cli_command *command; /* NULL: none was named */
    const char *group; /* the word of a group without a command of it: "runs"; else NULL */
};

/* Reads argv[1..]. False with *problem set. --help and --version win over what is missing. */
bool cli_options_read(const struct cli_command *commands, size_t count, int argc, char **argv,
                      struct cli_options *options, struct cli_parsed *parsed,
                      struct cli_problem *problem);

#endif
