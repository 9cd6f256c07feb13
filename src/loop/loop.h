/* The one select() loop: watched descriptors and timers, both as nodes that their owners keep,
 * zeroed before first use.  It allocates nothing, keeps no node beyond loop_remove() or
 * loop_timer_clear(), and never reads or writes a watched descriptor itself.  Invariant: a node
 * that is not in the loop is never called.
 *
 * Callbacks may add, remove and change any node of the loop, their own included, and may free or
 * reuse the memory of a node that they have removed.  They must not call loop_wait(). */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/err.h"
#include "base/limits.h"
#include "port.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct helper;

struct loop_fd {
    /* The owner's: set before loop_add(). */
    int fd;               /* not changed while in the loop */
    unsigned char wanted; /* PORT_READABLE, PORT_WRITABLE; write it at any time; 0: asleep */
    /* `ready` holds only bits that are wanted at the moment of the call.  One call a turn, so do
     * bounded work: what stays unread makes the next wait return at once. */
    void (*on_ready)(struct loop_fd *node, unsigned ready);
    void *context;

    /* The loop's. */
    unsigned char ready;
    size_t place; /* index + 1 in loop->fds; 0: not in the loop */
};

struct loop_timer {
    /* The owner's.  The timer is clear when on_due is called; it may be set again in it. */
    void (*on_due)(struct loop_timer *timer);
    void *context;

    /* Read only: when it is due on loop->now_ms's clock. */
    int64_t at_ms;

    /* The loop's: a pairing heap of siblings and children, or the list of those due in this
     * turn. */
    enum { LOOP_TIMER_CLEAR = 0, LOOP_TIMER_SET, LOOP_TIMER_DUE } state;
    struct loop_timer *child, *next;
    struct loop_timer **link; /* the pointer that points at this node */
};

struct loop {
    int64_t now_ms;  /* monotonic; read once a turn: what everybody computes deadlines with */
    int64_t wall_ms; /* Unix time of the same moment; for time stamps alone */

    /* The loop's. */
    struct loop_fd
        *fds[LIMIT_WATCHES];   /* NULL: a hole left by a removal, closed before the next wait */
    size_t fd_count;           /* used places, holes included */
    size_t first;              /* where dispatch starts: moves on by one every turn */
    struct loop_timer *timers; /* root of the heap: the next one due */
    struct loop_timer *due;
    struct helper *helpers; /* running ones; see helper.h */
    bool awake;             /* the next wait does not sleep */
    struct port_watch watches[LIMIT_WATCHES];
};

/* Empties the loop and reads both clocks. */
void loop_start(struct loop *loop);

/* ERR_FULL: LIMIT_WATCHES nodes are in the loop. A node that is in it already stays where it is. */
enum err loop_add(struct loop *loop, struct loop_fd *node);
/* Nothing happens to a node that is not in the loop. The descriptor is the owner's to close, before
 * or after. */
void loop_remove(struct loop *loop, struct loop_fd *node);
bool loop_has(const struct loop_fd *node);

/* Sets or moves a timer; there may be any number.  A time that has passed is due in the next turn,
 * never in the one that is being dispatched. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms);
/* Nothing happens to a timer that is not set. */
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);
bool loop_timer_is_set(const struct loop_timer *timer);

/* The earlier of two times in ms, of which -1 is never. */
static inline int64_t loop_earlier(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* The next loop_wait() looks once instead of sleeping. */
void loop_wake(struct loop *loop);

/* One turn: sleeps until a descriptor is ready, a timer is due, a signal came or max_ms passed (-1:
 * no bound of its own), reads the clocks, then calls on_ready of the ready descriptors and after
 * them on_due of the due timers: what arrived in time is seen before its deadline strikes.
 * *signals is what came since the last turn. Errors are those of port_wait(); nothing is dispatched
 * then. */
enum err loop_wait(struct loop *loop, int64_t max_ms, struct port_signals *signals);

#endif
