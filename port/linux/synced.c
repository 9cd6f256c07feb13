/* Whether the kernel's clock is disciplined: what NTP daemons tell it. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <sys/timex.h>

bool port_clock_synced(void)
{
    struct timex now = {.modes = 0};
    int state = adjtimex(&now);

    return state != -1 && state != TIME_ERROR && (now.status & STA_UNSYNC) == 0;
}
