/* json/schema.c: what a schema allows and refuses, with the place and the words. */
#include "json/schema.h"

#include "json/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static struct json_schema_problem problem;

static enum json_schema_known look(struct str raw)
{
    if (json_string_is(raw, "$open"))
        return JSON_SCHEMA_OPEN;
    return json_string_is(raw, "$text") ? JSON_SCHEMA_TEXT : JSON_SCHEMA_KNOWN;
}

/* The schema must be usable; *problem.at lies inside of the value. */
static bool allows(const char *schema, const char *value)
{
    assert_int_equal(json_check(str_of(schema), 32, NULL), OK);
    assert_int_equal(json_check(str_of(value), 32, NULL), OK);
    assert_true(json_schema_is_usable(str_of(schema), &problem));
    if (json_schema_value(str_of(schema), str_of(value), look, &problem))
        return true;
    assert_true(problem.at.p >= value && problem.at.p + problem.at.n <= value + strlen(value));
    return false;
}

struct row {
    const char *schema, *value, *at, *reason; /* NULL: allowed */
};

static void values_are_judged_where_they_stand(void **state)
{
    static const struct row rows[] = {
        {"{}", "1", NULL, NULL},
        {"true", "[1]", NULL, NULL},
        {"false", "1", "1", "must not be given"},
        {"{\"type\":\"string\"}", "\"a\"", NULL, NULL},
        {"{\"type\":\"string\"}", "1", "1", "must be a string, it is a number"},
        {"{\"type\":\"integer\"}", "-12345678901234567890", NULL, NULL},
        {"{\"type\":\"integer\"}", "1.0", "1.0", "must be an integer, it is a fraction"},
        {"{\"type\":\"integer\"}", "1e3", "1e3", "must be an integer, it is a fraction"},
        {"{\"type\":\"number\"}", "1e3", NULL, NULL},
        {"{\"type\":\"number\"}", "true", "true", "must be a number, it is a boolean"},
        {"{\"type\":\"boolean\"}", "0", "0", "must be true or false, it is a number"},
        {"{\"type\":\"null\"}", "null", NULL, NULL},
        {"{\"type\":[\"array\",\"null\"]}", "{}", "{}", "must be a list or null, it is an object"},
        {"{\"type\":[\"integer\",\"null\"]}", "7", NULL, NULL},
        {"{\"minimum\":1,\"maximum\":2.5}", "1", NULL, NULL},
        {"{\"minimum\":1,\"maximum\":2.5}", "2.50", NULL, NULL},
        {"{\"minimum\":1,\"maximum\":2.5}", "0.99", "0.99", "must be at least 1"},
        {"{\"minimum\":1,\"maximum\":2.5}", "25e-1", NULL, NULL},
        {"{\"minimum\":1,\"maximum\":2.5}", "2.51", "2.51", "must be at most 2.5"},
        {"{\"minimum\":1}", "\"0\"", NULL, NULL},
        {"{\"enum\":[\"a\", {\"b\":1}, 2]}", "{\"b\":1.0}", NULL, NULL},
        {"{\"enum\":[\"a\", {\"b\":1}, 2]}", "\"\\u0061\"", NULL, NULL},
        {"{\"enum\":[\"a\", {\"b\":1}, 2]}", "3", "3", "must be one of [\"a\",{\"b\":1},2]"},
        {"{\"items\":{\"type\":\"string\"}}", "[\"a\",\"b\"]", NULL, NULL},
        {"{\"items\":{\"type\":\"string\"}}", "[\"a\",[]]", "[]", "must be a string, it is a list"},
        {"{\"properties\":{\"a\":{\"type\":\"null\"}}}", "{\"b\":1,\"a\":2}", "2",
         "must be null, it is a number"},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"\\u0061\":1}", NULL,
         NULL},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"b\":2}", "\"b\"",
         "is not a known member"},
        {"{\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1}", "1",
         "must be a string, it is a number"},
        {"{\"required\":[\"a\",\"b\"]}", "{\"b\":1,\"a\":1}", NULL, NULL},
        {"{\"required\":[\"a\",\"b\"]}", "{\"b\":1}", "{\"b\":1}", "must have a member \"a\""},
        {"{\"required\":[\"a\"]}", "1", NULL, NULL},
        {"{\"properties\":{\"a\":{\"required\":[\"b\"]}}}", "{\"a\":{}}", "{}",
         "must have a member \"b\""},
        {"{\"$ref\":\"#/x\",\"anyOf\":[false],\"default\":1}", "2", NULL, NULL},
        {"{\"type\":\"integer\"}", "\"$open\"", NULL, NULL},
        {"{\"type\":\"integer\"}", "\"$text\"", "\"$text\"", "must be an integer, it is a string"},
        {"{\"type\":\"string\",\"enum\":[\"a\"]}", "\"$text\"", NULL, NULL},
        {"{\"items\":{\"type\":\"integer\"}}", "[1,\"$open\",\"x\"]", "\"x\"",
         "must be an integer, it is a string"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        bool allowed = allows(row->schema, row->value);
        if (allowed != (row->at == NULL))
            fail_msg("%s and %s", row->schema, row->value);
        if (!allowed && (!str_is(problem.at, row->at) || strcmp(problem.reason, row->reason) != 0))
            fail_msg("%s and %s: \"%s\" at %.*s", row->schema, row->value, problem.reason,
                     STR_ARG(problem.at));
    }
}

static void schemas_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "1",
        "[]",
        "{\"type\":1}",
        "{\"type\":\"strong\"}",
        "{\"type\":[]}",
        "{\"type\":[\"string\",\"text\"]}",
        "{\"required\":\"a\"}",
        "{\"required\":[1]}",
        "{\"enum\":1}",
        "{\"minimum\":\"1\"}",
        "{\"maximum\":null}",
        "{\"properties\":[]}",
        "{\"properties\":{\"a\":1}}",
        "{\"items\":[{}]}",
        "{\"additionalProperties\":1}",
        "{\"properties\":{\"a\":{\"items\":{\"type\":\"x\"}}}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (json_schema_is_usable(str_of(bad[i]), &problem) || problem.reason[0] == '\0')
            fail_msg("%s", bad[i]);
}

static void members_are_judged_one_by_one(void **state)
{
    struct str schema = STR("{\"properties\":{\"a\":{\"type\":\"null\"}},"
                            "\"additionalProperties\":false,\"required\":[\"a\",\"b\"]}");
    struct json_walk walk = {.is_object = false};
    struct str name;
    (void)state;
    assert_true(json_schema_member(schema, STR("\"a\""), STR("null"), NULL, &problem));
    assert_false(json_schema_member(schema, STR("\"a\""), STR("1"), NULL, &problem));
    assert_false(json_schema_member(schema, STR("\"c\""), STR("1"), NULL, &problem));
    assert_true(json_schema_required(schema, &walk, &name) && str_is(name, "\"a\""));
    assert_true(json_schema_required(schema, &walk, &name) && str_is(name, "\"b\""));
    assert_false(json_schema_required(schema, &walk, &name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_judged_where_they_stand),
        cmocka_unit_test(schemas_that_are_none_are_refused),
        cmocka_unit_test(members_are_judged_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
