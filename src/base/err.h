/* What a function says of its outcome.  Results travel in out-parameters, so that "nothing yet",
 * "the end" and "it failed" can never be confused with a count. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
    OK = 0,
    ERR_AGAIN,     /* would block: try again when the loop says so */
    ERR_END,       /* end of file, end of the list, peer closed in order */
    ERR_FULL,      /* no room in a fixed buffer, table or pool */
    ERR_TOO_LARGE, /* over a limit of the contract */
    ERR_SYNTAX,    /* outside bytes do not have the form they must have */
    ERR_INVALID,   /* well formed, but not allowed here */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_BUSY,
    ERR_DENIED,
    ERR_UNSUPPORTED,
    ERR_TIMEOUT,
    ERR_REFUSED,  /* the peer said no (connection refused, reset) */
    ERR_NO_SPACE, /* ENOSPC, EDQUOT */
    ERR_READ_ONLY,
    ERR_DAMAGED, /* stored state contradicts its checksum or its order */
    ERR_IO       /* every other failure of the system; port_last_error() has the words */
};

/* A short lower-case phrase for messages; never NULL; static storage. */
const char *err_text(enum err err);

#endif
