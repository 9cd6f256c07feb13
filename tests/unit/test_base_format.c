/* What base/format.c prints is what libc's printf prints, for all that it knows; what does not fit is cut. */
#include "base/out.h"

#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void same(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void same(const char *format, ...)
{
    char wanted[512], bytes[512];
    struct out out = OUT_ON(bytes);
    va_list args;

    va_start(args, format);
    vsnprintf(wanted, sizeof wanted, format, args);
    va_end(args);
    va_start(args, format);
    out_vformat(&out, format, args);
    va_end(args);
    assert_string_equal(out_cstr(&out), wanted);
}

static void format_prints_numbers_as_libc_does(void **state)
{
    static const int64_t values[] = {
        0,   1,     -1,        9,         10,        -10,       99,         100,
        255, 65535, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 4294967296, 1234567890123456789};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        int64_t v = values[i];
        same("%" PRId64 " %" PRIu64 " %" PRIx64 " %02" PRIX64, v, (uint64_t)v, (uint64_t)v,
             (uint64_t)v);
        same("%lld|%30lld|%-30lld|%030lld", (long long)v, (long long)v, (long long)v, (long long)v);
        same("%llu|%30llu|%-30llu|%030llx", (unsigned long long)v, (unsigned long long)v,
             (unsigned long long)v, (unsigned long long)v);
        same("%d|%u|%x|%04x|%3d|%-3d|%03d|%*d", (int)v, (unsigned)v, (unsigned)v, (unsigned)v,
             (int)v, (int)v, (int)v, 13, (int)v);
        same("%ld %lu %zu", (long)v, (unsigned long)v, (size_t)v);
    }
}

static void format_prints_texts_as_libc_does(void **state)
{
    char unended[3] = {'a', 'b', 'c'};
    (void)state;
    same("nothing to convert");
    same("%%%c%s%%", 'x', "text");
    same("[%s][%10s][%-10s][%2s][%.3s][%.0s][%10.3s][%-10.3s]", "", "right", "left", "longer",
         "cut here", "gone", "abcdef", "abcdef");
    same("[%.*s][%.*s][%.200s][%*s]", 2, "abcdef", 3, unended, "short", 8, "wide");
}

static void format_cuts_where_the_buffer_ends(void **state)
{
    for (size_t cap = 1; cap < 24; cap++) {
        char bytes[24];
        struct out out = out_on(bytes, cap);
        (void)state;
        out_format(&out, "%s %d %5s", "seven", 77, "x");
        /* 14 bytes, and the NUL that out_cstr() puts there. */
        assert_int_equal(out.overflow, cap < 15);
        assert_int_equal(out.n, cap < 15 ? 0 : 14);
        if (cap == 15)
            assert_string_equal(out_cstr(&out), "seven 77     x");
    }
}

static void cut(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void cut(struct out *out, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    out_vformat_cut(out, format, args);
    va_end(args);
}

static void format_cut_keeps_what_fits_and_room_for_nul(void **state)
{
    char bytes[8];
    struct out out = OUT_ON(bytes);
    (void)state;
    cut(&out, "%s", "0123456789");
    assert_false(out.overflow);
    assert_string_equal(out_cstr(&out), "0123456");
    cut(&out, "%d", 1); /* what is full stays as it is */
    assert_string_equal(out_cstr(&out), "0123456");
    out = out_on(bytes, sizeof bytes);
    cut(&out, "%-20d", 4);
    assert_string_equal(out_cstr(&out), "4      ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_prints_numbers_as_libc_does),
        cmocka_unit_test(format_prints_texts_as_libc_does),
        cmocka_unit_test(format_cuts_where_the_buffer_ends),
        cmocka_unit_test(format_cut_keeps_what_fits_and_room_for_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
