/* A small file that holds a secret on its one line: the bearer token, the proxy's credentials.  It is read anew for each use
 * and never kept; what is kept is how the file looked, so that a change of it can be seen. */
#ifndef LINK_SECRET_H
#define LINK_SECRET_H

#include "base/err.h"
#include "base/str.h"
#include "port.h"

struct secret {
    const char *path;      /* the caller's; NULL or "": there is no file, and no secret */
    struct port_stat seen; /* of the file as it was read last */
};

/* *text (inside buffer, which the caller wipes) is the file's text without white space around it.  ERR_TOO_LARGE, or what
 * port_read_regular_file() says, with port_last_error(). */
enum err secret_read(struct secret *secret, char *buffer, size_t size, struct str *text);
/* Only looks at the file: from now on a change of it is seen. */
void secret_look(struct secret *secret);
/* What such a text may hold.  As many digits of base64 are looked for: a buffer for those of the longest secret would be a third of the
 * stack. */
#define SECRET_TEXT 448
/* Puts *** into `text` (NUL-terminated, SECRET_TEXT bytes at most) where a peer has repeated the secret in this file (the password in it, all of it in base64),
 * or 8 bytes of its beginning.  Reads the file; one
 * that cannot be read hides nothing. */
void secret_hide(const char *path, char *text);
/* Whether the file is another than the one that was read. */
bool secret_has_changed(const struct secret *secret);

#endif
