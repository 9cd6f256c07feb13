/* The answer to one request, from a gateway or a proxy: its head, what of it everybody wants to know, and, of one that refuses,
 * the first line of the body.  Pure: bytes in, facts out, in any split. */
#ifndef LINK_ANSWER_H
#define LINK_ANSWER_H

#include "link/http.h"

#define ANSWER_HEAD_MAX 8192 /* bytes of the head */
#define ANSWER_BODY_MAX 2048 /* of a refusal's body that are looked at */
#define ANSWER_LINE 160      /* of its first line that are kept */
#define ANSWER_INTERIMS 8    /* answers of the kind of "100 Continue" before it */

struct answer {
    struct http_head head;
    int64_t wall_ms;
    char reason[HTTP_REASON + 32]; /* of ERR_SYNTAX and ERR_TOO_LARGE */
    unsigned status, minor;        /* 0: not read yet; of HTTP/1.minor */
    unsigned interims;             /* answers before it */
    int64_t retry_after_ms;        /* 0: none */
    struct str location;           /* stands in the head's buffer */
    char phrase[48];               /* of the status line */
    /* the body of a refusal */
    enum { ANSWER_PLAIN, ANSWER_SIZE, ANSWER_SIZE_END, ANSWER_CHUNK, ANSWER_CHUNK_END } body;
    uint64_t body_left;     /* bytes not seen yet, of the body or of the chunk */
    size_t body_n;          /* bytes seen */
    char line[ANSWER_LINE]; /* its first line, printable, NUL-terminated */
    size_t line_n;
};

/* `buffer` takes the head; ANSWER_HEAD_MAX bytes of it at most. */
void answer_start(struct answer *answer, char *buffer, size_t size, int64_t wall_ms);
/* Takes bytes up to the end of the head, past those of interim answers (RFC 9110 §15.2); *taken says how many.  OK: it is whole and read.  ERR_AGAIN: more is needed.
 * ERR_SYNTAX, ERR_TOO_LARGE: see `reason`. */
enum err answer_head(struct answer *answer, struct str bytes, size_t *taken);
/* Then bytes of the body.  OK: nothing more is wanted of it. */
enum err answer_body(struct answer *answer, struct str bytes, size_t *taken);
/* Sets `reason`; ERR_SYNTAX. */
enum err answer_refuse(struct answer *answer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
