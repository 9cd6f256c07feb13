/* The opening handshake of RFC 6455 as a client sees it: the request, and a strict incremental reader of the answer.
 * Pure: bytes in, verdict out; whoever owns the connection moves the bytes and keeps the deadline. */
#ifndef LINK_UPGRADE_H
#define LINK_UPGRADE_H

#include "base/websocket.h"
#include "link/http.h"
#include "link/url.h"

#include "base/out.h"

#define UPGRADE_HEAD_MAX 8192 /* bytes of the answer's head */
#define UPGRADE_BODY_MAX 2048 /* of a refusal's body that are looked at */
#define UPGRADE_LINE 160      /* of its first line that are kept */
#define UPGRADE_PROTOCOL "charter.v1"

struct upgrade {
    struct http_head head;
    char accept[WEBSOCKET_ACCEPT_LENGTH + 1]; /* that we wait for */
    int64_t wall_ms;
    const char *reason;     /* of ERR_SYNTAX; static storage */
    unsigned status;        /* 0: not read yet */
    int64_t retry_after_ms; /* 0: none */
    char phrase[48];        /* of the status line */
    /* the body of a refusal */
    bool chunked, in_line;
    uint64_t body_left;      /* announced bytes not seen yet */
    size_t body_n;           /* bytes seen */
    char line[UPGRADE_LINE]; /* its first line, printable, NUL-terminated */
    size_t line_n;
};

/* `random`: 16 unpredictable bytes; `buffer` takes the answer's head until the verdict (at most UPGRADE_HEAD_MAX bytes); `token` may
 * be empty.  Writes the request.  The request holds the token: wipe it after use. */
void upgrade_start(struct upgrade *upgrade, char *buffer, size_t size, int64_t wall_ms,
                   const unsigned char random[16], const struct url *url, struct str token,
                   struct out *request);
/* Takes bytes of the answer; *taken says how many.  OK: switched, what follows are frames.  ERR_AGAIN: more is needed.
 * ERR_REFUSED: another status than 101, see `status`, `phrase`, `line`, `retry_after_ms`.  ERR_SYNTAX, ERR_TOO_LARGE:
 * no valid answer, see `reason`. */
enum err upgrade_feed(struct upgrade *upgrade, struct str bytes, size_t *taken);
/* The connection has ended, or the deadline has struck, before a verdict: ERR_REFUSED where the head of a refusal was whole,
 * else ERR_SYNTAX. */
enum err upgrade_end(struct upgrade *upgrade);

#endif
