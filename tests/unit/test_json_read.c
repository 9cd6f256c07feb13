/* Raw values, walkers, trees of tokens and field tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/check.h"
#include "json/read.h"

#include <string.h>

#define assert_str(actual, expected)                                                               \
    do {                                                                                           \
        struct str got_ = (actual);                                                                \
        if (!str_is(got_, expected))                                                               \
            fail_msg("got %.*s, not %s", STR_ARG(got_), expected);                                 \
    } while (0)

static void read_tells_types(void **state)
{
    (void)state;
    assert_int_equal(json_type(STR("null")), JSON_NULL);
    assert_int_equal(json_type(STR("true")), JSON_BOOLEAN);
    assert_int_equal(json_type(STR("false")), JSON_BOOLEAN);
    assert_int_equal(json_type(STR("-1")), JSON_NUMBER);
    assert_int_equal(json_type(STR("0.5")), JSON_NUMBER);
    assert_int_equal(json_type(STR("\"\"")), JSON_STRING);
    assert_int_equal(json_type(STR(" [ ]")), JSON_ARRAY);
    assert_int_equal(json_type(STR("{}")), JSON_OBJECT);
    assert_int_equal(json_type(STR_NONE), JSON_NONE);
    assert_int_equal(json_type(STR("  ")), JSON_NONE);
    assert_string_equal(json_type_name(JSON_NONE), "nothing");
    assert_string_equal(json_type_name(JSON_OBJECT), "object");
    assert_true(json_is_true(STR("true")));
    assert_false(json_is_true(STR("false")));
    assert_false(json_is_true(STR("\"true\"")));
}

static void read_decodes_strings(void **state)
{
    (void)state;
    char text[64];
    static const struct {
        const char *raw, *decoded;
        size_t characters;
    } cases[] = {
        {"\"\"", "", 0},
        {"\"plain\"", "plain", 5},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC", 3},
        {"\"x\\uD834\\udd1ey\"", "x\xF0\x9D\x84\x9Ey", 3},
        {"\"\xF0\x9D\x84\x9E\xC3\xA9\"", "\xF0\x9D\x84\x9E\xC3\xA9", 2},
        {"\"\\\\u0041\"", "\\u0041", 6},
        {"\"ends in \\\\\"", "ends in \\", 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str raw = str_of(cases[i].raw);
        struct out out = OUT_ON(text);
        assert_int_equal(json_check(raw, 1, NULL), OK);
        assert_true(json_string_decode(raw, &out));
        assert_str(out_view(&out), cases[i].decoded);
        assert_true(json_string_is(raw, cases[i].decoded));
        assert_int_equal(json_string_characters(raw), cases[i].characters);
        assert_true(json_string_copy(raw, text, strlen(cases[i].decoded) + 1));
        assert_string_equal(text, cases[i].decoded);
        assert_false(json_string_copy(raw, text, strlen(cases[i].decoded)));
        for (size_t j = 0; j < sizeof cases / sizeof cases[0]; j++)
            assert_int_equal(json_string_equal(raw, str_of(cases[j].raw)), i == j);
    }
}

static void read_takes_back_what_does_not_fit(void **state)
{
    (void)state;
    char text[8];
    struct out out = OUT_ON(text);
    out_text(&out, "abc");
    assert_false(json_string_decode(STR("\"12\\n456\""), &out));
    assert_false(out.overflow);
    assert_str(out_view(&out), "abc");
    assert_false(json_string_decode(STR("17"), &out));
    assert_false(json_string_decode(STR("\""), &out));
    assert_true(json_string_decode(STR("\"12\\n45\""), &out));
    assert_str(out_view(&out), "abc12\n45");
    assert_false(json_string_copy(STR("\"a\\u0000b\""), text, sizeof text));
    assert_string_equal(text, "");
    assert_false(json_string_copy(STR("null"), text, sizeof text));
    assert_false(json_string_copy(STR("\"\""), text, 0));
}

static void read_compares_strings_by_what_they_say(void **state)
{
    (void)state;
    assert_true(json_string_equal(STR("\"\\u0061b\\/\""), STR("\"a\\u0062/\"")));
    assert_true(json_string_equal(STR("\"\\ud834\\udd1e\""), STR("\"\xF0\x9D\x84\x9E\"")));
    assert_false(json_string_equal(STR("\"a\""), STR("\"a\\u0000\"")));
    assert_false(json_string_equal(STR("\"ab\""), STR("\"a\"")));
    assert_false(json_string_equal(STR("\"1\""), STR("1")));
    assert_false(json_string_is(STR("\"ab\""), "a"));
    assert_false(json_string_is(STR("\"a\""), "ab"));
    assert_false(json_string_is(STR("\"a\\u0000\""), "a"));
    assert_false(json_string_is(STR("null"), "null"));
}

static void read_integers_within_64_bits(void **state)
{
    (void)state;
    int64_t value = 7;
    assert_true(json_integer(STR("-9223372036854775808"), &value));
    assert_true(value == INT64_MIN);
    assert_true(json_integer(STR("9223372036854775807"), &value));
    assert_true(value == INT64_MAX);
    assert_true(json_integer(STR("-0"), &value));
    assert_int_equal(value, 0);
    value = 7;
    assert_false(json_integer(STR("9223372036854775808"), &value));
    assert_false(json_integer(STR("-9223372036854775809"), &value));
    assert_false(json_integer(STR("1.0"), &value));
    assert_false(json_integer(STR("1e2"), &value));
    assert_false(json_integer(STR("\"1\""), &value));
    assert_false(json_integer(STR("null"), &value));
    assert_false(json_integer(STR_NONE, &value));
    assert_int_equal(value, 7);
}

static void read_walks_members_and_elements(void **state)
{
    (void)state;
    struct str object = STR(
        " { \"a\" : [1, {\"x\":\"]}\"}] ,\"b\\\"\":\"\\\\\",\"\\u0063\": null , \"d\":-1.5e3} ");
    struct str name, value;
    struct json_walk walk = json_walk(object);
    assert_int_equal(json_check(object, 8, NULL), OK);
    assert_true(json_walk_next(&walk, &name, &value));
    assert_str(name, "\"a\"");
    assert_str(value, "[1, {\"x\":\"]}\"}]");
    assert_true(json_walk_next(&walk, &name, &value));
    assert_str(name, "\"b\\\"\"");
    assert_str(value, "\"\\\\\"");
    assert_true(json_walk_next(&walk, &name, &value));
    assert_str(value, "null");
    assert_true(json_walk_next(&walk, &name, &value));
    assert_str(value, "-1.5e3");
    assert_false(json_walk_next(&walk, &name, &value));
    assert_false(json_walk_next(&walk, &name, &value));
    assert_int_equal(json_count(object), 4);

    assert_true(json_member(object, "c", &value));
    assert_str(value, "null");
    assert_true(json_member_named(object, STR("b\""), &value));
    assert_str(value, "\"\\\\\"");
    value = STR("untouched");
    assert_false(json_member(object, "e", &value));
    assert_false(json_member(STR("[\"a\",1]"), "a", &value));
    assert_false(json_element(object, 0, &value));
    assert_str(value, "untouched");
    assert_true(json_member(object, "a", &value));
    assert_true(json_element(value, 1, &value));
    assert_str(value, "{\"x\":\"]}\"}");
    assert_false(json_element(STR("[1,2]"), 2, &value));
    assert_true(json_member(STR("{\"a\":1,\"a\":2}"), "a", &value));
    assert_str(value, "1");
    assert_true(json_member(STR("{\"\":1}"), "", &value));

    assert_int_equal(json_count(STR("[]")), 0);
    assert_int_equal(json_count(STR("{ }")), 0);
    assert_int_equal(json_count(STR("\"abc\"")), 0);
    assert_int_equal(json_count(STR_NONE), 0);
    assert_int_equal(json_count(STR("[[],{},\"\",0]")), 4);
}

static void read_compacts_without_touching_strings_and_numbers(void **state)
{
    (void)state;
    char text[128];
    struct out out = OUT_ON(text);
    json_compact(STR(" { \"a b\" :\t[ 1.0 ,\"x \\\" y\", 1e+02 ] ,\r\n\"\\u0061\": null } "), &out);
    assert_str(out_view(&out), "{\"a b\":[1.0,\"x \\\" y\",1e+02],\"\\u0061\":null}");
    out = out_on(text, 5);
    json_compact(STR("[1 , 2, 3]"), &out);
    assert_true(out.overflow);
}

/* Draws a tree: node names and types, to compare shapes at a glance. */
static void draw(struct json_node node, struct out *out)
{
    struct str name;
    struct json_node child;
    uint32_t cursor = 0;
    switch (json_node_type(node)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        out_byte(out, '(');
        while (json_node_next(node, &cursor, &name, &child)) {
            out_str(out, name);
            draw(child, out);
            out_byte(out, ' ');
        }
        out_byte(out, ')');
        break;
    default:
        out_str(out, json_node_raw(node));
        break;
    }
}

static void assert_tree(const char *text, unsigned depth, const char *expected,
                        size_t tokens_expected)
{
    struct json_token tokens[64];
    struct json_doc doc;
    char drawn[512];
    struct out out = OUT_ON(drawn);
    assert_int_equal(json_check(str_of(text), 32, NULL), OK);
    assert_int_equal(json_parse(&doc, str_of(text), tokens, 64, depth), OK);
    draw(json_root(&doc), &out);
    assert_str(out_view(&out), expected);
    assert_int_equal(doc.count, tokens_expected);
    for (size_t max = 0; max < tokens_expected; max++)
        assert_int_equal(json_parse(&doc, str_of(text), tokens, max, depth), ERR_FULL);
    assert_int_equal(doc.count, 0);
    assert_int_equal(json_parse(&doc, str_of(text), tokens, tokens_expected, depth), OK);
}

static void read_tree_goes_no_deeper_than_asked(void **state)
{
    (void)state;
    const char *text = " {\"a\":[1,[2,{\"x\":[3]}],4],\"b\":{\"c\":{\"d\":\"]}[{\\\"\"}}, \"e\" : "
                       "[[ ]] , \"f\":true}";
    assert_tree(
        text, 0,
        "(\"a\"(1 (2 (\"x\"(3 ) ) ) 4 ) \"b\"(\"c\"(\"d\"\"]}[{\\\"\" ) ) \"e\"(() ) \"f\"true )",
        22);
    assert_tree(text, 1, "(\"a\"() \"b\"() \"e\"() \"f\"true )", 9);
    assert_tree(text, 2, "(\"a\"(1 () 4 ) \"b\"(\"c\"() ) \"e\"(() ) \"f\"true )", 15);
    assert_tree(text, 3,
                "(\"a\"(1 (2 () ) 4 ) \"b\"(\"c\"(\"d\"\"]}[{\\\"\" ) ) \"e\"(() ) \"f\"true )",
                19);
    assert_tree(
        text, 32,
        "(\"a\"(1 (2 (\"x\"(3 ) ) ) 4 ) \"b\"(\"c\"(\"d\"\"]}[{\\\"\" ) ) \"e\"(() ) \"f\"true )",
        22);
    assert_tree("[[1],[2],{\"a\":[]},3,[]]", 1, "(() () () 3 () )", 6);
    assert_tree("17", 1, "17", 1);
    assert_tree(" \"[\" ", 1, "\"[\"", 1);
    assert_tree("[]", 1, "()", 1);
    assert_tree("{}", 2, "()", 1);
}

static void read_tree_keeps_opaque_values_whole(void **state)
{
    (void)state;
    struct json_token tokens[16];
    struct json_doc doc;
    struct json_node node, inner;
    struct str text = STR("{\"id\":\"1\",\"params\":{\"a\":[1, 2 ]},\"m\\u0065thod\":\"go\"}"),
               name;
    uint32_t cursor = 0;
    assert_int_equal(json_parse(&doc, text, tokens, 16, 1), OK);
    assert_true(json_node_member(json_root(&doc), "params", &node));
    assert_int_equal(json_node_type(node), JSON_OBJECT);
    assert_str(json_node_raw(node), "{\"a\":[1, 2 ]}");
    assert_false(json_node_next(node, &cursor, &name, &inner));
    assert_false(json_node_member(node, "a", &inner));
    assert_true(json_node_member(json_root(&doc), "method", &node));
    assert_str(json_node_raw(node), "\"go\"");
    assert_false(json_node_member(json_root(&doc), "nothing", &node));
    assert_false(json_node_member(node, "x", &inner));
}

static void read_tree_of_unchecked_text_stays_inside(void **state)
{
    (void)state;
    /* Any answer will do, as long as nothing outside of the text and tokens is touched: the
     * sanitizers watch. */
    static const char *const texts[] = {
        "",      "{",          "[",       "]",   "}",   "\"",    "{\"a\"}", "[1,,3]",
        "{}{}",  "[}",         "{\"a\":", ":",   ",",   "[[[[",  "\\",      "{\"a\" \"b\"}",
        "[\"\\", "{\"a\":[1}", "]]]]",    "{:}", "1[2", "{1:[]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (unsigned depth = 0; depth < 3; depth++) {
            char exact[16], drawn[256];
            struct json_token tokens[8];
            struct json_doc doc;
            struct out out = OUT_ON(drawn);
            struct str text = str_range(exact + sizeof exact - strlen(texts[i]), strlen(texts[i])),
                       name, value;
            memcpy(exact + sizeof exact - text.n, texts[i], text.n);
            if (json_parse(&doc, text, tokens, 8, depth) == OK)
                draw(json_root(&doc), &out);
            struct json_walk walk = json_walk(text);
            while (json_walk_next(&walk, &name, &value))
                (void)json_type(value);
            json_compact(text, &out);
            (void)json_equal(text, text);
        }
    }
    struct json_token tokens[8];
    struct json_doc doc;
    assert_int_equal(json_parse(&doc, STR("[1]\0"), tokens, 8, 0), ERR_SYNTAX);
}

struct target {
    char name[8];
    int64_t count, free;
    bool on;
    struct str raw, object, array, string;
};

#define FIELD(type, name, flags)                                                                   \
    {                                                                                              \
#name, type, flags, offsetof(struct target, name), 0, 0, 0                                 \
    }

static const struct json_field fields[] = {
    {"name", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct target, name), 8, 0, 0},
    {"count", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct target, count), 0, 1, 100},
    FIELD(JSON_FIELD_INTEGER, free, 0),
    FIELD(JSON_FIELD_BOOLEAN, on, 0),
    FIELD(JSON_FIELD_RAW, raw, 0),
    FIELD(JSON_FIELD_OBJECT, object, JSON_REQUIRED | JSON_NULLABLE),
    FIELD(JSON_FIELD_ARRAY, array, 0),
    FIELD(JSON_FIELD_STRING, string, 0),
};

static enum err read_target(const char *text, struct target *target, struct json_field_error *error)
{
    *target = (struct target){.count = 42};
    assert_int_equal(json_check(str_of(text), 32, NULL), OK);
    return json_read(str_of(text), fields, sizeof fields / sizeof fields[0], target, error);
}

static void read_fields_into_a_struct(void **state)
{
    (void)state;
    struct target target;
    struct json_field_error error;
    assert_int_equal(
        read_target(
            "{\"object\":{\"a\":1},\"n\\u0061me\":\"1234\\n67\",\"raw\":[null],\"unknown\":{},"
            "\"array\":[ 1 ],\"string\":\"\\u0041\",\"on\":true,\"free\":-5,\"count\":100}",
            &target, &error),
        OK);
    assert_string_equal(target.name, "1234\n67");
    assert_int_equal(target.count, 100);
    assert_int_equal(target.free, -5);
    assert_true(target.on);
    assert_str(target.raw, "[null]");
    assert_str(target.object, "{\"a\":1}");
    assert_str(target.array, "[ 1 ]");
    assert_str(target.string, "\"\\u0041\"");
    assert_int_equal(
        read_target("{\"name\":\"\",\"object\":{},\"count\":null,\"raw\":null}", &target, &error),
        OK);
    assert_int_equal(target.count, 42);
    assert_str(target.raw, "null");
    assert_string_equal(error.path, "");
}

static void read_fields_names_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
        const char *path, *reason;
    } cases[] = {
        {"[]", ERR_INVALID, "", "must be an object"},
        {"{}", ERR_INVALID, "name", "is required"},
        {"{\"name\":\"a\"}", ERR_INVALID, "object", "is required"},
        {"{\"name\":\"a\",\"object\":null}", ERR_INVALID, "object", "is required"},
        {"{\"name\":null}", ERR_INVALID, "name", "must be a string"},
        {"{\"name\":\"12345678\"}", ERR_INVALID, "name", "must be at most 7 bytes long"},
        {"{\"name\":\"a\\u0000\"}", ERR_INVALID, "name", "must not contain U+0000"},
        {"{\"count\":0}", ERR_INVALID, "count", "must be from 1 to 100"},
        {"{\"count\":101}", ERR_INVALID, "count", "must be from 1 to 100"},
        {"{\"count\":1.5}", ERR_INVALID, "count", "must be an integer"},
        {"{\"free\":9223372036854775808}", ERR_INVALID, "free", "must be an integer"},
        {"{\"free\":null}", ERR_INVALID, "free", "must be an integer"},
        {"{\"on\":\"true\"}", ERR_INVALID, "on", "must be true or false"},
        {"{\"object\":[]}", ERR_INVALID, "object", "must be an object"},
        {"{\"array\":{}}", ERR_INVALID, "array", "must be an array"},
        {"{\"string\":1}", ERR_INVALID, "string", "must be a string"},
        {"{\"name\":\"a\",\"n\\u0061me\":\"a\"}", ERR_EXISTS, "name", "must not be given twice"},
        {"{\"count\":null,\"count\":null}", ERR_EXISTS, "count", "must not be given twice"},
        {"{\"on\":1,\"count\":0}", ERR_INVALID, "on", "must be true or false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct target target;
        struct json_field_error error;
        assert_int_equal(read_target(cases[i].text, &target, &error), cases[i].err);
        assert_string_equal(error.path, cases[i].path);
        assert_string_equal(error.reason, cases[i].reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_tells_types),
        cmocka_unit_test(read_decodes_strings),
        cmocka_unit_test(read_takes_back_what_does_not_fit),
        cmocka_unit_test(read_compares_strings_by_what_they_say),
        cmocka_unit_test(read_integers_within_64_bits),
        cmocka_unit_test(read_walks_members_and_elements),
        cmocka_unit_test(read_compacts_without_touching_strings_and_numbers),
        cmocka_unit_test(read_tree_goes_no_deeper_than_asked),
        cmocka_unit_test(read_tree_keeps_opaque_values_whole),
        cmocka_unit_test(read_tree_of_unchecked_text_stays_inside),
        cmocka_unit_test(read_fields_into_a_struct),
        cmocka_unit_test(read_fields_names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
