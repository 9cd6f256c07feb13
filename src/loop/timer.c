/* Owns the order of the timers: a pairing heap of the nodes that their owners keep, so that any
 * number can be set and setting one cannot fail.  Setting is O(1), taking the next one out O(log n)
 * on the average. Invariant: no timer is due before its parent, and *timer->link == timer for all
 * that are not clear. */
#include "loop/timer.h"

#include "base/assert.h"

/* Makes one heap of two roots without siblings. */
static struct loop_timer *meld(struct loop_timer *a, struct loop_timer *b)
{
    if (b->at_ms < a->at_ms) {
        struct loop_timer *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (b->next != NULL)
        b->next->link = &b->next;
    a->child = b;
    b->link = &a->child;
    return a;
}

static void set_root(struct loop *loop, struct loop_timer *root)
{
    loop->timers = root;
    if (root != NULL) {
        root->next = NULL;
        root->link = &loop->timers;
    }
}

/* Makes one heap of a list of siblings: in pairs from the left, then all pairs from the right. */
static struct loop_timer *meld_list(struct loop_timer *list)
{
    struct loop_timer *pairs = NULL, *root = NULL;

    while (list != NULL) {
        struct loop_timer *a = list, *b = a->next;
        list = b == NULL ? NULL : b->next;
        a->next = NULL;
        if (b != NULL) {
            b->next = NULL;
            a = meld(a, b);
        }
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        struct loop_timer *one = pairs;
        pairs = one->next;
        one->next = NULL;
        root = root == NULL ? one : meld(root, one);
    }
    return root;
}

/* Takes the node out of the list that it stands in; its children stay with it. */
static void unlink_node(struct loop_timer *timer)
{
    ASSERT(*timer->link == timer);
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->next = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms)
{
    loop_timer_clear(loop, timer);
    timer->at_ms = at_ms;
    timer->state = LOOP_TIMER_SET;
    timer->child = timer->next = NULL;
    set_root(loop, loop->timers == NULL ? timer : meld(loop->timers, timer));
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    if (timer->state == LOOP_TIMER_CLEAR)
        return;
    unlink_node(timer);
    if (timer->state == LOOP_TIMER_SET) {
        struct loop_timer *rest = meld_list(timer->child);
        if (loop->timers != NULL && rest != NULL)
            rest = meld(loop->timers, rest);
        set_root(loop, rest != NULL ? rest : loop->timers);
    }
    timer->child = NULL;
    timer->state = LOOP_TIMER_CLEAR;
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
    return timer->state != LOOP_TIMER_CLEAR;
}

void timer_dispatch(struct loop *loop)
{
    struct loop_timer **tail = &loop->due;

    /* All that are due move to a list first: one that sets itself again at once waits for the next
     * turn, and cannot keep others from theirs. */
    ASSERT(loop->due == NULL);
    while (loop->timers != NULL && loop->timers->at_ms <= loop->now_ms) {
        struct loop_timer *timer = loop->timers;
        loop_timer_clear(loop, timer);
        timer->state = LOOP_TIMER_DUE;
        timer->link = tail;
        *tail = timer;
        tail = &timer->next;
    }
    while (loop->due != NULL) {
        struct loop_timer *timer = loop->due;
        loop_timer_clear(loop, timer);
        timer->on_due(timer);
    }
}
