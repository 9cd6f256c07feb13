/* What becomes of our children when we die, and finding them after that: POSIX knows nothing of
 * either. */
#include "internal.h"

#include <errno.h>

void port_die_with_parent(int64_t parent)
{
    (void)parent;
}

bool port_become_subreaper(void)
{
    return false;
}

bool port_is_marked(int64_t pid, const char *name_and_value)
{
    (void)pid;
    (void)name_and_value;
    return false;
}

enum err port_find_marked(const char *name_and_value, void (*each)(void *context, int64_t pid),
                          void *context)
{
    (void)name_and_value;
    (void)each;
    (void)context;
    return port_fail_with(ENOSYS);
}

enum err port_children(void (*each)(void *context, int64_t pid), void *context)
{
    (void)each;
    (void)context;
    return ERR_UNSUPPORTED;
}
