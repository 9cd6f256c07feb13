/* The daemon's command line and environment. */
#include "daemon/options.h"

#include "port_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct options options;
static char folder[LIMIT_PATH];

static int start(void **state)
{
    static const char *const variables[] = {"CHARTER_PROJECT_PATH", "CHARTER_GATEWAY",
                                            "CHARTER_TOKEN_FILE",   "CHARTER_LOG_LEVEL",
                                            "CHARTER_LOG_FORMAT",   "CHARTER_RECONNECT_MS"};
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    memset(&options, 0x5a, sizeof options);
    return port_real_path(support_folder(), folder, sizeof folder) == OK ? 0 : -1;
}

#define ARGUMENTS 12

static bool read_options(const char *const *arguments)
{
    static char copies[ARGUMENTS][LIMIT_URL + 64];
    char *argv[ARGUMENTS + 2];
    int argc = 1;
    argv[0] = copies[ARGUMENTS - 1];
    for (; arguments[argc - 1] != NULL; argc++) {
        assert_true(argc < ARGUMENTS);
        assert_true(str_copy(str_of(arguments[argc - 1]), copies[argc - 1], sizeof copies[0]));
        argv[argc] = copies[argc - 1];
    }
    argv[argc] = NULL;
    return options_read(&options, argc, argv);
}

#define READ(...) read_options((const char *const[]){__VA_ARGS__, NULL})

static void without_flags_there_are_defaults(void **state)
{
    char here[LIMIT_PATH];
    (void)state;
    assert_true(READ("start"));
    assert_int_equal(options.command, COMMAND_START);
    assert_int_equal(port_current_directory(here, sizeof here), OK);
    assert_string_equal(options.project_path, here);
    assert_int_equal(options.gateway_count, 0);
    assert_string_equal(options.token_file, "");
    assert_false(options.background);
    assert_int_equal(options.log_level, LOG_DEFAULT);
    assert_int_equal(options.log_format, LOG_TEXT);
}

#define NEEDS_LINK                                                                                 \
    if (!BUILT_IN(CONFIG_LINK))                                                                    \
    skip()

static void every_flag_is_taken_in_both_forms(void **state)
{
    (void)state;
    NEEDS_LINK;
    write_file(PATH("token"), "t");
    const char *token = PATH("token");
    assert_true(READ("start", "--project-path", folder, "--gateway", "http://h:1/p", "--token-file",
                     token, "--background", "--log-level", "error"));
    assert_string_equal(options.project_path, folder);
    assert_int_equal(options.gateway_count, 1);
    assert_string_equal(options.gateways[0], "http://h:1/p");
    assert_string_equal(options.token_file, token);
    assert_true(options.background);
    assert_int_equal(options.log_level, LOG_ERROR);

    char argument[5][LIMIT_PATH + 32];
    snprintf(argument[0], sizeof argument[0], "--project-path=%s", folder);
    snprintf(argument[1], sizeof argument[1], "--token-file=%s", token);
    assert_true(READ("start", argument[0], argument[1], "--gateway=ws://[::1]:8765",
                     "--log-level=error", "--log-format=json"));
    assert_string_equal(options.project_path, folder);
    assert_string_equal(options.gateways[0], "ws://[::1]:8765");
    assert_string_equal(options.token_file, token);
    assert_int_equal(options.log_level, LOG_ERROR);
    assert_int_equal(options.log_format, LOG_JSON);
}

static void commands_are_known(void **state)
{
    static const struct {
        const char *name;
        enum daemon_command command;
        bool built_in;
    } commands[] = {
        {"start", COMMAND_START, true},
        {"check", COMMAND_CHECK, BUILT_IN(CONFIG_CHECK)},
        {"verify", COMMAND_VERIFY, BUILT_IN(CONFIG_JOURNAL_CHAIN)},
        {"limits", COMMAND_LIMITS, BUILT_IN(CONFIG_LIMITS)},
        {"--version", COMMAND_VERSION, true},
        {"--help", COMMAND_HELP, true},
        {"-h", COMMAND_HELP, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        assert_int_equal(READ(commands[i].name), commands[i].built_in);
        if (commands[i].built_in)
            assert_int_equal(options.command, commands[i].command);
    }
    assert_true(READ("start", "--help"));
    assert_int_equal(options.command, COMMAND_HELP);
    assert_true(READ("start", "--background", "-h"));
    assert_int_equal(options.command, COMMAND_HELP);
}

/* A flag of a feature that is not built in is refused, and so is its variable. */
static void what_is_not_built_in_is_refused(void **state)
{
    (void)state;
    assert_int_equal(READ("start", "--salvage"), BUILT_IN(CONFIG_SALVAGE));
    assert_int_equal(READ("start", "--gateway=http://h"), BUILT_IN(CONFIG_LINK));
    assert_int_equal(READ("start", "--token-file=/t"), BUILT_IN(CONFIG_LINK));
    assert_true(READ("start", "--proxy=none"));
    assert_int_equal(READ("start", "--tls-ca=/ca.pem"), BUILT_IN(CONFIG_TLS_CA));
    assert_int_equal(READ("start", "--tls-crl=/crl.pem"), BUILT_IN(CONFIG_TLS_CRL));
    assert_int_equal(READ("start", "--tls-cert=/c.pem", "--tls-key=/c.key"),
                     BUILT_IN(CONFIG_TLS_CLIENT_CERT));
    assert_int_equal(READ("start", "--tls-min=1.3"), BUILT_IN(CONFIG_TLS));
    assert_int_equal(READ("start", "--log-level=debug"), LOG_BUILT >= LOG_DEBUG);
    assert_int_equal(READ("start", "--log-level=info"), LOG_BUILT >= LOG_INFO);
    assert_int_equal(READ("start", "--log-level=warning"), LOG_BUILT >= LOG_WARNING);
    assert_true(READ("start", "--log-level=error"));
    setenv("CHARTER_GATEWAY", "http://h", 1);
    assert_int_equal(READ("start"), BUILT_IN(CONFIG_LINK));
}

static void several_gateways_are_doors_in_order(void **state)
{
    (void)state;
    NEEDS_LINK;
    assert_true(READ("start", "--gateway", "http://a", "--gateway=http://b", "--gateway", "ws://c",
                     "--gateway", "ws://d"));
    assert_int_equal(options.gateway_count, 4);
    assert_string_equal(options.gateways[0], "http://a");
    assert_string_equal(options.gateways[3], "ws://d");
    assert_false(READ("start", "--gateway=http://a", "--gateway=http://b", "--gateway=ws://c",
                      "--gateway=ws://d", "--gateway=ws://e"));
}

static void the_pace_of_reconnecting_is_two_numbers(void **state)
{
    (void)state;
    NEEDS_LINK;
    assert_true(READ("start"));
    assert_int_equal(options.reconnect_first_ms, 0);
    assert_true(READ("start", "--reconnect-ms", "20,4000"));
    assert_int_equal(options.reconnect_first_ms, 20);
    assert_int_equal(options.reconnect_longest_ms, 4000);
    static const char *const bad[] = {"",          "20",  "0,5",  "20,10",
                                      "1,3600001", "a,b", "-1,5", "1,5,6"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(READ("start", "--reconnect-ms", bad[i]));
    assert_false(READ("check", "--reconnect-ms", "1,2"));
}

static void misuse_is_refused(void **state)
{
    char long_path[LIMIT_PATH + 8], long_url[LIMIT_URL + 32];
    (void)state;
    memset(long_path, 'p', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    memset(long_url, 'u', sizeof long_url - 1);
    memcpy(long_url, "http://", 7);
    long_url[sizeof long_url - 1] = '\0';

    assert_false(read_options((const char *const[]){NULL}));
    assert_false(READ("stat"));
    assert_false(READ(""));
    assert_false(READ("start", "extra"));
    assert_false(READ("start", "--nothing"));
    assert_false(READ("start", "--project"));
    assert_false(READ("start", "--gateway"));
    assert_false(READ("start", "--project-path"));
    assert_false(READ("start", "--background=yes"));
    assert_false(READ("start", "--gateway", "ftp://h"));
    assert_false(READ("start", "--gateway", ""));
    assert_false(READ("start", "--gateway", long_url));
    assert_false(READ("start", "--log-level", "loud"));
    assert_false(READ("start", "--log-level="));
    assert_false(READ("start", "--log-format", "xml"));
    assert_false(READ("start", "--project-path", long_path));
    assert_false(READ("start", "--project-path", "/no/such/folder"));
    assert_false(READ("start", "--token-file", "no/such/token"));
    assert_false(READ("check", "--gateway", "http://h"));
    assert_false(READ("check", "--background"));
    assert_false(READ("limits", "--token-file", "t"));
}

static void the_environment_stands_in_for_flags(void **state)
{
    (void)state;
    setenv("CHARTER_PROJECT_PATH", folder, 1);
    setenv("CHARTER_GATEWAY", "http://from.environment", 1);
    setenv("CHARTER_LOG_LEVEL", "error", 1);
    setenv("CHARTER_LOG_FORMAT", "json", 1);
    NEEDS_LINK;
    assert_true(READ("start"));
    assert_string_equal(options.project_path, folder);
    assert_int_equal(options.gateway_count, 1);
    assert_string_equal(options.gateways[0], "http://from.environment");
    assert_int_equal(options.log_level, LOG_ERROR);
    assert_int_equal(options.log_format, LOG_JSON);

    assert_true(READ("start", "--gateway=ws://flag", "--log-level=error"));
    assert_int_equal(options.gateway_count, 1);
    assert_string_equal(options.gateways[0], "ws://flag");
    assert_int_equal(options.log_level, LOG_ERROR);
    assert_int_equal(options.log_format, LOG_JSON);
}

static void a_bad_environment_is_refused_and_an_empty_one_is_none(void **state)
{
    (void)state;
    setenv("CHARTER_LOG_LEVEL", "loud", 1);
    assert_false(READ("start"));
    assert_true(READ("start", "--log-level=error"));
    setenv("CHARTER_LOG_LEVEL", "", 1);
    setenv("CHARTER_GATEWAY", "", 1);
    setenv("CHARTER_PROJECT_PATH", "", 1);
    assert_true(READ("start"));
    assert_int_equal(options.log_level, LOG_DEFAULT);
    assert_int_equal(options.gateway_count, 0);
}

static void what_belongs_to_start_alone_is_ignored_in_the_environment_of_others(void **state)
{
    (void)state;
    setenv("CHARTER_GATEWAY", "nonsense", 1);
    setenv("CHARTER_PROJECT_PATH", folder, 1);
    if (BUILT_IN(CONFIG_CHECK)) {
        assert_true(READ("check"));
        assert_string_equal(options.project_path, folder);
    }
    assert_int_equal(READ("limits"), BUILT_IN(CONFIG_LIMITS));
    assert_true(READ("--version"));
    assert_false(READ("start"));
}

static void paths_become_absolute_without_links(void **state)
{
    char expected[2 * LIMIT_PATH];
    (void)state;
    assert_int_equal(port_make_directory(PATH("real"), 0700), OK);
    assert_int_equal(port_symlink("real", PATH("link")), OK);
    const char *link = PATH("link");
    assert_true(READ("start", "--project-path", link));
    snprintf(expected, sizeof expected, "%s/real", folder);
    assert_string_equal(options.project_path, expected);
    NEEDS_LINK;
    /* An absolute token file need not be there yet. */
    assert_true(READ("start", "--token-file", "/not/there/yet"));
    assert_string_equal(options.token_file, "/not/there/yet");
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_flags_there_are_defaults),
        TEST(every_flag_is_taken_in_both_forms),
        TEST(commands_are_known),
        TEST(what_is_not_built_in_is_refused),
        TEST(several_gateways_are_doors_in_order),
        TEST(the_pace_of_reconnecting_is_two_numbers),
        TEST(misuse_is_refused),
        TEST(the_environment_stands_in_for_flags),
        TEST(a_bad_environment_is_refused_and_an_empty_one_is_none),
        TEST(what_belongs_to_start_alone_is_ignored_in_the_environment_of_others),
        TEST(paths_become_absolute_without_links),
    };
    return cmocka_run_group_tests(tests, support_start, support_end);
}
