/* Makes outside text fit for a screen.  Owns which characters are shown as they are and how wide
 * they are; never writes to the terminal.  Invariant: what comes out holds no control character,
 * whatever went in. */
#include "cli/text.h"

#include "json/utf8.h"

#include <string.h>

struct range {
    uint32_t first, last;
};

/* East Asian wide characters and pictographs, roughly: a line that is one column off is no harm. */
static const struct range wide[] = {
    {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},
    {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD},
};
static const struct range narrow[] = {{0x0300, 0x036F}, {0x200B, 0x200D}, {0xFE00, 0xFE0F}};
/* C0 and C1 are handled apart; these turn the direction of what follows, or hide it. */
static const struct range unsafe[] = {
    {0x061C, 0x061C}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069}, {0xFEFF, 0xFEFF}};

#define IN(ranges, code) in((ranges), sizeof(ranges) / sizeof *(ranges), (code))

static bool in(const struct range *ranges, size_t count, uint32_t code)
{
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

static uint32_t decode(struct str text, size_t length)
{
    unsigned char lead = (unsigned char)text.p[0];
    uint32_t code = length == 1 ? lead : (uint32_t)(lead & (0xFF >> (length + 1)));

    for (size_t i = 1; i < length; i++)
        code = code << 6 | ((unsigned char)text.p[i] & 0x3F);
    return code;
}

/* "\x1b" for bytes, "\u202e" for characters. */
static struct cli_glyph escaped(char letter, unsigned digits, uint32_t value, size_t taken)
{
    static const char hex[] = "0123456789abcdef";
    struct cli_glyph glyph = {
        .bytes = {'\\', letter}, .n = 2 + digits, .taken = taken, .columns = 2 + digits};

    for (unsigned i = 0; i < digits; i++)
        glyph.bytes[2 + i] = hex[(value >> (4 * (digits - 1 - i))) & 15];
    return glyph;
}

struct cli_glyph cli_text_glyph(struct str text)
{
    size_t length = utf8_length(text);
    struct cli_glyph glyph = {.taken = 1};

    if (length == 0)
        return escaped('x', 2, (unsigned char)text.p[0], 1);
    uint32_t code = decode(text, length);
    if (code == '\n' || code == '\t') {
        glyph.bytes[0] = ' ';
        glyph.n = glyph.columns = 1;
        return glyph;
    }
    if (code < 0x20 || code == 0x7F)
        return escaped('x', 2, code, length);
    if ((code >= 0x80 && code < 0xA0) || IN(unsafe, code))
        return escaped('u', 4, code, length);
    memcpy(glyph.bytes, text.p, length);
    glyph.n = glyph.taken = length;
    glyph.columns = IN(narrow, code) ? 0 : IN(wide, code) ? 2 : 1;
    return glyph;
}

size_t cli_text_width(struct str text)
{
    size_t columns = 0;

    while (text.n > 0) {
        struct cli_glyph glyph = cli_text_glyph(text);
        columns += glyph.columns;
        text = str_from(text, glyph.taken);
    }
    return columns;
}

void cli_text_put(struct out *to, struct str text, size_t columns)
{
    bool cut = cli_text_width(text) > columns;
    size_t room = !cut ? columns : columns > 3 ? columns - 3 : 0;

    while (text.n > 0) {
        struct cli_glyph glyph = cli_text_glyph(text);
        if (glyph.columns > room)
            break;
        room -= glyph.columns;
        out_str(to, str_range(glyph.bytes, glyph.n));
        text = str_from(text, glyph.taken);
    }
    if (cut && columns > 3)
        out_text(to, "...");
}

void cli_text_duration(struct out *to, int64_t ms)
{
    if (ms < 0)
        ms = 0;
    int64_t s = ms / 1000;
    if (s < 10)
        out_format(to, "%d.%d s", (int)s, (int)(ms % 1000 / 100));
    else if (s < 60)
        out_format(to, "%d s", (int)s);
    else if (s < 3600)
        out_format(to, "%d min %02d s", (int)(s / 60), (int)(s % 60));
    else
        out_format(to, "%lld h %02d min", (long long)(s / 3600), (int)(s / 60 % 60));
}
