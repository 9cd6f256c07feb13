/* What the processor can do beyond the least of its family: one question, whose answer never changes and is kept. */
#include "internal.h"

#if defined(__GNUC__) && defined(__x86_64__)
#include <cpuid.h>

bool port_has_sse42(void)
{
    static enum {
        UNKNOWN,
        NO,
        YES
    } answer; /* asking takes long where the machine is a virtual one */
    unsigned a, b, c = 0, d;

    if (answer == UNKNOWN)
        answer = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) != 0 ? YES : NO;
    return answer == YES;
}
#else
bool port_has_sse42(void)
{
    return false;
}
#endif
