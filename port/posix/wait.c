/* Owns the signal handlers.  They only count, and run inside port_wait() alone: everywhere else the signals are blocked.  So no call
 * elsewhere is interrupted, none is lost between a look at the counts and the wait, and a handler's frame, which holds all of the
 * processor's vectors (3.4 KiB with AVX-512), lies where the stack is shallow.  The counts and the mask are writable statics, which
 * handlers need. */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>

/* The longest sleep: some systems refuse more than 31 days.  The caller's loop waits again. */
#define SLEEP_MS_MAX 86400000

enum { SEEN_TERMINATE, SEEN_RELOAD, SEEN_CHILD, SEEN_KINDS };

static volatile sig_atomic_t counts[SEEN_KINDS];
static sigset_t in_wait; /* what is blocked meanwhile */
static bool started;

static void on_signal(int number)
{
    counts[number == SIGCHLD ? SEEN_CHILD : number == SIGHUP ? SEEN_RELOAD : SEEN_TERMINATE]++;
}

enum err port_signals_start(void)
{
    static const int handled[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    /* Handlers exclude each other, so that counting up cannot be interrupted by another count. */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
        sigaddset(&action.sa_mask, handled[i]);
    if (sigprocmask(SIG_BLOCK, &action.sa_mask, &in_wait) == -1)
        return port_fail();
    /* Whoever started us may have blocked them. */
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
        sigdelset(&in_wait, handled[i]);
    started = true;
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) {
        action.sa_flags = handled[i] == SIGCHLD ? SA_NOCLDSTOP : 0;
        if (sigaction(handled[i], &action, NULL) == -1)
            return port_fail();
    }
    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    /* A file that may not grow is an error of the write, as a full disk is. */
    if (sigaction(SIGPIPE, &action, NULL) == -1 || sigaction(SIGXFSZ, &action, NULL) == -1)
        return port_fail();
    return OK;
}

/* Only while the signals are blocked. */
static unsigned take(int kind)
{
    int seen = counts[kind];
    counts[kind] = 0;
    return (unsigned)seen;
}

/* The macros compute with int, long or size_t: a number that is positive and fits into all of them converts without a word. */
static void set_add(fd_set *set, int fd)
{
    FD_SET((unsigned short)fd, set);
}

static bool set_has(fd_set *set, int fd)
{
    return FD_ISSET((unsigned short)fd, set) != 0;
}

enum err port_wait(struct port_watch *watches, size_t count, int64_t timeout_ms,
                   struct port_signals *signals)
{
    fd_set readable, writable;
    struct timespec timeout = {.tv_sec = 0};
    const struct timespec at_once = {.tv_sec = 0};
    int highest = -1;

    FD_ZERO(&readable);
    FD_ZERO(&writable);
    for (size_t i = 0; i < count; i++) {
        struct port_watch *watch = &watches[i];
        watch->ready = 0;
        if (watch->wanted == 0 || watch->fd < 0)
            continue;
        if (watch->fd >= (int)FD_SETSIZE)
            return port_fail_text(ERR_FULL, "the descriptor is too large for select()");
        if (watch->wanted & PORT_READABLE)
            set_add(&readable, watch->fd);
        if (watch->wanted & PORT_WRITABLE)
            set_add(&writable, watch->fd);
        if (watch->fd > highest)
            highest = watch->fd;
    }
    if (timeout_ms > SLEEP_MS_MAX)
        timeout_ms = SLEEP_MS_MAX;
    if (timeout_ms >= 0) {
        timeout.tv_sec = (time_t)(timeout_ms / 1000);
        timeout.tv_nsec = (long)(timeout_ms % 1000 * 1000000);
    }
    int found = pselect(highest + 1, &readable, &writable, NULL, timeout_ms < 0 ? NULL : &timeout,
                        started ? &in_wait : NULL);
    if (found == -1 && errno != EINTR)
        return port_fail();
    /* A wait lets one signal in, and none when a descriptor is ready: one that always is would keep them out. */
    for (int i = 0; started && found != 0 && i < SEEN_KINDS + 1; i++)
        if (pselect(0, NULL, NULL, NULL, &at_once, &in_wait) == 0)
            break;
    if (signals != NULL) {
        signals->terminate = take(SEEN_TERMINATE);
        signals->reload = take(SEEN_RELOAD);
        signals->child = take(SEEN_CHILD) > 0;
    }
    for (size_t i = 0; found > 0 && i < count; i++) {
        struct port_watch *watch = &watches[i];
        if (watch->wanted == 0 || watch->fd < 0)
            continue;
        if ((watch->wanted & PORT_READABLE) && set_has(&readable, watch->fd))
            watch->ready |= PORT_READABLE;
        if ((watch->wanted & PORT_WRITABLE) && set_has(&writable, watch->fd))
            watch->ready |= PORT_WRITABLE;
    }
    return OK;
}
