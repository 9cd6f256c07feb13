/* What both ends of a WebSocket must agree on and no library decides for them (RFC 6455): pure functions. */
#ifndef BASE_WEBSOCKET_H
#define BASE_WEBSOCKET_H

#include "base/str.h"

#define WEBSOCKET_CONTROL_MAX 125  /* payload bytes of a control frame */
#define WEBSOCKET_REASON_MAX 123   /* of a close reason */
#define WEBSOCKET_KEY_LENGTH 24    /* of Sec-WebSocket-Key: 16 bytes in base64 */
#define WEBSOCKET_ACCEPT_LENGTH 28 /* of Sec-WebSocket-Accept */

/* Whether the code may stand in a close frame (section 7.4 and the registry): not those that only report what happened. */
bool websocket_close_code_is_valid(unsigned code);
/* What the server answers to a key, with a NUL behind it (section 4.2.2). */
void websocket_accept(struct str key, char accept[WEBSOCKET_ACCEPT_LENGTH + 1]);

#endif
