/* Closes what a child must not inherit, the slow way: one call for every number that may be
 * open. */
#include "internal.h"

#include <unistd.h>

void port_close_from(int lowest)
{
    long end = sysconf(_SC_OPEN_MAX);

    for (long fd = lowest; fd < (end > 0 ? end : 1024); fd++)
        close((int)fd);
}
