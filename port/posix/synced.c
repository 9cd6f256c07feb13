/* Whether the clock is disciplined: POSIX has no call that tells. */
#include "internal.h"

bool port_clock_synced(void)
{
    return false;
}
