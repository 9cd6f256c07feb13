/* cli/options.h: what a command line means, by a table of the test's own. */
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OPTION(member) offsetof(struct cli_options, member)

static const struct cli_option options_of_go[] = {
    {"detached", NULL, "", CLI_FLAG, OPTION(detached)},
    {"reason", "TEXT", "", CLI_TEXT, OPTION(reason)},
    {"limit", "N", "", CLI_NUMBER, OPTION(limit)},
    {"input", "K=V", "", CLI_LIST, OPTION(input)},
};
static const struct cli_command commands[] = {
    {{"go", NULL}, "WHERE", 1, 2, "", NULL, options_of_go, 4, NULL},
    {{"things", "list"}, "", 0, 0, "", NULL, NULL, 0, NULL},
    {{"things", "show"}, "ID", 1, 1, "", NULL, NULL, 0, NULL},
};

struct line {
    struct cli_options options;
    struct cli_parsed parsed;
    struct cli_problem problem;
};

static bool read_line(struct line *line, const char *text)
{
    static char words[512];
    char *argv[64] = {"charter"};
    int argc = 1;

    snprintf(words, sizeof words, "%s", text);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return cli_options_read(commands, 3, argc, argv, &line->options, &line->parsed, &line->problem);
}

static void options_stand_before_and_behind_arguments(void **state)
{
    struct line line;
    (void)state;

    assert_true(read_line(
        &line, "--json go --detached there --reason=a=b --limit 5 again --project-path /p"));
    assert_ptr_equal(line.parsed.command, &commands[0]);
    assert_true(line.options.json);
    assert_true(line.options.detached);
    assert_string_equal(line.options.reason, "a=b");
    assert_true(line.options.limit.given);
    assert_int_equal(line.options.limit.value, 5);
    assert_int_equal(line.options.argument_count, 2);
    assert_string_equal(line.options.arguments[1], "again");
    assert_string_equal(line.options.project_path, "/p");
}

static void after_two_dashes_all_are_words(void **state)
{
    struct line line;
    (void)state;

    assert_true(read_line(&line, "go -- --detached -x"));
    assert_false(line.options.detached);
    assert_string_equal(line.options.arguments[0], "--detached");
    assert_string_equal(line.options.arguments[1], "-x");
}

static void a_value_may_look_like_an_option(void **state)
{
    struct line line;
    (void)state;

    assert_true(read_line(&line, "go there --reason --json"));
    assert_string_equal(line.options.reason, "--json");
    assert_false(line.options.json);
}

static void two_words_make_one_command(void **state)
{
    struct line line;
    (void)state;

    assert_true(read_line(&line, "things show x"));
    assert_ptr_equal(line.parsed.command, &commands[2]);
    assert_string_equal(line.options.arguments[0], "x");
}

static void help_wins_over_what_is_missing(void **state)
{
    struct line line;
    (void)state;

    assert_true(read_line(&line, "go --help"));
    assert_ptr_equal(line.parsed.command, &commands[0]);
    assert_true(read_line(&line, "things -h"));
    assert_string_equal(line.parsed.group, "things");
    assert_true(read_line(&line, "--help"));
    assert_null(line.parsed.command);
}

static void what_is_wrong_is_refused_in_words(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "which command"},
        {"things", "which command of `charter things`"},
        {"fly", "`fly` is no command"},
        {"go", "wants WHERE"},
        {"go a b c", "`c` is one argument too many"},
        {"--detached go a", "may stand before a command"},
        {"go a --fly", "`--fly` is no option of this command"},
        {"go a -d", "`-d` is no option"},
        {"go a --reason", "`--reason` wants a value"},
        {"go a --detached=1", "takes no value"},
        {"go a --limit -1", "wants a whole number"},
        {"go a --limit 9223372036854775808", "wants a whole number"},
        {"go a --input x", "wants NAME=VALUE"},
    };
    struct line line;
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(read_line(&line, cases[i].line));
        if (strstr(line.problem.text, cases[i].says) == NULL)
            fail_msg("\"%s\" says \"%s\"", cases[i].line, line.problem.text);
    }
}

static void a_list_keeps_its_order_and_has_an_end(void **state)
{
    static char words[CLI_LIST_MAX + 1][16];
    static char *argv[2 * CLI_LIST_MAX + 8];
    struct line line;
    int argc = 0;
    (void)state;

    argv[argc++] = "charter";
    argv[argc++] = "go";
    argv[argc++] = "a";
    for (size_t i = 0; i <= CLI_LIST_MAX; i++) {
        snprintf(words[i], sizeof words[i], "k%zu=v", i);
        argv[argc++] = "--input";
        argv[argc++] = words[i];
    }
    assert_true(
        cli_options_read(commands, 3, argc - 2, argv, &line.options, &line.parsed, &line.problem));
    assert_int_equal(line.options.input.count, CLI_LIST_MAX);
    assert_string_equal(line.options.input.items[255], "k255=v");
    assert_false(
        cli_options_read(commands, 3, argc, argv, &line.options, &line.parsed, &line.problem));
    assert_non_null(strstr(line.problem.text, "too often"));
}

static void a_long_word_does_not_break_the_message(void **state)
{
    static char word[4000];
    char *argv[] = {"charter", word};
    struct line line;
    (void)state;

    memset(word, 'x', sizeof word - 1);
    assert_false(
        cli_options_read(commands, 3, 2, argv, &line.options, &line.parsed, &line.problem));
    assert_true(strlen(line.problem.text) < sizeof line.problem.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_before_and_behind_arguments),
        cmocka_unit_test(after_two_dashes_all_are_words),
        cmocka_unit_test(a_value_may_look_like_an_option),
        cmocka_unit_test(two_words_make_one_command),
        cmocka_unit_test(help_wins_over_what_is_missing),
        cmocka_unit_test(what_is_wrong_is_refused_in_words),
        cmocka_unit_test(a_list_keeps_its_order_and_has_an_end),
        cmocka_unit_test(a_long_word_does_not_break_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
