/* Lines out of a stream: the same ones however the bytes come, overlong ones said once and skipped. */
#include "rpc/line.h"

#include "base/out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CAP 16

static char buffer[CAP];
static char log_bytes[2048];
static struct out log_out;

/* Writes what comes out: "[line]" each, "!" for an overlong one. */
static void drain(struct line_reader *reader)
{
    struct str line;
    size_t size;
    enum err err;
    while ((err = line_take(reader, &line, &size)) != ERR_AGAIN) {
        if (err == ERR_TOO_LARGE) {
            assert_int_equal(size, CAP);
            out_byte(&log_out, '!');
            continue;
        }
        assert_int_equal(err, OK);
        assert_true(line.n > 0 && line.n < CAP);
        assert_true(line.p >= buffer && line.p + line.n <= buffer + CAP);
        out_byte(&log_out, '[');
        out_str(&log_out, line);
        out_byte(&log_out, ']');
    }
}

/* Feeds a text: the first piece has `first` bytes, the others `step`. */
static const char *lines_of(struct str text, size_t first, size_t step)
{
    struct line_reader reader = line_reader_on(buffer, CAP);
    size_t piece = first;

    log_out = OUT_ON(log_bytes);
    while (text.n > 0) {
        char *to;
        size_t room;
        line_space(&reader, &to, &room);
        assert_true(room > 0);
        struct str bytes = str_head(text, piece < room ? piece : room);
        memcpy(to, bytes.p, bytes.n);
        line_added(&reader, bytes.n);
        text = str_from(text, bytes.n);
        drain(&reader);
        piece = step;
    }
    out_text(&log_out, line_is_partial(&reader) ? "..." : ".");
    assert_false(log_out.overflow);
    return out_cstr(&log_out);
}

static void expect(const char *text, const char *expected)
{
    struct str all = str_of(text);
    for (size_t first = 1; first <= all.n + 1; first++) {
        const char *got = lines_of(all, first, all.n + 1);
        if (strcmp(got, expected) != 0)
            fail_msg("split at %zu: '%s', not '%s'", first, got, expected);
    }
    for (size_t step = 1; step <= all.n; step++) {
        const char *got = lines_of(all, step, step);
        if (strcmp(got, expected) != 0)
            fail_msg("in pieces of %zu: '%s', not '%s'", step, got, expected);
    }
}

static void lines_come_out_whole_whatever_the_pieces(void **state)
{
    (void)state;
    expect("a\nbc\ndef\n", "[a][bc][def].");
    expect("a\nbc", "[a]...");
    expect("", ".");
}

static void crlf_is_a_line_end(void **state)
{
    (void)state;
    expect("a\r\nb\r\n", "[a][b].");
    /* Only the one before the line feed belongs to the end. */
    expect("a\r\r\nb\rc\n", "[a\r][b\rc].");
    expect("a\r", "...");
}

static void blank_lines_are_skipped(void **state)
{
    (void)state;
    expect("\n\r\n  \t\na\n\n\n \r\nb\n\n", "[a][b].");
    expect("\n\n", ".");
}

static void a_byte_order_mark_is_taken_at_the_streams_start_alone(void **state)
{
    (void)state;
    expect("\xef\xbb\xbf{}\n\xef\xbb\xbfx\n", "[{}][\xef\xbb\xbfx].");
    expect("\xef\xbb\xbf\nx\n", "[x].");
    expect("\xef\xbb\xbf\r\nx\n", "[x].");
    expect("\xef\xbbx\n", "[\xef\xbbx].");
    expect("\n\xef\xbb\xbfx\n", "[\xef\xbb\xbfx].");
}

static void nul_bytes_are_bytes_of_a_line(void **state)
{
    (void)state;
    struct str text = STR("a\0b\n\0\n");
    for (size_t step = 1; step <= text.n; step++) {
        (void)lines_of(text, step, step);
        assert_true(str_equal(out_view(&log_out), STR("[a\0b][\0].")));
    }
}

static void a_line_that_fills_the_buffer_with_its_line_feed_is_taken(void **state)
{
    (void)state;
    expect("012345678901234\n", "[012345678901234].");
    expect("x\n012345678901234\ny\n", "[x][012345678901234][y].");
    expect("01234567890123\r\nz\n", "[01234567890123][z].");
}

static void an_overlong_line_is_said_once_and_skipped(void **state)
{
    (void)state;
    expect("0123456789012345\nz\n", "![z].");
    expect("0123456789012345678901234567890123456789012345678901234567890\nz\n", "![z].");
    expect("a\n0123456789012345678\nb\n0123456789012345\nc\n", "[a]![b]![c].");
    expect("0123456789012345\n\nz\n", "![z].");
}

static void an_overlong_line_without_end_is_partial(void **state)
{
    (void)state;
    expect("0123456789012345", "!...");
    expect("01234567890123456789", "!...");
    expect("012345678901234", "...");
}

static void an_overlong_blank_line_is_overlong(void **state)
{
    (void)state;
    expect("                    \nz\n", "![z].");
}

static void the_bom_counts_towards_the_limit(void **state)
{
    (void)state;
    /* It stands in the buffer like any byte; what passes is the first line's business alone. */
    expect("\xef\xbb\xbf"
           "012345678901\n",
           "[012345678901].");
    expect("\xef\xbb\xbf"
           "0123456789012\nz\n",
           "![z].");
}

static void lines_stay_where_they_are_until_room_is_asked_for(void **state)
{
    struct line_reader reader = line_reader_on(buffer, CAP);
    struct str first, second;
    char *to;
    size_t room, size;
    (void)state;

    line_space(&reader, &to, &room);
    memcpy(to, "ab\ncd\nef", 8);
    line_added(&reader, 8);
    assert_int_equal(line_take(&reader, &first, &size), OK);
    assert_int_equal(line_take(&reader, &second, &size), OK);
    assert_true(str_is(first, "ab"));
    assert_true(str_is(second, "cd"));
    assert_int_equal(line_take(&reader, &second, &size), ERR_AGAIN);
    assert_true(line_is_partial(&reader));
    line_space(&reader, &to, &room);
    assert_int_equal(room, CAP - 2);
    assert_ptr_equal(to, buffer + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_whole_whatever_the_pieces),
        cmocka_unit_test(crlf_is_a_line_end),
        cmocka_unit_test(blank_lines_are_skipped),
        cmocka_unit_test(a_byte_order_mark_is_taken_at_the_streams_start_alone),
        cmocka_unit_test(nul_bytes_are_bytes_of_a_line),
        cmocka_unit_test(a_line_that_fills_the_buffer_with_its_line_feed_is_taken),
        cmocka_unit_test(an_overlong_line_is_said_once_and_skipped),
        cmocka_unit_test(an_overlong_line_without_end_is_partial),
        cmocka_unit_test(an_overlong_blank_line_is_overlong),
        cmocka_unit_test(the_bom_counts_towards_the_limit),
        cmocka_unit_test(lines_stay_where_they_are_until_room_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
