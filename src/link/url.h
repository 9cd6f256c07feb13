/* A gateway's URL (contract §6): http, https, ws or wss, a host with an optional port, an optional prefix.  No user, no
 * query, no fragment: a secret must not stand in a URL, because URLs are logged. */
#ifndef LINK_URL_H
#define LINK_URL_H

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#define URL_HOST 254

struct url {
    bool secure;     /* https, wss */
    bool is_literal; /* host is an IPv6 address, without its brackets */
    char host[URL_HOST];
    unsigned port;
    bool has_port;             /* another than the scheme's own */
    char path[LIMIT_URL + 16]; /* PREFIX/v1/daemon */
};

/* ERR_SYNTAX: *reason (static storage) says what is wrong. */
enum err url_read(struct str text, struct url *url, const char **reason);

#endif
