/* Owns the birth of programs.  A child starts with default signals, nothing blocked, and no
 * descriptor but the three it is given; what it may do is settled between its birth and exec, where
 * only async-signal-safe calls are made, because its memory may still be ours. */
#define _XOPEN_SOURCE 700 /* nice() */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum stage { STAGE_PROGRAM, STAGE_USER, STAGE_CONFINED };

/* Why a child did not become its program. */
struct failed {
    int number, stage;
};

struct birth {
    const struct port_spawn *what;
    int ends[3], status;
    int64_t parent;
};

enum err port_pipe(int fds[2])
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

/* The pipe that tells of failures moves to fd 3, and *status with it. */
static bool take_streams(const int ends[3], int *status)
{
    /* Every end is above 2, so none of the three is overwritten before its turn. */
    if (dup2(ends[0], 0) == -1 || dup2(ends[1], 1) == -1 || dup2(ends[2], 2) == -1 ||
        (*status != 3 && dup2(*status, 3) == -1))
        return false;
    *status = 3;
    if (fcntl(3, F_SETFD, FD_CLOEXEC) == -1)
        return false;
    port_close_from(4);
    return true;
}

/* What was there stays barred: who runs the daemon with a tighter mask means its children too. */
static void tighten_umask(void)
{
    mode_t mask = umask(022);
    umask(mask | 022);
}

/* From here on all that is wrong is told through the pipe. */
static enum stage settle(const struct birth *birth, int *status)
{
    const struct port_spawn *what = birth->what;

    if (!take_streams(birth->ends, status))
        return STAGE_PROGRAM;
    setsid();
    (void)port_become_subreaper();
    tighten_umask();
    if (what->directory != NULL && chdir(what->directory) != 0)
        return STAGE_PROGRAM;
    if (what->nice > 0) {
        errno = 0;
        if (nice(what->nice) == -1 && errno != 0)
            return STAGE_PROGRAM;
    }
    if (what->oom_score > 0)
        port_raise_oom_score(what->oom_score);
    port_limit(what->memory_bytes, what->cpu_s, what->open_files, what->processes);
    if (what->changes_user && !port_become(what->uid, what->gid))
        return STAGE_USER;
    /* A change of user takes the parent-death signal back. */
    port_die_with_parent(birth->parent);
    if (what->writable != NULL && !port_confine(what->writable))
        return STAGE_CONFINED;
    port_child_signals();
    execute(what);
    return STAGE_PROGRAM;
}

static void become_program(void *context)
{
    const struct birth *birth = context;
    int status = birth->status;
    struct failed failed = {.stage = (int)settle(birth, &status)};
    failed.number = errno;
    ssize_t ignored = write(status, &failed, sizeof failed);
    (void)ignored;
    _exit(127);
}

static enum err tell(const struct failed *failed)
{
    enum err err = port_fail_with(failed->number);
    if (failed->stage == STAGE_USER)
        return port_fail_text(ERR_DENIED,
                              "it cannot become the user and group that it is to run as");
    if (failed->stage == STAGE_CONFINED)
        return port_fail_text(err, "it cannot be confined by Landlock");
    return err;
}

enum err port_spawn(const struct port_spawn *what, struct port_child *child)
{
    /* Pairs of read and write end: stdin, stdout, stderr, and the one that tells of a failed
     * exec. */
    int fds[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
    enum { IN = 0, OUT = 2, ERR = 4, STATUS = 6, READ_END = 0, WRITE_END = 1 };
    enum err err = OK;
    struct failed failed;
    sigset_t all, kept;
    ssize_t got;

    *child = (struct port_child){.pid = 0, .in = -1, .out = -1, .err = -1};
    for (size_t i = 0; i < 8 && err == OK; i += 2)
        err = port_pipe(fds + i);
    if (err == OK)
        err = port_set_nonblocking(fds[IN + WRITE_END], true);
    if (err == OK)
        err = port_set_nonblocking(fds[OUT + READ_END], true);
    if (err == OK)
        err = port_set_nonblocking(fds[ERR + READ_END], true);
    if (err != OK)
        goto out;
    struct birth birth = {.what = what,
                          .ends = {fds[IN + READ_END], fds[OUT + WRITE_END], fds[ERR + WRITE_END]},
                          .status = fds[STATUS + WRITE_END],
                          .parent = port_pid()};
    /* So that the child never runs our handlers, which would count in memory that it may share with us. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &kept);
    int64_t pid = port_begin(become_program, &birth);
    int number = errno;
    sigprocmask(SIG_SETMASK, &kept, NULL);
    if (pid == -1) {
        err = port_fail_with(number);
        goto out;
    }
    port_close(fds[STATUS + WRITE_END]);
    fds[STATUS + WRITE_END] = -1;
    do
        got = read(fds[STATUS + READ_END], &failed, sizeof failed);
    while (got == -1 && errno == EINTR);
    if (got == (ssize_t)sizeof failed) {
        /* It never ran, so nobody need hear of it: its death is taken here. */
        port_reap_one(pid);
        err = tell(&failed);
        goto out;
    }
    *child = (struct port_child){
        .pid = pid,
        .in = fds[IN + WRITE_END],
        .out = fds[OUT + READ_END],
        .err = fds[ERR + READ_END],
    };
    fds[IN + WRITE_END] = fds[OUT + READ_END] = fds[ERR + READ_END] = -1;
out:
    close_all(fds, 8);
    return err;
}
