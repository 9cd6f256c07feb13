/* Owns the words of the last failure and the one mapping from the system's error numbers to ours.
 * Errors are kept only by functions that failed, so the words are never those of a later
 * success. */
#include "internal.h"

#include <errno.h>
#include <string.h>

static int last_errno;
static const char *last_text; /* where the words are not those of last_errno */

const char *port_last_error(void)
{
    return last_text != NULL ? last_text : strerror(last_errno);
}

int port_last_errno(void)
{
    return last_errno;
}

enum err port_fail_text(enum err err, const char *text)
{
    last_text = text;
    return err;
}

enum err port_fail(void)
{
    return port_fail_with(errno);
}

enum err port_fail_with(int number)
{
    last_errno = number;
    last_text = NULL;
    /* Some systems give two of these names one number, which a switch would not compile. */
    if (number == EAGAIN || number == EWOULDBLOCK)
        return ERR_AGAIN;
    if (number == EOPNOTSUPP || number == ENOTSUP)
        return ERR_UNSUPPORTED;
    switch (number) {
    case EINPROGRESS:
    case EALREADY:
        return ERR_AGAIN;
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
    case EADDRINUSE:
        return ERR_EXISTS;
    case EBUSY:
    case ETXTBSY:
        return ERR_BUSY;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case EROFS:
        return ERR_READ_ONLY;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return ERR_FULL;
    case ENAMETOOLONG:
    case E2BIG:
    case EFBIG:
    case ERANGE:
        return ERR_TOO_LARGE;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        return ERR_REFUSED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EINVAL:
    case ELOOP:
        return ERR_INVALID;
    case ENOSYS:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return ERR_UNSUPPORTED;
    default:
        return ERR_IO;
    }
}
