/* The writer: commas and colons, escapes, what happens when the room ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/check.h"
#include "json/read.h"
#include "json/write.h"

#include <string.h>

static void assert_written(const struct out *out, const char *expected)
{
    assert_false(out->overflow);
    if (!str_is(out_view(out), expected))
        fail_msg("wrote %.*s, not %s", STR_ARG(out_view(out)), expected);
}

static void write_puts_commas_and_colons(void **state)
{
    (void)state;
    char text[512];
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    json_object(&w);
    json_put_text(&w, "a", "b");
    json_key(&w, "list");
    json_array(&w);
    json_i64(&w, INT64_MIN);
    json_u64(&w, UINT64_MAX);
    json_array(&w);
    json_array_end(&w);
    json_object(&w);
    json_object_end(&w);
    json_array(&w);
    json_bool(&w, true);
    json_array_end(&w);
    json_null(&w);
    json_array_end(&w);
    json_put_bool(&w, "f", false);
    json_put_null(&w, "n");
    json_put_text(&w, "t", NULL);
    json_put_raw(&w, "raw", STR("[1, 2]"));
    json_put_raw(&w, "none", STR_NONE);
    json_put_i64(&w, "i", -5);
    json_put_u64(&w, "u", 5);
    json_put_str(&w, "s", STR_NONE);
    json_put_time(&w, "at", 0);
    json_key_str(&w, STR("o"));
    json_object(&w);
    json_put_i64(&w, "x", 1);
    json_object_end(&w);
    json_object_end(&w);
    assert_written(
        &out, "{\"a\":\"b\",\"list\":[-9223372036854775808,18446744073709551615,[],{},[true],null],"
              "\"f\":false,\"n\":null,\"t\":null,\"raw\":[1, "
              "2],\"none\":null,\"i\":-5,\"u\":5,\"s\":\"\","
              "\"at\":\"1970-01-01T00:00:00.000Z\",\"o\":{\"x\":1}}");
    assert_int_equal(json_check(out_view(&out), 32, NULL), OK);
}

static void write_escapes_what_it_must_and_nothing_else(void **state)
{
    (void)state;
    char text[128];
    struct out out = OUT_ON(text);
    json_escape(&out,
                STR("a\"b\\c/d\b\f\n\r\t\x01\x1f\x7f\0\xC3\xA9\xE2\x80\xA8\xF0\x9D\x84\x9E<"));
    assert_written(
        &out, "a\\\"b\\\\c/"
              "d\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000\xC3\xA9\xE2\x80\xA8\xF0\x9D\x84\x9E<");
}

static void write_replaces_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *expected;
    } cases[] = {
        {"\xFF", "\xEF\xBF\xBD"},
        {"a\x80z", "a\xEF\xBF\xBDz"},
        {"\xC3", "\xEF\xBF\xBD"},
        {"\xC3(", "\xEF\xBF\xBD("},
        {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x80\"", "\xEF\xBF\xBD\xEF\xBF\xBD\\\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        struct out out = OUT_ON(text);
        json_escape(&out, str_of(cases[i].bytes));
        assert_written(&out, cases[i].expected);
    }
}

static void write_then_decode_gives_every_character_back(void **state)
{
    (void)state;
    static const uint32_t some[] = {0x0,    0x1F,   0x7F,   0x80,   0x7FF,   0x800,
                                    0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        uint32_t c = some[i];
        char bytes[4], text[64], back[64];
        size_t n = 0;
        if (c < 0x80)
            bytes[n++] = (char)c;
        else if (c < 0x800)
            bytes[n++] = (char)(unsigned char)(0xC0 | c >> 6);
        else if (c < 0x10000)
            bytes[n++] = (char)(unsigned char)(0xE0 | c >> 12);
        else
            bytes[n++] = (char)(unsigned char)(0xF0 | c >> 18);
        for (size_t left = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3; left-- > 0;)
            bytes[n++] = (char)(unsigned char)(0x80 | (c >> 6 * left & 0x3F));
        struct out out = OUT_ON(text), decoded = OUT_ON(back);
        struct json_writer w = json_writer(&out);
        json_string(&w, str_range(bytes, n));
        assert_int_equal(json_check(out_view(&out), 1, NULL), OK);
        assert_true(json_string_decode(out_view(&out), &decoded));
        assert_true(str_equal(out_view(&decoded), str_range(bytes, n)));
        assert_int_equal(json_string_characters(out_view(&out)), 1);
    }
}

static void write_takes_strings_in_pieces(void **state)
{
    (void)state;
    char text[64];
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    json_array(&w);
    json_string_begin(&w);
    json_string_add(&w, STR("a\n"));
    json_string_add(&w, STR_NONE);
    json_string_add(&w, STR("\"b"));
    json_string_end(&w);
    json_string_begin(&w);
    json_string_end(&w);
    json_array_end(&w);
    assert_written(&out, "[\"a\\n\\\"b\",\"\"]");
}

static void write_formats_and_cuts_between_characters(void **state)
{
    (void)state;
    char text[2048], word[2048];
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    json_format(&w, "%d \"%s\"", 7, "x");
    assert_written(&out, "\"7 \\\"x\\\"\"");

    for (unsigned lead = 0; lead < 2; lead++) {
        memset(word, 'x', lead);
        for (size_t i = lead; i + 2 < sizeof word; i += 2)
            memcpy(word + i, "\xC3\xA9", 3);
        out_reset(&out);
        w = json_writer(&out);
        json_format(&w, "%s", word);
        assert_int_equal(json_check(out_view(&out), 1, NULL), OK);
        assert_int_equal(out.n, 2 + (lead == 0 ? 1022 : 1023));
        assert_memory_equal(text + 1, word, out.n - 2);
    }
}

static void write_keeps_an_overflow(void **state)
{
    (void)state;
    char text[64];
    for (size_t size = 0; size < 21; size++) {
        struct out out = out_on(text, size);
        struct json_writer w = json_writer(&out);
        json_object(&w);
        json_put_text(&w, "k", "a\"c");
        json_put_i64(&w, "n", 17);
        json_object_end(&w);
        assert_int_equal(out.overflow, size < strlen("{\"k\":\"a\\\"c\",\"n\":17}"));
        assert_true(out.n <= size);
    }
}

static void write_nests_as_deep_as_the_check_allows(void **state)
{
    (void)state;
    char text[1024];
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    for (int i = 0; i < 64; i++) {
        json_array(&w);
        if (i < 63)
            json_i64(&w, i % 10);
    }
    for (int i = 0; i < 64; i++) {
        if (i > 0)
            json_null(&w);
        json_array_end(&w);
    }
    assert_false(out.overflow);
    assert_int_equal(json_check(out_view(&out), 64, NULL), OK);
    assert_int_equal(json_count(out_view(&out)), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_puts_commas_and_colons),
        cmocka_unit_test(write_escapes_what_it_must_and_nothing_else),
        cmocka_unit_test(write_replaces_bytes_that_are_not_utf8),
        cmocka_unit_test(write_then_decode_gives_every_character_back),
        cmocka_unit_test(write_takes_strings_in_pieces),
        cmocka_unit_test(write_formats_and_cuts_between_characters),
        cmocka_unit_test(write_keeps_an_overflow),
        cmocka_unit_test(write_nests_as_deep_as_the_check_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
