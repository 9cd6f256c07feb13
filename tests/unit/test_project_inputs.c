/* Inputs against their declarations: types, constraints, defaults. */
#include "base/built.h"
#include "project_rig.h"

#include "base/limits.h"
#include "json/read.h"

#include <stdio.h>
#include <string.h>

/* Declares one input `v`, submits it, and compares: `expected` is a piece of the refusal, or NULL when it is taken. */
static void try(const char *declaration, const char *value, const char *expected)
{
    char manifest[512], inputs[512];
    snprintf(manifest, sizeof manifest, "id: w\ninputs: {v: {%s}}\n", declaration);
    snprintf(inputs, sizeof inputs, "{\"v\":%s}", value);
    rig_file("workflows/w/manifest.yml", manifest);
    if (expected != NULL) {
        const char *message = rig_refusal(inputs);
        if (strncmp(message, "-32006 inputs.v", 15) != 0 || strstr(message, expected) == NULL)
            fail_msg("%s with %s: '%s', not '%s'", declaration, value, message, expected);
        return;
    }
    const char *answer = rig_submit(inputs);
    if (strncmp(answer, "{\"ok\":", 6) != 0)
        fail_msg("%s with %s: %s", declaration, value, answer);
    rig_file(".charter/runs/r-1/plan.json", NULL);
}

static void inputs_have_types(void **state)
{
    (void)state;
    try("type: string", "\"x\"", NULL);
    try("type: string", "5", "must be a string, not number");
    try("type: string", "null", "must be a string, not null");
    try("type: integer", "-9223372036854775808", NULL);
    try("type: integer", "9223372036854775808", "must be an integer of 64 bits");
    try("type: integer", "1.0", "must be an integer of 64 bits");
    try("type: integer", "1e2", "must be an integer of 64 bits");
    try("type: integer", "\"1\"", "not string");
    try("type: number", "1.5e300", NULL);
    try("type: number", "true", "must be a number");
    try("type: boolean", "false", NULL);
    try("type: boolean", "0", "must be true or false");
    try("type: array", "[1,\"a\"]", NULL);
    try("type: array", "{}", "must be an array");
    try("type: object", "{\"a\":[]}", NULL);
    try("type: object", "[]", "must be an object");
}

static void inputs_have_constraints(void **state)
{
    (void)state;
    try("type: integer, minimum: 1, maximum: 31", "1", NULL);
    try("type: integer, minimum: 1, maximum: 31", "31", NULL);
    try("type: integer, minimum: 1", "0", "must be at least 1");
    try("type: integer, maximum: 31", "32", "must be at most 31");
    try("type: number, minimum: 0.1", "0.1", NULL);
    try("type: number, minimum: 0.1", "0.0999999999999999999999", "must be at least 0.1");
    try("type: number, maximum: 9007199254740992", "9007199254740993", "must be at most");
    try("type: string, min_length: 2, max_length: 3", "\"\xC3\xA9\xC3\xA9\"", NULL);
    try("type: string, max_length: 1", "\"\\ud83d\\ude00\"", NULL);
    try("type: string, min_length: 2", "\"\xC3\xA9\"", "must have at least 2 characters, not 1");
    try("type: array, max_length: 1", "[1,2]", "must have at most 1 elements, not 2");
    try("type: string, enum: [short, long]", "\"long\"", NULL);
    try("type: string, enum: [short, long]", "\"l\"", "must be one of [\"short\",\"long\"]");
    try("type: number, enum: [1, 2.5]", "1.0", NULL);
    try("type: object, enum: [{a: 1, b: 2}]", "{\"b\":2,\"a\":1.0}", NULL);
    try("type: array, items: integer", "[1,2]", NULL);
    try("type: array, items: integer", "[1,\"a\"]", "inputs.v[1]: must be an integer");
}

static void inputs_match_patterns_anywhere(void **state)
{
    if (!BUILT_IN(CONFIG_PATTERN)) /* test_project_plan: they are refused */
        skip();
    (void)state;
    try("type: string, pattern: 'b+'", "\"abc\"", NULL);
    try("type: string, pattern: '^b+$'", "\"abc\"", "must match the pattern ^b+$");
    try("type: string, pattern: '^(a|b){2}$'", "\"ab\"", NULL);
    try("type: string, pattern: '^a$'", "\"a\\u0000\"", "holds U+0000");
    try("type: string, pattern: '^\xC3\xA9$'", "\"\\u00e9\"", NULL);
}

static void inputs_unknown_and_missing_are_named(void **state)
{
    (void)state;
    rig_file("workflows/w/manifest.yml",
             "id: w\ninputs: {city: {type: string, required: true}, n: {type: integer}}\n");
    assert_has(rig_refusal(NULL), "-32006 inputs.city: 'city' is required (string)");
    assert_has(rig_refusal("{\"n\":1}"), "-32006 inputs.city: 'city' is required");
    assert_has(rig_refusal("{\"city\":\"x\",\"town\":1}"),
               "-32006 inputs.town: unknown name 'town' (known: city, n)");
    assert_has(rig_refusal("{\"city\":\"x\",\"city\":\"y\"}"),
               "-32006 inputs.city: stands here twice");
    assert_has(rig_refusal("{\"city\":\"x\",\"c\\u0069ty\":\"y\"}"),
               "-32006 inputs.city: stands here twice");
    assert_has(rig_refusal("[]"), "-32006 inputs: must be an object");
    assert_has(rig_refusal("{\"city\""), "-32006 inputs: no JSON");
    assert_has(rig_submit("{\"city\":\"x\"}"), "{\"ok\":{\"inputs\":{\"city\":\"x\"},");
}

static void inputs_keep_their_bytes_and_get_defaults(void **state)
{
    (void)state;
    rig_file("workflows/w/manifest.yml", "id: w\n"
                                         "inputs:\n"
                                         "  d: {type: object, default: {z: [1, \"\\n\"]}}\n"
                                         "  a: {type: object}\n"
                                         "  e: {type: number, default: 1.}\n");
    assert_has(
        rig_submit("{ \"a\" :\n {\"x\" : 1.50e+0, \"x\":\"\\u0041\\/\" } }"),
        "{\"ok\":{\"inputs\":{\"a\":{\"x\":1.50e+0,\"x\":\"\\u0041\\/\"},\"d\":{\"z\":[1,\"\\n\"]},\"e\":1.0},");
}

static void inputs_have_a_limit(void **state)
{
    (void)state;
    static char text[LIMIT_INPUTS + 64];
    rig_file("workflows/w/manifest.yml",
             "id: w\ninputs: {v: {type: string}, d: {type: string, default: dddddddd}}\n");
    memset(text, 'x', sizeof text);
    memcpy(text, "{\"v\":\"", 6);
    memcpy(text + LIMIT_INPUTS - 1, "\"}", 3);
    assert_has(rig_refusal(text), "-32006 inputs: longer than ");
    memcpy(text + LIMIT_INPUTS - 2, "\"}", 3);
    assert_has(rig_refusal(text), "bytes with their defaults");
    memcpy(text + LIMIT_INPUTS - 18, "\"}", 3);
    assert_has(rig_submit(text), "{\"ok\":");
}

static void inputs_of_many_elements_are_taken(void **state)
{
    (void)state;
    static char text[LIMIT_INPUTS];
    struct out to = OUT_ON(text);
    rig_file("workflows/w/manifest.yml",
             "{\"id\":\"w\",\"inputs\":{\"v\":{\"type\":\"array\"},\"o\":{\"type\":\"object\"}}}");
    out_text(&to, "{\"v\":[0");
    while (to.n < LIMIT_INPUTS / 2)
        out_text(&to, ",1");
    out_text(&to, "],\"o\":{\"\":0");
    while (to.n < LIMIT_INPUTS - 16)
        out_text(&to, ",\"\":0");
    out_text(&to, "}}");
    assert_has(rig_submit(out_cstr(&to)), "{\"ok\":");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        YAML_TEST(inputs_have_types),
        YAML_TEST(inputs_have_constraints),
        YAML_TEST(inputs_match_patterns_anywhere),
        YAML_TEST(inputs_unknown_and_missing_are_named),
        YAML_TEST(inputs_keep_their_bytes_and_get_defaults),
        YAML_TEST(inputs_have_a_limit),
        TEST(inputs_of_many_elements_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
