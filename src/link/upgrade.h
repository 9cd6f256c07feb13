/* The opening handshake of RFC 6455 as a client sees it: the request, and a strict incremental reader of the answer.
 * Pure: bytes in, verdict out; whoever owns the connection moves the bytes and keeps the deadline. */
#ifndef LINK_UPGRADE_H
#define LINK_UPGRADE_H

#include "base/websocket.h"
#include "link/answer.h"
#include "link/url.h"

#include "base/out.h"

#define UPGRADE_PROTOCOL "charter.v1"

struct upgrade {
    struct answer answer;
    const char *protocol;                     /* that we ask for; NULL: none */
    char accept[WEBSOCKET_ACCEPT_LENGTH + 1]; /* that we wait for */
};

/* `random`: 16 unpredictable bytes; `buffer` takes the answer's head until the verdict (at most ANSWER_HEAD_MAX bytes); `token` may
 * be empty.  Writes the request.  The request holds the token: wipe it after use. */
void upgrade_start(struct upgrade *upgrade, char *buffer, size_t size, int64_t wall_ms,
                   const unsigned char random[16], const struct url *url, const char *protocol,
                   struct str token, struct out *request);
/* Takes bytes of the answer; *taken says how many.  OK: switched, what follows are frames.  ERR_AGAIN: more is needed.
 * ERR_REFUSED: another status than 101, see `answer`.  ERR_SYNTAX, ERR_TOO_LARGE: no valid answer, see answer.reason. */
enum err upgrade_feed(struct upgrade *upgrade, struct str bytes, size_t *taken);
/* The connection has ended, or the deadline has struck, before a verdict: ERR_REFUSED where the head of a refusal was whole,
 * else ERR_SYNTAX. */
enum err upgrade_end(struct upgrade *upgrade);

#endif
