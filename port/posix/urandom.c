/* Reads the random device that every system we know has. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum err port_urandom(void *bytes, size_t n)
{
    size_t done = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        port_fail();
        return ERR_IO;
    }
    while (done < n) {
        ssize_t got = read(fd, (char *)bytes + done, n - done);
        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            port_fail_with(got == 0 ? EIO : errno);
            port_close(fd);
            return ERR_IO;
        }
    }
    port_close(fd);
    return OK;
}
