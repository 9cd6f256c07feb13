/* The gateway's WebSocket receive path on arbitrary bytes: any split gives the same messages and the same end, no
 * message is over the limit or not UTF-8, and after its own close frame the server is silent. */
#include "gateway/ws_server.h"
#include "json/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 600

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum err end;
    size_t messages, bytes;
    uint64_t sum;
};

static struct outcome run(struct str input, size_t step)
{
    struct buffer in = {.p = NULL}, out = {.p = NULL};
    struct outcome outcome = {.end = ERR_AGAIN};
    struct ws_server ws;

    MUST(ws_server_open(&ws, &in, &out, MESSAGE_MAX) == OK);
    for (size_t at = 0; at < input.n && outcome.end == ERR_AGAIN; at += step) {
        struct str message;
        const char *reason = NULL;
        MUST(buffer_put(&in, str_head(str_from(input, at), step)));
        while ((outcome.end = ws_server_next(&ws, &message, &reason)) == OK) {
            MUST(message.n <= MESSAGE_MAX && utf8_is_valid(message));
            outcome.messages++;
            outcome.bytes += message.n;
            for (size_t i = 0; i < message.n; i++)
                outcome.sum = outcome.sum * 31 + (unsigned char)message.p[i];
        }
        MUST(outcome.end == ERR_AGAIN || outcome.end == ERR_END || outcome.end == ERR_INVALID);
        if (outcome.end != ERR_AGAIN) {
            MUST(reason != NULL && ws.close_sent);
            MUST(!ws_server_send(&ws, STR("late")));
        }
    }
    MUST(ws.message.n <= MESSAGE_MAX);
    ws_server_free(&ws);
    buffer_free(&in);
    buffer_free(&out);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_range((const char *)data, size);
    struct outcome whole, split;

    if (size == 0 || size > 8192)
        return 0;
    whole = run(input, size);
    split = run(input, 1 + data[size - 1] % 5);
    MUST(whole.end == split.end && whole.messages == split.messages && whole.bytes == split.bytes &&
         whole.sum == split.sum);
    return 0;
}
