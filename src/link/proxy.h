/* HTTP proxies (RFC 9110 §9.3.6): which one leads to a URL, and the CONNECT that opens the way.  Pure but for the environment.
 * proxy_none.c stands
 * in where CONFIG_PROXY is off. */
#ifndef LINK_PROXY_H
#define LINK_PROXY_H

#include "link/answer.h"
#include "link/url.h"

#define PROXY_CREDENTIALS 512 /* bytes of "user:password" */

struct proxy_options {
    char url[LIMIT_URL]; /* "": the environment says; "none": no proxy, whatever it says */
    char credentials_file[LIMIT_PATH]; /* holds "user:password"; "": none */
};

/* Whether `url` may stand in the options; *reason is static storage. */
bool proxy_url_is_good(const char *url, const char **reason);

/* The proxy that leads to `target`.  OK: it is *proxy; ERR_NOT_FOUND: there is none, dial directly; ERR_SYNTAX: there is
 * one that cannot be used, *source ("--proxy", "https_proxy"…) and *reason say why; both are static storage. */
enum err proxy_choose(const struct proxy_options *options, const struct url *target,
                      struct url *proxy, const char **source, const char **reason);
/* Whether a no_proxy list names the host: "*", names with all that ends in them, addresses, networks as ADDRESS/BITS; each
 * of them may have a port. */
bool proxy_is_bypassed(struct str list, const struct url *target);

/* The request; `credentials` ("user:password") may be empty.  Wipe it after use. */
void proxy_write_request(struct out *out, const struct url *target, struct str credentials);
/* Whether a text may go into the request as credentials. */
bool proxy_credentials_are_good(struct str credentials);
/* Takes bytes of the answer; *taken says how many.  OK: the way is open.  ERR_AGAIN: more is needed.  ERR_REFUSED: another
 * status than 2xx, see `answer`.  ERR_SYNTAX, ERR_TOO_LARGE: see answer->reason. */
enum err proxy_feed(struct answer *answer, struct str bytes, size_t *taken);

#endif
