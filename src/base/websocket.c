/* Owns no state; see the header. */
#include "base/websocket.h"

#include "base/hash.h"

#include <string.h>

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
