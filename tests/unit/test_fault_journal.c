/* Every call that the journal makes on its files fails once, with every error that matters: while it is opened, appends, begins segments, forgets
 * old ones.  What commits had promised is there after it, and what came of the error is what journal.h says. */
#include "fault/fault.h"
#include "journal_rig.h"

#include "port.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TURNS = 30, SHORT = -1 };

static uint64_t promised;
static int stride = 1; /* where every call takes long, some of them will do */
static bool pressed;

static void on_segment(void *context)
{
    struct json_writer *memo;
    (void)context;
    if (journal_begin_memo(&rig.journal, &memo) != OK)
        return;
    json_put_u64(memo, "until", rig.journal.next_seq - 1);
    (void)journal_end(&rig.journal, true, NULL, NULL);
}

static enum err append(void)
{
    static char text[LIMIT_EVENT / 10 * 3 + 1];
    struct journal_event event = {.type = "step.log", .run_id = "r", .n = 1, .time_ms = 1};
    struct json_writer *w;
    memset(text, 'x', sizeof text - 1);
    enum err err = journal_begin(&rig.journal, &event, &w);
    if (err != OK)
        return err;
    json_put_text(w, "text", text);
    return journal_end(&rig.journal, false, NULL, NULL);
}

/* OK: all went well, some of it after a wait for space; else what ended it. */
static enum err work(void)
{
    enum err err = rig_open();
    pressed = false;
    for (int turn = 0; err == OK && turn < TURNS; turn++) {
        err = append();
        rig.now_ms += 1100; /* whatever was put off is due */
        if (err == OK)
            err = journal_commit(&rig.journal, rig.now_ms);
        if (err == ERR_NO_SPACE || err == ERR_READ_ONLY) {
            pressed = true;
            err = journal_commit(&rig.journal, rig.now_ms);
        }
        if (err == OK) {
            promised = journal_last_seq(&rig.journal);
            uint32_t newest = rig.journal.segments[rig.journal.segment_count - 1].number;
            if (turn % 7 == 0 && newest > 2)
                err = journal_forget(&rig.journal, newest - 2);
            if (err != OK && !rig.journal.failed)
                err = OK; /* said, and tried again later */
        }
    }
    if (err == ERR_IO && rig.open) { /* for good */
        uint64_t syncs = rig.journal.syncs;
        assert_int_equal(journal_commit(&rig.journal, rig.now_ms), ERR_IO);
        assert_int_equal(rig.journal.syncs, syncs);
    }
    return err;
}

static void arm(int kind, int error, int number)
{
    fault_control->kinds = (int64_t)1 << kind;
    fault_control->seen = fault_control->fired = 0;
    fault_control->from = number;
    fault_control->until = number + 1;
    fault_control->error = error;
    fault_control->action = error == SHORT ? FAULT_SHORT : FAULT_FAIL;
}

/* How it must end when this call fails; `opening`: before journal_open() has returned. */
static bool is_right(int kind, int error, bool opening, enum err outcome)
{
    bool is_full = error == ENOSPC || error == EDQUOT || error == EROFS;
    if (error == SHORT || error == EINTR || kind == FAULT_CLOSE)
        return outcome == OK && !pressed;
    if (opening)
        return outcome != OK;
    switch (kind) {
    case FAULT_WRITE:
        return is_full ? outcome == OK && pressed : outcome == ERR_IO;
    case FAULT_SYNC:
    case FAULT_SYNC_NAMES:
        return outcome == ERR_IO;
    default:
        return outcome == OK; /* the segment before grows on; the next attempt does it */
    }
}

static void sweep(int armed, int error)
{
    for (int number = 1;; number += stride) {
        int kind = armed;
        for (uint32_t segment = 1; segment < 20; segment++)
            if (rig_exists(segment))
                rig_remove(segment);
        /* Something is there already, with a torn tail to cut. */
        assert_int_equal(rig_open(), OK);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(append(), OK);
            rig_commit();
        }
        promised = journal_last_seq(&rig.journal);
        rig_close();
        rig_load(2);
        memcpy(rig.file + rig.file_length, "torn", 4);
        rig.file_length += 4;
        rig_store(2);

        fault_below(rig.directory);
        arm(kind, error, number);
        enum err outcome = work();
        bool fired = fault_control->fired > 0, opening = !rig.open;
        fault_control->action = FAULT_NOTHING;
        if (armed == FAULT_OPEN && strcmp(fault_control->fired_path, rig.directory) == 0)
            kind = FAULT_SYNC_NAMES; /* it was opened for that */
        if (fired && !is_right(kind, error, opening, outcome))
            fail_msg("call %d of kind %d (%s) with %s: %s (%s)", number, armed,
                     fault_control->fired_path, error == SHORT ? "a short count" : strerror(error),
                     err_text(outcome), rig.report.text);
        rig_close();
        assert_int_equal(rig_open(), OK);
        assert_true(journal_last_seq(&rig.journal) >= promised);
        assert_true(rig.last_seq == journal_last_seq(&rig.journal));
        assert_int_equal(append(), OK);
        rig_commit();
        fault_below(NULL);
        rig_close();
        if (!fired) {
            assert_int_equal(outcome, OK);
            assert_true(number > 1 || stride > 1);
            return;
        }
    }
}

static void every_call_fails_once(void **state)
{
    if (LIMIT_MESSAGE > 262144) /* nothing would be different but the time */
        skip();
    static const int kinds[] = {FAULT_OPEN,     FAULT_CLOSE,    FAULT_READ,
                                FAULT_WRITE,    FAULT_SYNC,     FAULT_SYNC_NAMES,
                                FAULT_TRUNCATE, FAULT_ALLOCATE, FAULT_UNLINK};
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EROFS, EINTR, SHORT};
    (void)state;
    const char *variant = getenv("TEST_VARIANT");
    if (variant != NULL && strcmp(variant, "plain") != 0)
        stride = 5;
    rig.limit = 64; /* the smallest segments */
    rig.journal.on_segment = on_segment;
    fault_control->processes = FAULT_IN_DAEMON;
    fault_control->no_syncs = 1;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (size_t j = 0; j < sizeof errors / sizeof errors[0]; j++) {
            bool has_bytes = kinds[i] == FAULT_READ || kinds[i] == FAULT_WRITE;
            if (errors[j] == SHORT ? !has_bytes : errors[j] == EINTR && kinds[i] == FAULT_UNLINK)
                continue;
            sweep(kinds[i], errors[j]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_fails_once, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
