/* A fresh child becomes another user. */
#define _DEFAULT_SOURCE /* setgroups(), which every system has and POSIX has not */
#include "internal.h"

#include <grp.h>
#include <sys/types.h>
#include <unistd.h>

bool port_become(int64_t uid, int64_t gid)
{
    gid_t only = (gid_t)gid;
    /* Groups first: afterwards the right to change them is gone. */
    return setgroups(1, &only) == 0 && setgid(only) == 0 && setuid((uid_t)uid) == 0;
}
