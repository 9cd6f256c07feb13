/* Owns the flags of every descriptor that the port opens.  None of ours ever is 0, 1 or 2: a daemon
 * that was started with one of them closed would else write its log into the journal. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/select.h>
#include <unistd.h>

enum err port_set_nonblocking(int fd, bool nonblocking)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags == -1)
        return port_fail();
    int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) == -1)
        return port_fail();
    return OK;
}

enum err port_claim(int *fd, bool nonblocking)
{
    enum err err = OK;

    if (*fd < 3) {
        int moved = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
        if (moved == -1)
            err = port_fail();
        port_close(*fd);
        *fd = moved;
    } else if (fcntl(*fd, F_SETFD, FD_CLOEXEC) == -1) {
        err = port_fail();
    }
    if (err == OK && *fd >= (int)FD_SETSIZE)
        err = port_fail_text(ERR_FULL, "the descriptor is too large for select()");
    if (err == OK && nonblocking)
        err = port_set_nonblocking(*fd, true);
    if (err != OK && *fd != -1) {
        port_close(*fd);
        *fd = -1;
    }
    return err;
}

enum err port_claim_both(int fds[2], bool nonblocking)
{
    enum err first = port_claim(&fds[0], nonblocking);
    enum err second = port_claim(&fds[1], nonblocking);
    if (first == OK && second == OK)
        return OK;
    for (int i = 0; i < 2; i++) {
        if (fds[i] != -1)
            port_close(fds[i]);
        fds[i] = -1;
    }
    return first != OK ? first : second;
}

void port_close(int fd)
{
    int kept = errno;
    /* Not retried after EINTR: on most systems the descriptor is gone then, and may be another's
     * already. */
    close(fd);
    errno = kept;
}
