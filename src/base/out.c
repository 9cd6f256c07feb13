#include "base/out.h"

#include <string.h>

struct out out_on(char *buffer, size_t size)
{
    return (struct out){.p = buffer, .cap = size};
}

void out_reset(struct out *out)
{
    out->n = out->lost = 0;
    out->overflow = false;
}

void out_str(struct out *out, struct str s)
{
    if (out->overflow || s.n > out->cap - out->n) {
        out->overflow = true;
        out->lost += s.n;
        return;
    }
    if (s.n > 0)
        memcpy(out->p + out->n, s.p, s.n);
    out->n += s.n;
}

char *out_take(struct out *out, size_t n)
{
    if (out->overflow || n > out->cap - out->n) {
        out->overflow = true;
        out->lost += n;
        return NULL;
    }
    out->n += n;
    return out->p + out->n - n;
}

void out_byte(struct out *out, char c)
{
    if (out->overflow || out->n == out->cap) {
        out->overflow = true;
        out->lost++;
    } else {
        out->p[out->n++] = c;
    }
}

void out_text(struct out *out, const char *text)
{
    out_str(out, str_of(text));
}

void out_u64(struct out *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    out_str(out, (struct str){digits + at, sizeof digits - at});
}

void out_i64(struct out *out, int64_t value)
{
    if (value < 0) {
        out_byte(out, '-');
        out_u64(out, (uint64_t)(-(value + 1)) + 1);
    } else {
        out_u64(out, (uint64_t)value);
    }
}

void out_hex(struct out *out, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *to = out_take(out, 2 * n);
    for (size_t i = 0; to != NULL && i < n; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
}

void out_truncate(struct out *out, size_t n)
{
    if (n <= out->n) {
        out->n = n;
        out->lost = 0;
        out->overflow = false;
    }
}

struct str out_view(const struct out *out)
{
    return (struct str){out->p, out->n};
}

size_t out_room(const struct out *out)
{
    return out->overflow ? 0 : out->cap - out->n;
}

const char *out_cstr(struct out *out)
{
    if (out->cap == 0)
        return "";
    if (out->n == out->cap)
        out->n--;
    out->p[out->n] = '\0';
    return out->p;
}
