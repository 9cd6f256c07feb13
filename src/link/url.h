/* URLs that are dialled: http, https, ws or wss, a host with an optional port, a path.  No user: a secret must not stand in a
 * URL, because URLs are logged. */
#ifndef LINK_URL_H
#define LINK_URL_H

#include "base/err.h"
#include "base/limits.h"
#include "base/out.h"

#define URL_HOST 254
#define URL_PATH (LIMIT_URL + 16)

struct url {
    bool secure;     /* https, wss */
    bool is_literal; /* host is an IPv6 address, without its brackets; "%zone" may follow */
    char host[URL_HOST];
    unsigned port;
    bool has_port; /* another than the scheme's own */
    char path[URL_PATH];
};

/* A gateway's (contract §6): the path becomes PREFIX/v1/daemon; no query, no fragment.  ERR_SYNTAX: *reason (static
 * storage) says what is wrong. */
enum err url_read(struct str text, struct url *url, const char **reason);
/* Any that can be dialled: path and query as they are, a fragment is cut off. */
enum err url_read_any(struct str text, struct url *url, const char **reason);
/* A proxy's: http alone, no path; without "http://" it is taken for one. */
enum err url_read_proxy(struct str text, struct url *url, const char **reason);

/* Scheme, host and port are the same (RFC 6454); http and ws are one scheme here. */
bool url_same_origin(const struct url *a, const struct url *b);
/* HOST[:PORT] as it stands in a Host header, an IPv6 address in brackets and without its zone; the port where it is not the
 * scheme's own, or always. */
void url_write_host(struct out *out, const struct url *url, bool with_port);
/* "https://HOST[:PORT]" */
void url_write_origin(struct out *out, const struct url *url);
/* The text as it may stand in a message: without what looks like a user name and a password. */
void url_write_safe(struct out *out, struct str text);

#endif
