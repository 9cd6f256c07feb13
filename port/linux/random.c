/* Random bytes from getrandom(), which waits for the pool only in the first moments after boot,
 * where the device would give predictable ones. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <errno.h>
#include <sys/random.h>

enum err port_random(void *bytes, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = getrandom((char *)bytes + done, n - done, 0);
        if (got > 0) {
            done += (size_t)got;
        } else if (got == -1 && errno == ENOSYS) { /* before Linux 3.17, or filtered */
            return port_urandom(bytes, n);
        } else if (got == -1 && errno != EINTR) {
            port_fail();
            return ERR_IO;
        }
    }
    return OK;
}
