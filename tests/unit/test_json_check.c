/* The essential cases of RFC 8259 and of the public JSONTestSuite, whole and in every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/check.h"

#include <stdio.h>
#include <string.h>

#define DEPTH 32
#define T(literal)                                                                                 \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    } /* as STR, for static initialisers */

static const struct str accepted[] = {
    T("{}"),
    T("[]"),
    T(" [ ] "),
    T("\t{\r\n} \n"),
    T("null"),
    T("true"),
    T("false"),
    T(" true "),
    T("0"),
    T("-0"),
    T("123"),
    T("-12.5e+10"),
    T("0e1"),
    T("0E-1"),
    T("1.000000000000000005"),
    T("[1E22,1e+2,-1,20e1]"),
    T("100000000000000000000000000000000000000000"),
    T("1e99999999999999999999"),
    T("-1e-99999999999999999999"),
    T("\"\""),
    T("[\"a\"]"),
    T("\" \""),
    T("\"\x7f\""),
    T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    T("\"\\u0000\""),
    T("\"\\u0041\\uabCD\\uFFFF\""),
    T("\"\\ud834\\uDd1e\""),
    T("\"\xC2\x80\xDF\xBF\""),
    T("\"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\""),
    T("\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""),
    T("\"\xE2\x80\xA8\""),
    T("\"\xEF\xBB\xBF\""),
    T("{\"a\":1,\"a\":2}"),
    T("{\"\":0}"),
    T("{\"a\":[]}"),
    T("{\"a\" : {\"b\":[1, 2 ,{}]} , \"c\":null}"),
    T("[[],[[]],{}]"),
    T("[1\n,1\n,4]"),
    T("[null,1,\"1\",{}]"),
    T("[1.5,true,false,null]"),
    T("\"a long plain text that goes through the fast path, with an \\u00e9 and a \xC3\xA9 in its "
      "midst\""),
};

/* What is refused, and the byte that decided it. */
static const struct {
    struct str text;
    size_t offset;
} refused[] = {
    {T(""), 0},
    {T("  "), 2},
    {T("{"), 1},
    {T("["), 1},
    {T("]"), 0},
    {T("}"), 0},
    {T("[}"), 1},
    {T("{]"), 1},
    {T("[1,]"), 3},
    {T("[,1]"), 1},
    {T("[1,,2]"), 3},
    {T("[,]"), 1},
    {T("{\"a\"}"), 4},
    {T("{\"a\":}"), 5},
    {T("{\"a\":1,}"), 7},
    {T("{,}"), 1},
    {T("{\"a\" 1}"), 5},
    {T("{\"a\"::1}"), 5},
    {T("{a:1}"), 1},
    {T("{'a':1}"), 1},
    {T("{1:1}"), 1},
    {T("{null:1}"), 1},
    {T("{\"a\":1 \"b\":2}"), 7},
    {T("[1 2]"), 3},
    {T("[1}"), 2},
    {T("{\"a\":1]"), 6},
    {T("{}{}"), 2},
    {T("[]]"), 2},
    {T("1 2"), 2},
    {T("{}x"), 2},
    {T("[1"), 2},
    {T("[1,"), 3},
    {T("{\"a\""), 4},
    {T("{\"a\":"), 5},
    {T("{\"a\":1"), 6},
    {T("[1]a"), 3},
    {T("nul"), 3},
    {T("nulll"), 4},
    {T("True"), 0},
    {T("truth"), 3},
    {T("[nan]"), 2},
    {T("NaN"), 0},
    {T("Infinity"), 0},
    {T("-Infinity"), 1},
    {T("truefalse"), 4},
    {T("true\"a\""), 4},
    {T("01"), 1},
    {T("-01"), 2},
    {T("-"), 1},
    {T("+1"), 0},
    {T("1."), 2},
    {T("1.e1"), 2},
    {T(".5"), 0},
    {T("-.5"), 1},
    {T("1e"), 2},
    {T("1e+"), 3},
    {T("1e1.5"), 3},
    {T("1.2.3"), 3},
    {T("0x1"), 1},
    {T("1_0"), 1},
    {T("--1"), 1},
    {T("1-"), 1},
    {T("1e1e1"), 3},
    {T("[1.]"), 3},
    {T("0e"), 2},
    {T("\"a"), 2},
    {T("\"\\"), 2},
    {T("\"\\u12"), 5},
    {T("\"\\x41\""), 2},
    {T("\"\\a\""), 2},
    {T("\"\\u00g0\""), 5},
    {T("\"\\U0041\""), 2},
    {T("\"\t\""), 1},
    {T("\"\n\""), 1},
    {T("\"\x1f\""), 1},
    {T("\"a\0b\""), 2},
    {T("\0"), 0},
    {T("1\0"), 1},
    {T("[\0]"), 1},
    {T("\"\\\0\""), 2},
    {T("'a'"), 0},
    {T("\"\\ud800\""), 7},
    {T("\"\\udc00\""), 6},
    {T("\"\\ud800x\""), 7},
    {T("\"\\ud800\\n\""), 8},
    {T("\"\\ud800\\ud800\""), 12},
    {T("\"\\ud800\\u0041\""), 12},
    {T("\"\\ud834\\udd1e\\udd1e\""), 18},
    {T("{\"\\ud800\":1}"), 8},
    {T("\"\x80\""), 1},
    {T("\"\xC0\x80\""), 1},
    {T("\"\xC1\xBF\""), 1},
    {T("\"\xC3\""), 2},
    {T("\"\xC3(\""), 2},
    {T("\"\xE0\x80\x80\""), 2},
    {T("\"\xE0\x9F\xBF\""), 2},
    {T("\"\xED\xA0\x80\""), 2},
    {T("\"\xF0\x80\x80\x80\""), 2},
    {T("\"\xF0\x8F\xBF\xBF\""), 2},
    {T("\"\xF4\x90\x80\x80\""), 2},
    {T("\"\xF5\x80\x80\x80\""), 1},
    {T("\"\xFF\""), 1},
    {T("\"\xE2\x80\""), 3},
    {T("\"a longer text, beyond the fast path\xFFs end\""), 36},
    {T("\xEF\xBB\xBF{}"), 0},
    {T("\xFF\xFE{\0}\0"), 0},
    {T("\0[\0]"), 0},
    {T("[\0]\0"), 1},
    {T("\xC2\xA0[]"), 0},
    {T("[\f]"), 1},
    {T("[\v]"), 1},
    {T("[/**/]"), 1},
    {T("[]//"), 2},
    {T("[]#"), 2},
    {T("[\xE2\x81\xA0]"), 1},
    {T("<null>"), 0},
    {T("[\"x\",, 1]"), 5},
    {T("[\"\":1]"), 3},
    {T("{\"a\":\"b\"}#"), 9},
    {T("[\"a\" \"b\"]"), 5},
};

static void check_texts_that_are_json_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct json_problem problem = {NULL, 0};
        if (json_check(accepted[i], DEPTH, &problem) != OK)
            fail_msg("refused: %.*s at %zu: %s", STR_ARG(accepted[i]), problem.offset,
                     problem.reason);
    }
}

static void check_texts_that_are_not_json_are_refused_at_the_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct json_problem problem = {NULL, 0};
        if (json_check(refused[i].text, DEPTH, &problem) != ERR_SYNTAX)
            fail_msg("accepted: %.*s", STR_ARG(refused[i].text));
        assert_non_null(problem.reason);
        if (problem.offset != refused[i].offset)
            fail_msg("%.*s: refused at %zu, not %zu: %s", STR_ARG(refused[i].text), problem.offset,
                     refused[i].offset, problem.reason);
    }
}

static enum err in_two_pieces(struct str text, size_t at, struct json_problem *problem)
{
    struct json_check check;
    json_check_start(&check, DEPTH);
    enum err err = json_check_feed(&check, str_head(text, at));
    if (err == OK)
        err = json_check_feed(&check, str_from(text, at));
    if (err == OK)
        err = json_check_end(&check);
    *problem = (struct json_problem){check.reason, (size_t)check.offset};
    return err;
}

static enum err by_bytes(struct str text, struct json_problem *problem)
{
    struct json_check check;
    enum json_event event;
    enum err err = OK;
    json_check_start(&check, DEPTH);
    for (size_t i = 0; i < text.n && err == OK; i++)
        err = json_check_byte(&check, (unsigned char)text.p[i], &event);
    if (err == OK)
        err = json_check_end(&check);
    *problem = (struct json_problem){check.reason, (size_t)check.offset};
    return err;
}

static void assert_same_in_any_split(struct str text)
{
    struct json_problem whole = {NULL, 0}, pieces;
    enum err err = json_check(text, DEPTH, &whole);
    for (size_t at = 0; at <= text.n; at++) {
        assert_int_equal(in_two_pieces(text, at, &pieces), err);
        assert_true(pieces.reason == whole.reason);
        if (err != OK)
            assert_int_equal(pieces.offset, whole.offset);
    }
    assert_int_equal(by_bytes(text, &pieces), err);
    assert_true(pieces.reason == whole.reason);
}

static void check_answer_does_not_depend_on_the_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        assert_same_in_any_split(accepted[i]);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_same_in_any_split(refused[i].text);
}

static void check_every_byte_inside_a_string(void **state)
{
    (void)state;
    for (size_t place = 0; place < 20; place++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[22];
            memset(text, 'x', sizeof text);
            text[0] = text[sizeof text - 1] = '"';
            text[1 + place] = (char)byte;
            bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            assert_int_equal(json_check(str_range(text, sizeof text), DEPTH, NULL) == OK, plain);
        }
    }
}

static void check_nesting_is_bounded(void **state)
{
    (void)state;
    char text[2 * 70];
    for (size_t depth = 1; depth <= 70; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        struct str nested = str_range(text, 2 * depth);
        struct json_problem problem;
        assert_int_equal(json_check(nested, 64, NULL) == OK, depth <= 64);
        assert_int_equal(json_check(nested, 1000, NULL) == OK, depth <= 64);
        assert_int_equal(json_check(nested, DEPTH, &problem) == OK, depth <= DEPTH);
        if (depth > DEPTH)
            assert_int_equal(problem.offset, DEPTH);
        assert_int_equal(json_check(nested, 0, NULL), ERR_SYNTAX);
    }
    assert_int_equal(json_check(STR("17"), 0, NULL), OK);
}

static void check_remembers_the_kind_of_each_container(void **state)
{
    (void)state;
    char text[4096];
    size_t n = 0;
    for (unsigned i = 0; i < 64; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, i % 3 == 0 ? "[" : "{\"k\":");
    text[n++] = '1';
    for (unsigned i = 64; i-- > 0;)
        text[n++] = i % 3 == 0 ? ']' : '}';
    assert_int_equal(json_check(str_range(text, n), 64, NULL), OK);
    for (size_t i = n - 64; i < n; i++) {
        char swapped = text[i];
        text[i] = swapped == ']' ? '}' : ']';
        assert_int_equal(json_check(str_range(text, n), 64, NULL), ERR_SYNTAX);
        text[i] = swapped;
    }
}

static void check_knows_when_the_value_is_complete(void **state)
{
    (void)state;
    struct json_check check;
    json_check_start(&check, DEPTH);
    assert_false(json_check_is_complete(&check));
    assert_int_equal(json_check_feed(&check, STR("{\"a\":[1]")), OK);
    assert_false(json_check_is_complete(&check));
    assert_int_equal(json_check_feed(&check, STR("}")), OK);
    assert_true(json_check_is_complete(&check));
    assert_int_equal(json_check_feed(&check, STR(" \n")), OK);
    assert_true(json_check_is_complete(&check));
    assert_int_equal(check.offset, 11);
    assert_int_equal(json_check_feed(&check, STR(" {")), ERR_SYNTAX);
    assert_false(json_check_is_complete(&check));
    assert_int_equal(check.offset, 12);
    assert_int_equal(json_check_feed(&check, STR(" ")), ERR_SYNTAX);
    assert_int_equal(json_check_feed(&check, STR_NONE), ERR_SYNTAX);
    assert_int_equal(json_check_end(&check), ERR_SYNTAX);
    assert_int_equal(check.offset, 12);

    json_check_start(&check, DEPTH);
    assert_int_equal(json_check_feed(&check, STR("12")), OK);
    assert_false(json_check_is_complete(&check));
    assert_int_equal(json_check_end(&check), OK);
    json_check_start(&check, DEPTH);
    assert_int_equal(json_check_feed(&check, STR("null")), OK);
    assert_true(json_check_is_complete(&check));
}

static void check_tells_events_with_their_levels(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,\"b\",true],\"c\":{}}";
    static const struct {
        size_t at;
        enum json_event event;
        unsigned level;
        bool closed;
    } expected[] = {
        {0, JSON_VALUE_START, 0, false},  {1, JSON_KEY_START, 1, false},
        {3, JSON_KEY_END, 1, false},      {5, JSON_VALUE_START, 1, false},
        {6, JSON_VALUE_START, 2, false},  {7, JSON_SCALAR_ENDED, 2, false},
        {8, JSON_VALUE_START, 2, false},  {10, JSON_VALUE_END, 2, false},
        {12, JSON_VALUE_START, 2, false}, {16, JSON_SCALAR_ENDED, 2, true},
        {18, JSON_KEY_START, 1, false},   {20, JSON_KEY_END, 1, false},
        {22, JSON_VALUE_START, 1, false}, {23, JSON_VALUE_END, 1, false},
        {24, JSON_VALUE_END, 0, false},
    };
    struct json_check check;
    size_t next = 0;
    json_check_start(&check, DEPTH);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        enum json_event event;
        assert_int_equal(json_check_byte(&check, (unsigned char)text[i], &event), OK);
        if (event == JSON_NOTHING)
            continue;
        assert_int_equal(i, expected[next].at);
        assert_int_equal(event, expected[next].event);
        assert_int_equal(check.level, expected[next].level);
        if (event == JSON_SCALAR_ENDED)
            assert_int_equal(check.closed, expected[next].closed);
        next++;
    }
    assert_int_equal(next, sizeof expected / sizeof expected[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_texts_that_are_json_are_accepted),
        cmocka_unit_test(check_texts_that_are_not_json_are_refused_at_the_byte),
        cmocka_unit_test(check_answer_does_not_depend_on_the_split),
        cmocka_unit_test(check_every_byte_inside_a_string),
        cmocka_unit_test(check_nesting_is_bounded),
        cmocka_unit_test(check_remembers_the_kind_of_each_container),
        cmocka_unit_test(check_knows_when_the_value_is_complete),
        cmocka_unit_test(check_tells_events_with_their_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
