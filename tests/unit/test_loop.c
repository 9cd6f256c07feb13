/* The loop: descriptors, timers and helpers, on real pipes and real processes. */
#include "port_support.h"

#include "loop/helper.h"
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what the tests share ------------------------------------------------------------------- */

static struct loop loop; /* large for a stack */
static struct port_signals signals;

static int fresh_loop(void **state)
{
    (void)state;
    do
        port_wait(NULL, 0, 0, &signals); /* what came before belongs to another test */
    while (signals.child);
    loop_start(&loop);
    return 0;
}

/* A node on the read end of a pipe that counts its calls. */
struct ear {
    struct loop_fd node;
    int write_end;
    int calls;
    unsigned ready;
    void (*then)(struct ear *ear); /* what a test wants to happen in the callback */
    struct ear *other;
    int order; /* when it was called, counted over all ears */
};

static int order;

static void hear(struct loop_fd *node, unsigned ready)
{
    struct ear *ear = node->context;
    ear->calls++;
    ear->ready = ready;
    ear->order = ++order;
    if (ear->then != NULL)
        ear->then(ear);
}

static void ear_open(struct ear *ear)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    *ear = (struct ear){.write_end = fds[1]};
    ear->node =
        (struct loop_fd){.fd = fds[0], .wanted = PORT_READABLE, .on_ready = hear, .context = ear};
    assert_int_equal(loop_add(&loop, &ear->node), OK);
}

static void ear_close(struct ear *ear)
{
    loop_remove(&loop, &ear->node);
    close(ear->node.fd);
    close(ear->write_end);
}

static void ear_shout(struct ear *ear)
{
    assert_int_equal(write(ear->write_end, "x", 1), 1);
}

static void turn(int64_t max_ms)
{
    assert_int_equal(loop_wait(&loop, max_ms, &signals), OK);
}

struct clock_hand {
    struct loop_timer timer;
    int calls, order;
    void (*then)(struct clock_hand *hand);
    struct clock_hand *other;
};

static void strike(struct loop_timer *timer)
{
    struct clock_hand *hand = timer->context;
    assert_false(loop_timer_is_set(timer));
    assert_true(timer->at_ms <= loop.now_ms);
    hand->calls++;
    hand->order = ++order;
    if (hand->then != NULL)
        hand->then(hand);
}

static struct clock_hand new_hand(void)
{
    return (struct clock_hand){.timer = {.on_due = strike}};
}

/* --- descriptors ---------------------------------------------------------------------------- */

static void ready_nodes_are_called_once_a_turn(void **state)
{
    struct ear a, b;
    (void)state;
    ear_open(&a);
    ear_open(&b);
    turn(0);
    assert_int_equal(a.calls + b.calls, 0);
    ear_shout(&b);
    turn(-1);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.calls, 1);
    assert_int_equal(b.ready, PORT_READABLE);
    turn(-1); /* nobody read it: it is still ready */
    assert_int_equal(b.calls, 2);
    b.node.wanted = 0;
    turn(0);
    assert_int_equal(b.calls, 2);
    b.node.wanted = PORT_READABLE;
    turn(0);
    assert_int_equal(b.calls, 3);
    ear_close(&a);
    ear_close(&b);
    assert_false(loop_has(&b.node));
}

static void adding_and_removing_twice_is_harmless(void **state)
{
    struct ear a;
    (void)state;
    ear_open(&a);
    assert_int_equal(loop_add(&loop, &a.node), OK);
    assert_int_equal(loop.fd_count, 1);
    assert_true(loop_has(&a.node));
    loop_remove(&loop, &a.node);
    loop_remove(&loop, &a.node);
    ear_shout(&a);
    turn(0);
    assert_int_equal(a.calls, 0);
    assert_int_equal(loop_add(&loop, &a.node), OK);
    turn(0);
    assert_int_equal(a.calls, 1);
    ear_close(&a);
}

static void remove_both(struct ear *ear)
{
    loop_remove(&loop, &ear->node);
    loop_remove(&loop, &ear->other->node);
}

static void removed_in_a_callback_is_not_called(void **state)
{
    struct ear a, b;
    (void)state;
    ear_open(&a);
    ear_open(&b);
    a.other = &b;
    b.other = &a;
    a.then = b.then = remove_both;
    ear_shout(&a);
    ear_shout(&b);
    turn(-1);
    assert_int_equal(a.calls + b.calls, 1);
    turn(0);
    assert_int_equal(a.calls + b.calls, 1);
    ear_close(&a);
    ear_close(&b);
}

static void put_to_sleep(struct ear *ear)
{
    ear->other->node.wanted = 0;
}

static void put_to_sleep_in_a_callback_is_not_called(void **state)
{
    struct ear a, b;
    (void)state;
    ear_open(&a);
    ear_open(&b);
    a.other = &b;
    b.other = &a;
    a.then = b.then = put_to_sleep;
    ear_shout(&a);
    ear_shout(&b);
    turn(-1);
    assert_int_equal(a.calls + b.calls, 1);
    ear_close(&a);
    ear_close(&b);
}

/* Gives the other's place in the loop, and its descriptor's number, to a third. */
static void replace_other(struct ear *ear)
{
    struct ear *third = ear->other->other;
    loop_remove(&loop, &ear->other->node);
    close(ear->other->node.fd);
    int fd = dup(third->node.fd);
    loop_remove(&loop, &third->node);
    close(third->node.fd);
    third->node.fd = fd;
    assert_int_equal(loop_add(&loop, &third->node), OK);
    ear->then = NULL;
}

static void added_in_a_callback_waits_for_the_next_turn(void **state)
{
    struct ear a, b, third;
    (void)state;
    ear_open(&a);
    ear_open(&b);
    ear_open(&third);
    a.other = &b;
    b.other = &third;
    a.then = replace_other;
    ear_shout(&a);
    ear_shout(&b);
    ear_shout(&third);
    loop.first = 0;
    turn(-1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 0);
    assert_int_equal(third.calls, 0);
    turn(-1);
    assert_int_equal(third.calls, 1);
    ear_close(&a);
    ear_close(&third);
    close(b.write_end);
}

static void order_rotates(void **state)
{
    struct ear ears[5];
    int first[5] = {0};
    (void)state;
    for (int i = 0; i < 5; i++) {
        ear_open(&ears[i]);
        ear_shout(&ears[i]);
    }
    for (int round = 0; round < 25; round++) {
        order = 0;
        turn(-1);
        for (int i = 0; i < 5; i++)
            first[i] += ears[i].order == 1;
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(first[i], 5);
        assert_int_equal(ears[i].calls, 25);
        ear_close(&ears[i]);
    }
}

static void full_loop_refuses_and_recovers(void **state)
{
    static struct loop_fd nodes[LIMIT_WATCHES + 1];
    struct ear a;
    (void)state;
    ear_open(&a);
    for (size_t i = 0; i < LIMIT_WATCHES - 1; i++) {
        nodes[i] = (struct loop_fd){.fd = a.node.fd, .wanted = 0, .on_ready = hear, .context = &a};
        assert_int_equal(loop_add(&loop, &nodes[i]), OK);
    }
    struct loop_fd *extra = &nodes[LIMIT_WATCHES];
    *extra = nodes[0];
    extra->place = 0;
    assert_int_equal(loop_add(&loop, extra), ERR_FULL);
    assert_false(loop_has(extra));
    loop_remove(&loop, &nodes[7]);
    assert_int_equal(loop_add(&loop, extra), OK); /* in the hole, without a turn between */
    for (size_t i = 0; i < LIMIT_WATCHES - 1; i += 2)
        loop_remove(&loop, &nodes[i]);
    ear_shout(&a);
    turn(-1);
    assert_int_equal(a.calls, 1);
    for (size_t i = 0; i <= LIMIT_WATCHES; i++)
        loop_remove(&loop, &nodes[i]);
    ear_close(&a);
    turn(0);
    assert_int_equal(loop.fd_count, 0);
}

/* --- timers --------------------------------------------------------------------------------- */

static void timers_strike_in_order_and_not_before(void **state)
{
    struct clock_hand hands[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        hands[i] = new_hand();
        hands[i].timer.context = &hands[i];
    }
    order = 0;
    loop_timer_set(&loop, &hands[0].timer, loop.now_ms + 40);
    loop_timer_set(&loop, &hands[1].timer, loop.now_ms + 20);
    loop_timer_set(&loop, &hands[2].timer, loop.now_ms + 3600000);
    int64_t start = loop.now_ms;
    while (hands[0].calls == 0)
        turn(-1);
    assert_true(loop.now_ms >= start + 40);
    assert_int_equal(hands[1].order, 1);
    assert_int_equal(hands[0].order, 2);
    assert_int_equal(hands[2].calls, 0);
    assert_true(loop_timer_is_set(&hands[2].timer));
    loop_timer_clear(&loop, &hands[2].timer);
    loop_timer_clear(&loop, &hands[2].timer);
    assert_null(loop.timers);
}

static void timers_leave_their_heap_in_order(void **state)
{
    enum { COUNT = 500 };
    static struct clock_hand hands[COUNT];
    unsigned seed = 1;
    int set = 0, struck = 0;
    (void)state;
    memset(hands, 0, sizeof hands);
    for (int i = 0; i < 20 * COUNT; i++) { /* set, moved and cleared in no order */
        seed = seed * 1103515245 + 12345;
        struct clock_hand *hand = &hands[seed / 65536 % COUNT];
        hand->timer.on_due = strike;
        hand->timer.context = hand;
        if (seed / 7 % 3 == 0)
            loop_timer_clear(&loop, &hand->timer);
        else
            loop_timer_set(&loop, &hand->timer, (int64_t)(seed / 16 % 1000));
    }
    for (int i = 0; i < COUNT; i++)
        set += loop_timer_is_set(&hands[i].timer);
    assert_true(set > COUNT / 3 && set < COUNT);
    order = 0;
    turn(-1); /* all of them are long due */
    assert_null(loop.timers);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            if (hands[i].calls && hands[j].calls && hands[i].timer.at_ms < hands[j].timer.at_ms)
                assert_true(hands[i].order < hands[j].order);
    for (int i = 0; i < COUNT; i++)
        struck += hands[i].calls;
    assert_int_equal(struck, set);
}

static void set_again(struct clock_hand *hand)
{
    loop_timer_set(&loop, &hand->timer, 0);
}

static void timer_that_sets_itself_starves_nobody(void **state)
{
    struct clock_hand greedy = new_hand(), modest = new_hand();
    (void)state;
    greedy.timer.context = &greedy;
    modest.timer.context = &modest;
    greedy.then = set_again;
    loop_timer_set(&loop, &greedy.timer, 0);
    loop_timer_set(&loop, &modest.timer, loop.now_ms);
    turn(-1);
    assert_int_equal(greedy.calls, 1);
    assert_int_equal(modest.calls, 1);
    turn(-1);
    assert_int_equal(greedy.calls, 2);
    loop_timer_clear(&loop, &greedy.timer);
}

static void clear_other(struct clock_hand *hand)
{
    loop_timer_clear(&loop, &hand->other->timer);
}

static void move_other(struct clock_hand *hand)
{
    loop_timer_set(&loop, &hand->other->timer, loop.now_ms + 3600000);
}

static void timer_cleared_or_moved_by_another_does_not_strike(void **state)
{
    struct clock_hand a = new_hand(), b = new_hand(), c = new_hand();
    (void)state;
    a.timer.context = &a;
    b.timer.context = &b;
    c.timer.context = &c;
    a.then = clear_other;
    a.other = &b;
    loop_timer_set(&loop, &a.timer, 1);
    loop_timer_set(&loop, &b.timer, 2);
    loop_timer_set(&loop, &c.timer, 3);
    turn(-1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 0);
    assert_int_equal(c.calls, 1);
    a.then = move_other;
    loop_timer_set(&loop, &a.timer, 1);
    loop_timer_set(&loop, &b.timer, 2);
    turn(-1);
    assert_int_equal(a.calls, 2);
    assert_int_equal(b.calls, 0);
    assert_true(loop_timer_is_set(&b.timer));
    loop_timer_clear(&loop, &b.timer);
}

static struct clock_hand deadline;

static void call_off(struct ear *ear)
{
    (void)ear;
    loop_timer_clear(&loop, &deadline.timer);
}

static void what_arrived_in_time_is_seen_before_its_deadline(void **state)
{
    struct ear a;
    (void)state;
    deadline = new_hand();
    deadline.timer.context = &deadline;
    ear_open(&a);
    a.then = call_off;
    ear_shout(&a);
    loop_timer_set(&loop, &deadline.timer, loop.now_ms);
    turn(-1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(deadline.calls, 0);
    ear_close(&a);
}

static void wake_makes_one_wait_short(void **state)
{
    int64_t start = port_monotonic_ms();
    (void)state;
    loop_wake(&loop);
    turn(-1);
    turn(20); /* the next one sleeps again */
    assert_true(port_monotonic_ms() - start >= 19);
    assert_true(port_monotonic_ms() - start < DEADLINE_MS);
}

static void both_clocks_are_of_this_turn(void **state)
{
    (void)state;
    loop.now_ms = loop.wall_ms = 0;
    int64_t before = port_monotonic_ms(), before_wall = port_wall_ms();
    turn(0);
    assert_true(loop.now_ms >= before && loop.now_ms <= port_monotonic_ms());
    assert_true(loop.wall_ms >= before_wall - 1000 && loop.wall_ms <= port_wall_ms() + 1000);
}

/* --- helpers -------------------------------------------------------------------------------- */

struct outcome {
    int calls;
    enum err err;
    int exit_code;
    char text[256];
    size_t n;
    struct helper *again; /* started anew from on_done */
};

static char answer[200000];

static void note(struct helper *helper, enum err err, struct str text, int exit_code)
{
    struct outcome *outcome = helper->owner;
    outcome->calls++;
    outcome->err = err;
    outcome->exit_code = exit_code;
    outcome->n = text.n;
    str_copy(str_head(text, sizeof outcome->text - 1), outcome->text, sizeof outcome->text);
    assert_false(helper_running(helper));
    if (outcome->again != NULL) {
        struct helper_job job = helper->job;
        outcome->again = NULL;
        assert_int_equal(helper_start(&loop, helper, &job), OK);
    }
}

static int count_to(void *context, struct out *out)
{
    for (int i = 0; i < *(int *)context; i++)
        out_format(out, "%d\n", i);
    return 3;
}

static int die(void *context, struct out *out)
{
    out_text(out, "half an answer");
    (void)context;
    abort();
}

static int hang(void *context, struct out *out)
{
    (void)out;
    (void)context;
    while (context == NULL)
        port_wait(NULL, 0, -1, NULL);
    return 0;
}

static struct helper_job job_of(int (*work)(void *, struct out *), void *context)
{
    return (struct helper_job){.work = work,
                               .context = context,
                               .timeout_ms = DEADLINE_MS,
                               .buffer = answer,
                               .size = sizeof answer,
                               .on_done = note};
}

/* What the daemon does: turns, and asks about every dead child. */
static void run_until(const int *calls, int wanted)
{
    int64_t end = port_monotonic_ms() + 2 * DEADLINE_MS, pid;
    int exit_code, signal;
    while (*calls < wanted) {
        if (port_monotonic_ms() > end)
            fail_msg("the helper did not end");
        turn(1000);
        while (port_reap(&pid, &exit_code, &signal) == OK)
            helper_reaped(&loop, pid, exit_code, signal);
    }
}

/* Takes the death of one that helper.c has given up. */
static void reap_stranger(int64_t pid)
{
    struct death death = reap(pid);
    assert_false(helper_reaped(&loop, death.pid, death.exit_code, death.signal));
}

static void helper_answer_arrives_whole(void **state)
{
    static struct helper helper;
    struct outcome outcome = {0};
    int count = 20000; /* more than a pipe holds */
    (void)state;
    struct helper_job job = job_of(count_to, &count);
    helper.owner = &outcome;
    assert_int_equal(helper_start(&loop, &helper, &job), OK);
    assert_true(helper_running(&helper));
    run_until(&outcome.calls, 1);
    assert_int_equal(outcome.err, OK);
    assert_int_equal(outcome.exit_code, 3);
    assert_int_equal(outcome.n, 108890);
    assert_memory_equal(answer + outcome.n - 6, "19999\n", 6);
    assert_null(loop.helpers);
    turn(0);
    assert_int_equal(loop.fd_count, 0);
    assert_null(loop.timers);
}

static void helper_may_start_again_when_done(void **state)
{
    static struct helper helper;
    struct outcome outcome = {.again = &helper};
    int count = 2;
    (void)state;
    struct helper_job job = job_of(count_to, &count);
    helper.owner = &outcome;
    assert_int_equal(helper_start(&loop, &helper, &job), OK);
    run_until(&outcome.calls, 2);
    assert_string_equal(outcome.text, "0\n1\n");
}

static void helper_answer_fits_to_the_last_byte(void **state)
{
    static struct helper helper;
    struct outcome outcome = {0};
    int count = 2;
    (void)state;
    struct helper_job job = job_of(count_to, &count);
    job.size = 5; /* out_format() wants one byte for its NUL */
    helper.owner = &outcome;
    assert_int_equal(helper_start(&loop, &helper, &job), OK);
    run_until(&outcome.calls, 1);
    assert_int_equal(outcome.err, OK);
    assert_int_equal(outcome.n, 4);
}

static void helper_answer_that_is_too_large_is_told(void **state)
{
    static struct helper helper;
    struct outcome outcome = {0};
    int count = 1000;
    (void)state;
    struct helper_job job = job_of(count_to, &count);
    job.size = 64;
    helper.owner = &outcome;
    assert_int_equal(helper_start(&loop, &helper, &job), OK);
    int64_t pid = helper.pid;
    while (outcome.calls == 0)
        turn(DEADLINE_MS);
    assert_int_equal(outcome.err, ERR_TOO_LARGE);
    assert_string_equal(outcome.text, "the answer is over 64 bytes");
    assert_int_equal(outcome.exit_code, -1);
    reap_stranger(pid);
}

static void helper_that_crashes_is_an_error(void **state)
{
    static struct helper helper;
    struct outcome outcome = {0};
    (void)state;
    struct helper_job job = job_of(die, NULL);
    helper.owner = &outcome;
    assert_int_equal(helper_start(&loop, &helper, &job), OK);
    run_until(&outcome.calls, 1);
    assert_int_equal(outcome.err, ERR_IO);
    assert_int_equal(outcome.exit_code, -1);
    assert_non_null(strstr(outcome.text, "SIGABRT"));
}

static void helper_is_killed_at_its_deadline(void **state)
{
    static struct helper slow, quick;
    struct outcome late = {0}, done = {0};
    static char other[64];
    int count = 1;
    (void)state;
    struct helper_job job = job_of(hang, NULL);
    job.timeout_ms = 50;
    slow.owner = &late;
    assert_int_equal(helper_start(&loop, &slow, &job), OK);
    int64_t pid = slow.pid;
    job = job_of(count_to, &count);
    job.buffer = other;
    job.size = sizeof other;
    quick.owner = &done;
    assert_int_equal(helper_start(&loop, &quick, &job), OK);
    while (late.calls == 0)
        turn(DEADLINE_MS);
    assert_int_equal(late.err, ERR_TIMEOUT);
    assert_string_equal(late.text, "no answer within 50 ms");
    struct death death = {0};
    while (death.pid != pid) { /* the other may die first: it is still a helper */
        if (port_reap(&death.pid, &death.exit_code, &death.signal) != OK)
            turn(1000);
        else
            assert_int_equal(helper_reaped(&loop, death.pid, death.exit_code, death.signal),
                             death.pid != pid);
    }
    run_until(&done.calls, 1);
    assert_int_equal(done.err, OK);
    assert_int_equal(late.calls, 1);
    assert_int_equal(done.calls, 1);
}

static void helper_cancelled_is_never_heard_of(void **state)
{
    static struct helper helper;
    struct outcome outcome = {0};
    (void)state;
    struct helper_job job = job_of(hang, NULL);
    helper.owner = &outcome;
    assert_int_equal(helper_start(&loop, &helper, &job), OK);
    int64_t pid = helper.pid;
    helper_cancel(&helper);
    helper_cancel(&helper);
    assert_false(helper_running(&helper));
    assert_null(loop.helpers);
    reap_stranger(pid);
    turn(0);
    assert_int_equal(outcome.calls, 0);
}

static void helper_start_fails_cleanly_when_the_loop_is_full(void **state)
{
    static struct loop_fd nodes[LIMIT_WATCHES];
    static struct helper helper;
    struct outcome outcome = {0};
    int64_t pid;
    int exit_code, signal;
    (void)state;
    memset(nodes, 0, sizeof nodes);
    for (size_t i = 0; i < LIMIT_WATCHES; i++)
        assert_int_equal(loop_add(&loop, &nodes[i]), OK);
    struct helper_job job = job_of(hang, NULL);
    helper.owner = &outcome;
    assert_int_equal(helper_start(&loop, &helper, &job), ERR_FULL);
    assert_false(helper_running(&helper));
    assert_null(loop.helpers);
    for (size_t i = 0; i < LIMIT_WATCHES; i++)
        loop_remove(&loop, &nodes[i]);
    while (port_reap(&pid, &exit_code, &signal) != ERR_END) /* its child was killed */
        turn(10);
    assert_int_equal(outcome.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ready_nodes_are_called_once_a_turn, fresh_loop),
        cmocka_unit_test_setup(adding_and_removing_twice_is_harmless, fresh_loop),
        cmocka_unit_test_setup(removed_in_a_callback_is_not_called, fresh_loop),
        cmocka_unit_test_setup(put_to_sleep_in_a_callback_is_not_called, fresh_loop),
        cmocka_unit_test_setup(added_in_a_callback_waits_for_the_next_turn, fresh_loop),
        cmocka_unit_test_setup(order_rotates, fresh_loop),
        cmocka_unit_test_setup(full_loop_refuses_and_recovers, fresh_loop),
        cmocka_unit_test_setup(timers_strike_in_order_and_not_before, fresh_loop),
        cmocka_unit_test_setup(timers_leave_their_heap_in_order, fresh_loop),
        cmocka_unit_test_setup(timer_that_sets_itself_starves_nobody, fresh_loop),
        cmocka_unit_test_setup(timer_cleared_or_moved_by_another_does_not_strike, fresh_loop),
        cmocka_unit_test_setup(what_arrived_in_time_is_seen_before_its_deadline, fresh_loop),
        cmocka_unit_test_setup(wake_makes_one_wait_short, fresh_loop),
        cmocka_unit_test_setup(both_clocks_are_of_this_turn, fresh_loop),
        cmocka_unit_test_setup(helper_answer_arrives_whole, fresh_loop),
        cmocka_unit_test_setup(helper_may_start_again_when_done, fresh_loop),
        cmocka_unit_test_setup(helper_answer_fits_to_the_last_byte, fresh_loop),
        cmocka_unit_test_setup(helper_answer_that_is_too_large_is_told, fresh_loop),
        cmocka_unit_test_setup(helper_that_crashes_is_an_error, fresh_loop),
        cmocka_unit_test_setup(helper_is_killed_at_its_deadline, fresh_loop),
        cmocka_unit_test_setup(helper_cancelled_is_never_heard_of, fresh_loop),
        cmocka_unit_test_setup(helper_start_fails_cleanly_when_the_loop_is_full, fresh_loop),
    };
    return cmocka_run_group_tests_name("loop", tests, support_start, support_end);
}
