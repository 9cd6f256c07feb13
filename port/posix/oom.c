/* Whom the system ends when memory runs out: plain POSIX knows nothing of it. */
#include "internal.h"

void port_raise_oom_score(int by)
{
    (void)by;
}
