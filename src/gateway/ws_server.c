#include "gateway/ws_server.h"

#include "base/assert.h"
#include "json/utf8.h"

#include <string.h>
#include <wslay/wslay.h>

#define FRAME_HEADER_MAX 14

/* wslay asks for as much as its own buffer takes.  It gets no byte behind the present frame, so that the next header
 * is always looked at here first. */
static ssize_t on_receive(uint8_t *to, size_t size, int flags, void *context)
{
    struct ws_server *ws = context;
    struct str have = buffer_view(ws->in);
    size_t n = have.n < size ? have.n : size;

    (void)flags;
    if (n > ws->frame_bytes_left)
        n = (size_t)ws->frame_bytes_left;
    if (n == 0)
        return -1;
    memcpy(to, have.p, n);
    buffer_drop(ws->in, n);
    ws->frame_bytes_left -= n;
    return (ssize_t)n;
}

/* As port/deps builds wslay, its context stands where the caller says. */
#if __has_include(<wslay/wslay_frame_in_place.h>)
#include <stdlib.h>
#include <wslay/wslay_frame_in_place.h>
#define TAKE_FRAMES() malloc(sizeof(struct wslay_frame_context))
#define GIVE_FRAMES(frames) free(frames)
#else
#define TAKE_FRAMES() NULL
#define GIVE_FRAMES(frames) wslay_frame_context_free(frames)
#endif

enum err ws_server_open(struct ws_server *ws, struct buffer *in, struct buffer *out,
                        size_t message_max)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = on_receive};

    *ws = (struct ws_server){.in = in, .out = out, .message_max = message_max};
    ws->frames = TAKE_FRAMES();
    return wslay_frame_context_init(&ws->frames, &callbacks, ws) == 0 ? OK : ERR_FULL;
}

void ws_server_free(struct ws_server *ws)
{
    if (ws->frames != NULL)
        GIVE_FRAMES(ws->frames);
    ws->frames = NULL;
    buffer_free(&ws->message);
}

/* --- sending -------------------------------------------------------------------------------- */

static bool send_frame(struct ws_server *ws, uint8_t opcode, struct str payload)
{
    struct wslay_frame_iocb frame = {.fin = 1,
                                     .opcode = opcode,
                                     .payload_length = payload.n,
                                     .data = (const uint8_t *)payload.p,
                                     .data_length = payload.n};
    size_t written;

    if (ws->close_sent || !buffer_reserve(ws->out, payload.n + FRAME_HEADER_MAX))
        return false;
    struct out room = buffer_writer(ws->out);
    ssize_t n = wslay_frame_write(ws->frames, &frame, (uint8_t *)room.p, room.cap, &written);
    ASSERT(n > 0 && written == payload.n);
    buffer_added(ws->out, (size_t)n);
    return true;
}

bool ws_server_send(struct ws_server *ws, struct str text)
{
    return send_frame(ws, WSLAY_TEXT_FRAME, text);
}

bool ws_server_ping(struct ws_server *ws)
{
    return send_frame(ws, WSLAY_PING, STR_NONE);
}

bool ws_server_close(struct ws_server *ws, unsigned code, struct str reason)
{
    char payload[WEBSOCKET_CONTROL_MAX];
    struct out out = OUT_ON(payload);

    if (code != WS_NO_STATUS) {
        out_byte(&out, (char)(code >> 8));
        out_byte(&out, (char)(code & 0xff));
        reason = str_head(reason, WEBSOCKET_REASON_MAX);
        reason.n = utf8_cut(reason);
        if (utf8_is_valid(reason))
            out_str(&out, reason);
    }
    bool sent = send_frame(ws, WSLAY_CONNECTION_CLOSE, out_view(&out));
    ws->close_sent = true;
    return sent;
}

/* --- receiving ------------------------------------------------------------------------------ */

static enum err fail(struct ws_server *ws, unsigned code, const char *why, const char **reason)
{
    *reason = why;
    (void)ws_server_close(ws, code, str_of(why));
    return ERR_INVALID;
}

/* Looks at the header at the front of `in` as far as it has come, and refuses what it shows at the first byte that
 * shows it.  ERR_AGAIN: the header is not whole. */
static enum err begin_frame(struct ws_server *ws, const char **reason)
{
    struct str have = buffer_view(ws->in);
    const unsigned char *byte = (const unsigned char *)have.p;

    if (have.n < 2)
        return ERR_AGAIN;
    unsigned opcode = byte[0] & 0x0fu;
    bool fin = (byte[0] & 0x80u) != 0, is_control = (opcode & 8u) != 0;
    size_t extra = (byte[1] & 0x7fu) == 126 ? 2 : (byte[1] & 0x7fu) == 127 ? 8 : 0;
    uint64_t length = byte[1] & 0x7fu;

    if ((byte[0] & 0x70u) != 0)
        return fail(ws, WS_PROTOCOL, "a reserved bit is set, no extension was agreed on", reason);
    if ((byte[1] & 0x80u) == 0)
        return fail(ws, WS_PROTOCOL, "a client's frame must be masked", reason);
    if (opcode == WSLAY_BINARY_FRAME)
        return fail(ws, WS_UNSUPPORTED, "messages are text", reason);
    if (opcode != WSLAY_CONTINUATION_FRAME && opcode != WSLAY_TEXT_FRAME &&
        (opcode < WSLAY_CONNECTION_CLOSE || opcode > WSLAY_PONG))
        return fail(ws, WS_PROTOCOL, "unknown opcode", reason);
    if (is_control && (!fin || extra > 0))
        return fail(ws, WS_PROTOCOL, "a control frame is whole and at most 125 bytes", reason);
    if (!is_control && (opcode == WSLAY_CONTINUATION_FRAME) != ws->in_message)
        return fail(ws, WS_PROTOCOL, "fragments are out of order", reason);
    if (have.n < 2 + extra)
        return ERR_AGAIN;
    if (extra > 0)
        length = 0;
    for (size_t i = 0; i < extra; i++)
        length = length << 8 | byte[2 + i];
    if ((extra == 2 && length < 126) || (extra == 8 && (length < 65536 || length >> 63 != 0)))
        return fail(ws, WS_PROTOCOL, "a length is not in its shortest form", reason);
    if (!is_control && length > ws->message_max - ws->message.n)
        return fail(ws, WS_TOO_LARGE, "the message is longer than the limit", reason);
    if (have.n < 2 + extra + 4)
        return ERR_AGAIN;
    ws->opcode = (unsigned char)opcode;
    ws->fin = fin;
    ws->payload_left = length;
    ws->frame_bytes_left = 2 + extra + 4 + length;
    ws->control_n = 0;
    ws->in_frame = true;
    if (opcode == WSLAY_TEXT_FRAME)
        ws->utf8 = (struct utf8_stream){.left = 0};
    if (!is_control)
        ws->in_message = true;
    return OK;
}

static enum err on_close(struct ws_server *ws, const char **reason)
{
    struct str text = str_from(str_range((const char *)ws->control, ws->control_n), 2);

    if (ws->control_n == 1)
        return fail(ws, WS_PROTOCOL, "a close frame has no code or a whole one", reason);
    ws->close_code = ws->control_n == 0 ? WS_NO_STATUS
                                        : (unsigned)ws->control[0] << 8 | (unsigned)ws->control[1];
    if (ws->control_n > 0 && !websocket_close_code_is_valid(ws->close_code))
        return fail(ws, WS_PROTOCOL, "a close frame has a code that may not be sent", reason);
    if (!utf8_is_valid(text))
        return fail(ws, WS_BAD_DATA, "the reason of a close frame is not UTF-8", reason);
    ws->close_received = true;
    if (!ws->close_sent)
        (void)ws_server_close(ws, ws->close_code, STR_NONE);
    *reason = "closed by the peer";
    return ERR_END;
}

/* The frame is whole.  ERR_AGAIN: go on with the next. */
static enum err end_frame(struct ws_server *ws, struct str *message, const char **reason)
{
    ws->in_frame = false;
    switch (ws->opcode) {
    case WSLAY_CONNECTION_CLOSE:
        return on_close(ws, reason);
    case WSLAY_PING:
        if (!ws->close_sent &&
            !send_frame(ws, WSLAY_PONG, str_range((const char *)ws->control, ws->control_n)))
            return ERR_FULL;
        return ERR_AGAIN;
    case WSLAY_PONG:
        return ERR_AGAIN;
    default:
        break;
    }
    if (!ws->fin)
        return ERR_AGAIN;
    ws->in_message = false;
    ws->message_taken = true;
    *message = buffer_view(&ws->message);
    if (!utf8_stream_is_whole(&ws->utf8))
        return fail(ws, WS_BAD_DATA, "a message ends inside a character", reason);
    return OK;
}

/* Moves payload through wslay, which takes the mask off.  OK: the frame is whole. */
static enum err take_payload(struct ws_server *ws, const char **reason)
{
    do {
        struct wslay_frame_iocb frame;
        ssize_t n = wslay_frame_recv(ws->frames, &frame);
        if (n == WSLAY_ERR_WANT_READ)
            return ERR_AGAIN;
        /* begin_frame() has let nothing through that wslay refuses. */
        ASSERT(n >= 0 && (uint64_t)n <= ws->payload_left);
        ws->payload_left -= (uint64_t)n;
        struct str bytes = str_range((const char *)frame.data, (size_t)n);
        if ((ws->opcode & 8u) != 0) {
            memcpy(ws->control + ws->control_n, bytes.p, bytes.n);
            ws->control_n += bytes.n;
            continue;
        }
        if (!utf8_stream_feed(&ws->utf8, bytes))
            return fail(ws, WS_BAD_DATA, "a message is not UTF-8", reason);
        if (!buffer_put(&ws->message, bytes))
            return ERR_FULL;
    } while (ws->payload_left > 0);
    return OK;
}

enum err ws_server_next(struct ws_server *ws, struct str *message, const char **reason)
{
    enum err err;

    if (ws->message_taken) {
        buffer_drop(&ws->message, ws->message.n);
        ws->message_taken = false;
    }
    do {
        err = ws->in_frame ? OK : begin_frame(ws, reason);
        if (err == OK)
            err = take_payload(ws, reason);
        if (err == OK)
            err = end_frame(ws, message, reason);
        else
            return err;
    } while (err == ERR_AGAIN);
    return err;
}
