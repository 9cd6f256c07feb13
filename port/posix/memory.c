/* What POSIX says about our own memory: nothing. */
#include "internal.h"

void port_release(void *p, size_t n)
{
    (void)p;
    (void)n;
}

void port_release_stack(void)
{
}

int64_t port_memory_private(void)
{
    return -1;
}

int64_t port_address_space(void)
{
    return -1;
}
