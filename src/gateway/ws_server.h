/* The server's side of one WebSocket (RFC 6455) over wslay's frame API: frames in, whole text messages out.  It owns
 * the rules that the frame API leaves open (masks, reserved bits, opcodes, fragments, UTF-8, close codes, sizes) and
 * never touches the socket: bytes come from one buffer and go to another.
 *
 * Invariant: after its close frame nothing more is sent. */
#ifndef GATEWAY_WS_SERVER_H
#define GATEWAY_WS_SERVER_H

#include "base/err.h"
#include "base/utf8.h"
#include "base/websocket.h"
#include "gateway/buffer.h"

enum ws_close_code {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL = 1002,
    WS_UNSUPPORTED = 1003,
    WS_NO_STATUS = 1005,
    WS_BAD_DATA = 1007,
    WS_TOO_LARGE = 1009,
    WS_INTERNAL = 1011,
    WS_TRY_LATER = 1013
};

struct wslay_frame_context;

struct ws_server {
    struct wslay_frame_context *frames;
    struct buffer *in, *out; /* the connection's */
    struct buffer message;   /* the payload of the message that is being read */
    struct utf8_stream utf8; /* of that payload */
    size_t message_max;      /* bytes; a longer message closes with 1009 */
    uint64_t
        frame_bytes_left; /* of the frame being read, its header included, not yet given to wslay */
    uint64_t payload_left; /* of the frame being read */
    unsigned char control[WEBSOCKET_CONTROL_MAX];
    size_t control_n;
    unsigned char opcode; /* of the frame being read */
    bool in_frame, fin;
    bool in_message;    /* between the first and the last fragment */
    bool message_taken; /* `message` was lent out: cleared by the next call */
    bool close_sent, close_received;
    unsigned close_code; /* the peer's; WS_NO_STATUS where it gave none */
};

/* ERR_FULL: no memory. */
enum err ws_server_open(struct ws_server *ws, struct buffer *in, struct buffer *out,
                        size_t message_max);
void ws_server_free(struct ws_server *ws);

/* Takes frames from `in` until one message is whole; pings are answered on the way.
 * OK: *message is valid until the next call of this.  ERR_AGAIN: more bytes are needed.  ERR_END: the peer has closed; the
 * answer stands in `out`.  ERR_INVALID: the peer broke a rule or a limit; our close frame stands in `out`, and
 * *reason says why.  ERR_FULL: no memory. */
enum err ws_server_next(struct ws_server *ws, struct str *message, const char **reason);

/* Queue one frame.  False: no memory, or our close frame has gone already. */
bool ws_server_send(struct ws_server *ws, struct str text);
bool ws_server_ping(struct ws_server *ws);
/* Once; the reason is cut between characters. */
bool ws_server_close(struct ws_server *ws, unsigned code, struct str reason);

#endif
