/* The power goes at any moment, again and again, also while the journal is being opened: whatever journal_commit() has promised is there
 * afterwards, in order, unchanged, and the journal opens in every state that the disk may be in.
 *
 *     CHARTER_POWER_SEED=7 CHARTER_POWER_LIVES=2000 build/tests/test_fault_power */
#include "fault/fault.h"
#include "fault_disk.h"

#include "base/crc32c.h"
#include "journal/journal.h"
#include "json/read.h"
#include "port.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SEQS 200000
#define STATES 4 /* of each cut */

static struct {
    struct journal journal;
    struct journal_report report;
    char place[64], directories[3][80]; /* two in turns, and one for looking at */
    uint32_t texts[SEQS];               /* checksum of what was appended last as event seq */
    uint64_t promised;                  /* of the last commit that returned */
    uint64_t first;                     /* held */
    int64_t now_ms;
    /* what a replay gives: a sum that checkpoints carry */
    uint64_t count;
    bool began;
} rig;

static uint64_t seed;

static void on_segment(void *context)
{
    struct json_writer *memo;
    (void)context;
    /* In two records, so that it can be torn in the middle. */
    for (int part = 0; part < 2; part++) {
        if (journal_begin_memo(&rig.journal, &memo) != OK)
            return;
        json_put_u64(memo, part == 0 ? "half" : "count", rig.journal.next_seq - 1);
        (void)journal_end(&rig.journal, true, NULL, NULL);
    }
}

static enum err on_record(void *context, const struct journal_record *record)
{
    struct str raw;
    int64_t value;
    (void)context;
    if (record->seq != 0) {
        if (rig.began)
            assert_int_equal(record->seq, rig.count + 1);
        rig.count = record->seq;
        rig.began = true;
    } else if (json_member(record->memo, "count", &raw) && json_integer(raw, &value)) {
        if (rig.began)
            assert_int_equal((uint64_t)value, rig.count);
        rig.count = (uint64_t)value;
        rig.began = true;
    }
    return OK;
}

static enum err open_in(const char *directory)
{
    rig.began = false;
    rig.count = 0;
    rig.journal.on_segment = on_segment;
    return journal_open(&rig.journal, directory, "d-test", 64, on_record, NULL, &rig.report);
}

static void append(void)
{
    static char text[40000];
    struct journal_event event = {
        .type = "step.log", .run_id = "r", .n = rig.journal.next_seq, .time_ms = 1};
    struct json_writer *w;
    uint64_t seq;
    size_t n = dice(20) == 0 ? dice(sizeof text - 1) : dice(1500);
    bool lazy = dice(3) == 0;

    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + dice(26));
    text[n] = '\0';
    if (journal_begin(&rig.journal, &event, &w) != OK)
        return;
    json_put_text(w, "text", text);
    if (journal_end(&rig.journal, lazy, &seq, NULL) != OK)
        return;
    assert_true(seq < SEQS);
    rig.texts[seq] = crc32c(0, str_of(text));
}

/* Everything that is held is what was appended, without a hole; the promised is among it. */
static void check_all(void)
{
    static char bytes[LIMIT_RECORD];
    uint64_t first = journal_first_seq(&rig.journal), seq = first - 1;
    struct journal_cursor cursor = journal_cursor_after(&rig.journal, seq);
    struct str data, text;

    assert_true(first <= rig.first);
    assert_true(journal_last_seq(&rig.journal) >= rig.promised);
    assert_int_equal(rig.count, journal_last_seq(&rig.journal));
    for (;;) {
        struct out out = OUT_ON(bytes);
        uint64_t got;
        enum err err = journal_next(&rig.journal, &cursor, &out, &got, NULL);
        if (err == ERR_END)
            break;
        assert_int_equal(err, OK);
        assert_int_equal(got, ++seq);
        assert_true(json_member(out_view(&out), "data", &data) && json_member(data, "text", &text));
        assert_int_equal(crc32c(0, str_range(text.p + 1, text.n - 2)), rig.texts[seq]);
    }
    assert_int_equal(seq, journal_last_seq(&rig.journal));
}

static void must_open(const char *directory)
{
    enum err err = open_in(directory);
    if (err != OK)
        fail_msg("CHARTER_POWER_SEED=%" PRIu64 ": %s: %s in %s", seed, err_text(err),
                 rig.report.text, directory);
}

/* The daemon dies between a write and its sync, and another starts: what it finds, on disk or not yet, counts from then on. */
static void die_and_start(const char *directory)
{
    append();
    rig.journal.urgent = true;
    fault_control->kinds = 1 << FAULT_SYNC;
    fault_control->seen = 0;
    fault_control->from = 1;
    fault_control->until = 2;
    fault_control->error = EIO;
    fault_control->action = FAULT_FAIL;
    assert_int_equal(journal_commit(&rig.journal, rig.now_ms), ERR_IO);
    assert_int_equal(journal_commit(&rig.journal, rig.now_ms), ERR_IO);
    assert_int_equal(fault_control->seen, 1);
    fault_control->action = FAULT_NOTHING;
    journal_close(&rig.journal);
    must_open(directory);
}

/* A life: opened, some turns, until the power goes.  What is promised when it goes holds. */
static void live(const char *directory)
{
    disk_watch(directory);
    /* Sometimes during the opening, sometimes much later. */
    disk_cut_at(1 + (dice(3) == 0 ? dice(12) : dice(400)));
    uint64_t promised = rig.promised, first = rig.first;
    must_open(directory);
    if (!disk_is_cut()) {
        promised = journal_last_seq(&rig.journal);
        first = journal_first_seq(&rig.journal);
    }
    while (!disk_is_cut()) {
        for (uint64_t i = dice(6); i > 0; i--)
            append();
        if (dice(40) == 0) {
            die_and_start(directory);
            continue;
        }
        rig.now_ms += (int64_t)dice(400);
        assert_int_equal(journal_commit(&rig.journal, rig.now_ms), OK);
        if (disk_is_cut())
            break;
        promised = journal_last_seq(&rig.journal);
        if (dice(10) == 0 && rig.journal.segment_count > 1) {
            /* Told before it happens: while it does, either may be found. */
            size_t index = dice(rig.journal.segment_count);
            if (journal_can_forget(&rig.journal) && rig.journal.segments[index].first_seq > first)
                first = rig.journal.segments[index].first_seq;
            assert_int_equal(journal_forget(&rig.journal, rig.journal.segments[index].number), OK);
        }
    }
    journal_close(&rig.journal);
    rig.promised = promised;
    rig.first = first;
}

static void the_power_goes_at_any_moment(void **state)
{
    const char *lives_text = getenv("CHARTER_POWER_LIVES"), *base = getenv("TMPDIR");
    const char *variant = getenv("TEST_VARIANT");
    bool slow = variant != NULL && strcmp(variant, "plain") != 0;
    int lives = lives_text != NULL ? atoi(lives_text) : slow ? 30 : 300, cuts = 0, states = 0;
    (void)state;

    seed = getenv("CHARTER_POWER_SEED") != NULL ? strtoull(getenv("CHARTER_POWER_SEED"), NULL, 10)
                                                : (uint64_t)time(NULL) % 1000000;
    print_message("CHARTER_POWER_SEED=%" PRIu64 " CHARTER_POWER_LIVES=%d\n", seed, lives);
    dice_seed(seed);
    snprintf(rig.place, sizeof rig.place, "%s/power-XXXXXX",
             base != NULL && strlen(base) < 40 ? base : "/tmp");
    assert_non_null(mkdtemp(rig.place));
    for (int i = 0; i < 3; i++) {
        snprintf(rig.directories[i], sizeof rig.directories[i], "%s/%d", rig.place, i);
        assert_int_equal(port_make_directory(rig.directories[i], 0700), OK);
    }
    rig.first = 1;
    rig.now_ms = 1;
    for (int life = 0; life < lives; life++) {
        live(rig.directories[life % 2]);
        fault_below(NULL); /* what follows is looking */
        for (int i = 0; i < STATES; i++) {
            disk_materialise(rig.directories[2]);
            must_open(rig.directories[2]);
            check_all();
            journal_close(&rig.journal);
            cuts += rig.report.cut_bytes > 0;
            states++;
        }
        disk_materialise(rig.directories[(life + 1) % 2]);
        if (rig.promised > SEQS / 2)
            break;
    }
    disk_forget();
    print_message("%d states, %d of them with a torn tail, %" PRIu64 " events\n", states, cuts,
                  rig.promised);
    assert_true(cuts > 0);
}

static int clean(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        disk_empty(rig.directories[i]);
    for (int i = 0; i < 3; i++)
        (void)port_remove_directory(rig.directories[i]);
    return port_remove_directory(rig.place) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_power_goes_at_any_moment, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
