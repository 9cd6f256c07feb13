/* Closes what a child must not inherit: one call since Linux 5.9, else what /proc shows to be
 * open. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <sys/syscall.h>
#include <unistd.h>

static bool note_highest(void *context, const char *name)
{
    int *highest = context;
    uint64_t fd;

    if (str_to_u64(str_of(name), &fd) && (int)fd > *highest)
        *highest = (int)fd;
    return true;
}

/* Without the heap: a child that is about to call exec stands in its parent's memory. */
static bool close_listed(int lowest)
{
    int highest = -1;

    if (port_list("/proc/self/fd", note_highest, &highest) != OK)
        return false;
    for (int fd = lowest; fd <= highest; fd++)
        close(fd);
    return true;
}

void port_close_from(int lowest)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)lowest, ~0U, 0U) == 0)
        return;
#endif
    if (close_listed(lowest))
        return;
    long end = sysconf(_SC_OPEN_MAX);
    for (long fd = lowest; fd < (end > 0 ? end : 1024); fd++)
        close((int)fd);
}
