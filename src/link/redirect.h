/* Where a 301, 302, 307 or 308 leads (RFC 9110 §10.2.2, RFC 3986 §5), and whether we go there.  Pure. */
#ifndef LINK_REDIRECT_H
#define LINK_REDIRECT_H

#include "link/url.h"

#define REDIRECT_MAX 3 /* that are followed in one attempt */

bool redirect_is(unsigned status);
/* Resolves `location` against the URL that was asked.  ERR_SYNTAX: it cannot be read; ERR_REFUSED: it leads to another
 * origin without TLS; *reason (static storage) has the words. */
enum err redirect_read(const struct url *from, struct str location, struct url *to,
                       const char **reason);

#endif
