/* The width of a terminal. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <sys/ioctl.h>

int port_terminal_columns(int fd)
{
    struct winsize size;

    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? (int)size.ws_col : 0;
}
