/* The command line of charter-gateway. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/options.h"

#include <stdlib.h>

static void addresses_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        unsigned port;
    } good[] = {{"127.0.0.1:8765", "127.0.0.1", 8765},
                {"[::1]:0", "::1", 0},
                {":80", "", 80},
                {"*:80", "", 80},
                {"localhost:1", "127.0.0.1", 1}};
    static const char *const bad[] = {"",     "127.0.0.1", "127.0.0.1:", "h:65536",
                                      "h:-1", "[::1]",     "[::1]80",    "h:1:2"};
    char host[64];
    unsigned port;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(gateway_options_read_address(str_of(good[i].text), host, sizeof host, &port));
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(gateway_options_read_address(str_of(bad[i]), host, sizeof host, &port));
}

static void flags_win_over_the_environment(void **state)
{
    (void)state;
    char *argv[] = {"charter-gateway", "--store", "a.db", "--name=here", NULL};
    char text[256];
    struct out why = OUT_ON(text);
    struct gateway_options options;

    setenv("CHARTER_GATEWAY_NAME", "there", 1);
    setenv("CHARTER_GATEWAY_HEARTBEAT_S", "7", 1);
    assert_int_equal(gateway_options_read(4, argv, &options, &why), GATEWAY_OPTIONS_RUN);
    assert_string_equal(options.name, "here");
    assert_int_equal(options.heartbeat_s, 7);
    assert_string_equal(options.store, "a.db");
    assert_int_equal(options.port, 8765);
    setenv("CHARTER_GATEWAY_HEARTBEAT_S", "soon", 1);
    assert_int_equal(gateway_options_read(4, argv, &options, &why), GATEWAY_OPTIONS_WRONG);
    unsetenv("CHARTER_GATEWAY_HEARTBEAT_S");
    unsetenv("CHARTER_GATEWAY_NAME");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(flags_win_over_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
