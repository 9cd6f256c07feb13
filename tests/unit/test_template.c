/* Templates in strings, their paths, and the conditions of `if`. */
#include "base/out.h"
#include "project/condition.h"
#include "project/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* "<literal>{path}" for each part. */
static const char *parts_of(const char *inside)
{
    static char text[512];
    struct out to = OUT_ON(text);
    struct str rest = str_of(inside);
    struct template_part part;
    enum err err;
    while ((err = template_next(&rest, &part)) == OK)
        out_format(&to, part.is_template ? "{%.*s}" : "<%.*s>", STR_ARG(part.text));
    if (err != ERR_END)
        out_text(&to, "!");
    return out_cstr(&to);
}

static void template_parts_are_found(void **state)
{
    (void)state;
    assert_string_equal(parts_of(""), "");
    assert_string_equal(parts_of("plain"), "<plain>");
    assert_string_equal(parts_of("${{ inputs.a }}"), "{inputs.a}");
    assert_string_equal(parts_of("${{inputs.a}}${{inputs.b}}"), "{inputs.a}{inputs.b}");
    assert_string_equal(parts_of("a ${{ inputs.b }} c"), "<a >{inputs.b}< c>");
    assert_string_equal(parts_of("$ {{ a }} ${ b } }}"), "<$ {{ a }} ${ b } }}>");
    assert_string_equal(parts_of("${{ }}"), "{}");
    assert_string_equal(parts_of("$${{ a }}"), "<$>{a}");
}

static void template_without_end_is_refused(void **state)
{
    (void)state;
    assert_string_equal(parts_of("a ${{ b"), "<a >!");
    assert_string_equal(parts_of("${{ b }"), "!");
    assert_string_equal(parts_of("${{"), "!");
}

static void template_alone_is_whole(void **state)
{
    (void)state;
    struct str path;
    assert_true(template_is_whole(STR("${{ outputs.a }}"), &path));
    assert_true(str_is(path, "outputs.a"));
    assert_false(template_is_whole(STR(" ${{ outputs.a }}"), &path));
    assert_false(template_is_whole(STR("${{ outputs.a }}."), &path));
    assert_false(template_is_whole(STR("${{ a }}${{ b }}"), &path));
    assert_false(template_is_whole(STR(""), &path));
    assert_true(template_in(STR("{\"a\":[\"${{ b }}\"]}")));
    assert_false(template_in(STR("$")));
}

static const char *path_of(const char *text)
{
    static char steps[256];
    struct out to = OUT_ON(steps);
    struct template_path path = template_path(str_of(text));
    struct template_step step;
    enum err err;
    while ((err = template_path_next(&path, &step)) == OK) {
        if (step.is_index)
            out_format(&to, "[%llu]", (unsigned long long)step.index);
        else
            out_format(&to, "/%.*s", STR_ARG(step.name));
    }
    if (err != ERR_END)
        out_text(&to, "!");
    return out_cstr(&to);
}

static void template_paths_are_taken_apart(void **state)
{
    (void)state;
    assert_string_equal(path_of("inputs.city"), "/inputs/city");
    assert_string_equal(path_of("outputs.a-b_9[2].x[0][10]"), "/outputs/a-b_9[2]/x[0][10]");
    assert_string_equal(path_of("run"), "/run");
    static const char *const wrong[] = {"",
                                        ".a",
                                        "[0]",
                                        "a.",
                                        "a..b",
                                        "a[",
                                        "a[]",
                                        "a[x]",
                                        "a[-1]",
                                        "a b",
                                        "a.b c",
                                        "a[1]b",
                                        "a[99999999999999999999]",
                                        "a.\\u0062",
                                        "a|b",
                                        "a]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *steps = path_of(wrong[i]);
        if (steps[strlen(steps) - 1] != '!')
            fail_msg("'%s' became %s", wrong[i], steps);
    }
}

static void condition_forms_are_read(void **state)
{
    (void)state;
    struct condition c;
    const char *reason;
    assert_int_equal(condition_parse(STR("${{ outputs.a }}"), &c, &reason), OK);
    assert_int_equal(c.test, CONDITION_TRUTH);
    assert_int_equal(c.left.kind, CONDITION_TEMPLATE);
    assert_true(str_is(c.left.text, "outputs.a"));
    assert_int_equal(condition_parse(STR(" ${{a}}=='x == y' "), &c, &reason), OK);
    assert_int_equal(c.test, CONDITION_EQUAL);
    assert_int_equal(c.right.kind, CONDITION_QUOTED);
    assert_true(str_is(c.right.text, "x == y"));
    assert_int_equal(condition_parse(STR("\"a\\\"b\" != -1.5e3"), &c, &reason), OK);
    assert_int_equal(c.test, CONDITION_NOT_EQUAL);
    assert_true(str_is(c.left.text, "\"a\\\"b\""));
    assert_true(str_is(c.right.text, "-1.5e3"));
}

static void condition_nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "  ",
                                        "==",
                                        "a",
                                        "yes",
                                        "'a",
                                        "\"a",
                                        "${{ a",
                                        "1 2",
                                        "1 = 1",
                                        "1 == ",
                                        "== 1",
                                        "1 == 1 == 1",
                                        "1 && 1",
                                        "[] == []",
                                        "{}",
                                        "'${{ a }}' == 'x'",
                                        "\"${{ a }}\" == \"x\"",
                                        "x${{ a }}",
                                        "${{ a }}x",
                                        "01",
                                        "1 === 1",
                                        "nul"};
    struct condition c;
    const char *reason;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (condition_parse(str_of(wrong[i]), &c, &reason) != ERR_SYNTAX || reason == NULL)
            fail_msg("'%s' was taken", wrong[i]);
    }
}

/* 1: holds, 0: does not, -1: refused. */
static int judge(const char *text)
{
    struct condition c;
    const char *reason;
    bool holds;
    assert_int_equal(condition_parse(str_of(text), &c, &reason), OK);
    return condition_judge(&c, &holds) == OK ? holds : -1;
}

static void condition_equality_is_of_type_and_value(void **state)
{
    (void)state;
    assert_int_equal(judge("1 == 1.0"), 1);
    assert_int_equal(judge("100 == 1e2"), 1);
    assert_int_equal(judge("9007199254740993 == 9007199254740992"), 0);
    assert_int_equal(judge("1 == '1'"), 0);
    assert_int_equal(judge("'1' == \"1\""), 1);
    assert_int_equal(judge("'a' == \"\\u0061\""), 1);
    assert_int_equal(judge("\"\\ud83d\\ude00x\" == '\xF0\x9F\x98\x80x'"), 1);
    assert_int_equal(judge("'a' != 'a '"), 1);
    assert_int_equal(judge("null == null"), 1);
    assert_int_equal(judge("null == false"), 0);
    assert_int_equal(judge("true == true"), 1);
    assert_int_equal(judge("true != false"), 1);
    assert_int_equal(judge("'' == \"\""), 1);
    assert_int_equal(judge("'abc' == \"ab\""), 0);
    assert_int_equal(judge("'ab' == \"abc\""), 0);
}

static struct condition_operand json(const char *raw)
{
    return (struct condition_operand){CONDITION_JSON, str_of(raw)};
}

static void condition_truth(void **state)
{
    (void)state;
    static const char *const falses[] = {"false", "null", "0",  "-0", "0.0",
                                         "0e9",   "\"\"", "[]", "{}", "[ ]"};
    static const char *const trues[] = {"true",      "1",   "0.1",         "\"0\"",
                                        "\"false\"", "[0]", "{\"a\":null}"};
    for (size_t i = 0; i < sizeof falses / sizeof falses[0]; i++) {
        struct condition_operand operand = json(falses[i]);
        assert_false(condition_is_true(&operand));
    }
    for (size_t i = 0; i < sizeof trues / sizeof trues[0]; i++) {
        struct condition_operand operand = json(trues[i]);
        assert_true(condition_is_true(&operand));
    }
    assert_int_equal(judge("''"), 0);
    assert_int_equal(judge("'x'"), 1);
}

static void condition_containers_are_not_compared(void **state)
{
    (void)state;
    struct condition_operand list = json("[1]"), object = json("{}"), one = json("1");
    bool equal;
    assert_int_equal(condition_equal(&list, &list, &equal), ERR_INVALID);
    assert_int_equal(condition_equal(&one, &object, &equal), ERR_INVALID);
    assert_int_equal(condition_equal(&one, &one, &equal), OK);
    assert_true(equal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(template_parts_are_found),
        cmocka_unit_test(template_without_end_is_refused),
        cmocka_unit_test(template_alone_is_whole),
        cmocka_unit_test(template_paths_are_taken_apart),
        cmocka_unit_test(condition_forms_are_read),
        cmocka_unit_test(condition_nonsense_is_refused),
        cmocka_unit_test(condition_equality_is_of_type_and_value),
        cmocka_unit_test(condition_truth),
        cmocka_unit_test(condition_containers_are_not_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
