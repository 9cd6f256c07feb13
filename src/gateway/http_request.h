/* Reading the head of an HTTP/1.1 request (RFC 9110, RFC 9112), strictly: what other servers might read in another
 * way is refused, because a proxy in front of us may be one of them.  Pure: text in, views out. */
#ifndef GATEWAY_HTTP_REQUEST_H
#define GATEWAY_HTTP_REQUEST_H

#include "base/err.h"
#include "base/out.h"
#include "gateway/limits.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER };

struct http_header {
    struct str name, value; /* value without white space around it */
};

/* All views point into the text that was read. */
struct http_request {
    enum http_method method;
    struct str method_name;
    struct str path;  /* begins with '/', still percent-encoded */
    struct str query; /* behind '?', may be empty */
    unsigned minor;   /* HTTP/1.minor, 0 or 1 */
    struct http_header headers[GATEWAY_HEADERS];
    size_t header_count;
    size_t head_bytes;       /* of the whole head, with its empty line */
    uint64_t content_length; /* 0 where there is none */
    bool keep_alive;
    bool expects_continue;

    /* After a refusal: the status to answer with, and why, in static storage. */
    unsigned status;
    const char *reason;
};

/* OK: a whole head stands at the front of `bytes`.  ERR_AGAIN: not yet.  ERR_INVALID: refused, `status` and `reason`
 * are set; the connection cannot be used further, because nobody knows where the next request begins.
 * `searched` (0 at the start of each request) remembers how far the end of the head was looked for. */
enum err http_request_read(struct str bytes, size_t *searched, struct http_request *request);

/* The value of a header, STR_NONE when it is absent; the first where it stands there more than once. */
struct str http_request_header(const struct http_request *request, const char *name);
/* How often a header stands there. */
size_t http_request_count(const struct http_request *request, const char *name);
/* Whether a header that is a list (over all its lines) has an element, compared without case; parameters behind ';'
 * are not looked at. */
bool http_request_lists(const struct http_request *request, const char *name, const char *element);

/* The next segment of a path "/a/b": *segment is raw, *rest goes on behind it; false at the end. */
bool http_path_next(struct str *rest, struct str *segment);
/* Decodes %XX; false on a bad escape, a NUL, or what does not fit (with its closing NUL). */
bool http_decode(struct str raw, char *to, size_t size);
/* The value of a query parameter, decoded; ERR_NOT_FOUND, ERR_INVALID (bad escape, too long, given twice). */
enum err http_query(struct str query, const char *name, char *to, size_t size);

#endif
