/* Overwriting secrets.  The pointer is volatile, so that the compiler cannot prove the writes
 * useless. */
#include "internal.h"

void port_wipe(void *p, size_t n)
{
    volatile unsigned char *at = p;

    while (n-- > 0)
        *at++ = 0;
}
