/* Extents of wanted members, whatever the pieces in which the text comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/scan.h"

#include <string.h>

static const struct json_scan_path paths[] = {
    {"id", NULL},
    {"result", NULL},
    {"result", "value"},
    {"result", "artifact"},
    {"error", "code"},
    {"tab\there/\"", NULL},
    {"a name of exactly 32 bytes, yes.", NULL},
};
enum { ID, RESULT, VALUE, ARTIFACT, CODE, ODD, LONG, PATHS };

static const struct {
    const char *text;
    enum err err;
    int duplicate;
    const char *values[PATHS]; /* NULL: absent */
} cases[] = {
    {"{}", OK, -1, {NULL}},
    {"{\"id\":1}", OK, -1, {"1"}},
    {" { \"id\" : 12 , \"x\":[{\"id\":3}] } \n", OK, -1, {"12"}},
    {"{\"id\":\"a\\\"}\",\"result\":{\"value\":[1,{\"value\":2,\"artifact\":3}],\"artifact\":null}"
     "}",
     OK,
     -1,
     {"\"a\\\"}\"", "{\"value\":[1,{\"value\":2,\"artifact\":3}],\"artifact\":null}",
      "[1,{\"value\":2,\"artifact\":3}]", "null"}},
    {"{\"result\":{\"value\":true},\"value\":1,\"error\":{\"value\":2,\"code\":-32000}}",
     OK,
     -1,
     {NULL, "{\"value\":true}", "true", NULL, "-32000"}},
    {"{\"result\":{\"value\":1e5}}", OK, -1, {NULL, "{\"value\":1e5}", "1e5"}},
    {"{\"result\":[{\"value\":1}],\"x\":{\"result\":{\"value\":2}}}",
     OK,
     -1,
     {NULL, "[{\"value\":1}]"}},
    {"{\"result\":[1,2,[3]],\"id\":null}", OK, -1, {"null", "[1,2,[3]]"}},
    {"{\"result\":7}", OK, -1, {NULL, "7"}},
    {"{\"x\":{\"value\":1},\"result\":{}}", OK, -1, {NULL, "{}"}},
    {"{\"\\u0069\\u0064\":\"e\",\"r\\u0065sult\":{\"\\u0076alue\":{}}}",
     OK,
     -1,
     {"\"e\"", "{\"\\u0076alue\":{}}", "{}"}},
    {"{\"tab\\there\\/\\\"\":0,\"a name of exactly 32 bytes, yes.\":1}",
     OK,
     -1,
     {[ODD] = "0", [LONG] = "1"}},
    {"{\"tab\\u0009here/\\u0022\":0,\"a name of exactly 32 bytes, yes.!\":1}",
     OK,
     -1,
     {[ODD] = "0"}},
    {"{\"i\":1,\"idd\":2,\"\":3,\"\xC3\xA9\":4,\"\\ud834\\udd1e\":5}", OK, -1, {NULL}},
    {"{\"a name of exactly 32 bytes, yes\\u002e\":\"\xF0\x9D\x84\x9E\"}",
     OK,
     -1,
     {[LONG] = "\"\xF0\x9D\x84\x9E\""}},
    {"{\"id\":null,\"id\":2}", ERR_EXISTS, ID, {"null"}},
    {"{\"id\":null,\"i\\u0064\":null}", ERR_EXISTS, ID, {"null"}},
    {"{\"result\":{\"value\":null,\"value\":[]}}",
     ERR_EXISTS,
     VALUE,
     {NULL, "{\"value\":null,\"value\":[]}", "null"}},
    {"{\"result\":{\"value\":1},\"result\":{\"artifact\":2}}",
     ERR_EXISTS,
     RESULT,
     {NULL, "{\"value\":1}", "1", "2"}},
    {"{\"error\":1,\"error\":{\"code\":2}}", ERR_EXISTS, CODE, {[CODE] = "2"}},
    {"{\"x\":1,\"x\":2,\"result\":{\"y\":1,\"y\":2}}", OK, -1, {NULL, "{\"y\":1,\"y\":2}"}},
    {"[1,{\"id\":2}]", ERR_INVALID, -1, {NULL}},
    {"[{\"value\":2}]", ERR_INVALID, -1, {NULL}},
    {"17", ERR_INVALID, -1, {NULL}},
    {"\"id\"", ERR_INVALID, -1, {NULL}},
    {"[]", ERR_INVALID, -1, {NULL}},
    {"{\"id\":1", ERR_SYNTAX, -1, {NULL}},
    {"{\"id\":1}}", ERR_SYNTAX, -1, {NULL}},
    {"{\"id\":\"\xFF\"}", ERR_SYNTAX, -1, {NULL}},
    {"", ERR_SYNTAX, -1, {NULL}},
};

/* Feeds the pieces that end at `cut_a`, `cut_b` and the end. */
static enum err scan_in_three(struct json_scan *scan, struct str text, size_t cut_a, size_t cut_b)
{
    json_scan_start(scan, paths, PATHS, 8);
    enum err err = json_scan_feed(scan, str_head(text, cut_a));
    if (err == OK)
        err = json_scan_feed(scan, str_head(str_from(text, cut_a), cut_b - cut_a));
    if (err == OK)
        err = json_scan_feed(scan, str_from(text, cut_b));
    return err == OK ? json_scan_end(scan) : err;
}

static void assert_scanned(const struct json_scan *scan, enum err err, size_t index)
{
    struct str text = str_of(cases[index].text);
    if (err != cases[index].err)
        fail_msg("%s: %s", cases[index].text, err_text(err));
    if (err == ERR_SYNTAX)
        return;
    assert_int_equal(scan->duplicate, cases[index].duplicate);
    for (size_t path = 0; path < PATHS; path++) {
        const char *expected = cases[index].values[path];
        const struct json_extent *extent = &scan->extents[path];
        assert_int_equal(json_scan_has(scan, path), expected != NULL);
        if (expected == NULL)
            continue;
        assert_true(extent->end <= text.n);
        struct str got = str_range(text.p + extent->start, (size_t)(extent->end - extent->start));
        if (!str_is(got, expected))
            fail_msg("%s: path %zu is %.*s, not %s", cases[index].text, path, STR_ARG(got),
                     expected);
        assert_int_equal(extent->first, expected[0]);
    }
}

static void scan_finds_extents_in_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str text = str_of(cases[i].text);
        for (size_t a = 0; a <= text.n; a++) {
            for (size_t b = a; b <= text.n; b++) {
                struct json_scan scan;
                enum err err = scan_in_three(&scan, text, a, b);
                assert_scanned(&scan, err, i);
            }
        }
    }
}

static void scan_byte_by_byte_finds_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str text = str_of(cases[i].text);
        struct json_scan scan;
        enum err err = OK;
        json_scan_start(&scan, paths, PATHS, 8);
        for (size_t at = 0; at < text.n && err == OK; at++)
            err = json_scan_feed(&scan, str_range(text.p + at, 1));
        assert_scanned(&scan, err == OK ? json_scan_end(&scan) : err, i);
    }
}

static void scan_goes_on_where_no_buffer_reaches(void **state)
{
    (void)state;
    struct json_scan scan;
    static char block[65536];
    const uint64_t skipped = UINT64_C(1) << 33; /* as if they had been fed: text alone */
    const struct str head = STR("{\"result\":{\"value\":\"");
    memset(block, 'x', sizeof block);
    json_scan_start(&scan, paths, PATHS, 8);
    assert_int_equal(json_scan_feed(&scan, head), OK);
    scan.check.offset += skipped;
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(json_scan_feed(&scan, str_range(block, sizeof block)), OK);
    assert_int_equal(json_scan_feed(&scan, STR("\"}}")), OK);
    assert_int_equal(json_scan_end(&scan), OK);
    assert_true(scan.extents[VALUE].start == head.n - 1);
    assert_true(scan.extents[VALUE].end == head.n + skipped + 16 * sizeof block + 1);
    assert_int_equal(scan.extents[VALUE].first, '"');
    assert_true(scan.check.offset == scan.extents[VALUE].end + 2);
}

static void scan_refuses_at_the_byte_and_stays_so(void **state)
{
    (void)state;
    struct json_scan scan;
    json_scan_start(&scan, paths, PATHS, 2);
    assert_int_equal(json_scan_feed(&scan, STR("{\"x\":[[1]]}")), ERR_SYNTAX);
    assert_int_equal(scan.check.offset, 6);
    assert_non_null(scan.check.reason);
    assert_int_equal(json_scan_feed(&scan, STR_NONE), ERR_SYNTAX);
    assert_int_equal(json_scan_end(&scan), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_finds_extents_in_every_split),
        cmocka_unit_test(scan_byte_by_byte_finds_the_same),
        cmocka_unit_test(scan_goes_on_where_no_buffer_reaches),
        cmocka_unit_test(scan_refuses_at_the_byte_and_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
