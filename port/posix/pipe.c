/* Owns the two descriptors over which an integration speaks.  Stands alone, because programs of
 * others are linked with it: no state, no other file of the port. */
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

enum err port_pipe_take(int *in, int *out)
{
    *in = fcntl(0, F_DUPFD_CLOEXEC, 3);
    *out = fcntl(1, F_DUPFD_CLOEXEC, 3);
    int nothing = open("/dev/null", O_RDWR);
    bool bad = *in == -1 || *out == -1 || nothing == -1 || dup2(nothing, 0) == -1 ||
               (fcntl(2, F_GETFD) == -1 && dup2(nothing, 2) == -1) || dup2(2, 1) == -1;
    if (nothing > 2)
        close(nothing);
    return bad ? ERR_IO : OK;
}

static void wait_for(int fd, short events)
{
    struct pollfd watch = {.fd = fd, .events = events};
    while (poll(&watch, 1, -1) == -1 && errno == EINTR)
        ;
}

enum err port_pipe_read(int fd, void *to, size_t n, size_t *got)
{
    for (;;) {
        ssize_t count = read(fd, to, n);
        if (count > 0) {
            *got = (size_t)count;
            return OK;
        }
        if (count == 0)
            return ERR_END;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            wait_for(fd, POLLIN);
        else if (errno != EINTR)
            return ERR_IO;
    }
}

enum err port_pipe_write(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t count = write(fd, bytes.p, bytes.n);
        if (count >= 0)
            bytes = str_range(bytes.p + count, bytes.n - (size_t)count);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            wait_for(fd, POLLOUT);
        else if (errno != EINTR)
            return errno == EPIPE ? ERR_REFUSED : ERR_IO;
    }
    return OK;
}

enum err port_pipe_wait(int in, int fd, unsigned wanted, int64_t timeout_ms, bool *in_ready,
                        bool *fd_ready)
{
    struct pollfd watches[2] = {{.fd = in, .events = POLLIN}, {.fd = fd}};
    int timeout = timeout_ms < 0 ? -1 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;

    if ((wanted & PORT_READABLE) != 0)
        watches[1].events |= POLLIN;
    if ((wanted & PORT_WRITABLE) != 0)
        watches[1].events |= POLLOUT;
    *in_ready = *fd_ready = false;
    int found = poll(watches, 2, timeout);
    if (found == -1)
        return errno == EINTR ? OK : ERR_IO;
    *in_ready = in != -1 && watches[0].revents != 0;
    *fd_ready = fd != -1 && watches[1].revents != 0;
    return found == 0 ? ERR_AGAIN : OK;
}
