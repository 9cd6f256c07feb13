/* Secrets in events: hidden however they are written, wherever they stand but in the events' own names; and what is left
 * is JSON. */
#include "run/mask.h"

#include "json/check.h"
#include "json/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct mask mask;
static char text[16384];

static int start(void **state)
{
    (void)state;
    memset(&mask, 0, sizeof mask);
    return 0;
}

static void learn(const char *value)
{
    assert_int_equal(mask_learn(&mask, str_of(value)), OK);
}

/* An event around `data`, masked. */
static const char *masked_event(const char *data)
{
    int n =
        snprintf(text, sizeof text,
                 "{\"seq\":1,\"run_id\":\"r-1\",\"n\":1,\"type\":\"step.log\",\"data\":%s}", data);
    size_t length = (size_t)n, before = length;
    assert_true(n > 0 && length < sizeof text);
    assert_int_equal(json_check(str_range(text, length), 64, NULL), OK);
    mask_event(&mask, text, &length);
    assert_true(length <= before);
    text[length] = '\0';
    if (json_check(str_range(text, length), 64, NULL) != OK)
        fail_msg("no JSON any more: %s", text);
    return text;
}

static void expect(const char *data, const char *expected)
{
    char whole[8192];
    snprintf(whole, sizeof whole,
             "{\"seq\":1,\"run_id\":\"r-1\",\"n\":1,\"type\":\"step.log\",\"data\":%s}", expected);
    assert_string_equal(masked_event(data), whole);
}

static const char *masked_text(const char *plain)
{
    size_t n = strlen(plain);
    memcpy(text, plain, n);
    mask_text(&mask, text, &n);
    text[n] = '\0';
    return text;
}

static void values_are_hidden_in_strings(void **state)
{
    (void)state;
    learn("hunter22");
    expect("{\"message\":\"the password is hunter22!\"}", "{\"message\":\"the password is ***!\"}");
    expect("{\"message\":\"hunter22\"}", "{\"message\":\"***\"}");
    expect("{\"message\":\"hunter22hunter22 hunter2\"}", "{\"message\":\"****** hunter2\"}");
    expect("{\"value\":{\"a\":[\"x\",\"hunter22\"],\"b\":{\"c\":\"hunter22\"}}}",
           "{\"value\":{\"a\":[\"x\",\"***\"],\"b\":{\"c\":\"***\"}}}");
    expect("{\"message\":\"nothing here\"}", "{\"message\":\"nothing here\"}");
    expect("{}", "{}");
}

/* A program that logs the message it got writes JSON as text, and a secret stands in it with escapes of its own. */
static void values_are_hidden_in_json_text(void **state)
{
    (void)state;
    learn("pass\"wo\\rd");
    learn("caf\xc3\xa9 au lait");
    assert_string_equal(masked_text("{\"v\":\"pass\\\"wo\\\\rd\"}"), "{\"v\":\"***\"}");
    assert_string_equal(masked_text("{\"v\":\"\\u0070ass\\u0022wo\\u005Crd\"}"), "{\"v\":\"***\"}");
    assert_string_equal(masked_text("caf\\u00e9 au lait, caf\xc3\xa9 au lait"), "***, ***");
    assert_string_equal(masked_text("pass\\\"wo\\\\r"), "pass\\\"wo\\\\r");
    assert_string_equal(masked_text("C:\\dir\\"), "C:\\dir\\");
    expect("{\"message\":\"{\\\"v\\\":\\\"pass\\\\\\\"wo\\\\\\\\rd\\\"}\"}",
           "{\"message\":\"{\\\"v\\\":\\\"***\\\"}\"}");
    expect("{\"message\":\"caf\\\\u00e9 au lait\\\\\"}", "{\"message\":\"***\\\\\"}");
}

static void a_value_at_the_very_end_of_a_string_is_hidden(void **state)
{
    (void)state;
    learn("abcd");
    expect("{\"m\":\"abc\",\"n\":\"abcd\",\"o\":\"aabcd\",\"p\":\"abcabcd\"}",
           "{\"m\":\"abc\",\"n\":\"***\",\"o\":\"a***\",\"p\":\"abc***\"}");
}

static void escapes_hide_nothing(void **state)
{
    (void)state;
    learn("a\"b\\c/d\n\xc3\xa9\xf0\x9f\x98\x80");
    static const char *const spellings[] = {
        "a\\\"b\\\\c/d\\n\xc3\xa9\xf0\x9f\x98\x80",
        "a\\\"b\\\\c\\/d\\n\\u00e9\\ud83d\\ude00",
        "\\u0061\\u0022\\u0062\\u005c\\u0063\\u002F\\u0064\\u000A\\u00E9\\uD83D\\uDE00",
        "a\\u0022b\\u005Cc/\\u0064\\u000a\xc3\xa9\\ud83D\\ude00",
    };
    char data[256];
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        snprintf(data, sizeof data, "{\"m\":\"<%s>\"}", spellings[i]);
        expect(data, "{\"m\":\"<***>\"}");
    }
    expect("{\"m\":\"a\\\\u0022b\"}", "{\"m\":\"a\\\\u0022b\"}");
}

static void every_short_escape_is_known(void **state)
{
    (void)state;
    learn("\b\f\n\r\t\"\\/");
    expect("{\"m\":\"\\b\\f\\n\\r\\t\\\"\\\\\\/\"}", "{\"m\":\"***\"}");
    expect("{\"m\":\"\\u0008\\u000c\\u000a\\u000d\\u0009\\u0022\\u005c\\u002f\"}",
           "{\"m\":\"***\"}");
}

static void an_escape_is_never_cut(void **state)
{
    (void)state;
    learn("nnnn");
    /* The escaped backslash and the line feed are one character each, their letters none of the value. */
    expect("{\"m\":\"\\nnnn\",\"o\":\"\\nnnnn\",\"p\":\"\\\\nnnn\"}",
           "{\"m\":\"\\nnnn\",\"o\":\"\\n***\",\"p\":\"\\\\***\"}");
    start(NULL);
    learn("u006");
    expect("{\"m\":\"\\u0061\"}", "{\"m\":\"\\u0061\"}");
}

static void numbers_with_a_value_inside_are_hidden_whole(void **state)
{
    (void)state;
    learn("1234");
    expect("{\"value\":1234}", "{\"value\":null}");
    expect("{\"value\":12345}", "{\"value\":\"***\"}");
    expect("{\"value\":-1234}", "{\"value\":\"***\"}");
    expect("{\"value\":[91234.5e+10,123,1.234,4321]}", "{\"value\":[\"***\",123,1.234,4321]}");
    expect("{\"value\":{\"a\":1234,\"b\":123}}", "{\"value\":{\"a\":null,\"b\":123}}");
}

static void own_names_stay_and_payload_names_are_hidden(void **state)
{
    (void)state;
    learn("message");
    expect("{\"message\":\"a message\",\"value\":{\"message\":\"x\",\"my message\":1}}",
           "{\"message\":\"a ***\",\"value\":{\"***\":\"x\",\"my ***\":1}}");
    start(NULL);
    learn("step.log");
    learn("\"run_id\"");
    learn("r-1\",\"n\"");
    assert_non_null(strstr(masked_event("{\"m\":\"step.log\"}"),
                           "\"type\":\"step.log\",\"data\":{\"m\":\"***\"}}"));
}

static void a_value_with_another_inside_is_hidden_whole(void **state)
{
    (void)state;
    learn("secret");
    learn("top-secret-key");
    learn("cret");
    expect("{\"m\":\"top-secret-key secret cret\"}", "{\"m\":\"*** *** ***\"}");
}

static void overlapping_values_leave_no_whole_one(void **state)
{
    (void)state;
    learn("abcdef");
    learn("defghi");
    expect("{\"m\":\"abcdefghi\"}", "{\"m\":\"***ghi\"}");
}

static void several_lines_are_hidden_one_by_one_and_together(void **state)
{
    (void)state;
    learn("-----BEGIN KEY-----\r\nAAAABBBB\r\nCC\n\nCCCCDDDD\n-----END KEY-----\n");
    expect(
        "{\"m\":\"key: -----BEGIN KEY-----\\r\\nAAAABBBB\\r\\nCC\\n\\nCCCCDDDD\\n-----END KEY-----\\n.\"}",
        "{\"m\":\"key: ***.\"}");
    expect("{\"m\":\"AAAABBBB\"}", "{\"m\":\"***\"}");
    expect("{\"m\":\"x CCCCDDDD y\"}", "{\"m\":\"x *** y\"}");
    expect("{\"m\":\"-----END KEY-----\"}", "{\"m\":\"***\"}");
    /* Lines too short to be hidden are not. */
    expect("{\"m\":\"CC\"}", "{\"m\":\"CC\"}");
}

static void short_values_are_refused(void **state)
{
    (void)state;
    assert_int_equal(mask_learn(&mask, STR("")), ERR_INVALID);
    assert_int_equal(mask_learn(&mask, STR("abc")), ERR_INVALID);
    assert_int_equal(mask.count, 0);
    learn("abcd");
    assert_int_equal(mask.count, 1);
}

static void a_known_value_costs_nothing(void **state)
{
    (void)state;
    learn("password");
    size_t used = mask.used;
    for (int i = 0; i < 1000; i++)
        learn("password");
    assert_int_equal(mask.used, used);
    assert_int_equal(mask.count, 1);
}

static void what_is_too_much_is_said(void **state)
{
    static char big[MASK_BYTES + 2];
    char value[16];
    (void)state;
    memset(big, 'x', sizeof big);
    assert_int_equal(mask_learn(&mask, str_range(big, MASK_BYTES + 1)), ERR_FULL);
    assert_int_equal(mask_learn(&mask, str_range(big, MASK_BYTES)), OK);
    assert_int_equal(mask_learn(&mask, STR("abcd")), ERR_FULL);
    start(NULL);
    for (int i = 0; i < MASK_PATTERNS; i++) {
        snprintf(value, sizeof value, "value-%d", i);
        learn(value);
    }
    assert_int_equal(mask_learn(&mask, STR("one more")), ERR_FULL);
    learn("value-7");
}

static void the_longest_value_is_hidden(void **state)
{
    static char value[4097], data[8192], expected[64];
    (void)state;
    memset(value, 'k', 4096);
    learn(value);
    snprintf(data, sizeof data, "{\"m\":\"<%s>\"}", value);
    snprintf(expected, sizeof expected, "{\"m\":\"<***>\"}");
    expect(data, expected);
    /* A text that ends in the middle of it holds no value. */
    value[4095] = '\0';
    snprintf(data, sizeof data, "{\"m\":\"<%s\"}", value);
    expect(data, data);
}

static void no_character_is_cut_by_a_value_that_is_no_text(void **state)
{
    (void)state;
    learn("\xa9\xc3\xa9\xc3");
    expect("{\"m\":\"\xc3\xa9\xc3\xa9\xc3\xa9\"}", "{\"m\":\"\xc3\xa9\xc3\xa9\xc3\xa9\"}");
    start(NULL);
    learn("abc\xc3");
    expect("{\"m\":\"abc\xc3\xa9\"}", "{\"m\":\"abc\xc3\xa9\"}");
}

static void a_value_that_is_no_text_is_hidden_as_events_write_it(void **state)
{
    static const char value[] = "p\xe4ssw\xf6rd";
    char data[128];
    struct out out = OUT_ON(data);
    struct json_writer w = json_writer(&out);
    (void)state;
    learn(value);
    json_object(&w);
    json_put_text(&w, "m", value);
    json_object_end(&w);
    expect(out_cstr(&out), "{\"m\":\"***\"}");
    assert_string_equal(masked_text("a p\xe4ssw\xf6rd"), "a ***");
}

static void plain_text_keeps_its_own_backslashes(void **state)
{
    (void)state;
    learn("a\\nb\"c");
    assert_string_equal(masked_text("x a\\nb\"c y"), "x *** y");
    assert_string_equal(masked_text("x a\\u005cnb\"c y"), "x *** y");
    assert_string_equal(masked_text("x a\\\\\\u005cnb y"), "x a\\\\\\u005cnb y");
    assert_string_equal(masked_text(""), "");
    assert_string_equal(masked_text("\\"), "\\");
    assert_string_equal(masked_text("a\\nb"), "a\\nb");
}

static void without_secrets_nothing_changes(void **state)
{
    (void)state;
    expect("{\"m\":\"abcd\",\"value\":1234}", "{\"m\":\"abcd\",\"value\":1234}");
    assert_string_equal(masked_text("abcd"), "abcd");
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_are_hidden_in_strings),
        TEST(values_are_hidden_in_json_text),
        TEST(a_value_at_the_very_end_of_a_string_is_hidden),
        TEST(escapes_hide_nothing),
        TEST(every_short_escape_is_known),
        TEST(an_escape_is_never_cut),
        TEST(numbers_with_a_value_inside_are_hidden_whole),
        TEST(own_names_stay_and_payload_names_are_hidden),
        TEST(a_value_with_another_inside_is_hidden_whole),
        TEST(overlapping_values_leave_no_whole_one),
        TEST(several_lines_are_hidden_one_by_one_and_together),
        TEST(short_values_are_refused),
        TEST(a_known_value_costs_nothing),
        TEST(what_is_too_much_is_said),
        TEST(the_longest_value_is_hidden),
        TEST(no_character_is_cut_by_a_value_that_is_no_text),
        TEST(a_value_that_is_no_text_is_hidden_as_events_write_it),
        TEST(plain_text_keeps_its_own_backslashes),
        TEST(without_secrets_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
