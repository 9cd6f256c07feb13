/* POSIX can only reserve space for bytes that the file already has: its call grows the file. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum err port_preallocate(int fd, int64_t size)
{
    struct stat now;
    int failed;

    if (fstat(fd, &now) == -1)
        return port_fail();
    if ((int64_t)now.st_size < size)
        return port_fail_with(ENOTSUP);
    do
        failed = posix_fallocate(fd, 0, (off_t)size);
    while (failed == EINTR);
    if (failed == EINVAL || failed == ENODEV)
        failed = ENOTSUP;
    return failed ? port_fail_with(failed) : OK;
}
