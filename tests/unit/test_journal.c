/* The journal as its users see it: what is appended and committed can be read, now and after a new start, byte for byte;
 * what is not committed is nobody's.  What recovery does with a disk that lies is test_journal_recovery.c's. */
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

static char text[2 * LIMIT_RECORD];

static struct journal *journal(void)
{
    return &rig.journal;
}

/* The next event into `text`; OK only when it has that seq. */
static enum err next(struct journal_cursor *cursor, uint64_t wanted)
{
    struct out out = OUT_ON(text);
    uint64_t seq;
    enum err err = journal_next(journal(), cursor, &out, &seq, NULL);
    out_cstr(&out);
    if (err == OK && seq != wanted)
        fail_msg("got seq %u, wanted %u", (unsigned)seq, (unsigned)wanted);
    return err;
}

static void journal_event_has_the_contracts_form(void **state)
{
    struct journal_event event = {.type = "step.completed",
                                  .run_id = "r-1",
                                  .n = 7,
                                  .step_id = "fetch",
                                  .attempt = 1,
                                  .time_ms = 1769860800123};
    struct journal_cursor cursor;
    struct json_writer *w;
    uint64_t seq;
    (void)state;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    json_put_text(w, "value", "x");
    assert_int_equal(journal_end(journal(), false, &seq, NULL), OK);
    assert_int_equal(seq, 1);
    rig_commit();
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(next(&cursor, 1), OK);
    assert_string_equal(
        text, "{\"seq\":1,\"run_id\":\"r-1\",\"n\":7,\"time\":\"2026-01-31T12:00:00.123Z\","
              "\"type\":\"step.completed\",\"step_id\":\"fetch\",\"attempt\":1,"
              "\"data\":{\"value\":\"x\"}}");
}

static void journal_daemon_event_has_neither_run_nor_step(void **state)
{
    struct journal_event event = {.type = "daemon.stopped", .n = 3, .time_ms = 0};
    struct journal_cursor cursor;
    struct json_writer *w;
    (void)state;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    assert_int_equal(journal_end(journal(), false, NULL, NULL), OK);
    rig_commit();
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(next(&cursor, 1), OK);
    assert_string_equal(text, "{\"seq\":1,\"time\":\"1970-01-01T00:00:00.000Z\","
                              "\"type\":\"daemon.stopped\",\"data\":{}}");
}

#if CHAIN_BUILT_IN
#define PREV(digits) "\"prev\":\"" digits "\","
#else
#define PREV(digits) ""
#endif

static void journal_lines_have_the_documented_form(void **state)
{
    size_t length, at;
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig_append("a", false);
    rig_commit();
    rig_load(1);
    assert_int_equal(rig_lines(), 2);
    at = rig_line(0, &length);
    snprintf(text, sizeof text, "%.*s", (int)length, rig.file + at);
#define ZEROS "0000000000000000"
    assert_string_equal(
        text + RECORD_COLUMN,
        "{\"batch\":1,\"synced\":0," PREV(
            ZEROS ZEROS ZEROS
                ZEROS) "\"segment\":{\"format\":1,\"number\":1,"
                       "\"daemon_id\":\"d-test\",\"first_seq\":1,\"previous_size\":0}}\n");
    at = rig_line(1, &length);
    snprintf(text, sizeof text, "%.*s", (int)length, rig.file + at);
    assert_non_null(strstr(text, " {\"batch\":2,\"synced\":"));
    assert_non_null(strstr(text, ",\"event\":{\"seq\":1,"));
    assert_int_equal(strstr(text, ",\"prev\":\"") != NULL, CHAIN_BUILT_IN);
}

static void journal_replay_gives_what_was_appended(void **state)
{
    struct json_writer *w;
    struct journal_place place, read;
    struct out out = OUT_ON(text);
    (void)state;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.replayed, 0);
    rig_append("a \"quoted\"\n\xc3\xa4", false);
    assert_int_equal(journal_begin_memo(journal(), &w), OK);
    json_put_u64(w, "k", 5);
    assert_int_equal(journal_end(journal(), false, NULL, &place), OK);
    struct journal_event event = {.type = "run.created", .run_id = "r-1", .n = 2, .time_ms = 0};
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    w = journal_memo(journal());
    json_put_text(w, "digest", "abc");
    assert_int_equal(journal_end(journal(), false, NULL, &read), OK);
    rig_commit();
    assert_int_equal(journal_read(journal(), place, &out), OK);
    assert_string_equal(out_cstr(&out), "{\"k\":5}");

    assert_int_equal(rig_open(), OK);
    assert_string_equal(
        rig.log, "1 {\"seq\":1,\"run_id\":\"r-1\",\"n\":1,\"time\":\"2026-01-31T12:00:00.123Z\","
                 "\"type\":\"step.log\",\"data\":{\"text\":\"a \\\"quoted\\\"\\n\xc3\xa4\"}} \n"
                 "0  {\"k\":5}\n"
                 "2 {\"seq\":2,\"run_id\":\"r-1\",\"n\":2,\"time\":\"1970-01-01T00:00:00.000Z\","
                 "\"type\":\"run.created\",\"data\":{}} {\"digest\":\"abc\"}\n");
    assert_int_equal(rig.report.cut_bytes, 0);
    assert_string_equal(rig.report.text, "");
    assert_int_equal(journal_last_seq(journal()), 2);
    assert_memory_equal(&rig.last_place, &read, sizeof read);
    assert_int_equal(rig_append("b", false), 3);
}

static void journal_uncommitted_is_nobodys(void **state)
{
    struct journal_cursor cursor;
    (void)state;
    assert_int_equal(rig_open(), OK);
    cursor = journal_cursor_after(journal(), 0);
    rig_append("not yet", false);
    assert_int_equal(next(&cursor, 1), ERR_END);
    assert_int_equal(journal_last_seq(journal()), 0);
    rig_commit();
    assert_int_equal(next(&cursor, 1), OK);
    assert_int_equal(next(&cursor, 2), ERR_END);
}

static void journal_place_can_be_read_before_the_commit(void **state)
{
    struct journal_event event = {.type = "run.created", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct journal_place places[12], beyond;
    struct json_writer *w;
    (void)state;
    assert_int_equal(rig_open(), OK);
    for (uint64_t i = 0; i < 12; i++) {
        assert_int_equal(journal_begin(journal(), &event, &w), OK);
        json_put_u64(w, "input", i);
        json_key(w, "long");
        json_string_begin(w);
        memset(text, 'l', LIMIT_EVENT / 3);
        json_string_add(w, str_range(text, LIMIT_EVENT / 3));
        json_string_end(w);
        assert_int_equal(journal_end(journal(), false, NULL, &places[i]), OK);
    }
    /* Some were written out early, some stand in the buffer. */
    assert_true(journal()->written > 0 && journal()->out.n > 0);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 12; i++) {
            char wanted[64];
            struct out out = OUT_ON(text);
            assert_int_equal(journal_read(journal(), places[i], &out), OK);
            assert_int_equal(out.n, places[i].length);
            snprintf(wanted, sizeof wanted, "\"data\":{\"input\":%u,\"long\":", (unsigned)i);
            assert_non_null(strstr(out_cstr(&out), wanted));
        }
        rig_commit();
    }
    struct out out = OUT_ON(text);
    beyond = places[11];
    beyond.offset += 10000;
    assert_int_equal(journal_read(journal(), beyond, &out), ERR_NOT_FOUND);
    /* A record that is being written is nobody's yet. */
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    beyond.segment = journal()->segments[journal()->segment_count - 1].number;
    beyond.offset = (uint32_t)(journal()->written + (int64_t)journal()->event_start);
    beyond.length = 10;
    assert_int_equal(journal_read(journal(), beyond, &out), ERR_NOT_FOUND);
    journal_drop(journal());
}

static void journal_turn_of_many_records_has_one_sync(void **state)
{
    (void)state;
    assert_int_equal(rig_open(), OK);
    uint64_t before = journal()->syncs, batch = journal()->batch;
    for (int i = 0; i < 50; i++)
        rig_append("x", i % 2 == 0);
    rig_commit();
    assert_int_equal(journal()->syncs, before + 1);
    assert_int_equal(journal()->batch, batch + 1);
    rig_commit();
    assert_int_equal(journal()->syncs, before + 1);
}

static void journal_lazy_records_wait_a_second_for_company(void **state)
{
    (void)state;
    assert_int_equal(rig_open(), OK);
    uint64_t before = journal()->syncs;
    rig.now_ms = 5000;
    rig_append("lazy", true);
    assert_int_equal(journal_due_ms(journal()), -1);
    rig_commit();
    assert_int_equal(journal_due_ms(journal()), 6000);
    rig.now_ms = 5400;
    rig_append("lazy as well", true);
    rig_commit();
    assert_int_equal(journal_due_ms(journal()), 6000);
    rig.now_ms = 5999;
    rig_commit();
    assert_int_equal(journal()->syncs, before);
    assert_int_equal(journal_last_seq(journal()), 0);
    rig.now_ms = 6000;
    rig_commit();
    assert_int_equal(journal()->syncs, before + 1);
    assert_int_equal(journal_last_seq(journal()), 2);
    assert_int_equal(journal_due_ms(journal()), -1);
}

static void journal_urgent_record_takes_the_lazy_ones_along(void **state)
{
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig.now_ms = 10;
    rig_append("lazy", true);
    rig_commit();
    rig_append("urgent", false);
    rig_commit();
    assert_int_equal(journal_last_seq(journal()), 2);
    assert_int_equal(journal_due_ms(journal()), -1);
}

static void journal_dropped_record_leaves_nothing(void **state)
{
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct journal_cursor cursor;
    struct json_writer *w;
    (void)state;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    json_put_text(w, "text", "never");
    journal_drop(journal());
    assert_int_equal(rig_append("kept", false), 1);
    rig_commit();
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(next(&cursor, 1), OK);
    assert_non_null(strstr(text, "kept"));
    rig_load(1);
    assert_int_equal(rig_lines(), 2);
}

static enum err append_sized(size_t n)
{
    static char long_text[4 * LIMIT_RECORD];
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct json_writer *w;
    memset(long_text, 'y', n);
    long_text[n] = '\0';
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    json_put_text(w, "text", long_text);
    return journal_end(journal(), false, NULL, NULL);
}

static void journal_too_large_record_is_dropped(void **state)
{
    struct journal_cursor cursor;
    (void)state;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(append_sized(LIMIT_EVENT), ERR_TOO_LARGE);
    assert_int_equal(append_sized(3 * LIMIT_RECORD), ERR_TOO_LARGE);
    assert_int_equal(journal()->next_seq, 1);
    /* What stands around the text has the same length for all of these. */
    struct out out = OUT_ON(text);
    assert_int_equal(append_sized(0), OK);
    rig_commit();
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(journal_next(journal(), &cursor, &out, NULL, NULL), OK);
    assert_int_equal(append_sized(LIMIT_EVENT - out.n + 1), ERR_TOO_LARGE);
    assert_int_equal(append_sized(LIMIT_EVENT - out.n), OK);
    rig_commit();
    assert_int_equal(next(&cursor, 2), OK);
    assert_int_equal(strlen(text), LIMIT_EVENT);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.last_seq, 2);
}

static void journal_never_appends_what_it_could_not_read(void **state)
{
    char deep[200] = "";
    struct json_writer *w;
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .n = 1, .time_ms = 0};
    const struct str raws[] = {STR("{\"half\":"), STR("nul"), STR("1 2"), STR("\"\xff\""),
                               str_range(deep, sizeof deep)};
    (void)state;
    memset(deep, '[', sizeof deep / 2);
    memset(deep + sizeof deep / 2, ']', sizeof deep / 2);
    assert_int_equal(rig_open(), OK);
    for (size_t i = 0; i < sizeof raws / sizeof raws[0]; i++) {
        assert_int_equal(journal_begin(journal(), &event, &w), OK);
        json_put_raw(w, "value", raws[i]);
        assert_int_equal(journal_end(journal(), false, NULL, NULL), ERR_TOO_LARGE);
    }
    assert_int_equal(rig_append("fine", false), 1);
    rig_commit();
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.replayed, 1);
}

/* Replaces SECRET by ***, as the owner of secrets would. */
static bool mask(void *context, char *event, size_t *n)
{
    static const char secret[] = "SECRET";
    const size_t length = sizeof secret - 1;
    bool hidden = false;
    ++*(int *)context;
    for (size_t i = 0; i + length <= *n;) {
        if (memcmp(event + i, secret, length) != 0) {
            i++;
            continue;
        }
        memcpy(event + i, "***", 3);
        memmove(event + i + 3, event + i + length, *n - i - length);
        *n -= length - 3;
        hidden = true;
    }
    return hidden;
}

static void journal_mask_is_applied_before_the_checksum(void **state)
{
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct journal_cursor cursor;
    struct json_writer *w;
    struct journal_place place;
    struct out out = OUT_ON(text);
    int calls = 0;
    (void)state;
    rig.journal.mask = mask;
    rig.journal.mask_context = &calls;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    json_put_text(w, "text", "a SECRET and a SECRET");
    w = journal_memo(journal());
    json_put_text(w, "kept", "SECRET");
    assert_int_equal(journal_end(journal(), false, NULL, &place), OK);
    assert_int_equal(calls, 1);
    rig_append("no more", false);
    rig_commit();
    assert_int_equal(journal_read(journal(), place, &out), OK);
    assert_non_null(strstr(out_cstr(&out), "\"data\":{\"text\":\"a *** and a ***\"}}"));
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(next(&cursor, 1), OK);
    assert_int_equal(strlen(text), place.length);
    assert_int_equal(next(&cursor, 2), OK);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.replayed, 2);
    assert_non_null(strstr(rig.log, "{\"kept\":\"SECRET\"}"));
}

/* Fills until there are so many segments. */
static void fill_segments(size_t wanted)
{
    for (int i = 0; journal()->segment_count < wanted; i++) {
        assert_true(i < 10000);
        rig_append_long(LIMIT_EVENT / 2);
        rig_commit();
    }
    rig_append("after the fill", false);
    rig_commit();
}

static void journal_cursor_crosses_segments(void **state)
{
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    fill_segments(4);
    uint64_t last = journal_last_seq(journal());
    for (int round = 0; round < 2; round++) {
        struct journal_cursor cursor = journal_cursor_after(journal(), 0);
        for (uint64_t seq = 1; seq <= last; seq++)
            assert_int_equal(next(&cursor, seq), OK);
        assert_int_equal(next(&cursor, 0), ERR_END);
        /* Found anew from any place. */
        for (uint64_t seq = 1; seq <= last; seq++) {
            cursor = journal_cursor_after(journal(), seq - 1);
            assert_int_equal(next(&cursor, seq), OK);
        }
        assert_int_equal(rig_open(), OK);
        assert_int_equal(rig.last_seq, last);
        assert_int_equal(journal()->segment_count, 4);
    }
}

static void journal_cursors_do_not_disturb_each_other(void **state)
{
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    fill_segments(3);
    uint64_t last = journal_last_seq(journal());
    struct journal_cursor front = journal_cursor_after(journal(), last / 2);
    struct journal_cursor back = journal_cursor_after(journal(), 0);
    for (uint64_t seq = 1; seq <= last / 2; seq++) {
        assert_int_equal(next(&back, seq), OK);
        assert_int_equal(next(&front, last / 2 + seq), OK);
        assert_int_equal(rig_append("meanwhile", false), last + seq);
        rig_commit();
    }
}

static void journal_next_says_how_much_room_it_needs(void **state)
{
    char small[100];
    struct out out = OUT_ON(small), large = OUT_ON(text);
    struct journal_cursor cursor;
    size_t need;
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig_append_long(500);
    rig_commit();
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(journal_next(journal(), &cursor, &out, NULL, &need), ERR_FULL);
    assert_int_equal(out.n, 0);
    assert_true(need > 500 && need < 700);
    assert_int_equal(journal_next(journal(), &cursor, &large, NULL, NULL), OK);
    assert_int_equal(large.n, need);
}

static void journal_read_takes_a_slice_into_its_own_writer(void **state)
{
    struct journal_event event = {.type = "step.completed", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct journal_place place, slice;
    struct json_writer *w;
    struct journal_cursor cursor;
    (void)state;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    json_put_text(w, "value", "carried");
    assert_int_equal(journal_end(journal(), false, NULL, &place), OK);
    rig_commit();
    slice = place;
    slice.offset += place.length - (uint32_t)strlen("\"carried\"}}");
    slice.length = (uint32_t)strlen("\"carried\"");
    assert_int_equal(journal_begin(journal(), &event, &w), OK);
    json_key(w, "again");
    json_raw(w, STR("["));
    assert_int_equal(journal_read(journal(), slice, w->out), OK);
    out_byte(w->out, ']');
    assert_int_equal(journal_end(journal(), false, NULL, NULL), OK);
    rig_commit();
    cursor = journal_cursor_after(journal(), 1);
    assert_int_equal(next(&cursor, 2), OK);
    assert_non_null(strstr(text, "\"data\":{\"again\":[\"carried\"]}}"));
    slice.segment = 9;
    assert_int_equal(journal_read(journal(), slice, w->out), ERR_NOT_FOUND);
}

static void journal_flipped_byte_is_not_handed_out(void **state)
{
    size_t length, at;
    struct journal_cursor cursor;
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig_append("first", false);
    rig_append("second", false);
    rig_commit();
    rig_load(1);
    at = rig_line(2, &length);
    rig.file[at + length / 2] ^= 1;
    rig_store(1);
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(next(&cursor, 1), OK);
    assert_int_equal(next(&cursor, 2), ERR_DAMAGED);
}

static void journal_forget_removes_the_oldest_and_cursors_notice(void **state)
{
    struct journal_cursor at_start;
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    at_start = journal_cursor_after(journal(), 0);
    fill_segments(5);
    int64_t before = journal_bytes(journal());
    assert_int_equal(next(&at_start, 1), OK);
    assert_int_equal(journal_forget(journal(), 3), OK);
    assert_false(rig_exists(1));
    assert_false(rig_exists(2));
    assert_true(rig_exists(3));
    assert_true(journal_bytes(journal()) < before);
    assert_int_equal(next(&at_start, 2), ERR_NOT_FOUND);
    uint64_t first = journal_first_seq(journal());
    assert_true(first > 2);
    struct journal_cursor cursor = journal_cursor_after(journal(), first - 1);
    assert_int_equal(next(&cursor, first), OK);
    /* Never the newest. */
    assert_int_equal(journal_forget(journal(), 99), OK);
    assert_int_equal(journal()->segment_count, 1);
    assert_true(rig_exists(5));
    uint64_t last = journal_last_seq(journal());
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.last_seq, last);
    assert_int_equal(journal()->segments[0].number, 5);
}

static int on_segments;

static void on_segment(void *context)
{
    struct json_writer *w;
    (void)context;
    on_segments++;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(journal_begin_memo(journal(), &w), OK);
        json_put_i64(w, "checkpoint", i);
        assert_int_equal(journal_end(journal(), false, NULL, NULL), OK);
    }
}

static void journal_checkpoint_stands_in_each_new_segment(void **state)
{
    (void)state;
    rig.limit = 1;
    rig.journal.on_segment = on_segment;
    assert_int_equal(rig_open(), OK);
    on_segments = 0;
    while (journal()->segment_count < 2) {
        rig_append_long(LIMIT_EVENT / 2);
        rig_commit();
    }
    assert_int_equal(on_segments, 1);
    /* It needs no sync of its own, and nothing goes before it is on disk. */
    uint64_t syncs = journal()->syncs;
    rig_commit();
    assert_int_equal(journal()->syncs, syncs);
    assert_false(journal_can_forget(journal()));
    assert_int_equal(journal_forget(journal(), 2), OK);
    assert_true(rig_exists(1));
    rig_append("x", false);
    rig_commit();
    assert_true(journal_can_forget(journal()));
    assert_int_equal(journal_forget(journal(), 2), OK);
    assert_false(rig_exists(1));
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.memos, 3);
    assert_int_equal(rig.replayed, 4);
    assert_non_null(strstr(rig.log, "{\"checkpoint\":2}"));
}

static void on_segment_too_large(void *context)
{
    (void)context;
    assert_int_equal(append_sized(LIMIT_RECORD), ERR_TOO_LARGE);
}

static void journal_incomplete_checkpoint_keeps_old_segments(void **state)
{
    (void)state;
    rig.limit = 1;
    rig.journal.on_segment = on_segment_too_large;
    assert_int_equal(rig_open(), OK);
    fill_segments(2);
    assert_int_equal(journal_forget(journal(), 2), OK);
    assert_true(rig_exists(1));
    rig.journal.on_segment = on_segment;
    fill_segments(3);
    assert_int_equal(journal_forget(journal(), 3), OK);
    assert_false(rig_exists(1));
    assert_false(rig_exists(2));
}

static void journal_start_reads_from_the_newest_checkpoint(void **state)
{
    (void)state;
    rig.limit = 1;
    rig.journal.on_segment = on_segment;
    assert_int_equal(rig_open(), OK);
    fill_segments(4);
    rig_append("after", false);
    rig_commit();
    uint64_t last = journal_last_seq(journal());
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.memos, 3);
    assert_int_equal(rig.replayed, 5); /* the checkpoint and two events, of hundreds */
    assert_int_equal(rig.last_seq, last);
    /* All that is older is there for readers, and may go. */
    struct journal_cursor cursor = journal_cursor_after(journal(), 0);
    for (uint64_t seq = 1; seq <= last; seq++)
        assert_int_equal(next(&cursor, seq), OK);
    assert_true(journal_can_forget(journal()));
    assert_int_equal(journal_forget(journal(), 4), OK);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.last_seq, last);
}

static void journal_start_does_not_trust_half_a_checkpoint(void **state)
{
    size_t length;
    (void)state;
    rig.limit = 1;
    rig.journal.on_segment = on_segment;
    assert_int_equal(rig_open(), OK);
    fill_segments(3);
    rig_append("x", false);
    rig_commit();
    rig_close();
    /* The power went before the mark, the fifth line, was on disk. */
    rig_load(3);
    size_t mark = rig_line(4, &length);
    rig.file_length = mark;
    rig_store(3);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.memos, 6); /* of the one before, and what is left */
    assert_false(journal_can_forget(journal()));
    assert_int_equal(journal_forget(journal(), 2), OK);
    assert_true(rig_exists(1));
    fill_segments(4);
    rig_append("y", false);
    rig_commit();
    assert_int_equal(journal_forget(journal(), 2), OK);
    assert_false(rig_exists(1));
}

static void journal_older_segment_that_is_too_short_is_found(void **state)
{
    (void)state;
    rig.limit = 1;
    rig.journal.on_segment = on_segment;
    assert_int_equal(rig_open(), OK);
    fill_segments(3);
    rig_append("x", false);
    rig_commit();
    rig_close();
    rig_load(1);
    rig.file_length -= 10;
    rig_store(1);
    assert_int_equal(rig_open(), ERR_DAMAGED);
    assert_non_null(strstr(rig.report.text, "0000000001.log"));
}

static void journal_copy_checks_what_it_copies(void **state)
{
    struct journal_place place;
    struct json_writer *w;
    char bytes[256];
    struct out to = OUT_ON(bytes);
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig_append("before", false);
    assert_int_equal(journal_begin_memo(journal(), &w), OK);
    json_key(w, "carried");
    size_t at = journal_length(journal());
    json_string(w, STR("precious"));
    size_t length = journal_length(journal()) - at;
    assert_int_equal(journal_end(journal(), false, NULL, &place), OK);
    rig_commit();
    place.offset += (uint32_t)at;
    place.length = (uint32_t)length;
    assert_int_equal(journal_copy(journal(), place, &to), OK);
    assert_string_equal(out_cstr(&to), "\"precious\"");
    rig_load(1);
    *strstr(rig.file, "precious") = 'P';
    rig_store(1);
    journal_rest(journal());
    out_reset(&to);
    assert_int_equal(journal_copy(journal(), place, &to), ERR_DAMAGED);
    assert_int_equal(to.n, 0);
}

static void journal_holds_no_more_segments_than_it_can_name(void **state)
{
    if (LIMIT_MESSAGE > 65536) /* half a gigabyte */
        skip();
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct json_writer *w;
    enum err err = OK;
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    for (int i = 0; err == OK; i++) {
        assert_true(i < 20000);
        err = journal_begin(journal(), &event, &w);
        if (err == OK) {
            json_key(w, "text");
            json_string_begin(w);
            memset(text, 'z', LIMIT_EVENT - 300);
            json_string_add(w, str_range(text, LIMIT_EVENT - 300));
            json_string_end(w);
            assert_int_equal(journal_end(journal(), false, NULL, NULL), OK);
            rig_commit();
        }
    }
    assert_int_equal(err, ERR_NO_SPACE);
    assert_int_equal(journal()->segment_count, JOURNAL_SEGMENTS);
    /* Room comes back with the segments that go. */
    assert_int_equal(journal_forget(journal(), 120), OK);
    rig_append("again", false);
    rig_commit();
    uint64_t last = journal_last_seq(journal());
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.last_seq, last);
}

static void journal_buffer_is_written_out_when_a_record_might_not_fit(void **state)
{
    (void)state;
    assert_int_equal(rig_open(), OK);
    uint64_t syncs = journal()->syncs;
    for (int i = 0; i < 20; i++)
        rig_append_long(LIMIT_EVENT / 3);
    assert_int_equal(journal()->syncs, syncs);
    assert_true(journal()->written > journal()->segments[0].size);
    struct journal_cursor cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(next(&cursor, 1), ERR_END);
    rig_commit();
    assert_int_equal(journal()->syncs, syncs + 1);
    for (uint64_t seq = 1; seq <= 20; seq++)
        assert_int_equal(next(&cursor, seq), OK);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.last_seq, 20);
}

static void journal_full_disk_loses_nothing(void **state)
{
    struct journal_cursor cursor;
    int full, fd;
    (void)state;
    assert_int_equal(rig_open(), OK);
    if (port_open("/dev/full", PORT_READ_WRITE, &full) != OK)
        skip();
    fd = rig.journal.fd;
    rig.journal.fd = full;
    rig_append("kept", false);
    assert_int_equal(journal_commit(journal(), 0), ERR_NO_SPACE);
    assert_int_equal(journal_last_seq(journal()), 0);
    rig_append("kept as well", false);
    assert_int_equal(journal_commit(journal(), 0), ERR_NO_SPACE);
    rig.journal.fd = fd;
    port_close(full);
    rig_commit();
    cursor = journal_cursor_after(journal(), 0);
    assert_int_equal(next(&cursor, 1), OK);
    assert_int_equal(next(&cursor, 2), OK);
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.last_seq, 2);
}

static void journal_rests_between_records(void **state)
{
    struct journal_cursor cursor;
    (void)state;
    assert_int_equal(rig_open(), OK);
    cursor = journal_cursor_after(journal(), 0);
    for (uint64_t seq = 1; seq < 5; seq++) {
        rig_append("x", true);
        journal_rest(journal()); /* the buffer is not empty: it must stay */
        rig_append("y", false);
        rig_commit();
        journal_rest(journal());
        assert_int_equal(next(&cursor, 2 * seq - 1), OK);
        journal_rest(journal());
        assert_int_equal(next(&cursor, 2 * seq), OK);
    }
}

static void journal_failure_is_final(void **state)
{
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct json_writer *w;
    (void)state;
    assert_int_equal(rig_open(), OK);
    rig_append("lost", false);
    int fd = rig.journal.fd;
    rig.journal.fd = 1000000; /* no descriptor: the write fails */
    assert_int_equal(journal_commit(journal(), 0), ERR_IO);
    rig.journal.fd = fd;
    assert_int_equal(journal_commit(journal(), 0), ERR_IO);
    assert_int_equal(journal_begin(journal(), &event, &w), ERR_IO);
    assert_int_equal(journal_begin_memo(journal(), &w), ERR_IO);
    assert_int_equal(journal_forget(journal(), 2), ERR_IO);
    assert_int_equal(journal_last_seq(journal()), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(journal_event_has_the_contracts_form),
        TEST(journal_daemon_event_has_neither_run_nor_step),
        TEST(journal_lines_have_the_documented_form),
        TEST(journal_replay_gives_what_was_appended),
        TEST(journal_uncommitted_is_nobodys),
        TEST(journal_place_can_be_read_before_the_commit),
        TEST(journal_turn_of_many_records_has_one_sync),
        TEST(journal_lazy_records_wait_a_second_for_company),
        TEST(journal_urgent_record_takes_the_lazy_ones_along),
        TEST(journal_dropped_record_leaves_nothing),
        TEST(journal_too_large_record_is_dropped),
        TEST(journal_never_appends_what_it_could_not_read),
        TEST(journal_mask_is_applied_before_the_checksum),
        TEST(journal_cursor_crosses_segments),
        TEST(journal_cursors_do_not_disturb_each_other),
        TEST(journal_next_says_how_much_room_it_needs),
        TEST(journal_read_takes_a_slice_into_its_own_writer),
        TEST(journal_flipped_byte_is_not_handed_out),
        TEST(journal_forget_removes_the_oldest_and_cursors_notice),
        TEST(journal_checkpoint_stands_in_each_new_segment),
        TEST(journal_incomplete_checkpoint_keeps_old_segments),
        TEST(journal_start_reads_from_the_newest_checkpoint),
        TEST(journal_start_does_not_trust_half_a_checkpoint),
        TEST(journal_older_segment_that_is_too_short_is_found),
        TEST(journal_copy_checks_what_it_copies),
        TEST(journal_holds_no_more_segments_than_it_can_name),
        TEST(journal_buffer_is_written_out_when_a_record_might_not_fit),
        TEST(journal_full_disk_loses_nothing),
        TEST(journal_rests_between_records),
        TEST(journal_failure_is_final),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
