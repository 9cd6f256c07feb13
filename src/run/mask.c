#include "run/mask.h"

#include "base/out.h"
#include "json/read.h"
#include "json/utf8.h"
#include "port.h"

#include <string.h>

static struct str pattern(const struct mask *mask, size_t i)
{
    return str_range(mask->bytes + mask->patterns[i].offset, mask->patterns[i].length);
}

static enum err add(struct mask *mask, struct str value)
{
    for (size_t i = 0; i < mask->count; i++)
        if (str_equal(pattern(mask, i), value))
            return OK;
    if (mask->count == MASK_PATTERNS || value.n > MASK_BYTES - mask->used)
        return ERR_FULL;
    /* Longer values come first, so that a value which contains another is hidden whole. */
    size_t place = mask->count;
    while (place > 0 && mask->patterns[place - 1].length < value.n) {
        mask->patterns[place] = mask->patterns[place - 1];
        place--;
    }
    mask->patterns[place].offset = (uint16_t)mask->used;
    mask->patterns[place].length = (uint16_t)value.n;
    memcpy(mask->bytes + mask->used, value.p, value.n);
    mask->used += value.n;
    mask->count++;
    unsigned char first = (unsigned char)value.p[0];
    mask->first[first / 32] |= UINT32_C(1) << first % 32;
    return OK;
}

static enum err add_with_lines(struct mask *mask, struct str value)
{
    struct str line;

    enum err err = add(mask, value);
    while (err == OK && value.n > 0) {
        (void)str_cut(value, '\n', &line, &value);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n >= MASK_SHORTEST)
            err = add(mask, line);
    }
    return err;
}

enum err mask_learn(struct mask *mask, struct str value)
{
    struct out written = OUT_ON(mask->learnt);
    struct str rest = value;

    if (value.n < MASK_SHORTEST)
        return ERR_INVALID;
    enum err err = add_with_lines(mask, value);
    if (err != OK || utf8_is_valid(value))
        return err;
    /* Events are UTF-8: bytes that are not come out as json/write.h puts them. */
    while (rest.n > 0) {
        size_t n = utf8_length(rest);
        out_str(&written, n > 0 ? str_head(rest, n) : STR(UTF8_REPLACEMENT));
        rest = str_from(rest, n > 0 ? n : 1);
    }
    err = written.overflow ? ERR_FULL : add_with_lines(mask, out_view(&written));
    port_wipe(mask->learnt, sizeof mask->learnt);
    return err;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 0;
}

static uint32_t read_hex(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)hex_value(p[i]);
    return value;
}

static size_t encode_utf8(uint32_t c, char utf8[4])
{
    if (c < 0x80) {
        utf8[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        utf8[i] = (char)(0x80 | (c & 0x3f));
    utf8[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* Decodes one character (or one plain byte) at the head of a checked string's inside; the answer is how many raw bytes it took. */
static size_t decode(struct str inside, char utf8[4], size_t *n)
{
    static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";

    if (inside.p[0] != '\\' || inside.n < 2) {
        utf8[0] = inside.p[0];
        *n = 1;
        return 1;
    }
    if (inside.p[1] != 'u' || inside.n < 6) {
        const char *known = strchr(names, inside.p[1]);
        utf8[0] = known != NULL && *known != '\0' ? bytes[known - names] : inside.p[1];
        *n = 1;
        return 2;
    }
    uint32_t c = read_hex(inside.p + 2);
    size_t raw = 6;
    if (c >= 0xd800 && c < 0xdc00 && inside.n >= 12) {
        c = 0x10000 + ((c - 0xd800) << 10) + (read_hex(inside.p + 8) - 0xdc00);
        raw = 12;
    }
    *n = encode_utf8(c, utf8);
    return raw;
}

/* The same for JSON text inside of a JSON string, as a program logs a message that it got: two layers of escapes. */
static size_t decode_twice(struct str inside, char utf8[4], size_t *n)
{
    char once[12]; /* the longest escape: a pair of surrogates */
    size_t ends[sizeof once], units = 0, at = 0;

    size_t raw = decode(inside, utf8, n);
    if (*n != 1 || utf8[0] != '\\')
        return raw;
    while (at < inside.n && (units < 2 || (units < sizeof once && once[1] == 'u'))) {
        at += decode(str_from(inside, at), utf8, n);
        if (*n != 1)
            break; /* no part of an escape */
        once[units] = utf8[0];
        ends[units++] = at;
    }
    return ends[decode(str_range(once, units), utf8, n) - 1];
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Raw bytes that a value takes at the head of `inside`, under so many layers of escapes, or 0.  In JSON a value that is no UTF-8 must not cut a
 * character: what is left would be no JSON. */
static size_t match(struct str inside, struct str value, int layers)
{
    size_t at = 0, matched = 0;
    if (layers > 0 && is_continuation(inside.p[0]))
        return 0;
    while (matched < value.n) {
        char utf8[4];
        size_t n = 1, raw = 1;
        if (at >= inside.n)
            return 0;
        if (layers == 0)
            utf8[0] = inside.p[at];
        else if (layers == 1)
            raw = decode(str_from(inside, at), utf8, &n);
        else
            raw = decode_twice(str_from(inside, at), utf8, &n);
        if (n > value.n - matched || memcmp(utf8, value.p + matched, n) != 0)
            return 0;
        at += raw;
        matched += n;
    }
    return layers > 0 && at < inside.n && is_continuation(inside.p[at]) ? 0 : at;
}

/* Whether a value can begin with this byte, as it stands or as an escape. */
static bool may_begin(const struct mask *mask, char c)
{
    return c == '\\' || (mask->first[(unsigned char)c / 32] >> (unsigned char)c % 32 & 1) != 0;
}

/* As it stands, and as JSON text in it would have it. */
static size_t match_any(const struct mask *mask, struct str inside, bool escaped)
{
    int layers = escaped ? 1 : 0;

    if (!may_begin(mask, inside.p[0]))
        return 0;
    for (size_t i = 0; i < mask->count; i++) {
        struct str value = pattern(mask, i);
        if (inside.p[0] != value.p[0] && inside.p[0] != '\\')
            continue;
        size_t raw = match(inside, value, layers);
        if (raw == 0)
            raw = match(inside, value, layers + 1);
        if (raw > 0)
            return raw;
    }
    return 0;
}

/* Whether it is worth going through the text value by value: most texts hold nothing that is hidden, and this says so at a glance.  With
 * escapes in it, one cannot tell so. */
static bool may_hold(const struct mask *mask, struct str text)
{
    for (; text.n > 0; text = str_range(text.p + 1, text.n - 1))
        if (may_begin(mask, text.p[0]) && (text.p[0] == '\\' || match_any(mask, text, false) > 0))
            return true;
    return false;
}

/* Copies [from, from + n) of text to `to` (at or before `from`), values hidden; the new length.  Escaped: steps over escapes whole. */
static size_t hide(const struct mask *mask, char *text, size_t to, size_t from, size_t n,
                   bool escaped)
{
    size_t start = to, end = from + n;
    while (from < end) {
        struct str rest = str_range(text + from, end - from);
        size_t raw = match_any(mask, rest, escaped);
        if (raw > 0) {
            memcpy(text + to, "***", 3);
            to += 3;
            from += raw;
            continue;
        }
        char utf8[4];
        size_t ignored, step = escaped ? decode(rest, utf8, &ignored) : 1;
        memmove(text + to, text + from, step);
        to += step;
        from += step;
    }
    return to - start;
}

void mask_text(const struct mask *mask, char *text, size_t *n)
{
    if (mask->count > 0 && may_hold(mask, str_range(text, *n)))
        *n = hide(mask, text, 0, 0, *n, false);
}

static size_t string_end(const char *text, size_t at, size_t n)
{
    for (at++; at < n && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at;
}

static bool is_number_byte(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* One pass over the tokens from `at` on.  A number with a value inside becomes the string "***": digits around stars would be no JSON.  The number is
 * longer than MASK_SHORTEST - 1 bytes then, and "***" with its quotes is five: a number of four bytes needs one more, which is why such a
 * number becomes null instead. */
static size_t hide_values(const struct mask *mask, char *text, size_t at, size_t n)
{
    size_t to = at, depth = 0;

    while (at < n) {
        char c = text[at];
        if (c == '"') {
            size_t end = string_end(text, at, n);
            bool own_name = depth == 1 && end + 1 < n && text[end + 1] == ':';
            size_t inside = end - at - 1;
            text[to++] = '"';
            if (own_name) {
                memmove(text + to, text + at + 1, inside);
                to += inside;
            } else {
                to += hide(mask, text, to, at + 1, inside, true);
            }
            text[to++] = '"';
            at = end + 1;
        } else if (is_number_byte(c)) {
            size_t end = at;
            bool found = false;
            while (end < n && is_number_byte(text[end]))
                end++;
            for (size_t i = at; i < end && !found; i++)
                found = match_any(mask, str_range(text + i, end - i), false) > 0;
            size_t length = end - at;
            if (found) {
                length = length >= 5 ? 5 : 4;
                memcpy(text + at, length == 5 ? "\"***\"" : "null", length);
            }
            memmove(text + to, text + at, length);
            to += length;
            at = end;
        } else {
            depth += c == '{' || c == '[' ? 1 : 0;
            depth -= (c == '}' || c == ']') && depth > 0 ? 1 : 0;
            text[to++] = c;
            at++;
        }
    }
    return to;
}

bool mask_event(const struct mask *mask, char *text, size_t *n)
{
    struct str data;

    if (mask->count == 0 || !json_member(str_range(text, *n), "data", &data) ||
        !may_hold(mask, data))
        return false;
    /* `data` is the event's last member: what follows is the closing brace alone. */
    *n = hide_values(mask, text, (size_t)(data.p - text), *n);
    return true;
}
