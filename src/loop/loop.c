/* Owns the table of watched descriptors and the turn: wait, read the clocks, dispatch. */
#include "loop/loop.h"

#include "base/assert.h"
#include "loop/timer.h"

static void read_clocks(struct loop *loop)
{
    loop->now_ms = port_monotonic_ms();
    loop->wall_ms = port_wall_ms();
}

void loop_start(struct loop *loop)
{
    *loop = (struct loop){.fd_count = 0};
    read_clocks(loop);
}

/* Moves the last node into every hole.  Not while nodes are dispatched: one would be skipped or
 * called twice. */
static void close_holes(struct loop *loop)
{
    for (size_t i = 0; i < loop->fd_count;) {
        if (loop->fds[i] != NULL) {
            i++;
            continue;
        }
        struct loop_fd *last = loop->fds[--loop->fd_count];
        loop->fds[loop->fd_count] = NULL;
        if (last != NULL) {
            loop->fds[i] = last;
            last->place = i + 1;
        }
    }
}

enum err loop_add(struct loop *loop, struct loop_fd *node)
{
    size_t place = loop->fd_count;

    if (node->place != 0)
        return OK;
    if (place == LIMIT_WATCHES)
        for (place = 0; place < LIMIT_WATCHES && loop->fds[place] != NULL; place++)
            ;
    if (place == LIMIT_WATCHES)
        return ERR_FULL;
    if (place == loop->fd_count)
        loop->fd_count++;
    loop->fds[place] = node;
    node->place = place + 1;
    node->ready = 0;
    return OK;
}

void loop_remove(struct loop *loop, struct loop_fd *node)
{
    if (node->place == 0)
        return;
    ASSERT(loop->fds[node->place - 1] == node);
    loop->fds[node->place - 1] = NULL;
    node->place = 0;
    node->ready = 0;
}

bool loop_has(const struct loop_fd *node)
{
    return node->place != 0;
}

void loop_wake(struct loop *loop)
{
    loop->awake = true;
}

static int64_t timeout(const struct loop *loop, int64_t max_ms)
{
    int64_t left_ms = max_ms;

    if (loop->awake)
        return 0;
    if (loop->timers != NULL) {
        /* What the last turn's work took is no longer left. */
        left_ms = loop->timers->at_ms - port_monotonic_ms();
        if (left_ms < 0)
            left_ms = 0;
        if (max_ms >= 0 && max_ms < left_ms)
            left_ms = max_ms;
    }
    return left_ms;
}

/* Calls every node that was ready when the wait ended, starting one further each turn, so that none
 * is always served before the others. */
static void dispatch(struct loop *loop, size_t count)
{
    size_t first = count == 0 ? 0 : loop->first % count;

    for (size_t i = 0; i < count; i++) {
        struct loop_fd *node = loop->fds[(first + i) % count];
        if (node == NULL)
            continue;
        /* A callback before it may have removed the node, put another in its place (which has
         * nothing ready), or lost interest in it. */
        unsigned ready = node->ready & node->wanted;
        node->ready = 0;
        if (ready != 0)
            node->on_ready(node, ready);
    }
    loop->first = count == 0 ? 0 : (first + 1) % count;
}

enum err loop_wait(struct loop *loop, int64_t max_ms, struct port_signals *signals)
{
    close_holes(loop);
    size_t count = loop->fd_count;
    for (size_t i = 0; i < count; i++)
        loop->watches[i] =
            (struct port_watch){.fd = loop->fds[i]->fd, .wanted = loop->fds[i]->wanted};

    enum err err = port_wait(loop->watches, count, timeout(loop, max_ms), signals);
    loop->awake = false;
    read_clocks(loop);
    if (err != OK)
        return err;
    for (size_t i = 0; i < count; i++)
        loop->fds[i]->ready = loop->watches[i].ready;
    dispatch(loop, count);
    timer_dispatch(loop);
    return OK;
}
