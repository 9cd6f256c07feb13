/* Owns the rules of RFC 3629, table 3-7 of the Unicode standard; never repairs anything. */
#include "json/utf8.h"

bool utf8_lead(unsigned char byte, uint8_t *following, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (byte < 0x80) {
        *following = 0;
    } else if (byte >= 0xC2 && byte <= 0xDF) {
        *following = 1;
    } else if (byte >= 0xE0 && byte <= 0xEF) {
        *following = 2;
        if (byte == 0xE0)
            *low = 0xA0; /* below: overlong */
        if (byte == 0xED)
            *high = 0x9F; /* above: surrogates */
    } else if (byte >= 0xF0 && byte <= 0xF4) {
        *following = 3;
        if (byte == 0xF0)
            *low = 0x90; /* below: overlong */
        if (byte == 0xF4)
            *high = 0x8F; /* above: beyond U+10FFFF */
    } else {
        return false;
    }
    return true;
}

size_t utf8_length(struct str text)
{
    uint8_t following, low, high;
    if (text.n == 0 || !utf8_lead((unsigned char)text.p[0], &following, &low, &high) ||
        text.n <= following)
        return 0;
    for (size_t i = 1; i <= following; i++) {
        unsigned char byte = (unsigned char)text.p[i];
        if (byte < low || byte > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return (size_t)following + 1;
}

size_t utf8_encode(uint32_t code_point, char to[4])
{
    unsigned char bytes[4];
    size_t length;
    if (code_point < 0x80) {
        bytes[0] = (unsigned char)code_point;
        length = 1;
    } else if (code_point < 0x800) {
        bytes[0] = (unsigned char)(0xC0 | code_point >> 6);
        bytes[1] = (unsigned char)(0x80 | (code_point & 0x3F));
        length = 2;
    } else if (code_point < 0x10000) {
        bytes[0] = (unsigned char)(0xE0 | code_point >> 12);
        bytes[1] = (unsigned char)(0x80 | (code_point >> 6 & 0x3F));
        bytes[2] = (unsigned char)(0x80 | (code_point & 0x3F));
        length = 3;
    } else {
        bytes[0] = (unsigned char)(0xF0 | (code_point >> 18 & 0x07));
        bytes[1] = (unsigned char)(0x80 | (code_point >> 12 & 0x3F));
        bytes[2] = (unsigned char)(0x80 | (code_point >> 6 & 0x3F));
        bytes[3] = (unsigned char)(0x80 | (code_point & 0x3F));
        length = 4;
    }
    for (size_t i = 0; i < length; i++)
        to[i] = (char)bytes[i];
    return length;
}

size_t utf8_cut(struct str text)
{
    /* The last lead byte is among the last four, or the end is no UTF-8 and stays as it is. */
    for (size_t back = 1; back <= 4 && back <= text.n; back++) {
        unsigned char byte = (unsigned char)text.p[text.n - back];
        uint8_t following, low, high;
        if ((byte & 0xC0) == 0x80)
            continue;
        if (utf8_lead(byte, &following, &low, &high) && following >= back)
            return text.n - back;
        break;
    }
    return text.n;
}

bool utf8_is_valid(struct str text)
{
    for (size_t i = 0; i < text.n;) {
        size_t length = utf8_length(str_from(text, i));
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}
