/* Owns the bytes of open files: reading, writing, syncing, locking.  Retries what a signal
 * interrupted. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) >= sizeof(int64_t), "files would end at 2 GiB");

int port_open_retrying(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC, 0600);
    while (fd == -1 && errno == EINTR);
    return fd;
}

enum err port_open(const char *path, enum port_open how, int *fd)
{
    static const int flags[] = {
        [PORT_READ] = O_RDONLY,
        [PORT_READ_WRITE] = O_RDWR,
        [PORT_CREATE] = O_RDWR | O_CREAT,
        [PORT_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL,
        [PORT_TRUNCATE] = O_WRONLY | O_CREAT | O_TRUNC,
    };

    /* O_NONBLOCK: opening a FIFO that somebody put in the place of a file must not stop us. */
    *fd = port_open_retrying(path, flags[how] | O_NOCTTY | O_NONBLOCK);
    if (*fd == -1)
        return port_fail();
    return port_claim(fd, false);
}

enum err port_read(int fd, void *to, size_t n, size_t *got)
{
    ssize_t count;

    *got = 0;
    do
        count = read(fd, to, n);
    while (count == -1 && errno == EINTR);
    if (count == -1)
        return port_fail();
    if (count == 0)
        return ERR_END;
    *got = (size_t)count;
    return OK;
}

enum err port_write(int fd, struct str bytes, size_t *put)
{
    ssize_t count;

    *put = 0;
    do
        count = write(fd, bytes.p, bytes.n);
    while (count == -1 && errno == EINTR);
    if (count == -1)
        return port_fail();
    *put = (size_t)count;
    return count == 0 && bytes.n > 0 ? ERR_AGAIN : OK;
}

enum err port_read_at(int fd, void *to, size_t n, int64_t offset, size_t *got)
{
    *got = 0;
    while (*got < n) {
        ssize_t count = pread(fd, (char *)to + *got, n - *got, (off_t)(offset + (int64_t)*got));
        if (count == 0)
            break;
        if (count > 0)
            *got += (size_t)count;
        else if (errno != EINTR)
            return port_fail();
    }
    return OK;
}

enum err port_write_at(int fd, struct str bytes, int64_t offset, size_t *put)
{
    *put = 0;
    while (*put < bytes.n) {
        ssize_t count = pwrite(fd, bytes.p + *put, bytes.n - *put, (off_t)(offset + (int64_t)*put));
        if (count > 0) {
            *put += (size_t)count;
            port_wear_wrote((size_t)count);
        } else if (count == 0) {
            return port_fail_with(ENOSPC);
        } else if (errno == EFBIG) { /* no room by a limit: RLIMIT_FSIZE */
            return port_fail_text(ERR_NO_SPACE, "the file may not grow");
        } else if (errno != EINTR) {
            return port_fail();
        }
    }
    return OK;
}

enum err port_sync(int fd)
{
    int failed;

    port_wear_synced();
    do
        failed = fdatasync(fd);
    while (failed && errno == EINTR);
    return failed ? port_fail() : OK;
}

enum err port_sync_directory(const char *path)
{
    enum err err = OK;
    int fd = port_open_retrying(path, O_RDONLY | O_DIRECTORY);

    if (fd == -1)
        return port_fail();
    port_wear_synced();
    while (fsync(fd) == -1) {
        if (errno == EINTR)
            continue;
        /* Some file systems know no such thing: then names need no syncing, or nothing helps. */
        if (errno != EINVAL)
            err = port_fail();
        break;
    }
    port_close(fd);
    return err;
}

enum err port_truncate(int fd, int64_t size)
{
    int failed;

    do
        failed = ftruncate(fd, (off_t)size);
    while (failed && errno == EINTR);
    return failed ? port_fail() : OK;
}

static enum err read_whole(int fd, char *to, size_t size, size_t *got)
{
    char beyond;

    for (;;) {
        size_t room = size - *got;
        ssize_t count = room > 0 ? read(fd, to + *got, room) : read(fd, &beyond, 1);
        if (count == 0)
            return OK;
        if (count > 0 && room == 0)
            return port_fail_with(EFBIG);
        if (count > 0)
            *got += (size_t)count;
        else if (errno != EINTR)
            return port_fail();
    }
}

enum err port_read_file(const char *path, char *to, size_t size, size_t *got)
{
    int fd = port_open_retrying(path, O_RDONLY | O_NOCTTY);

    *got = 0;
    if (fd == -1)
        return port_fail();
    enum err err = read_whole(fd, to, size, got);
    port_close(fd);
    return err;
}

enum err port_read_regular_file(const char *path, char *to, size_t size, size_t *got)
{
    struct port_stat stat;
    int fd;

    *got = 0;
    enum err err = port_open(path, PORT_READ, &fd);
    if (err != OK)
        return err;
    err = port_stat_fd(fd, &stat);
    if (err == OK && stat.kind != PORT_FILE)
        err = port_fail_text(ERR_INVALID, "is no regular file");
    if (err == OK)
        err = read_whole(fd, to, size, got);
    port_close(fd);
    return err;
}

enum err port_lock(int fd, int64_t *holder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    *holder = 0;
    /* Twice, as the holder may let go between the two questions. */
    for (int attempt = 0; attempt < 2; attempt++) {
        if (fcntl(fd, F_SETLK, &lock) == 0)
            return OK;
        if (errno != EACCES && errno != EAGAIN)
            return port_fail();
        struct flock found = lock;
        if (fcntl(fd, F_GETLK, &found) == -1)
            return port_fail();
        if (found.l_type != F_UNLCK) {
            *holder = found.l_pid > 0 ? (int64_t)found.l_pid : 0;
            break;
        }
    }
    return port_fail_with(EBUSY);
}
