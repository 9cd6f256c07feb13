/* The base room: known answers where a standard has them, edges where our own promises are. */
#include "base/crc32c.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/out.h"
#include "base/ring.h"
#include "base/str.h"
#include "base/time.h"
#include "base/ulid.h"
#include "port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_str(struct str got, const char *wanted)
{
    if (!str_is(got, wanted))
        fail_msg("got \"%.*s\", wanted \"%s\"", STR_ARG(got), wanted);
}

/* --- str ------------------------------------------------------------------------------------ */

static void str_compares_views(void **state)
{
    (void)state;
    assert_true(str_equal(STR_NONE, STR("")));
    assert_true(str_is(str_of(NULL), ""));
    assert_false(str_equal(STR("a"), STR("ab")));
    assert_true(str_starts_with(STR("charter"), STR("char")));
    assert_true(str_starts_with(STR("x"), STR_NONE));
    assert_false(str_starts_with(STR("char"), STR("charter")));
    assert_true(str_equal_nocase(STR("Sec-WebSocket-Key"), STR("sec-websocket-KEY")));
    assert_false(
        str_equal_nocase(STR("["), STR("{"))); /* a bit apart as letters are, but no letters */
}

static void str_slices_stay_inside(void **state)
{
    (void)state;
    assert_str(str_from(STR("abc"), 1), "bc");
    assert_str(str_from(STR("abc"), 9), "");
    assert_str(str_from(STR_NONE, 3), "");
    assert_str(str_head(STR("abc"), 2), "ab");
    assert_str(str_head(STR("abc"), 9), "abc");
    assert_str(str_trim(STR(" \t a b\r\n")), "a b");
    assert_str(str_trim(STR(" \n ")), "");
}

static void str_cut_splits_at_the_first(void **state)
{
    struct str head, rest = STR("a=b=c");
    (void)state;
    assert_true(str_cut(rest, '=', &head, &rest));
    assert_str(head, "a");
    assert_str(rest, "b=c");
    assert_true(str_cut(rest, '=', &head, &rest));
    assert_false(str_cut(rest, '=', &head, &rest));
    assert_str(head, "c");
    assert_str(rest, "");
}

static void str_numbers_are_whole_and_bounded(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;
    (void)state;
    assert_true(str_to_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    u = 7;
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR("99999999999999999999999"), &u));
    assert_false(str_to_u64(STR(""), &u));
    assert_false(str_to_u64(STR("-1"), &u));
    assert_false(str_to_u64(STR("+1"), &u));
    assert_false(str_to_u64(STR(" 1"), &u));
    assert_false(str_to_u64(STR("1a"), &u));
    assert_true(u == 7);
    assert_true(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(str_to_i64(STR("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
    assert_false(str_to_i64(STR("-9223372036854775809"), &i));
    assert_false(str_to_i64(STR("-"), &i));
    assert_true(i == INT64_MAX);
    assert_true(str_to_i64(STR("-0"), &i));
    assert_true(i == 0);
}

static void str_copy_fits_with_its_nul_or_not_at_all(void **state)
{
    char to[4] = "zzz";
    (void)state;
    assert_true(str_copy(STR("abc"), to, sizeof to));
    assert_string_equal(to, "abc");
    assert_false(str_copy(STR("abcd"), to, sizeof to));
    assert_string_equal(to, "");
    assert_true(str_copy(STR_NONE, to, sizeof to));
    assert_false(str_copy(STR_NONE, to, 0));
}

/* --- out ------------------------------------------------------------------------------------ */

static void out_keeps_its_prefix_after_overflow(void **state)
{
    char bytes[8];
    struct out out = OUT_ON(bytes);
    (void)state;
    out_text(&out, "abcde");
    out_text(&out, "fghi"); /* one too many: none of it is written */
    assert_true(out.overflow);
    out_byte(&out, 'z'); /* would fit, but order must not lie */
    assert_str(out_view(&out), "abcde");
    assert_int_equal(out_room(&out), 0);
    out_truncate(&out, 2);
    assert_false(out.overflow);
    out_text(&out, "cdefgh"); /* to the last byte */
    assert_false(out.overflow);
    assert_str(out_view(&out), "abcdefgh");
    assert_string_equal(out_cstr(&out), "abcdefg");
    out_reset(&out);
    assert_str(out_view(&out), "");
}

static void out_writes_numbers(void **state)
{
    char bytes[128];
    struct out out = OUT_ON(bytes);
    (void)state;
    out_u64(&out, 0);
    out_byte(&out, ' ');
    out_u64(&out, UINT64_MAX);
    out_byte(&out, ' ');
    out_i64(&out, INT64_MIN);
    out_byte(&out, ' ');
    out_i64(&out, -1);
    out_byte(&out, ' ');
    out_hex(&out, (const unsigned char *)"\x00\x9f\xff", 3);
    out_format(&out, " %s-%d", "x", 7);
    assert_str(out_view(&out), "0 18446744073709551615 -9223372036854775808 -1 009fff x-7");
}

static void out_format_overflows_as_the_others(void **state)
{
    char bytes[6];
    struct out out = OUT_ON(bytes);
    (void)state;
    out_text(&out, "ab");
    out_format(&out, "%s", "longer");
    assert_true(out.overflow);
    assert_str(out_view(&out), "ab");
}

/* --- ring ----------------------------------------------------------------------------------- */

static void ring_is_a_queue_across_its_end(void **state)
{
    char bytes[7];
    struct ring ring = ring_on(bytes, sizeof bytes);
    unsigned char in = 0, expected = 0;
    (void)state;
    for (int round = 0; round < 500; round++) {
        char piece[7];
        size_t n = (size_t)(round * 5 % 7) + 1;
        for (size_t i = 0; i < n; i++)
            piece[i] = (char)(in + i);
        size_t room = ring_room(&ring);
        bool taken = ring_put(&ring, str_range(piece, n));
        assert_int_equal(taken, n <= room);
        if (taken)
            in = (unsigned char)(in + n);
        else
            assert_int_equal(ring_room(&ring), room);
        struct str oldest = ring_peek(&ring);
        size_t drop = (size_t)(round % 4) < oldest.n ? (size_t)(round % 4) : oldest.n;
        for (size_t i = 0; i < drop; i++)
            assert_int_equal((unsigned char)oldest.p[i], expected++);
        ring_drop(&ring, drop);
    }
    while (ring.n > 0) {
        assert_int_equal((unsigned char)ring_peek(&ring).p[0], expected++);
        ring_drop(&ring, 1);
    }
    assert_int_equal(expected, in);
    assert_int_equal(ring_peek(&ring).n, 0);
    assert_int_equal(ring_room(&ring), sizeof bytes);
}

/* --- crc32c, hashes, base64 ----------------------------------------------------------------- */

static void sha256_is_the_same_in_one_piece_and_in_many(void **state)
{
    unsigned char bytes[400], whole[32], pieces[32];
    struct sha256 sha;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * i * 41 + 3);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct str text = str_range((const char *)bytes, n);
        sha256_of(text, whole); /* by the processor, where it can */
        sha256_start(&sha);
        sha256_add(&sha, str_head(text, n / 3));
        sha256_add(&sha, str_from(text, n / 3));
        sha256_end(&sha, pieces);
        assert_memory_equal(whole, pieces, sizeof whole);
    }
}

static void crc32c_is_the_same_by_table_and_by_processor(void **state)
{
    unsigned char bytes[80];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * i * 37 + 11);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; from + n <= sizeof bytes; n++) {
            struct str part = str_range((const char *)bytes + from, n);
            assert_int_equal(crc32c((uint32_t)n, part), crc32c_by_table((uint32_t)n, part));
        }
    assert_int_equal(crc32c_by_table(0, STR("123456789")), 0xe3069283);
}

static void crc32c_gives_the_known_answers(void **state)
{
    char zeros[32], ones[32], up[32];
    (void)state;
    memset(zeros, 0, sizeof zeros);
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++)
        up[i] = (char)i;
    assert_int_equal(crc32c(0, STR("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, str_range(zeros, 32)), 0x8a9136aa); /* RFC 3720, B.4 */
    assert_int_equal(crc32c(0, str_range(ones, 32)), 0x62a8ab43);
    assert_int_equal(crc32c(0, str_range(up, 32)), 0x46dd794e);
    assert_int_equal(crc32c(0, STR_NONE), 0);
    assert_int_equal(crc32c(crc32c(0, STR("1234")), STR("56789")), 0xe3069283);
}

static void assert_hex(const unsigned char *digest, size_t n, const char *wanted)
{
    char bytes[65];
    struct out out = OUT_ON(bytes);
    out_hex(&out, digest, n);
    assert_str(out_view(&out), wanted);
}

static void hashes_give_the_known_answers(void **state)
{
    unsigned char digest[32];
    struct sha256 sha;
    char thousand[1000];
    (void)state;
    memset(thousand, 'a', sizeof thousand);
    sha1_of(STR("abc"), digest); /* FIPS 180 */
    assert_hex(digest, 20, "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha256_of(STR("abc"), digest);
    assert_hex(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_of(STR_NONE, digest);
    assert_hex(digest, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_start(&sha);
    for (int i = 0; i < 1000; i++)
        sha256_add(&sha, str_range(thousand, sizeof thousand));
    sha256_end(&sha, digest); /* a million times "a" */
    assert_hex(digest, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void base64_gives_the_known_answers(void **state)
{
    static const char *const cases[][2] = {
        /* RFC 4648, section 10 */
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd", "//79"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[16];
        struct out out = OUT_ON(bytes);
        base64_encode(&out, (const unsigned char *)cases[i][0], strlen(cases[i][0]));
        assert_str(out_view(&out), cases[i][1]);
    }
    /* The handshake of RFC 6455, section 1.3. */
    unsigned char digest[20];
    char bytes[32];
    struct out out = OUT_ON(bytes);
    sha1_of(STR("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest);
    base64_encode(&out, digest, 20);
    assert_str(out_view(&out), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* --- ulid ----------------------------------------------------------------------------------- */

static void ulid_has_its_form(void **state)
{
    struct ulid ulid = {0};
    char text[ULID_LENGTH + 1];
    static const unsigned char fresh[10] = {0x00, 0x44, 0x32, 0x14, 0xc7,
                                            0x42, 0x54, 0xb6, 0x35, 0xcf};
    (void)state;
    /* 1 followed by nine zero digits of time is 2^45 ms; the random part worked out by hand from
     * its bits. */
    ulid_next(&ulid, (uint64_t)1 << 45, fresh, text);
    assert_string_equal(text, "10000000000123456789abcdef");
    assert_int_equal(strlen(text), ULID_LENGTH);
}

static void ulid_orders_within_a_millisecond_and_when_the_clock_steps_back(void **state)
{
    struct ulid ulid = {0};
    char before[ULID_LENGTH + 1] = "", text[ULID_LENGTH + 1];
    unsigned char fresh[10];
    (void)state;
    memset(fresh, 0xff, sizeof fresh);
    for (int i = 0; i < 2000; i++) {
        /* Stands still, steps forward, and steps back now and then. */
        uint64_t now = 1700000000000 + (uint64_t)(i / 10) - (uint64_t)(i % 37 == 0 ? 500 : 0);
        ulid_next(&ulid, now, fresh, text);
        assert_true(strcmp(before, text) < 0);
        memcpy(before, text, sizeof text);
    }
}

static void ulid_counts_past_all_ones(void **state)
{
    struct ulid ulid = {.last_ms = 5};
    char before[ULID_LENGTH + 1] = "00000000057zzzzzzzzzzzzzzz", text[ULID_LENGTH + 1];
    unsigned char fresh[10] = {0};
    (void)state;
    memset(ulid.random, 0xff, sizeof ulid.random);
    ulid_next(&ulid, 5, fresh, text);
    assert_true(strcmp(before, text) < 0);
    assert_string_equal(text, "00000000060000000000000000");
}

/* --- time ----------------------------------------------------------------------------------- */

static void time_has_the_known_forms(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1769860800123, "2026-01-31T12:00:00.123Z"},
        {4107542399999, "2100-02-28T23:59:59.999Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[TIME_TEXT_LENGTH];
        struct out out = OUT_ON(bytes);
        int64_t ms;
        time_write(&out, cases[i].ms);
        assert_str(out_view(&out), cases[i].text);
        assert_true(time_read(str_of(cases[i].text), &ms));
        assert_true(ms == cases[i].ms);
    }
}

static void time_goes_round_for_every_day_of_two_centuries(void **state)
{
    (void)state;
    for (int64_t day = -36525; day < 47482; day++) {
        char bytes[TIME_TEXT_LENGTH];
        struct out out = OUT_ON(bytes);
        int64_t ms = day * 86400000 + (day & 1 ? 86399999 : 0), again = -1;
        time_write(&out, ms);
        assert_false(out.overflow);
        assert_true(time_read(out_view(&out), &again));
        assert_true(again == ms);
    }
}

static void time_of_another_form_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-01-31T12:00:00Z",
        "2026-01-31 12:00:00.123Z",
        "2026-01-31T12:00:00.123+",
        "2026-13-01T12:00:00.123Z",
        "2026-00-01T12:00:00.123Z",
        "2026-02-29T12:00:00.123Z",
        "2026-04-31T12:00:00.123Z",
        "2026-01-31T24:00:00.123Z",
        "2026-01-31T12:60:00.123Z",
        "2026-01-3aT12:00:00.123Z",
        "2026-01-31T12:00:00.123Z ",
        "-026-01-31T12:00:00.123Z",
    };
    int64_t ms = 42;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (time_read(str_of(bad[i]), &ms))
            fail_msg("taken: %s", bad[i]);
    assert_true(ms == 42);
}

/* --- log, err ------------------------------------------------------------------------------- */

/* In a process of its own, whose stderr is a file. */
static int say_things(void *context, int fd)
{
    (void)fd;
    if (freopen(context, "w", stderr) == NULL)
        return 1;
    log_setup(LOG_INFO, LOG_TEXT);
    log_write(LOG_DEBUG, "base", "not to be seen");
    log_write(LOG_WARNING, "base", "first\nsecond \x1b[1m %d", 5);
    log_setup(LOG_DEBUG, LOG_JSON);
    log_write(LOG_DEBUG, "base", "a \"quote\" and a \\");
    /* What is not built in is not said, whatever was asked for. */
    log_debug("base", "level debug");
    log_info("base", "level info");
    log_warning("base", "level warning");
    log_error("base", "level error");
    log_write(LOG_INFO, "base", "good \xc3\xa9, torn \xc3, wild \xff\x80, \xc2\x9b.");
    log_write(LOG_INFO, "base", "%02000d", 1);
    return 0;
}

static void log_lines_cannot_be_forged(void **state)
{
    char path[64], text[4096];
    struct out name = OUT_ON(path);
    size_t got;
    int64_t pid, dead;
    int fd, exit_code, signal;
    enum err err;
    (void)state;
    out_format(&name, "/tmp/charter-test-log-%d", (int)port_pid());
    out_cstr(&name);
    assert_int_equal(port_fork_helper(say_things, path, 0, 0, &pid, &fd), OK);
    struct port_watch watch = {.fd = fd, .wanted = PORT_READABLE};
    assert_int_equal(port_wait(&watch, 1, 10000, NULL),
                     OK); /* its end of the pipe closes when it dies */
    port_close(fd);
    while ((err = port_reap(&dead, &exit_code, &signal)) == ERR_AGAIN)
        port_wait(NULL, 0, 1, NULL);
    assert_int_equal(err, OK);
    assert_true(dead == pid);
    assert_int_equal(exit_code, 0);
    assert_int_equal(port_read_file(path, text, sizeof text - 1, &got), OK);
    text[got] = '\0';
    assert_int_equal(port_unlink(path), OK);
    assert_null(strstr(text, "not to be seen"));
    assert_non_null(strstr(text, "Z warning base: first?second ?[1m 5\n"));
    assert_non_null(strstr(text, "\",\"level\":\"debug\",\"room\":\"base\","
                                 "\"message\":\"a \\\"quote\\\" and a \\\\\"}\n{\"time\":\""));
    assert_int_equal(strstr(text, "level debug") != NULL, LOG_BUILT >= LOG_DEBUG);
    assert_int_equal(strstr(text, "level info") != NULL, LOG_BUILT >= LOG_INFO);
    assert_int_equal(strstr(text, "level warning") != NULL, LOG_BUILT >= LOG_WARNING);
    assert_non_null(strstr(text, "level error"));
    assert_non_null(strstr(text, "\"good \xc3\xa9, torn ?, wild ??, ?.\"}\n"));
    /* A message that is too long is cut, and the line still ends as it must. */
    assert_string_equal(text + got - 6, "000\"}\n");
}

static void err_has_a_text_for_each(void **state)
{
    (void)state;
    for (int err = OK; err <= ERR_IO; err++)
        assert_string_not_equal(err_text((enum err)err), "unknown error");
    assert_string_equal(err_text((enum err)(ERR_IO + 1)), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str_compares_views),
        cmocka_unit_test(str_slices_stay_inside),
        cmocka_unit_test(str_cut_splits_at_the_first),
        cmocka_unit_test(str_numbers_are_whole_and_bounded),
        cmocka_unit_test(str_copy_fits_with_its_nul_or_not_at_all),
        cmocka_unit_test(out_keeps_its_prefix_after_overflow),
        cmocka_unit_test(out_writes_numbers),
        cmocka_unit_test(out_format_overflows_as_the_others),
        cmocka_unit_test(ring_is_a_queue_across_its_end),
        cmocka_unit_test(crc32c_gives_the_known_answers),
        cmocka_unit_test(crc32c_is_the_same_by_table_and_by_processor),
        cmocka_unit_test(sha256_is_the_same_in_one_piece_and_in_many),
        cmocka_unit_test(hashes_give_the_known_answers),
        cmocka_unit_test(base64_gives_the_known_answers),
        cmocka_unit_test(ulid_has_its_form),
        cmocka_unit_test(ulid_orders_within_a_millisecond_and_when_the_clock_steps_back),
        cmocka_unit_test(ulid_counts_past_all_ones),
        cmocka_unit_test(time_has_the_known_forms),
        cmocka_unit_test(time_goes_round_for_every_day_of_two_centuries),
        cmocka_unit_test(time_of_another_form_is_refused),
        cmocka_unit_test(err_has_a_text_for_each),
        cmocka_unit_test(log_lines_cannot_be_forged),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
