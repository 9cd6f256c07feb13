/* Writing HTTP/1.1 answers into a connection's output: head and body in one go, with a Content-Length, so that the
 * connection can go on afterwards; or the head alone of a stream that ends with the connection. */
#ifndef GATEWAY_HTTP_ANSWER_H
#define GATEWAY_HTTP_ANSWER_H

#include "gateway/buffer.h"

struct http_answer {
    unsigned status;
    const char *type;    /* Content-Type; NULL for no body and no type */
    const char *headers; /* more header lines, each with its CR LF; NULL for none */
    bool keep_alive;
    bool without_body; /* HEAD: the length is said, the body is not sent */
    int64_t wall_ms;   /* for Date */
};

/* False: no memory, nothing was written. */
bool http_answer(struct buffer *out, const struct http_answer *answer, struct str body);
/* The head of a body without length: it ends when the connection does. */
bool http_answer_stream(struct buffer *out, const struct http_answer *answer);
/* 101 with the WebSocket handshake's answer for `key` (RFC 6455, section 4.2.2). */
bool http_answer_upgrade(struct buffer *out, struct str key, const char *protocol, int64_t wall_ms);

const char *http_reason(unsigned status);

#endif
