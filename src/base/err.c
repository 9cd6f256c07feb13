#include "base/err.h"

const char *err_text(enum err err)
{
    switch (err) {
    case OK:
        return "ok";
    case ERR_AGAIN:
        return "not ready yet";
    case ERR_END:
        return "end of data";
    case ERR_FULL:
        return "no room left";
    case ERR_TOO_LARGE:
        return "too large";
    case ERR_SYNTAX:
        return "malformed";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_EXISTS:
        return "exists already";
    case ERR_BUSY:
        return "busy";
    case ERR_DENIED:
        return "permission denied";
    case ERR_UNSUPPORTED:
        return "not supported";
    case ERR_TIMEOUT:
        return "timed out";
    case ERR_REFUSED:
        return "refused";
    case ERR_NO_SPACE:
        return "no space left on the device";
    case ERR_READ_ONLY:
        return "read-only file system";
    case ERR_DAMAGED:
        return "damaged";
    case ERR_IO:
        return "input/output error";
    }
    return "unknown error";
}
