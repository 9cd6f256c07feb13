/* Owns reading the clocks.  Neither call can fail on a system that has POSIX's monotonic clock. */
#include "internal.h"

#include <time.h>

_Static_assert(sizeof(time_t) >= sizeof(int64_t), "the clock would end in 2038");

static int64_t read_us(clockid_t clock)
{
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t port_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t port_monotonic_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t port_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}
