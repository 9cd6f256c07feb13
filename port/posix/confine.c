/* Confining children: plain POSIX has no way. */
#include "internal.h"

int port_confinement(void)
{
    return 0;
}

bool port_confine(const char *const *writable)
{
    (void)writable;
    return true;
}
