/* What integrations write: whole lines out of any pieces, checked as they come, kept in memory or in a file. */
#include "run/intake.h"

#include "port_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct intake intake;
static char log_bytes[4096];
static char spill[128];

static int start(void **state)
{
    (void)state;
    (void)in_folder("spill", spill, sizeof spill);
    intake_start(&intake);
    return 0;
}

static int end(void **state)
{
    (void)state;
    intake_stop(&intake);
    return 0;
}

/* Feeds a text in pieces of `step` bytes: "[line]" for whole lines, "!ERR" where it ended. */
static const char *lines_of(struct str text, size_t step, uint64_t limit)
{
    struct out log = OUT_ON(log_bytes);
    intake_stop(&intake);
    intake_start(&intake);
    while (text.n > 0) {
        struct str piece = str_head(text, step);
        text = str_from(text, piece.n);
        while (piece.n > 0) {
            size_t used;
            enum err err = intake_feed(&intake, piece, limit, spill, &used);
            assert_true(used <= piece.n);
            piece = str_from(piece, used);
            if (err == OK) {
                assert_true(intake.whole);
                assert_false(intake_is_partial(&intake));
                out_byte(&log, '[');
                assert_int_equal(intake_read(&intake, 0, intake.n, &log), OK);
                out_byte(&log, ']');
                intake_next(&intake);
            } else if (err == ERR_AGAIN) {
                assert_int_equal(piece.n, 0);
            } else {
                out_byte(&log, '!');
                out_text(&log, err == ERR_SYNTAX      ? "syntax"
                               : err == ERR_INVALID   ? "invalid"
                               : err == ERR_TOO_LARGE ? "large"
                                                      : "other");
                return out_cstr(&log);
            }
        }
    }
    out_text(&log, intake_is_partial(&intake) ? "..." : ".");
    return out_cstr(&log);
}

static void expect(const char *text, const char *expected)
{
    struct str all = str_of(text);
    for (size_t step = 1; step <= all.n + 1; step++) {
        const char *got = lines_of(all, step, 1000);
        if (strcmp(got, expected) != 0)
            fail_msg("in pieces of %zu: '%s', not '%s'", step, got, expected);
    }
}

static void lines_come_out_whole_whatever_the_pieces(void **state)
{
    (void)state;
    expect("{\"id\":\"1\",\"result\":{\"value\":[1,{}]}}\n{}\n{\"a\":\"\\n\"}\n",
           "[{\"id\":\"1\",\"result\":{\"value\":[1,{}]}}][{}][{\"a\":\"\\n\"}].");
    expect("{}\n{", "[{}]...");
    expect("", ".");
}

static void crlf_blank_lines_and_white_space_are_taken(void **state)
{
    (void)state;
    expect("\n\r\n  \t\n{}\r\n\n {\"a\":1} \n", "[{}\r][{\"a\":1} ].");
}

static void a_byte_order_mark_is_taken_at_the_streams_start(void **state)
{
    (void)state;
    expect("\xef\xbb\xbf{}\n{}\n", "[{}][{}].");
    expect("\xef\xbb\xbf\n{}\n", "[{}].");
    expect("{}\n\xef\xbb\xbf{}\n", "[{}]!syntax");
    expect("\xef\xbb{}\n", "!syntax");
    expect("\xef{}\n", "!syntax");
    expect("\n\xef\xbb\xbf{}\n", "!syntax");
}

static void what_stops_being_json_fails_at_that_byte(void **state)
{
    (void)state;
    expect("{\"a\":x", "!syntax");
    expect("Starting up…\n", "!syntax");
    expect("{\"a\":1}}\n", "!syntax");
    expect("{\"a\":1\n", "!syntax");
    expect("{} {}\n", "!syntax");
    expect("{\"a\":\"\xff", "!syntax");
    (void)lines_of(STR("{\"a\":x"), 100, 1000);
    assert_int_equal(intake.scan.check.offset, 5);
    assert_non_null(intake.scan.check.reason);
    assert_string_equal(lines_of(STR("{\"a\":\"\0\"}\n"), 100, 1000), "!syntax");
}

static void only_objects_without_doubled_members_are_messages(void **state)
{
    (void)state;
    expect("[]\n", "!invalid");
    expect("17\n", "!invalid");
    expect("\"x\"\n", "!invalid");
    expect("null\n", "!invalid");
    expect("{\"id\":1,\"id\":1}\n", "!invalid");
    expect("{\"result\":{\"value\":1,\"value\":2}}\n", "!invalid");
    expect("{\"result\":{},\"result\":{}}\n", "!invalid");
    expect("{\"x\":1,\"x\":1}\n", "[{\"x\":1,\"x\":1}].");
}

static void extents_count_from_the_lines_first_byte(void **state)
{
    char bytes[64];
    struct out out = OUT_ON(bytes);
    size_t used;
    (void)state;
    struct str text = STR("{}\n  {\"id\":\"2\",\"result\":{\"value\": [1, 2]}}\n");
    assert_int_equal(intake_feed(&intake, text, 1000, spill, &used), OK);
    intake_next(&intake);
    assert_int_equal(intake_feed(&intake, str_from(text, used), 1000, spill, &used), OK);
    const struct json_extent *value = &intake.scan.extents[INTAKE_VALUE];
    assert_true(json_scan_has(&intake.scan, INTAKE_VALUE));
    assert_false(json_scan_has(&intake.scan, INTAKE_ERROR));
    assert_int_equal(intake_read(&intake, value->start, value->end - value->start, &out), OK);
    assert_string_equal(out_cstr(&out), "[1, 2]");
}

/* --- long lines ---------------------------------------------------------------------------------------------------------- */

static struct str long_line(size_t n)
{
    static char bytes[64 * 1024];
    struct out out = OUT_ON(bytes);
    out_text(&out, "{\"v\":\"");
    while (out.n < n - 2)
        out_byte(&out, (char)('a' + out.n % 26));
    out_text(&out, "\"}\n");
    assert_int_equal(out.n, n + 1);
    return out_view(&out);
}

static void lines_longer_than_the_tail_go_to_a_file_without_a_name(void **state)
{
    static const size_t lengths[] = {INTAKE_TAIL - 1, INTAKE_TAIL, INTAKE_TAIL + 1, 3 * INTAKE_TAIL,
                                     40000};
    static const size_t steps[] = {1, 7, 1000, INTAKE_TAIL, INTAKE_TAIL + 1, 100000};
    static char got[64 * 1024];
    struct port_stat stat;
    (void)state;

    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct str line = long_line(lengths[l]), rest = line;
            enum err err = ERR_AGAIN;
            if (lengths[l] > 10000 && steps[s] == 1)
                continue; /* a system call a byte */
            intake_next(&intake);
            while (err == ERR_AGAIN && rest.n > 0) {
                size_t used;
                err = intake_feed(&intake, str_head(rest, steps[s]), 60000, spill, &used);
                rest = str_from(rest, used);
            }
            assert_int_equal(err, OK);
            assert_int_equal(intake.n, lengths[l]);
            assert_int_equal(intake.spill >= 0, lengths[l] > INTAKE_TAIL);
            assert_int_equal(port_stat(spill, &stat), ERR_NOT_FOUND);
            struct out out = OUT_ON(got);
            assert_int_equal(intake_read(&intake, 0, intake.n, &out), OK);
            assert_true(str_equal(out_view(&out), str_head(line, line.n - 1)));
            /* Any part of it. */
            for (size_t from = 0; from < lengths[l]; from += 977) {
                out_reset(&out);
                size_t n = lengths[l] - from < 50 ? lengths[l] - from : 50;
                assert_int_equal(intake_read(&intake, from, n, &out), OK);
                assert_true(str_equal(out_view(&out), str_range(line.p + from, n)));
            }
        }
}

static void reading_never_passes_the_room(void **state)
{
    char bytes[100];
    size_t used;
    (void)state;
    for (size_t n = 1000; n <= 10000; n += 9000) {
        struct out out = OUT_ON(bytes);
        intake_next(&intake);
        assert_int_equal(intake_feed(&intake, long_line(n), 60000, spill, &used), OK);
        assert_int_equal(intake_read(&intake, 0, 100, &out), OK);
        assert_int_equal(intake_read(&intake, 0, 1, &out), ERR_FULL);
        out_reset(&out);
        assert_int_equal(intake_read(&intake, 5, 101, &out), ERR_FULL);
    }
}

static void a_file_left_behind_is_replaced(void **state)
{
    size_t used;
    (void)state;
    write_file(spill, "old");
    assert_int_equal(intake_feed(&intake, long_line(2 * INTAKE_TAIL), 60000, spill, &used), OK);
    struct port_stat stat;
    assert_int_equal(port_stat(spill, &stat), ERR_NOT_FOUND);
    assert_int_equal(port_stat_fd(intake.spill, &stat), OK);
    assert_int_equal(stat.size, 2 * INTAKE_TAIL);
}

static void a_file_that_cannot_be_made_is_an_error(void **state)
{
    size_t used;
    (void)state;
    enum err err =
        intake_feed(&intake, long_line(2 * INTAKE_TAIL), 60000, PATH("no/such/folder"), &used);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_int_equal(intake.spill, -1);
}

static void the_limit_is_a_lines_own_length(void **state)
{
    static const size_t steps[] = {1, 10, 100, 10000};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct str line = long_line(100);
        assert_memory_equal(lines_of(line, steps[i], 100), "[{\"v\"", 5);
        assert_string_equal(lines_of(line, steps[i], 99), "!large");
        /* Known before its end has come. */
        assert_string_equal(lines_of(str_head(line, 100), steps[i], 99), "!large");
        assert_string_equal(lines_of(str_head(line, 99), steps[i], 99), "...");
        assert_string_equal(lines_of(STR("{}\n{}\n{}\n"), steps[i], 2), "[{}][{}][{}].");
    }
}

static void limits_bind_in_the_file_as_well(void **state)
{
    size_t used;
    (void)state;
    struct str line = long_line(10000);
    assert_int_equal(intake_feed(&intake, str_head(line, 9000), 9999, spill, &used), ERR_AGAIN);
    assert_int_equal(intake_feed(&intake, str_from(line, 9000), 9999, spill, &used), ERR_TOO_LARGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_come_out_whole_whatever_the_pieces),
        TEST(crlf_blank_lines_and_white_space_are_taken),
        TEST(a_byte_order_mark_is_taken_at_the_streams_start),
        TEST(what_stops_being_json_fails_at_that_byte),
        TEST(only_objects_without_doubled_members_are_messages),
        TEST(extents_count_from_the_lines_first_byte),
        TEST(lines_longer_than_the_tail_go_to_a_file_without_a_name),
        TEST(reading_never_passes_the_room),
        TEST(a_file_left_behind_is_replaced),
        TEST(a_file_that_cannot_be_made_is_an_error),
        TEST(the_limit_is_a_lines_own_length),
        TEST(limits_bind_in_the_file_as_well),
    };
    return cmocka_run_group_tests(tests, support_start, support_end);
}
