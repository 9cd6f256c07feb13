/* Arbitrary bytes as a peer's frames.  The first byte says how many come with each read, how many go with each write, and who we
 * are.  Messages are sent meanwhile, against a transport that refuses now and then; what was sent must be frames as RFC
 * 6455 wants them. */
#include "base/assert.h"
#include "base/utf8.h"
#include "link/ws.h"

#include <string.h>

#define LIMIT 300

struct input {
    struct transport transport;
    const uint8_t *data;
    size_t n, chunk;
};

static enum err take(struct transport *transport, void *to, size_t n, size_t *got)
{
    struct input *input = transport->context;
    if (input->n == 0)
        return ERR_AGAIN;
    n = n < input->chunk ? n : input->chunk;
    n = n < input->n ? n : input->n;
    memcpy(to, input->data, n);
    input->data += n;
    input->n -= n;
    *got = n;
    return OK;
}

/* --- what was sent ------------------------------------------------------------------------------------------------- */

static struct {
    unsigned char bytes[1 << 17];
    size_t n;
    unsigned calls, refuse_every;
    size_t most; /* bytes a call */
    const char *refused;
    size_t refused_n;
} sent;

static enum err give(struct transport *transport, struct str bytes, size_t *put)
{
    (void)transport;
    /* What was refused is offered again as it was. */
    ASSERT(sent.refused == NULL || (bytes.p == sent.refused && bytes.n == sent.refused_n));
    sent.refused = NULL;
    if (sent.refuse_every > 0 && sent.calls++ % sent.refuse_every == 0) {
        sent.refused = bytes.p;
        sent.refused_n = bytes.n;
        return ERR_AGAIN;
    }
    *put = bytes.n < sent.most ? bytes.n : sent.most;
    if (sent.n + *put <= sizeof sent.bytes)
        memcpy(sent.bytes + sent.n, bytes.p, *put);
    sent.n += *put;
    return OK;
}

/* Walks the frames: masked by the client alone, in their shortest form, in order, nothing behind a close frame. */
static void check_sent(const struct ws *ws)
{
    bool in_message = false, closed = false;
    size_t at = 0;

    if (sent.n > sizeof sent.bytes)
        return;
    while (at < sent.n) {
        const unsigned char *p = sent.bytes + at;
        size_t left = sent.n - at, length, head;
        ASSERT(!closed && (p[0] & 0x70) == 0);
        if (left < 2)
            break;
        ASSERT(((p[1] & 0x80) != 0) == (ws->role == WS_CLIENT));
        length = p[1] & 0x7F;
        ASSERT(length != 127);
        head = 2 + (length == 126 ? 2u : 0u) + (ws->role == WS_CLIENT ? 4u : 0u);
        if (left < head)
            break;
        if (length == 126) {
            length = (size_t)p[2] << 8 | p[3];
            ASSERT(length > 125);
        }
        if ((p[0] & 8) != 0) {
            ASSERT((p[0] & 0x80) != 0 && length <= WEBSOCKET_CONTROL_MAX);
            closed = (p[0] & 15) == WEBSOCKET_CLOSE;
        } else {
            ASSERT(((p[0] & 15) == WEBSOCKET_CONTINUATION) == in_message);
            in_message = (p[0] & 0x80) == 0;
        }
        if (left < head + length)
            break;
        at += head + length;
    }
    ASSERT(closed || !ws_close_is_sent(ws));
}

/* One message, as far as it goes; then it is given up or finished later. */
static void send_some(struct ws *ws, size_t length)
{
    static const char text[20000];
    static size_t sending;

    if (!ws->is_sending)
        sending = length % sizeof text;
    enum err err = ws_send(ws, str_range(text, sending), true);
    ASSERT(err == OK || err == ERR_AGAIN || err == ERR_END);
    err = ws_flush(ws);
    ASSERT(err == OK || err == ERR_AGAIN);
}

/* Whatever came before, the context serves the next connection. */
static void check_new_start(struct ws *ws, char *buffer)
{
    static const uint8_t masked[] = {0x81, 0x82, 0, 0, 0, 0, 'o', 'k'},
                         plain[] = {0x81, 0x02, 'o', 'k'};
    struct input input = {.chunk = 100};
    struct str message;
    bool is_text;

    sent.refused = NULL;
    input.transport = (struct transport){.recv = take, .send = give, .context = &input};
    input.data = ws->role == WS_SERVER ? masked : plain;
    input.n = ws->role == WS_SERVER ? sizeof masked : sizeof plain;
    ws_reset(ws, &input.transport, buffer, LIMIT);
    ASSERT(ws_receive(ws, &message, &is_text) == OK && is_text && str_is(message, "ok"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ws ends[2];
    static char buffer[LIMIT];
    struct input input = {.data = data, .n = size};
    struct str message;
    bool is_text;
    enum err err;

    if (size == 0)
        return 0;
    struct ws *ws = &ends[data[0] & 1];
    if (ws->frames == NULL)
        ASSERT(ws_open(ws, (data[0] & 1) != 0 ? WS_SERVER : WS_CLIENT) == OK);
    input.chunk = data[0] / 2 + 1;
    input.data++;
    input.n--;
    input.transport = (struct transport){.recv = take, .send = give, .context = &input};
    ws_reset(ws, &input.transport, buffer, LIMIT);
    sent.n = sent.calls = 0;
    sent.refused = NULL;
    sent.refuse_every = data[0] / 2 % 5;
    sent.refuse_every += sent.refuse_every == 1; /* else nothing would ever go */
    sent.most = (data[0] / 2 + 1) * 97u;
    while ((err = ws_receive(ws, &message, &is_text)) == OK || (err == ERR_AGAIN && input.n > 0)) {
        if (err == OK && is_text) {
            struct utf8_stream utf8 = {0};
            ASSERT(utf8_stream_feed(&utf8, message) && utf8_stream_is_whole(&utf8));
        }
        ASSERT(err != OK || message.n <= LIMIT);
        send_some(ws, input.n * 97);
    }
    if (err == ERR_SYNTAX) {
        ASSERT(websocket_close_code_is_valid(ws->fault_code) && ws->fault != NULL);
        ws_close(ws, ws->fault_code, ws->fault);
        while (ws_flush(ws) == ERR_AGAIN)
            ;
        ASSERT(ws_close_is_sent(ws) && !ws_has_output(ws));
        while (ws_discard(ws) == ERR_AGAIN && input.n > 0)
            ;
    }
    check_sent(ws);
    ASSERT(err == ERR_SYNTAX || err == ERR_AGAIN || ws->close_received);
    check_new_start(ws, buffer);
    return 0;
}
