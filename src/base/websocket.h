/* What both ends of a WebSocket must agree on and no library decides for them (RFC 6455): pure functions. */
#ifndef BASE_WEBSOCKET_H
#define BASE_WEBSOCKET_H

#include "base/str.h"

#define WEBSOCKET_CONTROL_MAX 125  /* payload bytes of a control frame */
#define WEBSOCKET_REASON_MAX 123   /* of a close reason */
#define WEBSOCKET_KEY_LENGTH 24    /* of Sec-WebSocket-Key: 16 bytes in base64 */
#define WEBSOCKET_ACCEPT_LENGTH 28 /* of Sec-WebSocket-Accept */

#define WEBSOCKET_HEAD_MAX 14 /* bytes of a frame's head, mask included */
#define WEBSOCKET_MASK 4

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
};

/* Writes a frame's head (section 5.2), with the length in its shortest form; `mask` may be NULL.  How many bytes it has. */
size_t websocket_head(unsigned char head[WEBSOCKET_HEAD_MAX], enum websocket_opcode opcode,
                      bool fin, uint64_t length, const unsigned char *mask);
/* Copies a payload from its first byte on, masked (section 5.3); eight bytes at a time, because this is most of what a frame costs.
 * `to` may be `from`, and must not overlap it otherwise. */
void websocket_mask(unsigned char *to, const char *from, size_t n,
                    const unsigned char mask[WEBSOCKET_MASK]);
/* Whether the code may stand in a close frame (section 7.4 and the registry): not those that only report what happened. */
bool websocket_close_code_is_valid(unsigned code);
/* What the server answers to a key, with a NUL behind it (section 4.2.2). */
void websocket_accept(struct str key, char accept[WEBSOCKET_ACCEPT_LENGTH + 1]);

#endif
