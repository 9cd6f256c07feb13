/* Owns the way into the background.  The starting process stays until the one in the background
 * says that it is ready, so that a script which waits for it may use the daemon at once. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_pipe = -1; /* the child's end, until it is ready */

static _Noreturn void wait_until_ready(int fd, pid_t child)
{
    char byte;
    ssize_t got;
    int status = 0;

    do
        got = read(fd, &byte, 1);
    while (got == -1 && errno == EINTR);
    if (got == 1)
        _exit(0);
    /* It closed the pipe without a word: it is dead or dying. */
    while (waitpid(child, &status, 0) == -1 && errno == EINTR)
        ;
    _exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
}

enum err port_background_start(void)
{
    int fds[2];
    pid_t child;

    if (pipe(fds) == -1)
        return port_fail();
    enum err err = port_claim_both(fds, false);
    if (err != OK)
        return err;
    child = fork();
    if (child == -1) {
        err = port_fail();
        port_close(fds[0]);
        port_close(fds[1]);
        return err;
    }
    if (child > 0) {
        port_close(fds[1]);
        wait_until_ready(fds[0], child);
    }
    port_close(fds[0]);
    ready_pipe = fds[1];
    setsid();
    return OK;
}

void port_background_ready(void)
{
    struct stat found;
    ssize_t ignored;
    int null;

    if (ready_pipe == -1)
        return;
    /* Errors of the start still reached the terminal; from now on nothing of it may be held, nor a
     * pipe that somebody reads to its end.  A log sent to a file goes on. */
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null != -1) {
        for (int fd = 0; fd < 3; fd++)
            if (fd == 0 || fstat(fd, &found) == -1 || !S_ISREG(found.st_mode))
                dup2(null, fd);
        if (null > 2)
            port_close(null);
    }
    ignored = write(ready_pipe, "", 1);
    (void)ignored;
    port_close(ready_pipe);
    ready_pipe = -1;
}
