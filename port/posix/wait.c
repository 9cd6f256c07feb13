/* Owns the signal handlers and the self-pipe.  Handlers count and write one byte, nothing else; the
 * counters are compared with what was reported before, so no signal is lost between two waits.
 * Handlers need writable statics: these are they. */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

/* Counts wrap below the smallest sig_atomic_t that POSIX systems have. */
#define COUNT_MASK 0x7fff

/* The longest sleep: some systems refuse more than 31 days.  The caller's loop waits again. */
#define SLEEP_MS_MAX 86400000

enum { SEEN_TERMINATE, SEEN_RELOAD, SEEN_CHILD, SEEN_KINDS };

static volatile sig_atomic_t counts[SEEN_KINDS];
static int reported[SEEN_KINDS];
static int wake_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int kept = errno;
    int kind = number == SIGCHLD ? SEEN_CHILD : number == SIGHUP ? SEEN_RELOAD : SEEN_TERMINATE;
    ssize_t ignored;

    counts[kind] = (counts[kind] + 1) & COUNT_MASK;
    /* A full pipe wakes as well as one byte more would. */
    ignored = write(wake_pipe[1], "", 1);
    (void)ignored;
    errno = kept;
}

enum err port_signals_start(void)
{
    static const int handled[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    struct sigaction action;

    if (wake_pipe[0] == -1) {
        int fds[2];
        if (pipe(fds) == -1)
            return port_fail();
        enum err err = port_claim_both(fds, true);
        if (err != OK)
            return err;
        wake_pipe[0] = fds[0];
        wake_pipe[1] = fds[1];
    }
    memset(&action, 0, sizeof action);
    /* Handlers exclude each other, so that counting up cannot be interrupted by another count. */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
        sigaddset(&action.sa_mask, handled[i]);
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) {
        action.sa_flags = handled[i] == SIGCHLD ? SA_RESTART | SA_NOCLDSTOP : SA_RESTART;
        if (sigaction(handled[i], &action, NULL) == -1)
            return port_fail();
    }
    /* Whoever started us may have blocked them. */
    if (sigprocmask(SIG_UNBLOCK, &action.sa_mask, NULL) == -1)
        return port_fail();
    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    /* A file that may not grow is an error of the write, as a full disk is. */
    if (sigaction(SIGPIPE, &action, NULL) == -1 || sigaction(SIGXFSZ, &action, NULL) == -1)
        return port_fail();
    return OK;
}

static unsigned take(int kind)
{
    int now = counts[kind];
    unsigned news = (unsigned)(now - reported[kind]) & COUNT_MASK;
    reported[kind] = now;
    return news;
}

static void drain_pipe(void)
{
    char bytes[64];
    while (read(wake_pipe[0], bytes, sizeof bytes) > 0)
        ;
}

/* The macros compute with int on some systems and with size_t on others; ours are never negative
 * here, and below FD_SETSIZE. */
static void set_add(fd_set *set, int fd)
{
    FD_SET((unsigned)fd, set);
}

static bool set_has(fd_set *set, int fd)
{
    return FD_ISSET((unsigned)fd, set) != 0;
}

enum err port_wait(struct port_watch *watches, size_t count, int64_t timeout_ms,
                   struct port_signals *signals)
{
    fd_set readable, writable;
    struct timeval timeout;
    int highest = wake_pipe[0];

    FD_ZERO(&readable);
    FD_ZERO(&writable);
    if (wake_pipe[0] != -1)
        set_add(&readable, wake_pipe[0]);
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
        timeout.tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000);
    }
    int found = select(highest + 1, &readable, &writable, NULL, timeout_ms < 0 ? NULL : &timeout);
    if (found == -1 && errno != EINTR)
        return port_fail();
    if (found == -1 || (wake_pipe[0] != -1 && set_has(&readable, wake_pipe[0])))
        drain_pipe();
    if (signals != NULL) {
        /* Read after draining: a signal in between is reported now and leaves a byte, which wakes
         * the next wait for nothing.  The other way round it would be lost. */
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
