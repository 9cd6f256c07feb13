/* cli/text.h: what of an outside text reaches a screen, and how wide it is. */
#include "cli/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *shown(const char *text, size_t n, size_t columns)
{
    static char buffer[4096];
    struct out out = OUT_ON(buffer);

    cli_text_put(&out, str_range(text, n), columns);
    return out_cstr(&out);
}

#define SHOWN(literal) shown("" literal, sizeof(literal) - 1, SIZE_MAX)

static void controls_become_visible(void **state)
{
    (void)state;
    assert_string_equal(SHOWN("a\x1b[31mb"), "a\\x1b[31mb");
    assert_string_equal(SHOWN("\0\x07\x7f"), "\\x00\\x07\\x7f");
    assert_string_equal(SHOWN("a\rb"), "a\\x0db");
    assert_string_equal(SHOWN("a\nb\tc"), "a b c");
}

static void c1_controls_and_direction_overrides_become_visible(void **state)
{
    (void)state;
    assert_string_equal(SHOWN("\xc2\x9b"
                              "31m"),
                        "\\u009b31m");
    assert_string_equal(SHOWN("\xe2\x80\xae"), "\\u202e");
    assert_string_equal(SHOWN("\xe2\x81\xa6"), "\\u2066");
    assert_string_equal(SHOWN("\xe2\x80\xa8"), "\\u2028");
}

static void what_is_no_utf8_becomes_visible(void **state)
{
    (void)state;
    assert_string_equal(SHOWN("\xff\xc3"), "\\xff\\xc3");
    assert_string_equal(SHOWN("\xc0\x9b"), "\\xc0\\x9b");
    assert_string_equal(SHOWN("\x9b"
                              "1m"),
                        "\\x9b1m");
}

/* The rule that everything rests on, for every byte and every pair of bytes. */
static void no_input_of_two_bytes_brings_a_control_out(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char text[2] = {(char)a, (char)b};
            const unsigned char *p = (const unsigned char *)shown(text, 2, SIZE_MAX);
            for (; *p != 0; p++)
                if (*p < 0x20 || *p == 0x7F || (p[0] == 0xC2 && p[1] < 0xA0))
                    fail_msg("%02x %02x brings out %02x", a, b, *p);
        }
    }
}

static void other_characters_stay_as_they_are(void **state)
{
    (void)state;
    assert_string_equal(SHOWN("gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x98\x80"),
                        "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x98\x80");
}

static void widths_are_columns(void **state)
{
    (void)state;
    assert_int_equal(cli_text_width(STR("abc")), 3);
    assert_int_equal(cli_text_width(STR("gr\xc3\xbc")), 3);
    assert_int_equal(cli_text_width(STR("\xe6\x97\xa5\xe6\x9c\xac")), 4);
    assert_int_equal(cli_text_width(STR("e\xcc\x81")), 1);
    assert_int_equal(cli_text_width(STR("\x1b")), 4);
    assert_int_equal(cli_text_width(STR_NONE), 0);
}

static void what_does_not_fit_ends_in_dots_within_the_width(void **state)
{
    (void)state;
    assert_string_equal(shown("abcdef", 6, 6), "abcdef");
    assert_string_equal(shown("abcdefg", 7, 6), "abc...");
    assert_string_equal(shown("\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5", 9, 5), "\xe6\x97\xa5...");
    assert_string_equal(shown("\x1b\x1b\x1b", 3, 8), "\\x1b...");
    assert_string_equal(shown("abcdef", 6, 3), "");
    assert_string_equal(shown("abcdef", 6, 0), "");
}

static void durations_read_well(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {-5, "0.0 s"},           {0, "0.0 s"},
        {999, "0.9 s"},          {9999, "9.9 s"},
        {10000, "10 s"},         {59999, "59 s"},
        {60000, "1 min 00 s"},   {3599000, "59 min 59 s"},
        {3660000, "1 h 01 min"}, {INT64_MAX, "2562047788015 h 12 min"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        struct out out = OUT_ON(text);
        cli_text_duration(&out, cases[i].ms);
        assert_string_equal(out_cstr(&out), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controls_become_visible),
        cmocka_unit_test(c1_controls_and_direction_overrides_become_visible),
        cmocka_unit_test(what_is_no_utf8_becomes_visible),
        cmocka_unit_test(no_input_of_two_bytes_brings_a_control_out),
        cmocka_unit_test(other_characters_stay_as_they_are),
        cmocka_unit_test(widths_are_columns),
        cmocka_unit_test(what_does_not_fit_ends_in_dots_within_the_width),
        cmocka_unit_test(durations_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
