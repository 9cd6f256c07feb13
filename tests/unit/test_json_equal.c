/* Numbers by decimal value, values by meaning, both within bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/check.h"
#include "json/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In ascending order; those of one line are equal. */
static const char *const ladder[][8] = {
    {"-1e99999999999999999999999999999999"},
    {"-2e400", "-20e399", "-0.2e401"},
    {"-1e400"},
    {"-10", "-1e1", "-10.0", "-0.1e2", "-1e+01"},
    {"-1.000000000000000000000000000000001"},
    {"-1", "-1.0", "-10e-1"},
    {"-0.000000000000000000000000000001", "-1e-30"},
    {"-1e-99999999999999999999999999999999"},
    {"0", "-0", "0.0", "-0.000e5", "0e99999999999999999999999", "0E-3", "0.0e-0"},
    {"1e-99999999999999999999999999999999", "10e-100000000000000000000000000000000",
     "0.1e-99999999999999999999999999999998"},
    {"1e-99999999999999999999999999999998"},
    {"1e-18446744073709551617"},
    {"1e-18446744073709551616"},
    {"1e-18446744073709551615"},
    {"1e-9223372036854775808"},
    {"1e-999"},
    {"0.05", "5e-2", "0.050", "50e-3", "0.00000005e6"},
    {"0.1", "1e-1", "0.10"},
    {"0.5"},
    {"0.51"},
    {"1", "1.0", "1e0", "1E+0", "1e-0", "0.1e1", "1.00e00", "10e-1"},
    {"1.000000000000000005", "1000000000000000005e-18"},
    {"9.99"},
    {"99", "99.0", "9.9e1"},
    {"100", "1e2", "1E+2", "100.00", "0.01e4"},
    {"100.5", "1005e-1"},
    {"9007199254740992"},
    {"9007199254740993"},
    {"9223372036854775807"},
    {"9223372036854775808", "9.223372036854775808e18"},
    {"10000000000000000999"},
    {"123456789012345678901234567890"},
    {"123456789012345678901234567891"},
    {"1e400", "0.00001e405"},
    {"1.5e400", "15e399"},
    {"1e18446744073709551615"},
    {"1e18446744073709551616", "10e18446744073709551615"},
    {"9e18446744073709551616"},
    {"1e18446744073709551617", "0.1e18446744073709551618"},
    {"1e99999999999999999999999999999999", "0.001e100000000000000000000000000000002",
     "1e0099999999999999999999999999999999"},
};

#define RUNGS (sizeof ladder / sizeof ladder[0])

static void number_compare_orders_by_decimal_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < RUNGS; i++)
        for (size_t j = 0; j < RUNGS; j++)
            for (size_t k = 0; k < 8 && ladder[i][k] != NULL; k++)
                for (size_t l = 0; l < 8 && ladder[j][l] != NULL; l++) {
                    int expected = i < j ? -1 : i > j ? 1 : 0;
                    int got = json_number_compare(str_of(ladder[i][k]), str_of(ladder[j][l]));
                    if (got != expected)
                        fail_msg("%s against %s: %d, not %d", ladder[i][k], ladder[j][l], got,
                                 expected);
                    assert_int_equal(json_equal(str_of(ladder[i][k]), str_of(ladder[j][l])),
                                     expected == 0);
                }
}

static void number_compare_is_exact_for_very_long_texts(void **state)
{
    (void)state;
    static char a[30000], b[30000];
    const size_t n = 20000;
    /* 1000…0 with n zeros, and 1e20000. */
    memset(a, '0', sizeof a);
    a[0] = '1';
    assert_int_equal(json_number_compare(str_range(a, n + 1), STR("1e20000")), 0);
    assert_int_equal(json_number_compare(str_range(a, n), STR("1e20000")), -1);
    assert_int_equal(json_number_compare(str_range(a, n + 2), STR("1e20000")), 1);
    a[n] = '1';
    assert_int_equal(json_number_compare(str_range(a, n + 1), STR("1e20000")), 1);
    /* 0.000…01 */
    memset(a, '0', sizeof a);
    a[1] = '.';
    a[n + 1] = '1';
    assert_int_equal(json_number_compare(str_range(a, n + 2), STR("1e-20000")), 0);
    /* Exponents of thousands of digits that differ in the last one. */
    memset(a, '9', sizeof a);
    memcpy(a, "1e", 2);
    memcpy(b, a, sizeof b);
    assert_int_equal(json_number_compare(str_range(a, n), str_range(b, n)), 0);
    b[n - 1] = '8';
    assert_int_equal(json_number_compare(str_range(a, n), str_range(b, n)), 1);
    assert_int_equal(json_number_compare(str_range(a, n), str_range(b, n - 1)), 1);
    b[0] = '9';
    b[n - 1] = '9';
    assert_int_equal(json_number_compare(str_range(a, n), str_range(b, n)), -1);
}

static bool equal(const char *a, const char *b)
{
    assert_int_equal(json_check(str_of(a), 64, NULL), OK);
    assert_int_equal(json_check(str_of(b), 64, NULL), OK);
    bool answer = json_equal(str_of(a), str_of(b));
    assert_int_equal(json_equal(str_of(b), str_of(a)), answer);
    assert_true(json_equal(str_of(a), str_of(a)));
    return answer;
}

static void equal_looks_at_values_not_at_text(void **state)
{
    (void)state;
    assert_true(equal("null", " null "));
    assert_true(equal("{\"a\":1,\"b\":[1,2]}", "{ \"b\" : [ 1.0 , 2 ], \"\\u0061\" : 1e0 }"));
    assert_true(equal("[]", "[ ]"));
    assert_true(equal("{\"a\":{\"x\":1,\"y\":2},\"b\":0}", "{\"b\":-0,\"a\":{\"y\":2,\"x\":1}}"));
    assert_false(equal("null", "false"));
    assert_false(equal("true", "false"));
    assert_false(equal("1", "\"1\""));
    assert_false(equal("[]", "{}"));
    assert_false(equal("[1,2]", "[2,1]"));
    assert_false(equal("[1]", "[1,1]"));
    assert_false(equal("{\"a\":1}", "{\"a\":2}"));
    assert_false(equal("{\"a\":1}", "{\"b\":1}"));
    assert_false(equal("{\"a\":1}", "{\"a\":1,\"b\":null}"));
    assert_false(equal("{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}"));
    assert_false(equal("{\"a\":null,\"b\":null}", "{\"c\":null,\"a\":null}"));
}

static void equal_does_not_guess_about_names_that_stand_twice(void **state)
{
    (void)state;
    assert_true(equal("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"));
    assert_false(equal("{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}"));
    assert_false(equal("{\"x\":1,\"y\":1}", "{\"x\":1,\"x\":1}"));
    assert_false(equal("{\"y\":1,\"x\":1}", "{\"x\":1,\"x\":1}"));
    assert_false(equal("{\"x\":1,\"x\":1,\"y\":1}", "{\"y\":1,\"x\":1,\"x\":1}"));
    assert_false(equal("{\"x\":1,\"x\":1,\"y\":1}", "{\"y\":1,\"y\":1,\"x\":1}"));
}

static size_t write_members(char *to, size_t size, unsigned count, bool reversed, unsigned odd_one,
                            unsigned odd_value)
{
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned name = reversed ? count - 1 - i : i;
        int got = snprintf(to + n, size - n, "%c\"%x\":%u", i == 0 ? '{' : ',', name,
                           name == odd_one ? odd_value : 1U);
        assert_true(got > 0 && (size_t)got < size - n);
        n += (size_t)got;
    }
    to[n++] = '}';
    return n;
}

static void equal_finds_the_one_difference_among_many_members(void **state)
{
    (void)state;
    static char a[100000], b[100000];
    static const unsigned counts[] = {2, 63, 64, 65, 127, 128, 129, 200, 1000};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        unsigned count = counts[c];
        size_t n = write_members(a, sizeof a, count, false, 0, 1);
        for (unsigned odd = 0; odd < count; odd += 1 + count / 50) {
            size_t m = write_members(b, sizeof b, count, true, odd, 1);
            assert_true(json_equal(str_range(a, n), str_range(b, m)));
            m = write_members(b, sizeof b, count, true, odd, 2);
            assert_false(json_equal(str_range(a, n), str_range(b, m)));
            assert_false(json_equal(str_range(b, m), str_range(a, n)));
        }
        /* One name of a's twice in b, across chunks: the count is the same, the names are not. */
        size_t m = write_members(b, sizeof b, count, true, 0, 1);
        char *last = strstr(b, "\"0\"");
        assert_non_null(last);
        last[1] = '1';
        assert_false(json_equal(str_range(a, n), str_range(b, m)));
        assert_false(json_equal(str_range(b, m), str_range(a, n)));
    }
}

static void equal_is_bounded_in_depth_and_time(void **state)
{
    (void)state;
    static char a[65536], b[65536];
    memset(a, '[', 64);
    memset(a + 64, ']', 64);
    assert_true(json_equal(str_range(a, 128), str_range(a, 128)));
    memset(a, '[', 30000);
    memset(a + 30000, ']', 30000);
    assert_false(json_equal(str_range(a, 60000), str_range(a, 60000)));

    /* As many members as a message can hold, in opposite order. */
    size_t n = write_members(a, sizeof a, 7000, false, 0, 1),
           m = write_members(b, sizeof b, 7000, true, 0, 1);
    assert_true(n > 55000);
    clock_t before = clock();
    assert_true(json_equal(str_range(a, n), str_range(b, m)));
    double seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
    const char *variant = getenv("TEST_VARIANT");
    bool slow = variant != NULL && strcmp(variant, "valgrind") == 0;
    /* A tenth of it without sanitizers; a walk per member would take far longer. */
    if (seconds > (slow ? 20 : 2))
        fail_msg("took %.1f s", seconds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_compare_orders_by_decimal_value),
        cmocka_unit_test(number_compare_is_exact_for_very_long_texts),
        cmocka_unit_test(equal_looks_at_values_not_at_text),
        cmocka_unit_test(equal_does_not_guess_about_names_that_stand_twice),
        cmocka_unit_test(equal_finds_the_one_difference_among_many_members),
        cmocka_unit_test(equal_is_bounded_in_depth_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
