/* Owns nothing but the three bytes of state that it is given.  Invariant: low and high are the bounds of the next byte
 * whenever `left` is not 0. */
#include "base/utf8.h"

static bool lead(struct utf8_stream *stream, unsigned char byte)
{
    stream->low = 0x80;
    stream->high = 0xBF;
    if (byte < 0xC2 || byte > 0xF4)
        return false;
    stream->left = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    if (byte == 0xE0)
        stream->low = 0xA0; /* below: overlong */
    else if (byte == 0xED)
        stream->high = 0x9F; /* above: surrogates */
    else if (byte == 0xF0)
        stream->low = 0x90;
    else if (byte == 0xF4)
        stream->high = 0x8F; /* above: beyond U+10FFFF */
    return true;
}

bool utf8_stream_feed(struct utf8_stream *stream, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char byte = (unsigned char)bytes.p[i];
        if (stream->left == 0) {
            if (byte >= 0x80 && !lead(stream, byte))
                return false;
            continue;
        }
        if (byte < stream->low || byte > stream->high)
            return false;
        stream->low = 0x80;
        stream->high = 0xBF;
        stream->left--;
    }
    return true;
}

bool utf8_stream_is_whole(const struct utf8_stream *stream)
{
    return stream->left == 0;
}
