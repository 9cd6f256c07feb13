/* Owns the birth of children: programs and forked helpers.  A child starts with default signals,
 * nothing blocked, and no descriptor but those it is given.  Between fork() and exec only
 * async-signal-safe calls are made. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void port_child_signals(void)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    for (int number = 1; number <= SIGRTMAX; number++)
        sigaction(number, &action, NULL); /* refused for SIGKILL and SIGSTOP: no matter */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All signals are blocked across fork(), so that the child never runs our handlers, which write to
 * our pipe. */
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

static enum err make_pipe(int fds[2])
{
    fds[0] = fds[1] = -1;
    return pipe(fds) == -1 ? port_fail() : port_claim_both(fds, false);
}

static void close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] != -1)
            port_close(fds[i]);
}

static const char *path_of(const char *const *env)
{
    for (; *env != NULL; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "/usr/local/bin:/usr/bin:/bin";
}

/* Like execvp(), but with the child's own PATH.  Only comes back on failure, with the reason in
 * errno: that of a program which is there but cannot be started goes before "not found". */
static void execute(const struct port_spawn *what)
{
    char file[4096];
    struct str name = str_of(what->argv[0]), rest = str_of(path_of(what->env));
    int number = ENOENT;
    /* execve() promises not to write through them; its type is older than const. */
    char *const *argv = (char *const *)(uintptr_t)what->argv;
    char *const *env = (char *const *)(uintptr_t)what->env;

    if (str_find(name, '/') < name.n || name.n == 0) {
        execve(what->argv[0], argv, env);
        return;
    }
    for (bool more = true; more;) {
        struct str folder;
        more = str_cut(rest, ':', &folder, &rest);
        if (folder.n == 0) /* POSIX: an empty one is the working directory */
            folder = STR(".");
        if (folder.n + 1 + name.n >= sizeof file)
            continue;
        memcpy(file, folder.p, folder.n);
        file[folder.n] = '/';
        memcpy(file + folder.n + 1, name.p, name.n);
        file[folder.n + 1 + name.n] = '\0';
        execve(file, argv, env);
        if (errno != ENOENT && errno != ENOTDIR)
            number = errno;
    }
    errno = number;
}

static void limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit now;

    if (getrlimit(resource, &now) == -1)
        return;
    if (now.rlim_max != RLIM_INFINITY && hard > now.rlim_max)
        hard = now.rlim_max;
    now.rlim_cur = soft < hard ? soft : hard;
    now.rlim_max = hard;
    setrlimit(resource, &now);
}

/* 0 or less: none.  Limits of one process, not of its group. */
static void set_limits(int64_t memory_bytes, int64_t cpu_s, int64_t open_files, int64_t processes)
{
    if (memory_bytes > 0)
        limit(RLIMIT_AS, (rlim_t)memory_bytes, (rlim_t)memory_bytes);
    if (cpu_s > 0) /* SIGXCPU first, SIGKILL a second later should it be ignored */
        limit(RLIMIT_CPU, (rlim_t)cpu_s, (rlim_t)cpu_s + 1);
    if (open_files > 0)
        limit(RLIMIT_NOFILE, (rlim_t)open_files, (rlim_t)open_files);
#ifdef RLIMIT_NPROC
    if (processes > 0)
        limit(RLIMIT_NPROC, (rlim_t)processes, (rlim_t)processes);
#else
    (void)processes;
#endif
}

static _Noreturn void become_program(const struct port_spawn *what, const int ends[3], int status,
                                     pid_t parent)
{
    int number;
    ssize_t ignored;

    /* Every end is above 2, so none of the three is overwritten before its turn. */
    if (dup2(ends[0], 0) != -1 && dup2(ends[1], 1) != -1 && dup2(ends[2], 2) != -1 &&
        (status == 3 || dup2(status, 3) != -1) && fcntl(3, F_SETFD, FD_CLOEXEC) != -1) {
        status = 3;
        port_close_from(4);
        setsid();
        port_die_with_parent((int64_t)parent);
        if (what->directory == NULL || chdir(what->directory) == 0) {
            port_child_signals();
            set_limits(what->memory_bytes, what->cpu_s, what->open_files, what->processes);
            execute(what);
        }
    }
    number = errno;
    ignored = write(status, &number, sizeof number);
    (void)ignored;
    _exit(127);
}

enum err port_spawn(const struct port_spawn *what, struct port_child *child)
{
    /* Pairs of read and write end: stdin, stdout, stderr, and the one that tells of a failed
     * exec. */
    int fds[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
    enum { IN = 0, OUT = 2, ERR = 4, STATUS = 6, READ_END = 0, WRITE_END = 1 };
    enum err err = OK;
    int number = 0;
    ssize_t got;
    pid_t parent = getpid(), pid;

    *child = (struct port_child){.pid = 0, .in = -1, .out = -1, .err = -1};
    for (size_t i = 0; i < 8 && err == OK; i += 2)
        err = make_pipe(fds + i);
    if (err == OK)
        err = port_set_nonblocking(fds[IN + WRITE_END], true);
    if (err == OK)
        err = port_set_nonblocking(fds[OUT + READ_END], true);
    if (err == OK)
        err = port_set_nonblocking(fds[ERR + READ_END], true);
    if (err != OK)
        goto out;
    pid = fork_blocked();
    if (pid == -1) {
        err = port_fail();
        goto out;
    }
    if (pid == 0) {
        const int ends[3] = {fds[IN + READ_END], fds[OUT + WRITE_END], fds[ERR + WRITE_END]};
        become_program(what, ends, fds[STATUS + WRITE_END], parent);
    }
    port_close(fds[STATUS + WRITE_END]);
    fds[STATUS + WRITE_END] = -1;
    do
        got = read(fds[STATUS + READ_END], &number, sizeof number);
    while (got == -1 && errno == EINTR);
    if (got == (ssize_t)sizeof number) {
        /* It never ran, so nobody need hear of it: its death is taken here. */
        port_reap_one((int64_t)pid);
        err = port_fail_with(number);
        goto out;
    }
    *child = (struct port_child){
        .pid = (int64_t)pid,
        .in = fds[IN + WRITE_END],
        .out = fds[OUT + READ_END],
        .err = fds[ERR + READ_END],
    };
    fds[IN + WRITE_END] = fds[OUT + READ_END] = fds[ERR + READ_END] = -1;
out:
    close_all(fds, 8);
    return err;
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
    limit(RLIMIT_CORE, 0, 0);
    int64_t memory = memory_bytes > 0 && space >= 0 ? space + (int64_t)memory_bytes : 0;
    set_limits(memory, (int64_t)cpu_s, 0, 0);
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
    enum err err = make_pipe(fds);
    pid_t parent = getpid(), child = -1;

    *pid = 0;
    *fd = -1;
    if (err == OK)
        err = port_set_nonblocking(fds[0], true);
    if (err == OK && (child = fork_blocked()) == -1)
        err = port_fail();
    if (err != OK) {
        close_all(fds, 2);
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
