/* Closes what a child must not inherit: one call since Linux 5.9, else what /proc shows to be
 * open. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool close_listed(int lowest)
{
    DIR *open_ones = opendir("/proc/self/fd");
    struct dirent *entry;
    uint64_t fd;

    if (open_ones == NULL)
        return false;
    while ((entry = readdir(open_ones)) != NULL)
        if (str_to_u64(str_of(entry->d_name), &fd) && fd >= (uint64_t)lowest &&
            (int)fd != dirfd(open_ones))
            close((int)fd);
    closedir(open_ones);
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
