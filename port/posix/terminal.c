/* The standard streams of command-line programs. */
#include "internal.h"

#include <errno.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>

enum err port_stdout(struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t count = write(1, bytes.p, bytes.n);
        if (count > 0) {
            bytes = str_from(bytes, (size_t)count);
        } else if (count == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            /* Somebody who shares the open file made it non-blocking; we still want to write
             * all. */
            fd_set writable;
            FD_ZERO(&writable);
            FD_SET(1U, &writable);
            select(2, NULL, &writable, NULL, NULL);
        } else if (count == -1 && errno != EINTR) {
            return port_fail();
        }
    }
    return OK;
}

bool port_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

void port_terminal_discard(int fd)
{
    tcflush(fd, TCIFLUSH);
}
