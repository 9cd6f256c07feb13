/* printf's conversions that messages for people need, into a bounded writer: d, u, x, X, c, s and %, with width,
 * precision of texts, the flags '-' and '0', and the lengths l, ll and, of what has no sign, z.  Libc's own would bring
 * floating point and wide characters along, 10 KiB of text and 8 KiB of stack in musl, into programs that print
 * neither.  Invariant: what does not fit is cut where the buffer ends, and `overflow` tells of it. */
#include "base/assert.h"
#include "base/out.h"

#include <stdint.h>
#include <string.h>

struct conversion {
    bool left, zero;
    int width;     /* the least number of bytes */
    int precision; /* the most bytes of a text; -1: all of them */
    enum { LENGTH_INT, LENGTH_LONG, LENGTH_LONG_LONG, LENGTH_SIZE } length;
    char letter;
};

/* As much as fits. */
static void put(struct out *out, struct str text)
{
    size_t room = out_room(out);

    out_str(out, str_head(text, room));
    if (text.n > room)
        out->overflow = true;
}

static void put_padded(struct out *out, const struct conversion *how, struct str sign,
                       struct str text)
{
    size_t width = how->width < 0 ? 0 : (size_t)how->width, n = sign.n + text.n;
    size_t padding = width > n ? width - n : 0;

    for (size_t i = 0; !how->left && !how->zero && i < padding; i++)
        put(out, STR(" "));
    put(out, sign);
    for (size_t i = 0; !how->left && how->zero && i < padding; i++)
        put(out, STR("0"));
    put(out, text);
    for (size_t i = 0; how->left && i < padding; i++)
        put(out, STR(" "));
}

static void put_number(struct out *out, const struct conversion *how, bool negative,
                       uintmax_t value)
{
    const char *alphabet = how->letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned base = how->letter == 'x' || how->letter == 'X' ? 16 : 10;
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = alphabet[value % base];
        value /= base;
    } while (value != 0);
    put_padded(out, how, negative ? STR("-") : STR(""), str_range(digits + at, sizeof digits - at));
}

static int number(const char **format)
{
    int value = 0;

    for (; **format >= '0' && **format <= '9'; ++*format)
        value = value * 10 + (**format - '0');
    return value;
}

/* A va_list is an array on some machines, which a function cannot take by reference without care: so it travels in a
 * struct. */
struct arguments {
    va_list list;
};

static struct conversion read_conversion(const char **format, struct arguments *args)
{
    struct conversion how = {.precision = -1, .length = LENGTH_INT};

    for (;; ++*format) {
        if (**format == '-')
            how.left = true;
        else if (**format == '0')
            how.zero = true;
        else
            break;
    }
    if (**format == '*') {
        ++*format;
        how.width = va_arg(args->list, int);
    } else {
        how.width = number(format);
    }
    if (**format == '.') {
        ++*format;
        if (**format == '*') {
            ++*format;
            how.precision = va_arg(args->list, int);
        } else {
            how.precision = number(format);
        }
    }
    for (;; ++*format) {
        if (**format == 'l')
            how.length = how.length == LENGTH_LONG ? LENGTH_LONG_LONG : LENGTH_LONG;
        else if (**format == 'z')
            how.length = LENGTH_SIZE;
        else
            break;
    }
    how.letter = **format;
    ASSERT(how.letter != '\0');
    ++*format;
    return how;
}

/* The bits of the next number, its sign extended. */
static uintmax_t take(const struct conversion *how, struct arguments *args)
{
    bool is_signed = how->letter == 'd';
    unsigned long value;

    switch (how->length) {
    case LENGTH_LONG:
        value = va_arg(args->list, unsigned long);
        return is_signed ? (uintmax_t)(long)value : value;
    case LENGTH_LONG_LONG:
        return va_arg(args->list, unsigned long long);
    case LENGTH_SIZE:
        return va_arg(args->list, size_t);
    default:
        value = va_arg(args->list, unsigned);
        return is_signed ? (uintmax_t)(int)value : value;
    }
}

static void put_text(struct out *out, const struct conversion *how, const char *text)
{
    size_t n = 0;

    /* A text with a precision need not end with NUL. */
    while ((how->precision < 0 || n < (size_t)how->precision) && text[n] != '\0')
        n++;
    put_padded(out, how, STR(""), str_range(text, n));
}

static void convert(struct out *out, const struct conversion *how, struct arguments *args)
{
    uintmax_t value;
    bool negative;
    char c;

    switch (how->letter) {
    case 's':
        put_text(out, how, va_arg(args->list, const char *));
        break;
    case 'd':
    case 'u':
    case 'x':
    case 'X':
        value = take(how, args);
        negative = how->letter == 'd' && value > INTMAX_MAX;
        put_number(out, how, negative, negative ? 0 - value : value);
        break;
    case 'c':
        c = (char)va_arg(args->list, int);
        put_padded(out, how, STR(""), str_range(&c, 1));
        break;
    case '%':
        put(out, STR("%"));
        break;
    default:
        UNREACHABLE(); /* a format of ours that asks for what is not here */
    }
}

/* All of it, or as much as fits. */
static void format_some(struct out *out, const char *format, va_list list)
{
    struct arguments args;

    va_copy(args.list, list);
    while (*format != '\0') {
        size_t plain = strcspn(format, "%");
        put(out, str_range(format, plain));
        format += plain;
        if (*format == '\0')
            break;
        format++;
        struct conversion how = read_conversion(&format, &args);
        convert(out, &how, &args);
    }
    va_end(args.list);
}

void out_vformat(struct out *out, const char *format, va_list args)
{
    size_t start = out->n;

    if (out->overflow)
        return;
    format_some(out, format, args);
    /* Room for out_cstr()'s NUL is part of it: a path that lost its last byte would name another file. */
    if (out->overflow || out->n == out->cap) {
        out->n = start;
        out->overflow = true;
    }
}

void out_format(struct out *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    out_vformat(out, format, args);
    va_end(args);
}

void out_vformat_cut(struct out *out, const char *format, va_list args)
{
    if (out->overflow)
        return;
    format_some(out, format, args);
    if (out->n == out->cap && out->n > 0)
        out->n--;
    out->overflow = false;
}
