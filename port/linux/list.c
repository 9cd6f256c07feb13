/* The walk through the names of a directory without the heap of the C library's directory stream: the daemon looks through
 * a directory of CAs within its loop. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel lays it out. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char kind;
    char name[];
};

static bool give(const char *bytes, size_t n, bool (*each)(void *context, const char *name),
                 void *context)
{
    for (size_t at = 0; at < n;) {
        unsigned short size;
        const char *name = bytes + at + offsetof(struct entry, name);
        memcpy(&size, bytes + at + offsetof(struct entry, size), sizeof size);
        at += size;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !each(context, name))
            return false;
    }
    return true;
}

enum err port_list(const char *path, bool (*each)(void *context, const char *name), void *context)
{
    char bytes[2048];
    enum err err = OK;
    int fd = port_open_retrying(path, O_RDONLY | O_DIRECTORY);

    if (fd == -1)
        return port_fail();
    for (;;) {
        long n = syscall(SYS_getdents64, fd, bytes, sizeof bytes);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            err = port_fail();
        if (n <= 0 || !give(bytes, (size_t)n, each, context))
            break;
    }
    (void)close(fd);
    return err;
}
