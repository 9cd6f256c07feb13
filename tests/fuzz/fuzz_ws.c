/* Arbitrary bytes as a server's frames.  The first byte says how many come with each read and who we are. */
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

static enum err give(struct transport *transport, struct str bytes, size_t *put)
{
    (void)transport;
    *put = bytes.n;
    return OK;
}

/* Whatever came before, the context serves the next connection. */
static void check_new_start(struct ws *ws, char *buffer)
{
    static const uint8_t masked[] = {0x81, 0x82, 0, 0, 0, 0, 'o', 'k'},
                         plain[] = {0x81, 0x02, 'o', 'k'};
    struct input input = {.chunk = 100};
    struct str message;
    bool is_text;

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
    while ((err = ws_receive(ws, &message, &is_text)) == OK || (err == ERR_AGAIN && input.n > 0)) {
        if (err == OK && is_text) {
            struct utf8_stream utf8 = {0};
            ASSERT(utf8_stream_feed(&utf8, message) && utf8_stream_is_whole(&utf8));
        }
        ASSERT(err != OK || message.n <= LIMIT);
        ASSERT(ws_flush(ws) == OK);
    }
    if (err == ERR_SYNTAX)
        ASSERT(websocket_close_code_is_valid(ws->fault_code) && ws->fault != NULL);
    ASSERT(err == ERR_SYNTAX || err == ERR_AGAIN || ws->close_received);
    check_new_start(ws, buffer);
    return 0;
}
