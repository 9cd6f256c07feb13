/* A short-lived forked process for what may block, take memory or crash: it computes one answer and
 * ends.  The loop collects the answer without blocking.  A helper inherits all of our memory as it
 * was, and changes none of it.
 *
 * Exactly one of these happens to a started helper: on_done is called once, or helper_cancel() was
 * called. */
#ifndef LOOP_HELPER_H
#define LOOP_HELPER_H

#include "base/out.h"
#include "loop/loop.h"

struct helper;

#define HELPER_KEPT_FD 4

struct helper_job {
    /* Runs in the child.  It may use the heap and block; it writes its answer to `answer` (a
     * private copy of the buffer below) and returns an exit code of 0..255, which on_done gets.  On
     * overflow on_done gets ERR_TOO_LARGE. */
    int (*work)(void *context, struct out *answer);
    void *context;
    unsigned cpu_s;      /* CPU time; 0: no limit */
    size_t memory_bytes; /* beyond what we have, where the platform can limit it; 0: no limit */
    int keep_fd;         /* one more descriptor that the child has, as HELPER_KEPT_FD; 0: none */
    int64_t timeout_ms;  /* from the start; > 0 */
    char *buffer;        /* holds the answer in the parent; ours until on_done or helper_cancel() */
    size_t size;
    /* Called from loop_wait() or helper_reaped(), after the answer has ended and the child was
     * reaped, or was killed at its deadline.  The helper is free before the call and may be started
     * again in it. OK: `answer` (inside `buffer`) is whole and exit_code is what work returned.
     * Otherwise `answer` has words for a message, valid during the call, and exit_code is -1:
     * ERR_TIMEOUT, ERR_TOO_LARGE, ERR_IO (died by a signal). */
    void (*on_done)(struct helper *helper, enum err outcome, struct str answer, int exit_code);
};

struct helper {
    void *owner; /* the caller's, never touched here */

    /* helper.c's. */
    struct loop *loop;
    struct helper_job job;
    struct loop_fd pipe;
    struct loop_timer deadline;
    int64_t pid; /* 0: not running */
    size_t n;    /* bytes of the answer so far */
    bool ended, reaped;
    int exit_code, signal;
    struct helper *next, *previous;
};

/* ERR_FULL: no room in the loop or no descriptor left; ERR_IO: the system cannot fork;
 * port_last_error() has the words.  on_done is not called then, and never before this returns.
 * *job is copied. */
enum err helper_start(struct loop *loop, struct helper *helper, const struct helper_job *job);
bool helper_running(const struct helper *helper);
/* Kills it without a call of on_done.  Nothing happens to one that is not running. */
void helper_cancel(struct helper *helper);
/* Whoever calls port_reap() asks this about every dead child: whether it was a running helper.  One
 * that was killed at its deadline or cancelled is not: its pid is then nobody's, and to be
 * ignored. */
bool helper_knows(const struct loop *loop, int64_t pid); /* whether it is a running one */
bool helper_reaped(struct loop *loop, int64_t pid, int exit_code, int signal);

#endif
