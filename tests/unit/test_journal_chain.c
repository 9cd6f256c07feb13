/* The chain of hashes: what stands in the lines, by a SHA-256 over their text, and where it goes on after a restart. */
#include "base/hash.h"
#include "journal/chain.h"
#include "journal/record.h"
#include "journal_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";

/* Of the bytes behind the column, line feed included: not by the function that is tested. */
static void hash_text(const char *line, size_t length, char hex[CHAIN_HEX + 1])
{
    unsigned char digest[32];
    sha256_of(str_range(line + RECORD_COLUMN, length - RECORD_COLUMN), digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* Whether each line of the segments from..to names the one before it; `hex` goes from the hash before them to that of the
 * last. */
static void assert_chained(uint32_t from, uint32_t to, char hex[CHAIN_HEX + 1])
{
    static char line[LIMIT_RECORD + 1];
    for (uint32_t segment = from; segment <= to; segment++) {
        rig_load(segment);
        size_t lines = rig_lines();
        for (size_t i = 0; i < lines; i++) {
            char wanted[CHAIN_HEX + 16];
            size_t length, at = rig_line(i, &length);
            snprintf(line, sizeof line, "%.*s", (int)length, rig.file + at);
            snprintf(wanted, sizeof wanted, ",\"prev\":\"%s\",", hex);
            if (CHAIN_BUILT_IN && strstr(line, wanted) == NULL)
                fail_msg("segment %u, line %zu has no %s", segment, i, wanted);
            if (!CHAIN_BUILT_IN && strstr(line, "\"prev\":") != NULL)
                fail_msg("segment %u, line %zu has a chain", segment, i);
            hash_text(rig.file + at, length, hex);
        }
    }
}

static uint32_t newest(void)
{
    return rig.journal.segments[rig.journal.segment_count - 1].number;
}

static void append_until_segment(uint32_t number)
{
    while (newest() < number) {
        rig_append_long(3000);
        rig_commit();
    }
}

static void append_memo(size_t n)
{
    static char text[LIMIT_RECORD];
    struct json_writer *w;
    memset(text, 'm', n);
    text[n] = '\0';
    assert_int_equal(journal_begin_memo(&rig.journal, &w), OK);
    json_put_text(w, "m", text);
    assert_int_equal(journal_end(&rig.journal, false, NULL, NULL), OK);
    rig_commit();
}

static void chain_hash_is_that_of_the_text_behind_the_column(void **state)
{
    static const char line[] = "01234567 {\"batch\":1}\n";
    char wanted[CHAIN_HEX + 1], got[CHAIN_HEX + 1];
    (void)state;
    hash_text(line, sizeof line - 1, wanted);
    struct chain_hash with = chain_hash(STR("01234567 {\"batch\":1}\n"));
    struct chain_hash without = chain_hash(STR("89abcdef {\"batch\":1}"));
    chain_hash_write(&with, got);
    assert_string_equal(got, wanted);
    assert_true(chain_hash_equal(&with, &without));
}

static void chain_hash_is_read_from_64_digits_alone(void **state)
{
    char hex[CHAIN_HEX + 1];
    struct chain_hash hash;
    (void)state;
    assert_true(chain_hash_read(
        STR("00fF000000000000000000000000000000000000000000000000000000000a9e"), &hash));
    chain_hash_write(&hash, hex);
    assert_string_equal(hex, "00ff000000000000000000000000000000000000000000000000000000000a9e");
    assert_false(chain_hash_read(str_of(zeros + 1), &hash));
    assert_false(chain_hash_read(STR_NONE, &hash));
    assert_false(chain_hash_read(
        STR("00ff000000000000000000000000000000000000000000000000000000000a9g"), &hash));
}

static void chain_runs_through_all_segments(void **state)
{
    char hex[CHAIN_HEX + 1];
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    append_until_segment(4);
    memcpy(hex, zeros, sizeof hex);
    assert_chained(1, newest(), hex);
}

static void chain_goes_on_after_a_restart(void **state)
{
    char hex[CHAIN_HEX + 1];
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    for (int i = 0; i < 5; i++) {
        rig_append("event", false);
        rig_commit();
        assert_int_equal(rig_open(), OK);
        append_memo(1);
        assert_int_equal(rig_open(), OK);
        append_until_segment(newest() + 1);
        assert_int_equal(rig_open(), OK);
    }
    memcpy(hex, zeros, sizeof hex);
    assert_chained(1, newest(), hex);
}

static void chain_goes_on_from_what_a_torn_tail_leaves(void **state)
{
    char hex[CHAIN_HEX + 1];
    (void)state;
    assert_int_equal(rig_open(), OK);
    for (int i = 0; i < 3; i++)
        rig_append("one batch", false);
    rig_commit();
    rig_close();
    rig_load(1);
    size_t length, at = rig_line(3, &length);
    memset(rig.file + at + length / 2, 0, length - length / 2);
    rig_store(1);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.report.cut_bytes > 0, 1);
    rig_append("behind the cut", false);
    rig_commit();
    memcpy(hex, zeros, sizeof hex);
    assert_chained(1, 1, hex);
}

static void chain_is_continued_over_records_without_it(void **state)
{
    static const char line[] = "00000000 {\"batch\":2,\"synced\":%zu,\"memo\":{\"plain\":true}}\n";
    char hex[CHAIN_HEX + 1], text[256];
    size_t length;
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig_close();
    rig_load(1);
    size_t at = rig_line(0, &length);
    assert_int_equal(at, 0);
    snprintf(text, sizeof text, line, length);
    memcpy(rig.file + length, text, strlen(text));
    if (rig.file_length < length + strlen(text))
        rig.file_length = length + strlen(text);
    rig_reseal(1);
    rig_store(1);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.memos, 1);
    rig_append("with it again", false);
    rig_commit();
    rig_load(1);
    at = rig_line(1, &length);
    hash_text(rig.file + at, length, hex);
    at = rig_line(2, &length);
    snprintf(text, sizeof text, "%.*s", (int)length < 200 ? (int)length : 200, rig.file + at);
    assert_int_equal(strstr(text, hex) != NULL, CHAIN_BUILT_IN);
}

/* The text of a member of a segment's first line, up to a quote. */
static void head_sha256_of(uint32_t segment, char hex[CHAIN_HEX + 1])
{
    static char line[1024];
    size_t length;
    rig_load(segment);
    size_t at = rig_line(0, &length);
    assert_true(length < sizeof line);
    snprintf(line, sizeof line, "%.*s", (int)length, rig.file + at);
    const char *found = strstr(line, "\"head_sha256\":\"");
    hex[0] = '\0';
    if (found != NULL)
        snprintf(hex, CHAIN_HEX + 1, "%s", found + strlen("\"head_sha256\":\""));
}

/* The hash of the record of the last event, by its line. */
static void hash_of_event(uint32_t segment, uint64_t seq, char hex[CHAIN_HEX + 1])
{
    char wanted[64];
    rig_load(segment);
    snprintf(wanted, sizeof wanted, "\"event\":{\"seq\":%llu,", (unsigned long long)seq);
    for (size_t i = 0; i < rig_lines(); i++) {
        size_t length, at = rig_line(i, &length);
        for (size_t k = at; k + strlen(wanted) < at + length && k < at + 200; k++) {
            if (memcmp(rig.file + k, wanted, strlen(wanted)) == 0) {
                hash_text(rig.file + at, length, hex);
                return;
            }
        }
    }
    fail_msg("no event %llu in segment %u", (unsigned long long)seq, segment);
}

static void chain_head_of_a_segment_is_the_event_before_it(void **state)
{
    char hex[CHAIN_HEX + 1], wanted[CHAIN_HEX + 1];
    (void)state;
    if (!CHAIN_BUILT_IN)
        skip();
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    append_until_segment(2);
    append_memo(1);
    uint64_t last = journal_last_seq(&rig.journal);
    head_sha256_of(1, hex);
    assert_string_equal(hex, "");
    hash_of_event(1, last, wanted);
    head_sha256_of(2, hex);
    assert_string_equal(hex, wanted);

    /* Nothing but memos from here on, over restarts, and after the event's segment has gone. */
    for (uint32_t segment = 3; segment <= 5; segment++) {
        while (newest() < segment)
            append_memo(3000);
        append_memo(1);
        assert_int_equal(journal_forget(&rig.journal, segment), OK);
        assert_int_equal(rig.journal.segment_count, 1);
        head_sha256_of(segment, hex);
        assert_string_equal(hex, wanted);
        assert_int_equal(rig_open(), OK);
    }
    assert_int_equal(journal_last_seq(&rig.journal), last);
}

static void journal_head_is_the_hash_of_the_last_event_read(void **state)
{
    static char text[LIMIT_RECORD];
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    append_until_segment(3);
    struct journal_cursor cursor = journal_cursor_after(&rig.journal, 0);
    struct chain_hash hash;
    assert_int_equal(journal_head(&rig.journal, &cursor, &hash), ERR_NOT_FOUND);
    for (uint32_t segment = 1; segment < 3; segment++) {
        uint64_t end = rig.journal.segments[segment].first_seq;
        while (cursor.next_seq < end) {
            struct out out = OUT_ON(text);
            assert_int_equal(journal_next(&rig.journal, &cursor, &out, NULL, NULL), OK);
        }
        char wanted[CHAIN_HEX + 1], got[CHAIN_HEX + 1];
        /* An event that does not fit, or that is not there, changes nothing. */
        struct out none = out_on(text, 1);
        if (cursor.next_seq <= journal_last_seq(&rig.journal))
            assert_int_equal(journal_next(&rig.journal, &cursor, &none, NULL, NULL), ERR_FULL);
        else
            assert_int_equal(journal_next(&rig.journal, &cursor, &none, NULL, NULL), ERR_END);
        assert_int_equal(journal_head(&rig.journal, &cursor, &hash), OK);
        chain_hash_write(&hash, got);
        hash_of_event(segment, end - 1, wanted);
        assert_string_equal(got, wanted);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_hash_is_that_of_the_text_behind_the_column),
        cmocka_unit_test(chain_hash_is_read_from_64_digits_alone),
        TEST(chain_runs_through_all_segments),
        TEST(chain_goes_on_after_a_restart),
        TEST(chain_goes_on_from_what_a_torn_tail_leaves),
        TEST(chain_is_continued_over_records_without_it),
        TEST(chain_head_of_a_segment_is_the_event_before_it),
        TEST(journal_head_is_the_hash_of_the_last_event_read),
    };
    return cmocka_run_group_tests_name("journal chain", tests, NULL, NULL);
}
