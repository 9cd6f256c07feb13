/* Random bytes where there is nothing better than the device. */
#include "internal.h"

enum err port_random(void *bytes, size_t n)
{
    return port_urandom(bytes, n);
}
