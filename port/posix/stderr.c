/* The daemon's log, and the last words of an assertion: also of integrations in C, hence a file of its own. */
#include "internal.h"

#include <errno.h>
#include <unistd.h>

/* The log must never stop the daemon: what a non-blocking stderr does not take now is lost. */
void port_stderr(struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t count = write(2, bytes.p, bytes.n);
        if (count > 0)
            bytes = str_from(bytes, (size_t)count);
        else if (count == 0 || errno != EINTR)
            return;
    }
}
