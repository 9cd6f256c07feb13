/* The calls themselves, as the linker exchanges them: __wrap_x stands where port/ calls x, __real_x is what it would have been.
 * Owns the counters, the names of open files and the trace.  Invariant: a call that nobody asked about goes through unchanged. */
#define _GNU_SOURCE
#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 1024
#define NAME 300

static struct fault_control own_control;
struct fault_control *fault_control = &own_control;
void (*fault_on_call)(const struct fault_trace *call, const char *path, const char *to,
                      const void *data);

static char below[NAME];
static size_t below_length;
static int trace_fd = -1;
static pid_t daemon_pid;
/* What a descriptor was opened as; the inode tells whether it still is that. */
static struct {
    char path[NAME];
    ino_t inode;
    dev_t device;
} files[FDS];

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __real_pread(int fd, void *to, size_t n, off_t offset);
ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __real_pwrite(int fd, const void *bytes, size_t n, off_t offset);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_fallocate(int fd, int mode, off_t offset, off_t n);
int __real_posix_fallocate(int fd, off_t offset, off_t n);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __real_stat(const char *path, struct stat *stat);
int __real_fstat(int fd, struct stat *stat);
DIR *__real_opendir(const char *path);
pid_t __real_fork(void);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __real_pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
                   const sigset_t *mask);

/* --- setting up ------------------------------------------------------------------------------------------------------ */

void fault_below(const char *directory)
{
    below_length = directory == NULL ? 0 : strlen(directory);
    if (below_length >= sizeof below)
        abort();
    memcpy(below, directory == NULL ? "" : directory, below_length + 1);
}

static void open_trace(void)
{
    int fd = __real_open(getenv("FAULT_TRACE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    trace_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900); /* out of the way of what is tested */
    if (trace_fd == -1)
        abort();
    __real_close(fd);
}

/* A sanitizer's runtime calls us while it sets itself up, and nothing works yet. */
static bool is_up;

__attribute__((constructor)) static void come_up(void)
{
    is_up = true;
}

static void start(void)
{
    static bool started;
    if (started || !is_up)
        return;
    started = true;
    daemon_pid = getpid();
    own_control.processes = FAULT_IN_DAEMON | FAULT_IN_HELPERS;
    const char *control = getenv("FAULT_CONTROL");
    if (control != NULL) {
        int fd = __real_open(control, O_RDWR | O_CLOEXEC);
        void *map = fd == -1
                        ? MAP_FAILED
                        : mmap(NULL, sizeof own_control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            abort();
        fault_control = map;
        __real_close(fd);
    }
    if (getenv("FAULT_PATH") != NULL)
        fault_below(getenv("FAULT_PATH"));
    if (getenv("FAULT_TRACE") != NULL)
        open_trace();
}

static bool is_ours(const char *path)
{
    start();
    return below_length > 0 && strncmp(path, below, below_length) == 0 &&
           (path[below_length] == '/' || path[below_length] == '\0');
}

static const char *path_of(int fd, ino_t *inode)
{
    struct stat found;
    start();
    if (below_length == 0 || fd < 0 || fd >= FDS || files[fd].path[0] == '\0')
        return NULL;
    if (__real_fstat(fd, &found) != 0 || found.st_ino != files[fd].inode ||
        found.st_dev != files[fd].device)
        return NULL;
    *inode = found.st_ino;
    return files[fd].path;
}

static void remember(int fd, const char *path)
{
    struct stat found;
    if (fd < 0 || fd >= FDS || strlen(path) >= NAME || __real_fstat(fd, &found) != 0)
        return;
    memcpy(files[fd].path, path, strlen(path) + 1);
    files[fd].inode = found.st_ino;
    files[fd].device = found.st_dev;
}

/* --- the fault ------------------------------------------------------------------------------------------------------- */

static void die(void)
{
    kill(daemon_pid, SIGKILL);
    for (;;)
        raise(SIGKILL);
}

/* One more; the new count. Where a machine counts 64 bits in two steps, one of two that count at the very same moment may be lost. */
static int64_t count_one(int64_t *counter)
{
#if __GCC_ATOMIC_LLONG_LOCK_FREE == 2
    return __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
#else
    return ++*(volatile int64_t *)counter;
#endif
}

/* What is to become of this call; it is counted. */
static enum fault_action arrive(enum fault_kind kind, const char *path)
{
    struct fault_control *control = fault_control;
    int who = getpid() == daemon_pid ? FAULT_IN_DAEMON : FAULT_IN_HELPERS;
    count_one(&control->by_kind[kind]);
    if ((control->kinds >> kind & 1) == 0 || (control->processes & who) == 0)
        return FAULT_NOTHING;
    int64_t number = count_one(&control->seen);
    if (control->action == FAULT_NOTHING || number < control->from || number >= control->until)
        return FAULT_NOTHING;
    control->fired_kind = kind;
    control->fired_in_helper = who == FAULT_IN_HELPERS;
    strncpy(control->fired_path, path, sizeof control->fired_path - 1);
    count_one(&control->fired);
    enum fault_action action = (enum fault_action)control->action;
    if (action == FAULT_KILL_BEFORE)
        die();
    if (action == FAULT_SHORT_FAIL)
        action = number == control->from ? FAULT_SHORT : FAULT_FAIL;
    while (action == FAULT_HOLD) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        if (*(volatile int64_t *)&control->action != FAULT_HOLD)
            action = FAULT_NOTHING;
    }
    return action;
}

static void write_trace(const struct fault_trace *call, const char *path, const char *to,
                        const void *data)
{
    struct iovec parts[] = {
        {(void *)(uintptr_t)call, sizeof *call},
        {(void *)(uintptr_t)path, (size_t)call->path_length},
        {(void *)(uintptr_t)to, (size_t)call->to_length},
        {(void *)(uintptr_t)data, (size_t)call->data_length},
    };
    if (writev(trace_fd, parts, 4) >= 0)
        return;
    open_trace(); /* a helper has closed whatever it does not know */
    if (writev(trace_fd, parts, 4) < 0)
        abort();
}

/* The call was made, or made to fail. */
static void leave(enum fault_action action, enum fault_kind kind, const char *path, const char *to,
                  ino_t inode, int64_t offset, int64_t result, const void *data)
{
    int kept = errno;
    struct fault_trace call = {
        .kind = kind,
        .in_helper = getpid() != daemon_pid,
        .inode = (int64_t)inode,
        .offset = offset,
        .result = result,
        .path_length = (int64_t)strlen(path),
        .to_length = (int64_t)strlen(to),
        .data_length = data != NULL && result > 0 ? result : 0,
    };
    if (fault_on_call != NULL)
        fault_on_call(&call, path, to, data);
    if (trace_fd != -1)
        write_trace(&call, path, to, data);
    if (action == FAULT_KILL_AFTER)
        die();
    errno = kept;
}

static int64_t refuse(void)
{
    errno = (int)fault_control->error;
    return -1;
}

/* Makes a call that has no bytes: `real` stands for it. */
#define CALL(result, kind, path, to, inode, offset, real)                                          \
    do {                                                                                           \
        enum fault_action action_ = arrive(kind, path);                                            \
        (result) = action_ == FAULT_FAIL ? (int)refuse() : (real);                                 \
        leave(action_, kind, path, to, inode, offset, (result), NULL);                             \
        if (action_ == FAULT_DO_AND_FAIL)                                                          \
            (result) = (int)refuse();                                                              \
    } while (0)

/* --- the calls -------------------------------------------------------------------------------------------------------- */

int __wrap_open(const char *path, int flags, ...)
{
    struct stat found = {0};
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    /* O_PATH: a name for the rules of a sandbox, no file that is read or written. */
    if (!is_ours(path) || (flags & O_PATH) != 0)
        return __real_open(path, flags, mode);
    enum fault_action action = arrive(FAULT_OPEN, path);
    if (action == FAULT_FAIL)
        return (int)refuse();
    int fd = __real_open(path, flags, mode);
    if (fd >= 0) {
        remember(fd, path);
        (void)__real_fstat(fd, &found);
    }
    leave(action, FAULT_OPEN, path, "", found.st_ino, flags, fd >= 0 ? 0 : -1, NULL);
    return fd;
}

int __wrap_close(int fd)
{
    ino_t inode = 0;
    int result;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_close(fd);
    CALL(result, FAULT_CLOSE, path, "", inode, 0, __real_close(fd));
    files[fd].path[0] = '\0';
    return result;
}

static ssize_t read_some(int fd, void *to, size_t n, off_t offset, bool at)
{
    ino_t inode = 0;
    const char *path = path_of(fd, &inode);
    enum fault_action action = path == NULL ? FAULT_NOTHING : arrive(FAULT_READ, path);
    if (action == FAULT_FAIL)
        return (ssize_t)refuse();
    if (action == FAULT_SHORT && n > 1)
        n /= 2;
    ssize_t got = at ? __real_pread(fd, to, n, offset) : __real_read(fd, to, n);
    if (path != NULL)
        leave(action, FAULT_READ, path, "", inode, offset, got, NULL);
    return got;
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
    return read_some(fd, to, n, 0, false);
}

ssize_t __wrap_pread(int fd, void *to, size_t n, off_t offset)
{
    return read_some(fd, to, n, offset, true);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    ino_t inode = 0;
    start();
    if (fd <= 2 || below_length == 0)
        return __real_write(fd, bytes, n);
    const char *path = path_of(fd, &inode);
    enum fault_kind kind = path == NULL ? FAULT_OUT : FAULT_WRITE;
    enum fault_action action = arrive(kind, path == NULL ? "" : path);
    if (action == FAULT_FAIL)
        return (ssize_t)refuse();
    ssize_t put = __real_write(fd, bytes, action == FAULT_SHORT && n > 1 ? n / 2 : n);
    leave(action, kind, path == NULL ? "" : path, "", inode, 0, put, bytes);
    return put;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    ino_t inode = 0;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_pwrite(fd, bytes, n, offset);
    enum fault_action action = arrive(FAULT_WRITE, path);
    if (action == FAULT_FAIL)
        return (ssize_t)refuse();
    ssize_t put = __real_pwrite(fd, bytes, action == FAULT_SHORT && n > 1 ? n / 2 : n, offset);
    leave(action, FAULT_WRITE, path, "", inode, offset, put, bytes);
    return put;
}

int __wrap_fdatasync(int fd)
{
    ino_t inode = 0;
    int result;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_fdatasync(fd);
    CALL(result, FAULT_SYNC, path, "", inode, 0,
         fault_control->no_syncs ? 0 : __real_fdatasync(fd));
    return result;
}

int __wrap_fsync(int fd)
{
    ino_t inode = 0;
    int result;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_fsync(fd);
    CALL(result, FAULT_SYNC_NAMES, path, "", inode, 0,
         fault_control->no_syncs ? 0 : __real_fsync(fd));
    return result;
}

int __wrap_ftruncate(int fd, off_t size)
{
    ino_t inode = 0;
    int result;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_ftruncate(fd, size);
    CALL(result, FAULT_TRUNCATE, path, "", inode, size, __real_ftruncate(fd, size));
    return result;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t n)
{
    ino_t inode = 0;
    int result;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_fallocate(fd, mode, offset, n);
    CALL(result, FAULT_ALLOCATE, path, "", inode, offset + n,
         __real_fallocate(fd, mode, offset, n));
    return result;
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t n)
{
    ino_t inode = 0;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_posix_fallocate(fd, offset, n);
    enum fault_action action = arrive(FAULT_ALLOCATE, path);
    int error =
        action == FAULT_FAIL ? (int)fault_control->error : __real_posix_fallocate(fd, offset, n);
    leave(action, FAULT_ALLOCATE, path, "", inode, offset + n, error == 0 ? 0 : -1, NULL);
    return error;
}

int __wrap_rename(const char *from, const char *to)
{
    int result;
    if (!is_ours(from))
        return __real_rename(from, to);
    CALL(result, FAULT_RENAME, from, to, 0, 0, __real_rename(from, to));
    return result;
}

int __wrap_unlink(const char *path)
{
    int result;
    if (!is_ours(path))
        return __real_unlink(path);
    CALL(result, FAULT_UNLINK, path, "", 0, 0, __real_unlink(path));
    return result;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    int result;
    if (!is_ours(path))
        return __real_mkdir(path, mode);
    CALL(result, FAULT_MAKE_DIRECTORY, path, "", 0, 0, __real_mkdir(path, mode));
    return result;
}

int __wrap_rmdir(const char *path)
{
    int result;
    if (!is_ours(path))
        return __real_rmdir(path);
    CALL(result, FAULT_REMOVE_DIRECTORY, path, "", 0, 0, __real_rmdir(path));
    return result;
}

int __wrap_stat(const char *path, struct stat *stat)
{
    int result;
    if (!is_ours(path))
        return __real_stat(path, stat);
    CALL(result, FAULT_STAT, path, "", 0, 0, __real_stat(path, stat));
    return result;
}

int __wrap_fstat(int fd, struct stat *stat)
{
    ino_t inode = 0;
    int result;
    const char *path = path_of(fd, &inode);
    if (path == NULL)
        return __real_fstat(fd, stat);
    CALL(result, FAULT_STAT, path, "", inode, 0, __real_fstat(fd, stat));
    return result;
}

DIR *__wrap_opendir(const char *path)
{
    if (!is_ours(path))
        return __real_opendir(path);
    enum fault_action action = arrive(FAULT_LIST, path);
    if (action == FAULT_FAIL)
        (void)refuse();
    DIR *opened = action == FAULT_FAIL ? NULL : __real_opendir(path);
    leave(action, FAULT_LIST, path, "", 0, 0, opened == NULL ? -1 : 0, NULL);
    return opened;
}

pid_t __wrap_fork(void)
{
    start();
    if (below_length == 0)
        return __real_fork();
    enum fault_action action = arrive(FAULT_FORK, "");
    if (action == FAULT_FAIL)
        return (pid_t)refuse();
    pid_t pid = __real_fork();
    if (pid > 0 && action == FAULT_KILL_AFTER)
        die();
    return pid;
}

/* --- time -------------------------------------------------------------------------------------------------------------- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);
    start();
    int64_t offset = fault_control->wall_offset_ms;
    if (clock == CLOCK_REALTIME && result == 0 && offset != 0) {
        int64_t ms = (int64_t)now->tv_sec * 1000 + now->tv_nsec / 1000000 + offset;
        now->tv_sec = (time_t)(ms / 1000);
        now->tv_nsec = (long)(ms % 1000) * 1000000 + now->tv_nsec % 1000000;
    }
    return result;
}

/* The wait of a turn; the look for signals behind it watches nothing. */
int __wrap_pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
                   const sigset_t *mask)
{
    start();
    if (below_length > 0 && in != NULL) {
        enum fault_action action = arrive(FAULT_WAIT, "");
        leave(action, FAULT_WAIT, "", "", 0, 0, 0, NULL);
    }
    return __real_pselect(n, in, out, except, timeout, mask);
}
