/* Project files as JSON: YAML by the 1.2 core schema, JSON itself, and the places of what is wrong. */
#include "project/workspace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct project_workspace workspace;
static char said[2048];

/* The JSON, or "LINE:COLUMN reason". */
static const char *convert(const char *file, const char *text, size_t n)
{
    struct project_source *source = &workspace.plan;
    struct project_problem problem = {0};
    workspace_open(&workspace, source, &workspace.buffers[0]);
    snprintf(source->file, sizeof source->file, "%s", file);
    if (source_convert(&workspace, source, str_range(text, n), &problem)) {
        struct str json = source_root(source);
        snprintf(said, sizeof said, "%.*s", STR_ARG(json));
    } else {
        snprintf(said, sizeof said, "%u:%u %s", problem.line, problem.column, problem.reason);
    }
    return said;
}

static const char *yaml(const char *text)
{
    return convert("plan.yml", text, strlen(text));
}

#ifdef CONFIG_YAML

static void yaml_scalars_follow_the_core_schema(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *json;
    } cases[] = {
        {"null", "null"},
        {"~", "null"},
        {"Null", "null"},
        {"nULL", "\"nULL\""},
        {"true", "true"},
        {"TRUE", "true"},
        {"tRue", "\"tRue\""},
        {"False", "false"},
        {"yes", "\"yes\""},
        {"on", "\"on\""},
        {"No", "\"No\""},
        {"y", "\"y\""},
        {"2026-01-31", "\"2026-01-31\""},
        {"12:30:45", "\"12:30:45\""},
        {"1_000", "\"1_000\""},
        {"0", "0"},
        {"-0", "-0"},
        {"+1", "1"},
        {"-12", "-12"},
        {"007", "7"},
        {"-007", "-7"},
        {"00", "0"},
        {".5", "0.5"},
        {"-.5", "-0.5"},
        {"+.5", "0.5"},
        {"1.", "1.0"},
        {"1.e3", "1.0e3"},
        {"1.50", "1.50"},
        {"007.5", "7.5"},
        {"1e3", "1e3"},
        {"1E+03", "1E+03"},
        {"12e-1", "12e-1"},
        {".", "\".\""},
        {"+", "\"+\""},
        {"1e", "\"1e\""},
        {"e3", "\"e3\""},
        {"1.2.3", "\"1.2.3\""},
        {"0x", "\"0x\""},
        {"0x1F", "31"},
        {"0xff", "255"},
        {"0o17", "15"},
        {"0o8", "\"0o8\""},
        {"-0x1", "\"-0x1\""},
        {"0b1", "\"0b1\""},
        {"0X1F", "\"0X1F\""},
        {"0x0", "0"},
        {"0xFFFFFFFFFFFFFFFFFFFF", "1208925819614629174706175"},
        {"18446744073709551616", "18446744073709551616"},
        {"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"},
        {"'5'", "\"5\""},
        {"\"null\"", "\"null\""},
        {"!!str 5", "\"5\""},
        {"! 5", "\"5\""},
        {"!!int '7'", "7"},
        {"!!float 1", "1"},
        {"!!null ''", "null"},
        {"!!bool true", "true"},
        {".infx", "\".infx\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128], json[128];
        snprintf(text, sizeof text, "a: %s\n", cases[i].plain);
        snprintf(json, sizeof json, "{\"a\":%s}", cases[i].json);
        assert_string_equal(yaml(text), json);
    }
}

static void yaml_numbers_that_json_lacks_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {".inf", "-.inf", "+.Inf", ".INF",
                                        ".nan", ".NaN",  ".NAN",  "!!float .inf"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "x: 1\na: %s\n", texts[i]);
        assert_string_equal(yaml(text), "2:4 JSON has no infinite numbers and no NaN");
    }
}

static void yaml_keys_are_their_text(void **state)
{
    (void)state;
    assert_string_equal(
        yaml("1: a\ntrue: b\nnull: c\n~: d\n0x1: e\n.nan: f\n"),
        "{\"1\":\"a\",\"true\":\"b\",\"null\":\"c\",\"~\":\"d\",\"0x1\":\"e\",\".nan\":\"f\"}");
    assert_string_equal(yaml("? a\n: b\n"), "{\"a\":\"b\"}");
    assert_string_equal(yaml("\"<<\": 1\n"), "{\"<<\":1}");
}

static void yaml_aliases_stand_for_their_node(void **state)
{
    (void)state;
    assert_string_equal(
        yaml("a: &x {b: [1, c]}\nd: *x\ne: [*x, *x]\n"),
        "{\"a\":{\"b\":[1,\"c\"]},\"d\":{\"b\":[1,\"c\"]},\"e\":[{\"b\":[1,\"c\"]},{\"b\":[1,\"c\"]}]}");
    assert_string_equal(yaml("&a 007: *a\n*a : x\n"), "2:1 the key '007' stands here twice");
    assert_string_equal(yaml("- &a 007\n- {*a : *a}\n"), "[7,{\"007\":7}]");
    assert_string_equal(yaml("- &a '7'\n- *a\n- &a 8\n- *a\n"), "[\"7\",\"7\",8,8]");
    assert_string_equal(yaml("a: *x\n"), "1:4 an alias without an anchor before it");
    assert_string_equal(yaml("a: &x [1, *x]\n"), "1:11 an alias inside of what it stands for");
    assert_string_equal(yaml("a: &x [1]\n*x : 2\n"), "2:1 a key must be a scalar");
}

static void yaml_bombs_are_refused(void **state)
{
    (void)state;
    char text[4096];
    int n = snprintf(text, sizeof text, "a0: &a0 [xxxxxxxxxxxxxxxx]\n");
    for (int i = 1; i < 20; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "a%d: &a%d [*a%d,*a%d,*a%d]\n", i, i,
                      i - 1, i - 1, i - 1);
    const char *answer = yaml(text);
    if (LIMIT_JSON_DEPTH > 20 && strstr(answer, "more keys and values than") == NULL &&
        strstr(answer, "too long as JSON") == NULL)
        fail_msg("%s", answer);
}

/* What an alias stands for counts with what it stands in; neither alone is too deep. */
static void yaml_aliases_do_not_pass_the_depth(void **state)
{
    (void)state;
    char text[4 * LIMIT_JSON_DEPTH + 64], json[4 * LIMIT_JSON_DEPTH + 64], nest[LIMIT_JSON_DEPTH],
        ends[LIMIT_JSON_DEPTH];
    memset(nest, '[', sizeof nest);
    memset(ends, ']', sizeof ends);
    int inner = LIMIT_JSON_DEPTH / 2, outer = LIMIT_JSON_DEPTH - 1 - inner; /* 1: the mapping */
    snprintf(text, sizeof text, "a: &a %.*sx%.*s\nb: %.*s*a%.*s\n", inner, nest, inner, ends, outer,
             nest, outer, ends);
    snprintf(json, sizeof json, "{\"a\":%.*s\"x\"%.*s,\"b\":%.*s%.*s\"x\"%.*s%.*s}", inner, nest,
             inner, ends, outer, nest, inner, nest, inner, ends, outer, ends);
    assert_string_equal(yaml(text), json);
    outer++;
    snprintf(text, sizeof text, "a: &a %.*sx%.*s\nb: %.*s*a%.*s\n", inner, nest, inner, ends, outer,
             nest, outer, ends);
    snprintf(json, sizeof json, "2:%d nested too deep", 4 + outer);
    assert_string_equal(yaml(text), json);
}

static void yaml_that_is_too_much_is_refused_quickly(void **state)
{
    (void)state;
    static const char *const units[] = {"[",   "- ", "{a: ", "? ", "&a ", "!", "\"",
                                        "a: ", "-",  "*a ",  "{",  "%",   ","};
    static char text[LIMIT_PROJECT_FILE];
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t n = strlen(units[i]), at = 0;
        for (; at + n < sizeof text; at += n)
            memcpy(text + at, units[i], n);
        const char *answer = convert("plan.yml", text, at);
        assert_true(answer[0] >= '0' && answer[0] <= '9');
    }
}

static void yaml_outside_of_the_contract_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *answer;
    } cases[] = {
        {"a: 1\n<<: {b: 1}\n", "2:1 the merge key"},
        {"a: !!set {b}\n", "1:4 only the tags of the core schema"},
        {"a: !mine b\n", "1:4 only the tags of the core schema"},
        {"a: !!binary aGk=\n", "1:4 only the tags of the core schema"},
        {"a: !!timestamp 2001-01-01\n", "1:4 only the tags of the core schema"},
        {"a: !!int x\n", "1:4 the scalar does not fit its tag"},
        {"a: 1\n---\nb: 2\n", "2:1 a second document"},
        {"a: 1\nb: 2\na: 3\n", "3:1 the key 'a' stands here twice"},
        {"x:\n  - {b: 1, 'b': 2}\n", "2:12 the key 'b' stands here twice"},
        {"? [a]\n: b\n", "1:3 a key must be a scalar"},
        {"{a: b}: c\n", "1:1 a key must be a scalar"},
        {"a: [1, 2\n", "2:1 did not find expected ',' or ']'"},
        {"a: b: c\n", "1:5 mapping values are not allowed"},
        {"a:\n\tb: 1\n", "2:1 found character that cannot start any token"},
        {"a: \"x\xE2\x80\xA8y\" \n", "1:6 U+0085"},
        {"a: \xFF\n", "1:"},
        {"[?x]\n", "1:2 a '?' before a key"},
        {"a: [b]#c\n", "2:1 the comment before this place"},
        {"a: &b:c d\n", "1:4 names of anchors"},
        {"a: [-]\n", "1:5 a '-' alone"},
        {"a: [b,\nc]\n", "2:1 a line inside brackets"},
        {"a: \"b\nc\"\n", "1:4 the lines of this string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *answer = yaml(cases[i].text);
        if (strncmp(answer, cases[i].answer, strlen(cases[i].answer)) != 0)
            fail_msg("%s became %s, not %s", cases[i].text, answer, cases[i].answer);
    }
}

static void yaml_brackets_may_close_at_the_key(void **state)
{
    (void)state;
    assert_string_equal(yaml("a: {\n  b: 1,\n}\nc: [\n  1\n]\n"), "{\"a\":{\"b\":1},\"c\":[1]}");
}

static void yaml_block_scalars_and_folding(void **state)
{
    (void)state;
    assert_string_equal(yaml("a: |\n  x\n   y\n\n  z\n"), "{\"a\":\"x\\n y\\n\\nz\\n\"}");
    assert_string_equal(yaml("a: >-\n  x\n  y\n\n  z\n"), "{\"a\":\"x y\\nz\"}");
    assert_string_equal(yaml("a: x\n  y\n"), "{\"a\":\"x y\"}");
    assert_string_equal(yaml("a: \"\\u00e9\\x41\\n\\\n  b\"\n"), "{\"a\":\"\xC3\xA9"
                                                                 "A\\nb\"}");
}

#endif

static void json_files_are_made_compact_with_places(void **state)
{
    (void)state;
    assert_string_equal(yaml("{\n \"a\" : [1, 2.50 , \"\\u0041\\/\\n\"],\n \"b\":{}}\n"),
                        "{\"a\":[1,2.50,\"A/\\n\"],\"b\":{}}");
    assert_string_equal(yaml("\xEF\xBB\xBF{\"a\":\"${{ b }}\"}"), "{\"a\":\"${{ b }}\"}");
    assert_string_equal(yaml("{\"a\":\"\\u2028\"}"), "{\"a\":\"\xE2\x80\xA8\"}");
    assert_string_equal(yaml("{\"a\":1,\n  \"\\u0061\":2}"), "2:3 the key 'a' stands here twice");
    assert_string_equal(yaml("{\"<<\":1}"), "{\"<<\":1}");
}

static void json_files_are_strict(void **state)
{
    (void)state;
    static const char text[] = "{\n  \"a\": yes\n}";
    const char *answer = convert("plan.json", text, sizeof text - 1);
    assert_int_equal(strncmp(answer, "2:8 ", 4), 0);
}

static void places_are_those_of_keys_and_values(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":\n   [1,\n {\"b\":\n\"\xC3\xA9\", \"c\": 2}]}";
    convert("plan.yml", text, sizeof text - 1);
    static const struct {
        const char *piece;
        unsigned line, column;
        const char *path;
    } cases[] = {{"\"a\"", 1, 2, "a"},      {"[1", 2, 4, "a"},         {"1,", 2, 5, "a[0]"},
                 {"{\"b", 3, 2, "a[1]"},    {"\"b\"", 3, 3, "a[1].b"}, {"\"\xC3", 4, 1, "a[1].b"},
                 {"\"c\"", 4, 6, "a[1].c"}, {"2", 4, 11, "a[1].c"}};
    struct str json = source_root(&workspace.plan);
    char whole[256], path[64];
    snprintf(whole, sizeof whole, "%.*s", STR_ARG(json));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned line = 0, column = 0;
        const char *found = strstr(whole, cases[i].piece);
        assert_non_null(found);
        struct str raw = str_range(json.p + (found - whole), 1);
        struct out to = OUT_ON(path);
        assert_true(source_place(&workspace.plan, raw, &line, &column));
        assert_int_equal(line, cases[i].line);
        assert_int_equal(column, cases[i].column);
        source_path(&workspace.plan, raw, &to);
        assert_string_equal(out_cstr(&to), cases[i].path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef CONFIG_YAML
        cmocka_unit_test(yaml_scalars_follow_the_core_schema),
        cmocka_unit_test(yaml_numbers_that_json_lacks_are_refused),
        cmocka_unit_test(yaml_keys_are_their_text),
        cmocka_unit_test(yaml_aliases_stand_for_their_node),
        cmocka_unit_test(yaml_bombs_are_refused),
        cmocka_unit_test(yaml_aliases_do_not_pass_the_depth),
        cmocka_unit_test(yaml_that_is_too_much_is_refused_quickly),
        cmocka_unit_test(yaml_outside_of_the_contract_is_refused_with_its_place),
        cmocka_unit_test(yaml_brackets_may_close_at_the_key),
        cmocka_unit_test(yaml_block_scalars_and_folding),
#endif
        cmocka_unit_test(json_files_are_made_compact_with_places),
        cmocka_unit_test(json_files_are_strict),
        cmocka_unit_test(places_are_those_of_keys_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
