/* The width of a terminal, as far as the environment tells: POSIX.1-2008 has no call for it. */
#include "internal.h"

int port_terminal_columns(int fd)
{
    uint64_t columns;

    if (!port_is_terminal(fd) || !str_to_u64(str_of(port_environment("COLUMNS")), &columns) ||
        columns > 10000)
        return 0;
    return (int)columns;
}
