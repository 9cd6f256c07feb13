/* The SDK without its main loop: messages both ways, the authors' writer, field tables, values. */
#include "base/limits.h"
#include "charter/integration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static char bytes[8192];
static struct charter_error error;

static struct charter_value value_of(const char *json)
{
    struct charter_value value = charter_parse(json, strlen(json));
    assert_true(value.length > 0);
    return value;
}

/* The text of a whole writer. */
static const char *text_of(const struct charter_writer *w)
{
    static char text[sizeof bytes + 1];
    struct charter_value value = charter_writer_value(w);
    assert_true(value.length > 0);
    memcpy(text, value.json, value.length);
    text[value.length] = '\0';
    return text;
}

static struct charter_message message_of(const struct charter_writer *w)
{
    struct charter_message message;
    assert_true(charter_writer_is_whole(w));
    assert_int_equal(charter_read_message(w->buffer, w->length, &message, &error), 0);
    return message;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void setup_goes_out_and_comes_in(void **state)
{
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    struct charter_setup out = {.run_id = "r-1", .integration = "tool"}, in;
    (void)state;
    out.config = value_of("{\"a\":[1,2.50]}");
    charter_write_setup(&w, "1", &out);
    assert_string_equal(text_of(&w),
                        "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"setup\",\"params\":{\"run_"
                        "id\":\"r-1\",\"integration\":\"tool\",\"config\":{\"a\":[1,2.50]}}}");
    struct charter_message message = message_of(&w);
    assert_int_equal(message.kind, CHARTER_MESSAGE_REQUEST);
    assert_string_equal(message.method, "setup");
    assert_true(charter_string_is(message.id, "1"));
    assert_int_equal(charter_read_setup(message.params, &in, &error), 0);
    assert_string_equal(in.run_id, "r-1");
    assert_string_equal(in.integration, "tool");
    assert_memory_equal(in.config.json, "{\"a\":[1,2.50]}", in.config.length);
}

static void execute_goes_out_and_comes_in(void **state)
{
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    struct charter_execute out = {.step = {.id = "s",
                                           .uses = "tool",
                                           .output = "o",
                                           .output_type = CHARTER_OUTPUT_LIST},
                                  .context = {.run_id = "r-1",
                                              .workflow_id = "w",
                                              .attempt = 3,
                                              .idempotency_key = "r-1/s",
                                              .deadline_ms = CHARTER_NO_DEADLINE,
                                              .artifacts_dir = "dir \"x\""}},
                           in;
    (void)state;
    out.step.with_config = value_of("{\"k\":\"v\"}");
    out.context.inputs = value_of("{\"city\":\"K\\u00f6ln\"}");
    charter_write_execute(&w, "2", &out);
    struct charter_message message = message_of(&w);
    assert_int_equal(charter_read_execute(message.params, &in, &error), 0);
    assert_string_equal(in.step.id, "s");
    assert_string_equal(in.step.uses, "tool");
    assert_string_equal(in.step.output, "o");
    assert_int_equal(in.step.output_type, CHARTER_OUTPUT_LIST);
    assert_string_equal(in.context.workflow_id, "w");
    assert_int_equal(in.context.attempt, 3);
    assert_int_equal(in.context.deadline_ms, CHARTER_NO_DEADLINE);
    assert_string_equal(in.context.artifacts_dir, "dir \"x\"");
    assert_true(charter_string_is(charter_find(in.context.inputs, "city"), "K\xc3\xb6ln"));
    assert_int_equal(charter_count(in.context.outputs), 0);
    out.step.output[0] = '\0';
    out.context.deadline_ms = 17;
    w = charter_writer_on(bytes, sizeof bytes);
    charter_write_execute(&w, "2", &out);
    message = message_of(&w);
    assert_int_equal(charter_read_execute(message.params, &in, &error), 0);
    assert_string_equal(in.step.output, "");
    assert_int_equal(in.context.deadline_ms, 17);
}

static void params_that_do_not_fit_are_refused_by_path(void **state)
{
    static const struct {
        const char *params, *path;
    } cases[] = {
        {"{}", "step"},
        {"{\"step\":{\"id\":\"s\"}}", "context"},
        {"{\"step\":{},\"context\":{\"run_id\":\"r\"}}", "step.id"},
        {"{\"step\":{\"id\":\"s\",\"output_type\":\"x\"},\"context\":{\"run_id\":\"r\"}}",
         "step.output_type"},
        {"{\"step\":{\"id\":\"s\",\"with_config\":[]},\"context\":{\"run_id\":\"r\"}}",
         "step.with_config"},
        {"{\"step\":{\"id\":\"s\"},\"context\":{\"run_id\":7}}", "context.run_id"},
        {"{\"step\":{\"id\":\"s\"},\"context\":{\"run_id\":\"r\",\"attempt\":0}}",
         "context.attempt"},
        {"{\"step\":{\"id\":\"s\"},\"context\":{\"run_id\":\"r\",\"deadline_ms\":-1}}",
         "context.deadline_ms"},
    };
    struct charter_execute in;
    struct charter_setup setup;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(charter_read_execute(value_of(cases[i].params), &in, &error), -1);
        assert_int_equal(error.code, CHARTER_INVALID_PARAMS);
        assert_string_equal(error.path, cases[i].path);
    }
    assert_int_equal(charter_read_setup(value_of("{\"run_id\":\"r\"}"), &setup, &error), -1);
    assert_string_equal(error.path, "integration");
    assert_int_equal(
        charter_read_setup(value_of("{\"run_id\":\"r\",\"run_id\":\"s\",\"integration\":\"i\"}"),
                           &setup, &error),
        -1);
    assert_int_equal(error.code, CHARTER_INVALID_REQUEST);
}

static void results_go_out_and_come_in(void **state)
{
    struct charter_execute_result out = {.path = "report.pdf", .media_type = "application/pdf"}, in;
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    struct charter_message message;
    (void)state;
    charter_write_execute_result(&w, value_of("\"2\""), &out);
    message = message_of(&w);
    assert_int_equal(message.kind, CHARTER_MESSAGE_ANSWER);
    assert_int_equal(charter_read_execute_result(message.result, CHARTER_OUTPUT_JSON, &in, &error),
                     0);
    assert_string_equal(in.path, "report.pdf");
    assert_string_equal(in.media_type, "application/pdf");
    assert_int_equal(in.value.length, 0);
    assert_int_equal(charter_read_execute_result(message.result, CHARTER_OUTPUT_TEXT, &in, &error),
                     -1);

    out = (struct charter_execute_result){.value = value_of("[1]")};
    w = charter_writer_on(bytes, sizeof bytes);
    charter_write_execute_result(&w, value_of("7"), &out);
    assert_string_equal(text_of(&w), "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"value\":[1]}}");
    message = message_of(&w);
    assert_int_equal(charter_read_execute_result(message.result, CHARTER_OUTPUT_LIST, &in, &error),
                     0);
    assert_int_equal(charter_count(in.value), 1);
    assert_int_equal(
        charter_read_execute_result(message.result, CHARTER_OUTPUT_OBJECT, &in, &error), -1);
    assert_string_equal(error.message, "output_type is object, the value is a list");

    static const char *const bad[] = {"{}", "{\"value\":1,\"artifact\":{\"path\":\"p\"}}",
                                      "{\"artifact\":{}}", "{\"artifact\":{\"path\":\"\"}}",
                                      "{\"artifact\":7}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            charter_read_execute_result(value_of(bad[i]), CHARTER_OUTPUT_JSON, &in, &error), -1);

    /* Neither or both cannot be written. */
    out = (struct charter_execute_result){.path = ""};
    w = charter_writer_on(bytes, sizeof bytes);
    charter_write_execute_result(&w, value_of("1"), &out);
    assert_false(charter_writer_is_whole(&w));
}

static void errors_go_out_and_come_in(void **state)
{
    struct charter_error out = {.code = 42,
                                .no_retry = true,
                                .path = "config.x",
                                .message = "no \"x\""},
                         in;
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    (void)state;
    charter_write_error(&w, value_of("\"2\""), &out);
    assert_string_equal(
        text_of(&w),
        "{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"error\":{\"code\":42,\"message\":\"no \\\"x\\\"\",\"data\":{"
        "\"path\":\"config.x\",\"retry\":false}}}");
    struct charter_message message = message_of(&w);
    assert_int_equal(charter_read_error(message.error, &in, &error), 0);
    assert_int_equal(in.code, 42);
    assert_true(in.no_retry);
    assert_string_equal(in.path, "config.x");
    assert_string_equal(in.message, "no \"x\"");
    assert_int_equal(charter_read_error(value_of("{\"code\":\"1\"}"), &in, &error), -1);
    assert_int_equal(charter_read_ok(value_of("{\"ok\":true}"), &error), 0);
    assert_int_equal(charter_read_ok(value_of("{}"), &error), 0);
    assert_int_equal(charter_read_ok(value_of("{\"ok\":false}"), &error), -1);
}

static void notifications_go_out_and_come_in(void **state)
{
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    struct charter_log_params log;
    struct charter_progress_params progress;
    struct charter_value id;
    (void)state;
    charter_write_log(&w, CHARTER_LOG_WARNING, "a\nb");
    struct charter_message message = message_of(&w);
    assert_int_equal(message.kind, CHARTER_MESSAGE_NOTIFICATION);
    assert_int_equal(charter_read_log(message.params, &log, &error), 0);
    assert_int_equal(log.level, CHARTER_LOG_WARNING);
    assert_true(charter_string_is(log.message, "a\nb"));
    assert_int_equal(
        charter_read_log(value_of("{\"level\":\"loud\",\"message\":\"m\"}"), &log, &error), 0);
    assert_int_equal(log.level, CHARTER_LOG_INFO);
    assert_int_equal(charter_read_log(value_of("{\"level\":\"info\"}"), &log, &error), -1);

    w = charter_writer_on(bytes, sizeof bytes);
    charter_write_progress(&w, 1, -1, NULL);
    message = message_of(&w);
    assert_int_equal(charter_read_progress(message.params, &progress, &error), 0);
    assert_int_equal(progress.total.length, 0);
    assert_int_equal(charter_read_progress(value_of("{\"current\":\"1\"}"), &progress, &error), -1);
    assert_string_equal(error.path, "current");

    w = charter_writer_on(bytes, sizeof bytes);
    charter_write_cancel(&w, "2");
    message = message_of(&w);
    assert_int_equal(charter_read_cancel(message.params, &id, &error), 0);
    assert_true(charter_string_is(id, "2"));
    w = charter_writer_on(bytes, sizeof bytes);
    charter_write_teardown(&w, "3");
    message = message_of(&w);
    assert_int_equal(charter_read_teardown(message.params, &error), 0);
    w = charter_writer_on(bytes, sizeof bytes);
    charter_write_ok(&w, message.id);
    assert_non_null(strstr(text_of(&w), "\"result\":{\"ok\":true}"));
}

/* --- the writer ---------------------------------------------------------------------------------------------------- */

static void what_stands_in_the_wrong_place_makes_the_writer_fail(void **state)
{
    struct charter_writer w;
    (void)state;
#define FAILS(...)                                                                                 \
    do {                                                                                           \
        w = charter_writer_on(bytes, sizeof bytes);                                                \
        __VA_ARGS__;                                                                               \
        assert_true(w.failed);                                                                     \
        assert_false(charter_writer_is_whole(&w));                                                 \
        assert_int_equal(charter_writer_value(&w).length, 0);                                      \
    } while (0)
    FAILS(charter_write_integer(&w, 1); charter_write_integer(&w, 2));
    FAILS(charter_write_key(&w, "a"));
    FAILS(charter_write_object(&w); charter_write_integer(&w, 1));
    FAILS(charter_write_object(&w); charter_write_key(&w, "a"); charter_write_key(&w, "b"));
    FAILS(charter_write_object(&w); charter_write_key(&w, "a"); charter_write_object_end(&w));
    FAILS(charter_write_object(&w); charter_write_list_end(&w));
    FAILS(charter_write_list(&w); charter_write_key(&w, "a"));
    FAILS(charter_write_list_end(&w));
    FAILS(charter_write_number(&w, 1e308 * 10));
    struct charter_value broken = {"{\"a\":}", 6};
    FAILS(charter_write_value(&w, broken));
    FAILS(for (int i = 0; i < LIMIT_JSON_DEPTH - 1; i++) charter_write_list(&w));
#undef FAILS
    w = charter_writer_on(bytes, sizeof bytes);
    for (int i = 0; i < LIMIT_JSON_DEPTH - 2; i++)
        charter_write_list(&w);
    for (int i = 0; i < LIMIT_JSON_DEPTH - 2; i++)
        charter_write_list_end(&w);
    assert_true(charter_writer_is_whole(&w));
}

static void every_room_is_kept_to(void **state)
{
    (void)state;
    for (size_t size = 0; size < 40; size++) {
        struct charter_writer w = charter_writer_on(bytes, size);
        bytes[size] = '#';
        charter_write_object(&w);
        charter_put_string(&w, "a", "text\n");
        charter_put_number(&w, "b", 0.5);
        charter_write_object_end(&w);
        assert_int_equal(bytes[size], '#');
        assert_int_equal(charter_writer_is_whole(&w),
                         size >= strlen("{\"a\":\"text\\n\",\"b\":0.5}"));
    }
}

static void everything_that_is_json_can_be_written(void **state)
{
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    struct charter_value nothing = {NULL, 0};
    (void)state;
    charter_write_list(&w);
    charter_write_object(&w);
    charter_put_integer(&w, "i", INT64_MIN);
    charter_put_boolean(&w, "b", false);
    charter_put_null(&w, "n");
    charter_put_value(&w, "v", value_of(" {\"x\" : 1.0} "));
    charter_put_value(&w, "w", nothing);
    charter_put_string(&w, "s", NULL);
    charter_write_object_end(&w);
    charter_write_number(&w, 0.1);
    charter_write_number(&w, -0.0);
    charter_write_number(&w, 1e22);
    charter_write_bytes(&w, "a\0\xff", 3);
    charter_write_list(&w);
    charter_write_list_end(&w);
    charter_write_list_end(&w);
    assert_string_equal(
        text_of(&w),
        "[{\"i\":-9223372036854775808,\"b\":false,\"n\":null,\"v\":{\"x\" : 1.0},\"w\":null,\"s\":null},0.1,-0,1e+22,"
        "\"a\\u0000\xef\xbf\xbd\",[]]");
}

/* --- field tables --------------------------------------------------------------------------------------------------- */

struct mine {
    char text[6];
    int64_t integer;
    double number;
    bool flag;
    struct charter_value list, any;
    char guard;
};

static const struct charter_field fields[] = {
    {"text", CHARTER_FIELD_STRING, CHARTER_AT(struct mine, text), CHARTER_REQUIRED, NULL, NULL,
     NULL, NULL, NULL},
    {"integer", CHARTER_FIELD_INTEGER, CHARTER_AT(struct mine, integer), 0, "7", "a number", "1",
     "1e1", NULL},
    {"number", CHARTER_FIELD_NUMBER, CHARTER_AT(struct mine, number), 0, NULL, NULL, NULL, "2.5",
     "[0.5, 10e-1, 2.5]"},
    {"flag", CHARTER_FIELD_BOOLEAN, CHARTER_AT(struct mine, flag), 0, "true", NULL, NULL, NULL,
     NULL},
    {"list", CHARTER_FIELD_LIST, CHARTER_AT(struct mine, list), 0, NULL, NULL, NULL, NULL, NULL},
    {"any", CHARTER_FIELD_ANY, CHARTER_AT(struct mine, any), 0, NULL, NULL, NULL, NULL, NULL},
};

#define FIELDS (sizeof fields / sizeof fields[0])

static void a_table_fills_a_struct(void **state)
{
    struct mine mine;
    (void)state;
    memset(&mine, 0x55, sizeof mine);
    assert_int_equal(charter_fill(value_of("{\"text\":\"12345\",\"number\":1,\"any\":null}"),
                                  fields, FIELDS, 0, "config", &mine, &error),
                     0);
    assert_string_equal(mine.text, "12345");
    assert_int_equal(mine.integer, 7);
    assert_true(mine.number >= 1 && mine.number <= 1);
    assert_true(mine.flag);
    assert_int_equal(mine.list.length, 0);
    assert_int_equal(charter_type_of(mine.any), CHARTER_TYPE_NULL);
    assert_int_equal(mine.guard, 0x55);
}

static void what_does_not_fit_a_table_is_refused_by_path(void **state)
{
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"[]", "config must be an object, it is a list"},
        {"{}", "config.text is required"},
        {"{\"text\":\"123456\"}",
         "config.text must have no U+0000, and at most this many bytes: 5"},
        {"{\"text\":\"a\\u0000\"}",
         "config.text must have no U+0000, and at most this many bytes: 5"},
        {"{\"text\":\"a\",\"integer\":11}", "config.integer must be at most 1e1"},
        {"{\"text\":\"a\",\"integer\":9223372036854775808}",
         "config.integer must be an integer of 64 bits, it is a number"},
        {"{\"text\":\"a\",\"number\":0.51}", "config.number must be one of [0.5, 10e-1, 2.5]"},
        {"{\"text\":\"a\",\"number\":1e999}",
         "config.number must be a number in the range of a double, it is a number"},
        {"{\"text\":\"a\",\"list\":{}}", "config.list must be a list, it is an object"},
        {"{\"text\":\"a\",\"other\":1}", "config.other is not known"},
        {"{\"text\":\"a\",\"t\\u0065xt\":\"b\"}", "config.t\\u0065xt is given twice"},
    };
    struct mine mine;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(&mine, 0x55, sizeof mine);
        assert_int_equal(
            charter_fill(value_of(cases[i].json), fields, FIELDS, 0, "config", &mine, &error), -1);
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(error.code, CHARTER_INVALID_INPUT);
        assert_true(error.no_retry);
        assert_int_equal(mine.guard, 0x55);
    }
    assert_int_equal(charter_fill(value_of("{\"text\":\"a\",\"other\":1}"), fields, FIELDS,
                                  CHARTER_OTHER_CONFIG, "config", &mine, &error),
                     0);
}

static void a_table_is_a_schema(void **state)
{
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    (void)state;
    charter_write_schema(&w, fields, FIELDS, 0);
    struct charter_value schema = charter_writer_value(&w);
    int64_t number;
    bool others = true;
    assert_true(charter_string_is(charter_find(schema, "properties.integer.type"), "integer"));
    assert_true(
        charter_string_is(charter_find(schema, "properties.integer.description"), "a number"));
    assert_true(charter_to_integer(charter_find(schema, "properties.integer.default"), &number));
    assert_int_equal(number, 7);
    assert_int_equal(charter_count(charter_find(schema, "properties.number.enum")), 3);
    assert_int_equal(charter_count(charter_find(schema, "properties.any")), 0);
    assert_int_equal(charter_count(charter_find(schema, "required")), 1);
    assert_true(charter_string_is(charter_find(schema, "required[0]"), "text"));
    assert_true(charter_to_boolean(charter_find(schema, "additionalProperties"), &others));
    assert_false(others);
}

/* --- values ---------------------------------------------------------------------------------------------------------- */

static void paths_lead_where_they_say_or_nowhere(void **state)
{
    struct charter_value value =
        value_of("{\"a\":{\"b\":[10,[20,{\"c\":\"x\"}]]},\"\":1,\"d.e\":2}");
    static const char *const nowhere[] = {
        "x",     "a.x",  "a.b[2]", "a.b[-1]", "a.b[", "a.b[]",   "a.b[1",
        "a.b.c", "a[0]", ".a",     "a.",      "a..b", "a.b[1]x", "a.b[99999999999999999999]",
        "d.e",   "[0]"};
    int64_t number;
    (void)state;
    assert_true(charter_to_integer(charter_find(value, "a.b[0]"), &number) && number == 10);
    assert_true(charter_string_is(charter_find(value, "a.b[1][1].c"), "x"));
    assert_int_equal(charter_find(value, "").length, value.length);
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        if (charter_find(value, nowhere[i]).length != 0)
            fail_msg("%s", nowhere[i]);
    assert_int_equal(charter_parse("{\"a\":1}}", 8).length, 0);
    assert_int_equal(charter_parse("", 0).length, 0);
}

static void containers_are_walked_in_order(void **state)
{
    struct charter_walk walk = charter_walk_of(value_of("{\"a\":1, \"b\" : [2], \"c\":null}"));
    struct charter_value name, value;
    char names[8] = "", one[4];
    (void)state;
    while (charter_walk_next(&walk, &name, &value)) {
        assert_true(charter_to_string(name, one, sizeof one));
        strcat(names, one);
    }
    assert_string_equal(names, "abc");
    assert_int_equal(charter_type_of(value), CHARTER_TYPE_NULL);
    walk = charter_walk_of(value_of("7"));
    assert_false(charter_walk_next(&walk, NULL, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setup_goes_out_and_comes_in),
        cmocka_unit_test(execute_goes_out_and_comes_in),
        cmocka_unit_test(params_that_do_not_fit_are_refused_by_path),
        cmocka_unit_test(results_go_out_and_come_in),
        cmocka_unit_test(errors_go_out_and_come_in),
        cmocka_unit_test(notifications_go_out_and_come_in),
        cmocka_unit_test(what_stands_in_the_wrong_place_makes_the_writer_fail),
        cmocka_unit_test(every_room_is_kept_to),
        cmocka_unit_test(everything_that_is_json_can_be_written),
        cmocka_unit_test(a_table_fills_a_struct),
        cmocka_unit_test(what_does_not_fit_a_table_is_refused_by_path),
        cmocka_unit_test(a_table_is_a_schema),
        cmocka_unit_test(paths_lead_where_they_say_or_nowhere),
        cmocka_unit_test(containers_are_walked_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
