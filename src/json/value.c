/* Scalars in their raw form: what type a value has, what a string says, what integer stands there.
 * Never looks into containers.  Invariant: a string is read only through next_piece(), so every
 * reader treats escapes alike. */
#include "json/read.h"

#include "json/internal.h"
#include "json/utf8.h"

#include <string.h>

static const char *const type_names[] = {
    [JSON_NONE] = "nothing",  [JSON_NULL] = "null",     [JSON_BOOLEAN] = "boolean",
    [JSON_NUMBER] = "number", [JSON_STRING] = "string", [JSON_ARRAY] = "array",
    [JSON_OBJECT] = "object",
};

enum json_type json_type(struct str raw)
{
    raw = str_trim(raw);
    if (raw.n == 0)
        return JSON_NONE;
    switch (raw.p[0]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOLEAN;
    case 'n':
        return JSON_NULL;
    default:
        return raw.p[0] == '-' || (raw.p[0] >= '0' && raw.p[0] <= '9') ? JSON_NUMBER : JSON_NONE;
    }
}

const char *json_type_name(enum json_type type)
{
    return type_names[type];
}

bool json_is_true(struct str raw)
{
    return str_is(str_trim(raw), "true");
}

bool json_integer(struct str raw, int64_t *value)
{
    return str_to_i64(str_trim(raw), value);
}

/* What stands between the quotes; false when raw is no string. */
static bool string_inside(struct str raw, struct str *inside)
{
    raw = str_trim(raw);
    if (raw.n < 2 || raw.p[0] != '"' || raw.p[raw.n - 1] != '"')
        return false;
    *inside = str_range(raw.p + 1, raw.n - 2);
    return true;
}

static bool hex_unit(struct str escape, uint32_t *unit)
{
    if (escape.n < 6 || escape.p[0] != '\\' || escape.p[1] != 'u')
        return false;
    uint32_t sum = 0;
    for (size_t i = 2; i < 6; i++) {
        unsigned char c = (unsigned char)escape.p[i], letter = c | 0x20;
        if (c >= '0' && c <= '9')
            sum = sum << 4 | (uint32_t)(c - '0');
        else if (letter >= 'a' && letter <= 'f')
            sum = sum << 4 | (uint32_t)(letter - 'a' + 10);
        else
            return false;
    }
    *unit = sum;
    return true;
}

/* Decodes the escape at the head; the bytes that it takes.  What the check would have refused
 * becomes U+FFFD. */
static size_t read_escape(struct str text, uint32_t *code_point)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    uint32_t high, low;
    *code_point = 0xFFFD;
    if (text.n < 2)
        return text.n;
    const char *letter = text.p[1] == '\0' ? NULL : strchr(letters, text.p[1]);
    if (letter != NULL) {
        *code_point = (uint32_t)values[letter - letters];
        return 2;
    }
    if (!hex_unit(text, &high))
        return 2;
    if (high < 0xD800 || high > 0xDFFF) {
        *code_point = high;
        return 6;
    }
    if (high > 0xDBFF || !hex_unit(str_from(text, 6), &low) || low < 0xDC00 || low > 0xDFFF)
        return 6;
    *code_point = 0x10000 + ((high - 0xD800) << 10 | (low - 0xDC00));
    return 12;
}

/* Takes the next piece off the inside of a string: all up to an escape, or one escape decoded into
 * `decoded`. */
static bool next_piece(struct str *inside, struct str *piece, char decoded[4])
{
    if (inside->n == 0)
        return false;
    size_t taken = str_find(*inside, '\\');
    if (taken > 0) {
        *piece = str_head(*inside, taken);
    } else {
        uint32_t code_point;
        taken = read_escape(*inside, &code_point);
        *piece = str_range(decoded, utf8_encode(code_point, decoded));
    }
    *inside = str_from(*inside, taken);
    return true;
}

bool json_string_decode(struct str raw, struct out *to)
{
    struct str inside, piece;
    char decoded[4];
    if (to->overflow || !string_inside(raw, &inside))
        return false;
    size_t before = to->n;
    while (next_piece(&inside, &piece, decoded))
        out_str(to, piece);
    if (to->overflow) {
        out_truncate(to, before);
        return false;
    }
    return true;
}

bool json_string_copy(struct str raw, char *to, size_t size)
{
    if (size == 0)
        return false;
    struct out out = out_on(to, size - 1);
    bool fits = json_string_decode(raw, &out) && (out.n == 0 || memchr(to, '\0', out.n) == NULL);
    to[fits ? out.n : 0] = '\0';
    return fits;
}

bool json_string_says(struct str raw, struct str text)
{
    struct str inside, piece;
    char decoded[4];
    if (!string_inside(raw, &inside))
        return false;
    if (str_find(inside, '\\') == inside.n)
        return str_equal(inside, text);
    while (next_piece(&inside, &piece, decoded)) {
        if (!str_starts_with(text, piece))
            return false;
        text = str_from(text, piece.n);
    }
    return text.n == 0;
}

bool json_string_is(struct str raw, const char *text)
{
    return json_string_says(raw, str_of(text));
}

bool json_string_equal(struct str raw_a, struct str raw_b)
{
    struct str a, b, piece_a = STR_NONE, piece_b = STR_NONE;
    char decoded_a[4], decoded_b[4];
    if (!string_inside(raw_a, &a) || !string_inside(raw_b, &b))
        return false;
    if (str_equal(a, b))
        return true;
    for (;;) {
        bool has_a = piece_a.n > 0 || next_piece(&a, &piece_a, decoded_a);
        bool has_b = piece_b.n > 0 || next_piece(&b, &piece_b, decoded_b);
        if (!has_a || !has_b)
            return has_a == has_b;
        size_t common = piece_a.n < piece_b.n ? piece_a.n : piece_b.n;
        if (!str_equal(str_head(piece_a, common), str_head(piece_b, common)))
            return false;
        piece_a = str_from(piece_a, common);
        piece_b = str_from(piece_b, common);
    }
}

size_t json_string_characters(struct str raw)
{
    struct str inside, piece;
    char decoded[4];
    size_t count = 0;
    if (!string_inside(raw, &inside))
        return 0;
    while (next_piece(&inside, &piece, decoded))
        for (size_t i = 0; i < piece.n; i++)
            count += ((unsigned char)piece.p[i] & 0xC0) != 0x80;
    return count;
}

uint32_t json_string_hash(struct str raw)
{
    struct str inside, piece;
    char decoded[4];
    uint32_t hash = 2166136261U; /* FNV-1a */
    if (!string_inside(raw, &inside))
        return 0;
    while (next_piece(&inside, &piece, decoded))
        for (size_t i = 0; i < piece.n; i++)
            hash = (hash ^ (unsigned char)piece.p[i]) * 16777619U;
    return hash;
}
