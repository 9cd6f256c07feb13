/* What the journal makes of a disk after a crash, and of one that lies: a torn tail is cut and nothing that was synced goes
 * with it; damage is named, and not a byte is touched. */
#include "journal_rig.h"

#include "journal/record.h"
#include "port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char pristine[RIG_FILE];
static size_t pristine_length;

static struct journal *journal(void)
{
    return &rig.journal;
}

/* Three batches: head; events 1 and 2; events 3, 4 and 5.  Line n is event n. */
static void write_three_batches(void)
{
    assert_int_equal(rig_open(), OK);
    rig_append("one", false);
    rig_append("two", false);
    rig_commit();
    rig_append("three", false);
    rig_append("four", false);
    rig_append("five", false);
    rig_commit();
    rig_close();
    rig_load(1);
    assert_int_equal(rig_lines(), 6);
    pristine_length = rig.file_length;
    memcpy(pristine, rig.file, pristine_length);
}

static void restore(void)
{
    memcpy(rig.file, pristine, pristine_length);
    rig.file_length = pristine_length;
}

static void assert_damaged_at(uint32_t segment, size_t offset)
{
    char where[64];
    uint64_t before = rig_hash();
    enum err err = rig_open();
    snprintf(where, sizeof where, "segment %010u.log, offset %zu: ", (unsigned)segment, offset);
    if (err != ERR_DAMAGED || strncmp(rig.report.text, where, strlen(where)) != 0)
        fail_msg("wanted damage at %s, got %s, \"%s\"", where, err_text(err), rig.report.text);
    assert_true(rig_hash() == before);
}

/* Opens a journal that ends after event `last`, `cut` bytes having gone, and shows that it goes on from there. */
static void assert_goes_on(uint64_t last, size_t cut)
{
    enum err err = rig_open();
    if (err != OK)
        fail_msg("%s: %s", err_text(err), rig.report.text);
    assert_int_equal(rig.last_seq, last);
    assert_int_equal(rig.report.cut_bytes, cut);
    assert_int_equal(rig.report.text[0] != '\0', cut > 0);
    assert_int_equal(journal_last_seq(journal()), last);
    assert_int_equal(rig_append("after", false), last + 1);
    rig_commit();
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.last_seq, last + 1);
    assert_int_equal(rig.replayed, last + 1);
    assert_int_equal(rig.report.cut_bytes, 0);
    rig_close();
}

static void journal_torn_tail_is_cut(void **state)
{
    (void)state;
    write_three_batches();
    size_t length, third = rig_line(3, &length), fourth = rig_line(4, &length),
                   fifth = rig_line(5, &length);
    /* At every byte of the last batch. */
    for (size_t at = third; at <= pristine_length; at++) {
        restore();
        rig.file_length = at;
        rig_store(1);
        size_t line = at == pristine_length ? at
                      : at >= fifth         ? fifth
                      : at >= fourth        ? fourth
                                            : third;
        assert_goes_on(at == pristine_length ? 5
                       : at >= fifth         ? 4
                       : at >= fourth        ? 3
                                             : 2,
                       at - line);
    }
}

static void journal_tail_that_became_zeros_is_cut(void **state)
{
    (void)state;
    write_three_batches();
    size_t length, fifth = rig_line(5, &length);
    for (size_t at = fifth; at < pristine_length; at++) {
        restore();
        memset(rig.file + at, 0, pristine_length - at);
        rig_store(1);
        assert_goes_on(4, at == fifth ? 0 : pristine_length - fifth);
    }
}

static void journal_unused_space_is_no_torn_tail(void **state)
{
    (void)state;
    write_three_batches();
    for (size_t zeros = 1; zeros < 3 * LIMIT_RECORD; zeros = zeros * 3 + 1) {
        restore();
        memset(rig.file + pristine_length, 0, zeros);
        rig.file_length = pristine_length + zeros;
        rig_store(1);
        assert_goes_on(5, 0);
    }
}

static void journal_flipped_byte_in_the_last_batch_is_a_torn_tail(void **state)
{
    (void)state;
    write_three_batches();
    size_t length, third = rig_line(3, &length), fourth = rig_line(4, &length);
    for (size_t at = third; at < pristine_length; at++) {
        restore();
        rig.file[at] ^= 1;
        rig_store(1);
        size_t fifth = rig_line(0, &length); /* for its length alone: lines may have merged */
        restore();
        fifth = rig_line(5, &length);
        size_t line = at >= fifth ? fifth : at >= fourth ? fourth : third;
        assert_goes_on(at >= fifth ? 4 : at >= fourth ? 3 : 2, pristine_length - line);
    }
}

static void journal_flipped_byte_in_the_middle_is_damage(void **state)
{
    (void)state;
    write_three_batches();
    size_t length, second = rig_line(2, &length), first = rig_line(1, &length);
    for (size_t at = 0; at < second + length; at++) {
        size_t third;
        restore();
        third = rig_line(3, &length);
        if (at == third)
            break;
        rig.file[at] ^= 1;
        rig_store(1);
        assert_damaged_at(1, at >= second ? second : at >= first ? first : 0);
    }
}

static void journal_hole_in_the_last_batch_is_cut_with_what_follows(void **state)
{
    (void)state;
    write_three_batches();
    for (size_t line = 3; line <= 4; line++) {
        restore();
        size_t length, at = rig_line(line, &length);
        memset(rig.file + at, 0, length); /* the line feed with it */
        rig_store(1);
        assert_goes_on(line - 1, pristine_length - at);
    }
}

static void journal_later_batch_is_found_behind_a_lost_line_feed(void **state)
{
    (void)state;
    write_three_batches();
    size_t length, at = rig_line(2, &length);
    memset(rig.file + at, 0, length);
    rig_store(1);
    assert_damaged_at(1, at);
    /* The first record of the later batch went as well, but not the second. */
    restore();
    memset(rig.file + at, 0, length);
    size_t third = rig_line(2, &length); /* with the zeros before it */
    assert_true(third <= at);
    restore();
    third = rig_line(3, &length);
    memset(rig.file + at, 0, third + length - at);
    rig_store(1);
    assert_damaged_at(1, at);
}

static void journal_batch_that_is_wholly_lost_is_no_damage(void **state)
{
    (void)state;
    write_three_batches();
    size_t length, at = rig_line(3, &length);
    memset(rig.file + at, 0, pristine_length - at);
    rig_store(1);
    assert_goes_on(2, 0);
}

static void journal_missing_line_is_noticed(void **state)
{
    (void)state;
    write_three_batches();
    size_t length, second = rig_line(2, &length), first = rig_line(1, &length);
    rig_remove_line(1);
    rig_store(1);
    assert_damaged_at(1, first);
    restore();
    rig_remove_line(2);
    rig_store(1);
    assert_damaged_at(1, second);
    restore();
    size_t fourth = rig_line(4, &length);
    rig_remove_line(4);
    rig_store(1);
    assert_goes_on(3, pristine_length - fourth - length);
}

static void journal_order_is_checked_where_checksums_hold(void **state)
{
    size_t length, at;
    (void)state;
    write_three_batches();
    at = rig_line(2, &length);
    rig_replace(2, "\"seq\":2,", "\"seq\":3,");
    rig_reseal(2);
    rig_store(1);
    assert_damaged_at(1, at);
    restore();
    rig_replace(2, "\"batch\":2,", "\"batch\":1,");
    rig_reseal(2);
    rig_store(1);
    assert_damaged_at(1, at);
    restore();
    rig_replace(2, "\"batch\":2,", "\"batch\":3,");
    rig_reseal(2);
    rig_store(1);
    assert_damaged_at(1, at);
    /* The same in the batch that was in flight. */
    restore();
    at = rig_line(5, &length);
    rig_replace(5, "\"seq\":5,", "\"seq\":6,");
    rig_reseal(5);
    rig_store(1);
    assert_goes_on(4, length);
}

static void journal_form_is_checked_where_checksums_hold(void **state)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"event\":{", "\"evemt\":{"},
        {"{\"batch\":", "{\"botch\":"},
        {"\"synced\":", "\"sinced\":"},
        {"\"seq\":5", "\"Seq\":5"},
        {"\"seq\":5,", "\"seq\":\"\","},
        {"\"data\":{", "\"data\":[" /* no JSON */},
        {"\"batch\":3", "\"batch\":0"},
        {"\"text\"", "\"t\xff"
                     "xt\"" /* no UTF-8 */},
    };
    (void)state;
    write_three_batches();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        size_t length;
        restore();
        rig_line(5, &length);
        if (strlen(changes[i].from) == strlen(changes[i].to)) {
            rig_replace(5, changes[i].from, changes[i].to);
            rig_reseal(5);
            rig_store(1);
            assert_goes_on(4, length);
        }
    }
}

static void journal_what_was_cut_is_told(void **state)
{
    size_t length, at;
    char wanted[128];
    (void)state;
    write_three_batches();
    at = rig_line(5, &length);
    rig.file_length -= 3;
    rig_store(1);
    assert_int_equal(rig_open(), OK);
    snprintf(wanted, sizeof wanted,
             "segment 0000000001.log, offset %zu: torn tail of %zu bytes cut", at, length - 3);
    assert_string_equal(rig.report.text, wanted);
}

static void journal_batches_rise_over_what_was_cut(void **state)
{
    (void)state;
    write_three_batches(); /* the last is batch 3 */
    rig_store(1);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(journal()->batch, 4);
    rig_close();
    restore();
    rig.file_length--;
    rig_store(1);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(journal()->batch, 5);
}

static void journal_killed_daemon_keeps_what_was_written(void **state)
{
    (void)state;
    assert_int_equal(rig_open(), OK);
    for (int i = 0; i < 10; i++)
        rig_append_long(LIMIT_EVENT / 3);
    assert_int_equal(journal()->syncs, 1); /* of the head */
    /* What was still in the buffer is gone, what was written out is not. */
    assert_int_equal(rig_open(), OK);
    assert_true(rig.last_seq > 0 && rig.last_seq < 10);
    uint64_t last = rig.last_seq;
    assert_int_equal(rig_append("next", false), last + 1);
    rig_commit();
    assert_goes_on(last + 1, 0);
}

/* --- segments ------------------------------------------------------------------------------------------------------ */

static void write_segments(size_t wanted)
{
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    while (journal()->segment_count < wanted) {
        rig_append_long(LIMIT_EVENT / 2);
        rig_commit();
    }
    rig_append("last", false);
    rig_commit();
    rig_close();
}

static void journal_newer_format_is_refused_and_untouched(void **state)
{
    (void)state;
    write_segments(3);
    uint64_t before;
    rig_load(3);
    rig_replace(0, "\"format\":1", "\"format\":2");
    rig_reseal(0);
    rig_store(3);
    /* A torn line must not be cut either: it may be none in that format. */
    rig.file[rig.file_length++] = 'x';
    rig_store(3);
    before = rig_hash();
    assert_int_equal(rig_open(), ERR_UNSUPPORTED);
    assert_string_equal(rig.report.text, "segment 0000000003.log, offset 0: format 2 is newer than "
                                         "this daemon, which reads 1");
    assert_int_equal(rig.replayed, 0);
    assert_true(rig_hash() == before);
}

static void journal_newer_head_may_look_different(void **state)
{
    (void)state;
    write_three_batches();
    rig_replace(0, "\"batch\":1", "\"botch\":9");
    rig_replace(0, "\"format\":1", "\"format\":7");
    rig_replace(0, "\"number\":", "\"numbre\":");
    rig_reseal(0);
    rig_store(1);
    assert_int_equal(rig_open(), ERR_UNSUPPORTED);
}

static void journal_missing_segment_is_damage(void **state)
{
    (void)state;
    write_segments(4);
    rig_remove(3);
    assert_damaged_at(2, 0);
    assert_non_null(strstr(rig.report.text, "missing"));
}

static void journal_segment_in_the_place_of_another_is_damage(void **state)
{
    (void)state;
    write_segments(3);
    rig_load(3);
    rig_store(2);
    assert_damaged_at(2, 0);
}

static void journal_older_segment_without_its_end_is_damage(void **state)
{
    size_t length;
    (void)state;
    write_segments(3);
    rig_load(2);
    /* Whole lines, so that every checksum holds. */
    rig.file_length = rig_line(rig_lines() - 1, &length);
    rig_store(2);
    assert_damaged_at(2, rig.file_length);
}

static void journal_older_segment_may_have_unused_space(void **state)
{
    (void)state;
    write_segments(3);
    rig_load(2);
    memset(rig.file + rig.file_length, 0, 5000);
    rig.file_length += 5000;
    rig_store(2);
    assert_int_equal(rig_open(), OK);
}

static void journal_bad_record_in_an_older_segment_is_damage(void **state)
{
    size_t length, at;
    (void)state;
    write_segments(3);
    rig_load(2);
    at = rig_line(rig_lines() - 1, &length);
    rig.file[at + length - 5] ^= 4;
    rig_store(2);
    assert_damaged_at(2, at);
}

static void journal_half_made_segment_is_removed(void **state)
{
    static const char *const remains[] = {"", "0123abcd {\"batch\":", NULL};
    (void)state;
    write_segments(2);
    rig_load(2);
    size_t length;
    rig_line(0, &length);
    for (int i = 0; i < 4; i++) {
        uint64_t last;
        assert_int_equal(rig_open(), OK);
        last = rig.last_seq;
        uint32_t newest = journal()->segments[journal()->segment_count - 1].number;
        rig_close();
        if (i < 2) {
            rig.file_length = strlen(remains[i]);
            memcpy(rig.file, remains[i], rig.file_length);
        } else if (i == 2) {
            rig.file_length = 3000;
            memset(rig.file, 0, rig.file_length);
        } else {
            rig_load(newest);
            rig.file_length = length - 1; /* a head without its line feed */
        }
        rig_store(newest + 1);
        if (i < 2) { /* and another one behind it */
            rig.file_length = 0;
            rig_store(newest + 2);
        }
        assert_int_equal(rig_open(), OK);
        assert_int_equal(rig.last_seq, last);
        assert_false(rig_exists(newest + 1));
        assert_false(rig_exists(newest + 2));
        assert_int_equal(rig.report.cut_bytes, i == 0 || i == 2      ? 0
                                               : rig.file_length > 0 ? rig.file_length
                                                                     : strlen(remains[1]));
        assert_int_equal(rig_append("on", false), last + 1);
        rig_commit();
    }
    /* Segments go on with the number that was removed. */
    size_t count = journal()->segment_count;
    while (journal()->segment_count == count) {
        rig_append_long(LIMIT_EVENT / 2);
        rig_commit();
    }
    rig_append("in the new one", false);
    rig_commit();
    assert_int_equal(rig_open(), OK);
}

static void journal_first_start_that_was_cut_short_is_no_damage(void **state)
{
    size_t length;
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig_close();
    rig_load(1);
    rig_line(0, &length);
    for (size_t n = 0; n < length; n += 7) {
        rig_load(1);
        rig.file_length = n;
        rig_store(1);
        assert_int_equal(rig_open(), OK);
        assert_int_equal(rig.report.cut_bytes, n);
        assert_int_equal(rig_append("first", false), 1);
        rig_commit();
        assert_int_equal(rig_open(), OK);
        assert_int_equal(rig.last_seq, 1);
        rig_close();
    }
}

static void journal_oldest_segment_without_a_head_is_damage(void **state)
{
    (void)state;
    write_segments(3);
    rig_remove(1);
    rig_remove(2);
    assert_int_equal(rig_open(), OK);
    rig_close();
    rig.file_length = 0;
    rig_store(3);
    assert_damaged_at(3, 0);
}

static void journal_other_files_are_none_of_its_business(void **state)
{
    static const char *const names[] = {"0000000002.lo",  "2.log",           "0000000000.log",
                                        "9999999999.log", "0000000002.log~", "x"};
    (void)state;
    write_three_batches();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[400];
        int fd;
        snprintf(path, sizeof path, "%s/%s", rig.directory, names[i]);
        assert_int_equal(port_open(path, PORT_CREATE_NEW, &fd), OK);
        port_close(fd);
    }
    assert_goes_on(5, 0);
}

static void journal_too_many_segments_are_damage(void **state)
{
    (void)state;
    rig.file_length = 0;
    for (uint32_t i = 1; i <= JOURNAL_SEGMENTS + 1; i++)
        rig_store(i);
    assert_int_equal(rig_open(), ERR_DAMAGED);
    assert_non_null(strstr(rig.report.text, "more than 128 segments"));
    assert_true(rig_exists(JOURNAL_SEGMENTS + 1));
}

static void journal_error_of_the_reader_ends_the_replay(void **state)
{
    (void)state;
    write_three_batches();
    rig.file_length--;
    rig_store(1);
    uint64_t before = rig_hash();
    rig.refuse = ERR_DAMAGED;
    rig.refuse_at = 3;
    assert_int_equal(rig_open(), ERR_DAMAGED);
    assert_int_equal(rig.replayed, 3);
    assert_non_null(strstr(rig.report.text, "contradicts"));
    assert_true(rig_hash() == before);
    rig.refuse = OK;
    assert_int_equal(rig_open(), OK);
}

static void journal_directory_that_cannot_be_made_is_an_error_in_words(void **state)
{
    static struct journal other;
    struct journal_report report;
    char path[1200];
    (void)state;
    snprintf(path, sizeof path, "%s/missing/journal", rig.directory);
    assert_int_equal(journal_open(&other, path, "d", 1, NULL, NULL, &report), ERR_IO);
    assert_non_null(strstr(report.text, "the directory cannot be made: "));
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(journal_open(&other, path, "d", 1, NULL, NULL, &report), ERR_TOO_LARGE);
}

/* --- power cuts by chance -------------------------------------------------------------------------------------------- */

static uint32_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state = chance_state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)chance_state * below) >> 32);
}

#define SECTOR 512
#define ONE_SEGMENT (64 * 1024 * 1024) /* so large that one segment is enough, in any profile */

/* Appends some records to the open journal and commits them; the file before and after stands in `pristine` and rig.file. */
static void one_batch(void)
{
    rig_load(1);
    pristine_length = (size_t)journal_bytes(journal()); /* without unused space */
    memcpy(pristine, rig.file, pristine_length);
    uint32_t records = 1 + chance(6);
    for (uint32_t i = 0; i < records; i++)
        rig_append_long(chance(4) == 0 ? chance(3000) : chance(60));
    rig_commit();
    rig_load(1);
}

/* The batch in flight was written in some of its sectors; the file may have its new length or any less. */
static void journal_power_cut_loses_nothing_that_was_synced(void **state)
{
    (void)state;
    chance_state = 1;
    rig.limit = ONE_SEGMENT;
    for (int round = 0; round < 300; round++) {
        uint64_t synced = 0, in_flight = 0;
        assert_int_equal(rig_open(), OK);
        uint64_t before = journal_last_seq(journal());
        if (journal_bytes(journal()) > 100000) {
            rig_close();
            rig.file_length = 0;
            rig_store(1);
            continue;
        }
        one_batch();
        synced = journal_last_seq(journal());
        one_batch();
        in_flight = journal_last_seq(journal());
        rig_close();
        for (size_t at = pristine_length; at < rig.file_length;) {
            size_t end = at - at % SECTOR + SECTOR;
            if (end > rig.file_length)
                end = rig.file_length;
            if (chance(3) == 0)
                memset(rig.file + at, chance(2) == 0 ? 0 : (int)chance(256), end - at);
            at = end;
        }
        if (chance(3) == 0)
            rig.file_length =
                pristine_length + chance((uint32_t)(rig.file_length - pristine_length + 1));
        assert_memory_equal(rig.file, pristine, pristine_length);
        rig_store(1);
        enum err err = rig_open();
        if (err != OK)
            fail_msg("round %d: %s: %s", round, err_text(err), rig.report.text);
        assert_true(before <= synced);
        assert_in_range(rig.last_seq, synced, in_flight);
        rig_close();
    }
}

static void journal_damage_to_what_was_synced_is_never_cut(void **state)
{
    (void)state;
    chance_state = 2;
    rig.limit = ONE_SEGMENT;
    assert_int_equal(rig_open(), OK);
    for (int i = 0; i < 5; i++)
        one_batch();
    rig_close();
    /* What the last batch but one left on disk is in `pristine`, and the last one proves that. */
    static char whole[RIG_FILE];
    size_t whole_length = rig.file_length;
    memcpy(whole, rig.file, whole_length);
    for (int round = 0; round < 300; round++) {
        memcpy(rig.file, whole, whole_length);
        rig.file_length = whole_length;
        size_t at = chance((uint32_t)pristine_length);
        size_t n = 1 + chance(round % 2 == 0 ? 8 : 2000);
        for (size_t i = at; i < at + n && i < pristine_length; i++)
            rig.file[i] = (char)(round % 3 == 0 ? 0 : chance(256));
        if (memcmp(rig.file, whole, whole_length) == 0)
            continue;
        rig_store(1);
        uint64_t before = rig_hash();
        assert_int_equal(rig_open(), ERR_DAMAGED);
        assert_true(rig_hash() == before);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(journal_torn_tail_is_cut),
        TEST(journal_tail_that_became_zeros_is_cut),
        TEST(journal_unused_space_is_no_torn_tail),
        TEST(journal_flipped_byte_in_the_last_batch_is_a_torn_tail),
        TEST(journal_flipped_byte_in_the_middle_is_damage),
        TEST(journal_hole_in_the_last_batch_is_cut_with_what_follows),
        TEST(journal_later_batch_is_found_behind_a_lost_line_feed),
        TEST(journal_batch_that_is_wholly_lost_is_no_damage),
        TEST(journal_missing_line_is_noticed),
        TEST(journal_order_is_checked_where_checksums_hold),
        TEST(journal_form_is_checked_where_checksums_hold),
        TEST(journal_what_was_cut_is_told),
        TEST(journal_batches_rise_over_what_was_cut),
        TEST(journal_killed_daemon_keeps_what_was_written),
        TEST(journal_newer_format_is_refused_and_untouched),
        TEST(journal_newer_head_may_look_different),
        TEST(journal_missing_segment_is_damage),
        TEST(journal_segment_in_the_place_of_another_is_damage),
        TEST(journal_older_segment_without_its_end_is_damage),
        TEST(journal_older_segment_may_have_unused_space),
        TEST(journal_bad_record_in_an_older_segment_is_damage),
        TEST(journal_half_made_segment_is_removed),
        TEST(journal_first_start_that_was_cut_short_is_no_damage),
        TEST(journal_oldest_segment_without_a_head_is_damage),
        TEST(journal_other_files_are_none_of_its_business),
        TEST(journal_too_many_segments_are_damage),
        TEST(journal_error_of_the_reader_ends_the_replay),
        TEST(journal_directory_that_cannot_be_made_is_an_error_in_words),
        TEST(journal_power_cut_loses_nothing_that_was_synced),
        TEST(journal_damage_to_what_was_synced_is_never_cut),
    };
    return cmocka_run_group_tests_name("journal recovery", tests, NULL, NULL);
}
