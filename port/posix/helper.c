/* Owns the birth of forked helpers, which go on with a copy of us.  Between fork() and the work only
 * async-signal-safe calls are made. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* All signals are blocked across fork(), so that the child never runs our handlers: it takes the
 * default ones first. */
static pid_t fork_blocked(void)
{
    sigset_t all, kept;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &kept);
    pid_t pid = fork();
    int number = errno;
    if (pid != 0)
        sigprocmask(SIG_SETMASK, &kept, NULL);
    errno = number;
    return pid;
}

static _Noreturn void become_helper(int (*work)(void *context, int fd), void *context, int fd,
                                    int keep, unsigned cpu_s, size_t memory_bytes, pid_t parent)
{
    int64_t space = port_address_space();

    /* Out of the way first: what is kept may stand where the pipe belongs. */
    if (keep >= 0 && (keep = fcntl(keep, F_DUPFD_CLOEXEC, 5)) == -1)
        _exit(127);
    if ((fd != 3 && dup2(fd, 3) == -1) || fcntl(3, F_SETFD, FD_CLOEXEC) == -1)
        _exit(127);
    if (keep >= 0 && (dup2(keep, 4) == -1 || fcntl(4, F_SETFD, FD_CLOEXEC) == -1))
        _exit(127);
    port_close_from(keep >= 0 ? 5 : 4);
    setpgid(0, 0);
    port_die_with_parent((int64_t)parent);
    port_child_signals();
    /* A reader that left early is an answer nobody wants, not a crash. */
    signal(SIGPIPE, SIG_IGN);
    /* A core file would hold the daemon's secrets. */
    port_limit_core();
    int64_t memory = memory_bytes > 0 && space >= 0 ? space + (int64_t)memory_bytes : 0;
    port_limit(memory, (int64_t)cpu_s, 0, 0);
    _exit(work(context, 3) & 0xff);
}

enum err port_fork_helper(int (*work)(void *context, int fd), void *context, unsigned cpu_s,
                          size_t memory_bytes, int64_t *pid, int *fd)
{
    return port_fork_helper_keeping(work, context, cpu_s, memory_bytes, -1, pid, fd);
}

enum err port_fork_helper_keeping(int (*work)(void *context, int fd), void *context, unsigned cpu_s,
                                  size_t memory_bytes, int keep, int64_t *pid, int *fd)
{
    int fds[2];
    enum err err = port_pipe(fds);
    pid_t parent = getpid(), child = -1;

    *pid = 0;
    *fd = -1;
    if (err == OK)
        err = port_set_nonblocking(fds[0], true);
    if (err == OK && (child = fork_blocked()) == -1)
        err = port_fail();
    if (err != OK) {
        for (int i = 0; i < 2; i++)
            if (fds[i] != -1)
                port_close(fds[i]);
        return err;
    }
    if (child == 0)
        become_helper(work, context, fds[1], keep, cpu_s, memory_bytes, parent);
    /* Also here, so that a signal to its group finds it however early it is sent. */
    setpgid(child, child);
    port_close(fds[1]);
    *pid = (int64_t)child;
    *fd = fds[0];
    return OK;
}
