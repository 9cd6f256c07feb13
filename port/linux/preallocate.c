/* Reserves blocks beyond the end of the file without growing it: FALLOC_FL_KEEP_SIZE. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <errno.h>
#include <fcntl.h>

enum err port_preallocate(int fd, int64_t size)
{
    int failed;

    if (size <= 0)
        return OK;
    do
        failed = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    while (failed && errno == EINTR);
    if (!failed)
        return OK;
    return port_fail_with(errno == ENODEV ? ENOTSUP : errno);
}
