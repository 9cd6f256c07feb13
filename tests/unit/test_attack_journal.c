/* A journal without room for anything new must still come to the room that it may have. */
#include "journal_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void on_segment(void *context)
{
    struct json_writer *w;
    (void)context;
    assert_int_equal(journal_begin_memo(&rig.journal, &w), OK);
    json_put_text(w, "running", "here");
    assert_int_equal(journal_end(&rig.journal, false, NULL, NULL), OK);
}

/* As after a start: the segments are full, and nothing is ever appended again. */
static void journal_full_at_the_start_makes_room_without_an_append(void **state)
{
    int turns = 0;
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    while (rig.journal.segment_count < 4) {
        rig_append_long(LIMIT_MESSAGE / 2);
        rig_commit();
    }
    assert_int_equal(rig_open(), OK);
    rig.journal.on_segment = on_segment;
    assert_false(journal_can_forget(&rig.journal));
    while (!journal_can_forget(&rig.journal) && turns++ < 5) {
        (void)journal_want_room(&rig.journal);
        rig_commit();
    }
    assert_true(journal_can_forget(&rig.journal));
    assert_false(journal_want_room(&rig.journal));
    assert_int_equal(journal_forget(&rig.journal, 4), OK);
    assert_false(rig_exists(3));
    assert_int_equal(rig_open(), OK);
    assert_int_equal(rig.memos, 1);
}

/* A checkpoint that does not fit is no reason to begin one segment after the other. */
static void journal_that_cannot_make_a_checkpoint_begins_one_segment(void **state)
{
    (void)state;
    rig.limit = 1;
    assert_int_equal(rig_open(), OK);
    while (rig.journal.segment_count < 4) {
        rig_append_long(LIMIT_MESSAGE / 2);
        rig_commit();
    }
    assert_int_equal(rig_open(), OK);
    for (int i = 0; i < 10; i++) {
        rig.journal.has_checkpoint = false;
        (void)journal_want_room(&rig.journal);
        rig_commit();
    }
    assert_true(rig.journal.segment_count <= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(journal_full_at_the_start_makes_room_without_an_append,
                                        rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(journal_that_cannot_make_a_checkpoint_begins_one_segment,
                                        rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
