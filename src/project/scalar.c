/* The 1.2 core schema.  Owns which plain scalars are no strings; never looks at quotes or tags.  Invariant: what
 * scalar_write() writes for the types that it takes is one JSON value. */
#include "project/scalar.h"

#include "base/assert.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

static bool is_one_of(struct str text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (str_is(text, *words))
            return true;
    }
    return false;
}

/* Cuts the digits from the head of *text; their number. */
static size_t digits(struct str *text)
{
    size_t n = 0;
    while (n < text->n && is_digit(text->p[n]))
        n++;
    *text = str_from(*text, n);
    return n;
}

static bool sign(struct str *text)
{
    if (text->n == 0 || (text->p[0] != '+' && text->p[0] != '-'))
        return false;
    *text = str_from(*text, 1);
    return true;
}

static enum scalar_type decimal_type(struct str text)
{
    sign(&text);
    size_t before = digits(&text), after = 0;
    enum scalar_type type = SCALAR_INTEGER;
    if (text.n > 0 && text.p[0] == '.') {
        type = SCALAR_FLOAT;
        text = str_from(text, 1);
        after = digits(&text);
    }
    if (before + after == 0)
        return SCALAR_STRING;
    if (text.n > 0 && (text.p[0] == 'e' || text.p[0] == 'E')) {
        type = SCALAR_FLOAT;
        text = str_from(text, 1);
        sign(&text);
        if (digits(&text) == 0)
            return SCALAR_STRING;
    }
    return text.n == 0 ? type : SCALAR_STRING;
}

/* 16 for 0x…, 8 for 0o…, else 0. */
static int base_of(struct str text)
{
    if (text.n < 3 || text.p[0] != '0' || (text.p[1] != 'x' && text.p[1] != 'o'))
        return 0;
    int base = text.p[1] == 'x' ? 16 : 8;
    for (size_t i = 2; i < text.n; i++) {
        if (digit_value(text.p[i]) >= base)
            return 0;
    }
    return base;
}

enum scalar_type scalar_type(struct str plain)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    static const char *const infinite[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    if (is_one_of(plain, nulls))
        return SCALAR_NULL;
    if (is_one_of(plain, booleans))
        return SCALAR_BOOLEAN;
    struct str unsigned_text = plain;
    sign(&unsigned_text);
    if (is_one_of(unsigned_text, infinite) || is_one_of(plain, nans))
        return SCALAR_NOT_FINITE;
    if (base_of(plain) != 0)
        return plain.n - 2 > SCALAR_DIGITS ? SCALAR_TOO_LONG : SCALAR_INTEGER;
    return decimal_type(plain);
}

/* Long multiplication: SCALAR_DIGITS hexadecimal digits are at most 78 decimal ones. */
static void write_based(struct str text, int base, struct out *json)
{
    unsigned char decimal[SCALAR_DIGITS * 5 / 4] = {0}; /* the lowest digit first */
    size_t length = 1;
    for (size_t i = 2; i < text.n; i++) {
        int carry = digit_value(text.p[i]);
        for (size_t d = 0; d < length || carry > 0; d++) {
            ASSERT(d < sizeof decimal);
            int value = decimal[d] * base + carry;
            decimal[d] = (unsigned char)(value % 10);
            carry = value / 10;
            if (d >= length)
                length = d + 1;
        }
    }
    while (length > 1 && decimal[length - 1] == 0)
        length--;
    while (length > 0)
        out_byte(json, (char)('0' + decimal[--length]));
}

static void write_decimal(struct str text, struct out *json)
{
    if (text.p[0] == '-')
        out_byte(json, '-');
    sign(&text);
    while (text.n > 1 && text.p[0] == '0' && is_digit(text.p[1]))
        text = str_from(text, 1);
    if (!is_digit(text.p[0]))
        out_byte(json, '0');
    for (size_t i = 0; i < text.n; i++) {
        out_byte(json, text.p[i]);
        if (text.p[i] == '.' && (i + 1 == text.n || !is_digit(text.p[i + 1])))
            out_byte(json, '0');
    }
}

void scalar_write(struct str plain, enum scalar_type type, struct out *json)
{
    switch (type) {
    case SCALAR_NULL:
        out_text(json, "null");
        break;
    case SCALAR_BOOLEAN:
        out_text(json, plain.p[0] == 't' || plain.p[0] == 'T' ? "true" : "false");
        break;
    case SCALAR_INTEGER:
    case SCALAR_FLOAT:
        if (base_of(plain) != 0)
            write_based(plain, base_of(plain), json);
        else
            write_decimal(plain, json);
        break;
    case SCALAR_STRING:
    case SCALAR_NOT_FINITE:
    case SCALAR_TOO_LONG:
        UNREACHABLE();
    }
}
