/* Owns the frames of one connection.  It reads each frame's header before wslay does, because wslay tells of a frame only
 * when a byte of its payload has come, and because a frame that is refused must not leave wslay's context in the middle
 * of it.  What is sent is framed here: wslay masks byte by byte, which is most of what a message costs.  Invariant: wslay
 * only ever gets bytes of frames that judge_start() and judge_length() have let through. */
#include "link/ws.h"

#include "base/assert.h"
#include "base/out.h"
#include "port.h"

#include <stddef.h>
#include <string.h>
#include <wslay/wslay.h>

#define PING "charter" /* what our pings say, and their pongs */

#define HEADER_MAX 8 /* of what we send: frames are shorter than 64 KiB, as the output is */

_Static_assert(WS_OUTPUT<65536 && WS_OUTPUT> 2 * (HEADER_MAX + WEBSOCKET_CONTROL_MAX),
               "a fragment's length takes two bytes, and control frames fit");

/* --- wslay's side --------------------------------------------------------------------------------------------------- */

static ssize_t on_recv(uint8_t *to, size_t n, int flags, void *context)
{
    struct ws *ws = context;
    size_t have = ws->is_ending ? n : ws->input_n - ws->input_at;

    (void)flags;
    n = have < n ? have : n;
    n = ws->give < n ? (size_t)ws->give : n;
    if (n == 0)
        return -1;
    if (ws->is_ending) {
        memset(to, 0, n);
    } else {
        memcpy(to, ws->input + ws->input_at, n);
        ws->input_at += n;
    }
    ws->give -= n;
    return (ssize_t)n;
}

/* As port/deps builds wslay, it puts its context where we say: then no connection needs the heap.  Other builds take it from there, once. */
#if __has_include(<wslay/wslay_frame_in_place.h>)
#include <wslay/wslay_frame_in_place.h>
_Static_assert(sizeof(struct wslay_frame_context) <= 4096 + WS_FRAMES_STATE, "it stands there");
#define FRAMES_OF(ws) ((struct wslay_frame_context *)(void *)(ws)->frames_input)
#else
#define FRAMES_OF(ws) NULL
#endif

enum err ws_open(struct ws *ws, enum ws_role role)
{
    static const struct wslay_frame_callbacks callbacks = {NULL, on_recv, NULL};

    memset(&ws->frames, 0, sizeof *ws - offsetof(struct ws, frames)); /* not the buffers */
    ws->role = role;
    ws->frames = FRAMES_OF(ws);
    return wslay_frame_context_init(&ws->frames, &callbacks, ws) == 0 ? OK : ERR_IO;
}

void ws_free(struct ws *ws)
{
    if (ws->frames != NULL)
        wslay_frame_context_free(ws->frames);
    ws->frames = NULL;
}

/* Brings wslay's context to a boundary between frames, by ending the frame that was cut.  What is sent is whole frames in any case. */
static void end_cut_frame(struct ws *ws)
{
    struct wslay_frame_iocb frame;

    ws->is_ending = true;
    while (ws->in_frame && (ws->give > 0 || ws->payload_left > 0)) {
        ssize_t got = wslay_frame_recv(ws->frames, &frame);
        ASSERT(got >= 0 && (uint64_t)got <= ws->payload_left);
        ws->payload_left -= (uint64_t)got;
    }
    ws->is_ending = false;
}

void ws_reset(struct ws *ws, struct transport *transport, char *message, size_t message_max)
{
    struct wslay_frame_context *frames = ws->frames;
    enum ws_role role = ws->role;

    end_cut_frame(ws);
    memset(&ws->frames, 0, sizeof *ws - offsetof(struct ws, frames)); /* not the buffers */
    ws->frames = frames;
    ws->role = role;
    ws->transport = transport;
    ws->message = message;
    ws->round_trip_us = -1;
    ws->message_max = message_max;
}

/* --- receiving ------------------------------------------------------------------------------------------------------ */

enum err ws_fill(struct ws *ws)
{
    size_t got;

    if (ws->input_at > 0) {
        memmove(ws->input, ws->input + ws->input_at, ws->input_n - ws->input_at);
        ws->input_n -= ws->input_at;
        ws->input_at = 0;
    }
    if (ws->input_n == sizeof ws->input)
        return OK;
    enum err err = ws->transport->recv(ws->transport, ws->input + ws->input_n,
                                       sizeof ws->input - ws->input_n, &got);
    if (err == OK) {
        ws->input_n += got;
        ws->bytes_in += got;
    }
    return err;
}

struct str ws_input(const struct ws *ws)
{
    return str_range(ws->input + ws->input_at, ws->input_n - ws->input_at);
}

void ws_skip(struct ws *ws, size_t n)
{
    ASSERT(n <= ws->input_n - ws->input_at);
    ws->input_at += n;
}

static enum err fault(struct ws *ws, unsigned code, const char *words)
{
    ws->fault_code = code;
    ws->fault = words;
    return ERR_SYNTAX;
}

struct header {
    bool fin, masked;
    unsigned char reserved, opcode;
    uint64_t length;
    size_t extra; /* bytes of the length behind the first two */
    size_t size;  /* of the header itself */
};

/* What stands in the first two bytes. */
static void read_start(struct str bytes, struct header *header)
{
    const unsigned char *p = (const unsigned char *)bytes.p;

    header->fin = (p[0] & 0x80) != 0;
    header->reserved = p[0] & 0x70;
    header->opcode = p[0] & 0x0F;
    header->masked = (p[1] & 0x80) != 0;
    header->length = p[1] & 0x7F;
    header->extra = header->length == 127 ? 8 : header->length == 126 ? 2 : 0;
    header->size = 2 + header->extra + (header->masked ? 4 : 0);
}

static void read_length(struct str bytes, struct header *header)
{
    const unsigned char *p = (const unsigned char *)bytes.p;

    if (header->extra > 0)
        header->length = 0;
    for (size_t i = 0; i < header->extra; i++)
        header->length = header->length << 8 | p[2 + i];
}

static bool is_control(unsigned char opcode)
{
    return (opcode & 8) != 0;
}

/* Everything that the first two bytes can break. */
static enum err judge_start(struct ws *ws, const struct header *header)
{
    if (header->reserved != 0)
        return fault(ws, 1002, "a reserved bit is set");
    if ((header->opcode & 7) > 2)
        return fault(ws, 1002, "a reserved opcode");
    if (header->masked != (ws->role == WS_SERVER))
        return fault(ws, 1002,
                     header->masked ? "a masked frame from a server"
                                    : "an unmasked frame from a client");
    if (is_control(header->opcode)) {
        if (!header->fin)
            return fault(ws, 1002, "a fragmented control frame");
        if (header->extra > 0)
            return fault(ws, 1002, "a control frame of more than 125 bytes");
        return OK;
    }
    if (header->opcode == 0 && !ws->in_message)
        return fault(ws, 1002, "a continuation without a message");
    if (header->opcode != 0 && ws->in_message)
        return fault(ws, 1002, "a new message inside another");
    return OK;
}

/* And the length. */
static enum err judge_length(struct ws *ws, const struct header *header)
{
    uint64_t least = header->extra == 0 ? 0 : header->extra == 2 ? 126 : 65536;

    if (header->length < least || header->length >> 63 != 0)
        return fault(ws, 1002, "a length that is not written in the shortest form");
    if (!is_control(header->opcode) &&
        header->length > ws->message_max - (ws->in_message ? ws->message_n : 0))
        return fault(ws, 1009, "a message that is too long");
    return OK;
}

static enum err begin_frame(struct ws *ws)
{
    struct str bytes = ws_input(ws);
    struct header header;
    enum err err;

    if (bytes.n < 2)
        return ERR_AGAIN;
    read_start(bytes, &header);
    err = judge_start(ws, &header);
    if (err != OK)
        return err;
    if (bytes.n < 2 + header.extra)
        return ERR_AGAIN;
    read_length(bytes, &header);
    err = judge_length(ws, &header);
    if (err != OK)
        return err;
    if (bytes.n < header.size)
        return ERR_AGAIN; /* the mask is still due; wslay gets headers whole */
    ws->in_frame = true;
    ws->fin = header.fin;
    ws->opcode = header.opcode;
    ws->payload_left = header.length;
    ws->give = header.length + header.size;
    if (is_control(header.opcode)) {
        ws->control_n = 0;
    } else if (header.opcode != 0) {
        ws->in_message = true;
        ws->is_text = header.opcode == WEBSOCKET_TEXT;
        ws->message_n = 0;
        ws->utf8 = (struct utf8_stream){0};
    }
    return OK;
}

static enum err take_payload(struct ws *ws, struct str bytes)
{
    ws->payload_left -= bytes.n;
    if (bytes.n == 0)
        return OK;
    if (is_control(ws->opcode)) {
        ASSERT(ws->control_n + bytes.n <= sizeof ws->control);
        memcpy(ws->control + ws->control_n, bytes.p, bytes.n);
        ws->control_n += bytes.n;
        return OK;
    }
    ASSERT(ws->message_n + bytes.n <= ws->message_max);
    memcpy(ws->message + ws->message_n, bytes.p, bytes.n);
    ws->message_n += bytes.n;
    if (ws->is_text && !utf8_stream_feed(&ws->utf8, bytes))
        return fault(ws, 1007, "a text message that is not UTF-8");
    return OK;
}

static enum err take_close(struct ws *ws)
{
    struct utf8_stream utf8 = {0};
    struct str reason = str_from(str_range((const char *)ws->control, ws->control_n), 2);

    ws->peer_code = WS_NO_STATUS;
    if (ws->control_n == 1)
        return fault(ws, 1002, "a close frame with half a code");
    if (ws->control_n >= 2) {
        ws->peer_code = (unsigned)ws->control[0] << 8 | ws->control[1];
        if (!websocket_close_code_is_valid(ws->peer_code))
            return fault(ws, 1002, "a close code that may not be sent");
        if (!utf8_stream_feed(&utf8, reason) || !utf8_stream_is_whole(&utf8))
            return fault(ws, 1007, "a close reason that is not UTF-8");
    }
    memcpy(ws->peer_reason, reason.p, reason.n);
    ws->peer_reason[reason.n] = '\0';
    ws->close_received = true;
    if (!ws->close_sent)
        ws_close(ws, ws->peer_code == WS_NO_STATUS ? 1000 : ws->peer_code, "");
    return ERR_END;
}

/* The answer to our ping; one that answers nothing of ours says nothing. */
static void take_pong(struct ws *ws)
{
    if (ws->pinged_us == 0 || !str_is(str_range((const char *)ws->control, ws->control_n), PING))
        return;
    ws->round_trip_us = port_monotonic_us() - ws->pinged_us;
    ws->pinged_us = 0;
}

static enum err put_controls(struct ws *ws);

/* OK: a message is whole. */
static enum err end_frame(struct ws *ws)
{
    ws->in_frame = false;
    switch (ws->opcode) {
    case WEBSOCKET_CLOSE:
        return take_close(ws);
    case WEBSOCKET_PING:
        ws->pings_in++;
        /* Each is answered as long as the output takes that; behind one that does not move only the latest, so that a
         * flood costs one buffer. */
        if (ws->pong_due && !ws->is_blocked && put_controls(ws) != OK)
            return ERR_IO;
        memcpy(ws->pong, ws->control, ws->control_n);
        ws->pong_n = ws->control_n;
        ws->pong_due = true;
        return ERR_AGAIN;
    case WEBSOCKET_PONG:
        ws->pongs_in++;
        take_pong(ws);
        return ERR_AGAIN;
    default:
        if (!ws->fin)
            return ERR_AGAIN;
        ws->in_message = false;
        if (ws->is_text && !utf8_stream_is_whole(&ws->utf8))
            return fault(ws, 1007, "a text message that ends inside a character");
        ws->messages_in++;
        return OK;
    }
}

/* Moves on inside what is in the input.  OK: a message is whole; ERR_AGAIN: *hungry says whether more input is needed. */
static enum err advance(struct ws *ws, bool *hungry)
{
    struct wslay_frame_iocb frame;
    enum err err;

    *hungry = true;
    if (!ws->in_frame) {
        err = begin_frame(ws);
        if (err != OK)
            return err;
    }
    ssize_t got = wslay_frame_recv(ws->frames, &frame);
    if (got == WSLAY_ERR_WANT_READ)
        return ERR_AGAIN;
    if (got < 0)
        return fault(ws, 1002, "a frame that cannot be read");
    err = take_payload(ws, str_range((const char *)frame.data, (size_t)got));
    if (err != OK)
        return err;
    *hungry = false;
    return ws->payload_left == 0 ? end_frame(ws) : ERR_AGAIN;
}

enum err ws_receive(struct ws *ws, struct str *message, bool *is_text)
{
    size_t fills = ws->message_max / WS_INPUT + 2;

    ws->has_more = false;
    if (ws->fault != NULL)
        return ERR_SYNTAX;
    if (ws->close_received)
        return ERR_END;
    for (;;) {
        bool hungry;
        enum err err = advance(ws, &hungry);
        if (err == OK) {
            *message = str_range(ws->message, ws->message_n);
            *is_text = ws->is_text;
            return OK;
        }
        if (err != ERR_AGAIN)
            return err;
        if (!hungry)
            continue;
        ws->has_more = fills == 0;
        if (fills-- == 0)
            return ERR_AGAIN;
        err = ws_fill(ws);
        if (err != OK)
            return err;
    }
}

enum err ws_discard(struct ws *ws)
{
    ws->has_more = false;
    for (size_t fills = ws->message_max / WS_INPUT + 2; fills > 0; fills--) {
        ws->input_at = ws->input_n = 0;
        enum err err = ws_fill(ws);
        if (err != OK)
            return err;
    }
    ws->has_more = true;
    return ERR_AGAIN;
}

/* --- sending -------------------------------------------------------------------------------------------------------- */

void ws_ping(struct ws *ws)
{
    ws->ping_due = true;
}

void ws_close(struct ws *ws, unsigned code, const char *reason)
{
    struct str words = str_head(str_of(reason), WEBSOCKET_REASON_MAX);

    ASSERT(websocket_close_code_is_valid(code));
    if (ws->close_due || ws->close_sent)
        return;
    /* Never cut a character in two. */
    while (words.n > 0 && words.n < strlen(reason) &&
           ((unsigned char)reason[words.n] & 0xC0) == 0x80)
        words.n--;
    (void)str_copy(words, ws->close_reason, sizeof ws->close_reason);
    ws->close_code = code;
    ws->close_due = true;
    ws->is_sending = false;
}

bool ws_close_is_sent(const struct ws *ws)
{
    return ws->close_sent && ws->output_at == ws->output_n;
}

bool ws_has_output(const struct ws *ws)
{
    return ws->output_at < ws->output_n || ws->is_sending || ws->pong_due || ws->ping_due ||
           ws->close_due;
}

static size_t room(const struct ws *ws)
{
    return sizeof ws->output - ws->output_n;
}

bool ws_release(struct ws *ws)
{
    if (ws->output_n > 0 || ws->input_at < ws->input_n || ws->in_frame)
        return false;
    ws->input_at = ws->input_n = 0;
    port_release(ws->input, offsetof(struct ws, frames_state) - offsetof(struct ws, input));
    return true;
}

/* Fresh from the system for every frame; fetched for several at once, because the call costs more than its bytes. */
static enum err take_key(struct ws *ws, unsigned char key[WEBSOCKET_MASK])
{
    if (ws->keys_left == 0) {
        enum err err = port_random(ws->keys, sizeof ws->keys);
        if (err != OK)
            return err; /* no frame without a mask: nothing can be sent */
        ws->keys_left = WS_KEYS;
    }
    memcpy(key, ws->keys[--ws->keys_left], WEBSOCKET_MASK);
    return OK;
}

/* Adds one whole frame to the output, which has room for it. */
static enum err put_frame(struct ws *ws, enum websocket_opcode opcode, bool fin, struct str payload)
{
    unsigned char key[WEBSOCKET_MASK], *to = ws->output + ws->output_n;
    bool masked = ws->role == WS_CLIENT;

    ASSERT(room(ws) >= HEADER_MAX + payload.n);
    enum err err = masked ? take_key(ws, key) : OK;
    if (err != OK)
        return err;
    size_t n = websocket_head(to, opcode, fin, payload.n, masked ? key : NULL);
    if (masked)
        websocket_mask(to + n, payload.p, payload.n, key);
    else if (payload.n > 0)
        memcpy(to + n, payload.p, payload.n);
    ws->output_n += n + payload.n;
    return OK;
}

static enum err send_output(struct ws *ws)
{
    while (ws->output_at < ws->output_n) {
        size_t put;
        enum err err = ws->transport->send(
            ws->transport,
            str_range((const char *)ws->output + ws->output_at, ws->output_n - ws->output_at),
            &put);
        ws->is_blocked = err == ERR_AGAIN;
        if (err != OK)
            return err;
        ws->output_at += put;
        ws->bytes_out += put;
    }
    ws->output_at = ws->output_n = 0;
    return OK;
}

static enum err put_close(struct ws *ws)
{
    char payload[2 + WEBSOCKET_REASON_MAX];
    struct out out = OUT_ON(payload);

    out_byte(&out, (char)(ws->close_code >> 8));
    out_byte(&out, (char)(ws->close_code & 0xFF));
    out_text(&out, ws->close_reason);
    ws->close_due = false;
    ws->close_sent = true;
    return put_frame(ws, WEBSOCKET_CLOSE, true, out_view(&out));
}

static bool control_is_due(const struct ws *ws)
{
    return ws->pong_due || ws->ping_due || ws->close_due;
}

/* All control frames that are due, as far as the output has room; after a close frame nothing follows. */
static enum err put_controls(struct ws *ws)
{
    enum err err = OK;

    while (err == OK && !ws->close_sent && control_is_due(ws) &&
           room(ws) >= HEADER_MAX + WEBSOCKET_CONTROL_MAX) {
        if (ws->pong_due) {
            ws->pong_due = false;
            err =
                put_frame(ws, WEBSOCKET_PONG, true, str_range((const char *)ws->pong, ws->pong_n));
        } else if (ws->ping_due) {
            ws->ping_due = false;
            ws->pinged_us = port_monotonic_us();
            err = put_frame(ws, WEBSOCKET_PING, true, str_of(PING));
        } else {
            err = put_close(ws);
        }
    }
    if (ws->close_sent)
        ws->pong_due = ws->ping_due = ws->close_due = false;
    return err;
}

enum err ws_flush(struct ws *ws)
{
    do {
        enum err err = ws->is_blocked ? OK : put_controls(ws);
        if (err == OK)
            err = send_output(ws);
        if (err != OK)
            return err;
    } while (control_is_due(ws));
    return OK;
}

/* The next fragment, or all of the message.  ERR_FULL: the output must go first. */
static enum err put_piece(struct ws *ws, struct str message, bool is_text)
{
    struct str rest = str_from(message, ws->sent);

    if (ws->output_n > 0 && room(ws) < HEADER_MAX + rest.n)
        return ERR_FULL;
    struct str piece = str_head(rest, room(ws) - HEADER_MAX);
    enum err err = put_frame(ws,
                             ws->sent > 0 ? WEBSOCKET_CONTINUATION
                             : is_text    ? WEBSOCKET_TEXT
                                          : WEBSOCKET_BINARY,
                             piece.n == rest.n, piece);
    ws->sent += piece.n;
    return err;
}

enum err ws_send(struct ws *ws, struct str message, bool is_text)
{
    if (!ws->is_sending) {
        ws->is_sending = true;
        ws->sent = 0;
        ws->sending_n = message.n;
    }
    ASSERT(message.n == ws->sending_n);
    for (;;) {
        /* What the transport was offered stays as it is until it has gone. */
        enum err err = ws->is_blocked ? ERR_FULL : put_controls(ws);
        if (err == OK && ws->close_sent) {
            ws->is_sending = false;
            err = ws_flush(ws);
            return err == OK ? ERR_END : err;
        }
        if (err == OK)
            err = control_is_due(ws) ? ERR_FULL : put_piece(ws, message, is_text);
        if (err == OK && ws->sent == message.n) {
            ws->is_sending = false;
            ws->messages_out++;
            return OK;
        }
        if (err == OK || err == ERR_FULL)
            err = send_output(ws);
        if (err != OK)
            return err;
    }
}
