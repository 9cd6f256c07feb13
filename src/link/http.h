/* The head of an HTTP/1.1 message as bytes come in, strictly (RFC 9112): lines end with CRLF; a bare LF, a bare CR, control
 * bytes, folded lines, blanks before a colon and lines without one are refused; the size is bounded.  Pure: knows no
 * connection, takes any split of the input. */
#ifndef LINK_HTTP_H
#define LINK_HTTP_H

#include "base/err.h"
#include "base/str.h"

#define HTTP_REASON 128

struct http_head {
    char *p;
    size_t cap, n;
    bool after_cr;            /* the last byte was CR */
    size_t start, last_start; /* where the present line begins, and the one before it */
    bool is_whole;            /* the empty line was seen */
    char reason[HTTP_REASON]; /* of a refusal: names the header */
};

struct http_head http_head_on(char *buffer, size_t size);
/* Takes bytes up to the end of the head; *taken says how many.  OK: the head is whole; ERR_AGAIN: more is needed;
 * ERR_TOO_LARGE, ERR_SYNTAX with `reason`. */
enum err http_head_feed(struct http_head *head, struct str bytes, size_t *taken);

/* The first line of a whole head. */
struct str http_first_line(const struct http_head *head);
/* "HTTP/1.1 101 Switching Protocols"; `minor` is the version's last digit; false when it has another form. */
bool http_status_line(struct str line, unsigned *minor, unsigned *status, struct str *phrase);

/* Walks the header fields of a whole head: start with `rest` from http_fields().  False at the end.  Names are tokens,
 * values come trimmed. */
struct str http_fields(const struct http_head *head);
bool http_field_next(struct str *rest, struct str *name, struct str *value);
/* Whether a comma-separated value has the token, in any case. */
bool http_has_token(struct str value, const char *token);
/* The three forms of RFC 9110 §5.6.7; `wall_ms` tells the century of the one with two digits for the year. */
bool http_date(struct str value, int64_t wall_ms, int64_t *unix_ms);
/* Retry-After in both forms: seconds from now, or a date less wall_ms.  False: neither. */
bool http_retry_after(struct str value, int64_t wall_ms, int64_t *wait_ms);

#endif
