/* Owns no state; see the header. */
#include "base/websocket.h"

#include "base/hash.h"

#include <string.h>

size_t websocket_head(unsigned char head[WEBSOCKET_HEAD_MAX], enum websocket_opcode opcode,
                      bool fin, uint64_t length, const unsigned char *mask)
{
    size_t extra = length < 126 ? 0 : length < 65536 ? 2 : 8, n = 2 + extra;

    head[0] = (unsigned char)((fin ? 0x80 : 0) | opcode);
    head[1] = (unsigned char)((mask != NULL ? 0x80 : 0) | (extra == 0   ? (unsigned char)length
                                                           : extra == 2 ? 126
                                                                        : 127));
    for (size_t i = 0; i < extra; i++)
        head[2 + i] = (unsigned char)(length >> (8 * (extra - 1 - i)));
    if (mask != NULL) {
        memcpy(head + n, mask, WEBSOCKET_MASK);
        n += WEBSOCKET_MASK;
    }
    return n;
}

void websocket_mask(unsigned char *to, const char *from, size_t n,
                    const unsigned char mask[WEBSOCKET_MASK])
{
    uint64_t wide, word;
    size_t i = 0;

    memcpy(&wide, mask, WEBSOCKET_MASK);
    memcpy((unsigned char *)&wide + WEBSOCKET_MASK, mask, WEBSOCKET_MASK);
    for (; n - i >= sizeof word; i += sizeof word) {
        memcpy(&word, from + i, sizeof word);
        word ^= wide;
        memcpy(to + i, &word, sizeof word);
    }
    for (; i < n; i++)
        to[i] = (unsigned char)from[i] ^ mask[i % WEBSOCKET_MASK];
}

bool websocket_close_code_is_valid(unsigned code)
{
    if (code >= 3000)
        return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

void websocket_accept(struct str key, char accept[WEBSOCKET_ACCEPT_LENGTH + 1])
{
    char text[64 + 36];
    unsigned char digest[20];
    struct out joined = OUT_ON(text), out = out_on(accept, WEBSOCKET_ACCEPT_LENGTH + 1);

    /* A key is 24 bytes; a longer one is nobody's, and gives an answer that nobody expects. */
    out_str(&joined, str_head(key, 64));
    out_text(&joined, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1_of(out_view(&joined), digest);
    base64_encode(&out, digest, sizeof digest);
    out_cstr(&out);
}
