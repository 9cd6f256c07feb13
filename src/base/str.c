#include "base/str.h"

#include <string.h>

struct str str_of(const char *text)
{
    return text == NULL ? STR_NONE : (struct str){text, strlen(text)};
}

bool str_equal(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *text)
{
    return str_equal(a, str_of(text));
}

bool str_starts_with(struct str a, struct str prefix)
{
    return a.n >= prefix.n && str_equal(str_head(a, prefix.n), prefix);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

struct str str_from(struct str a, size_t from)
{
    if (from >= a.n)
        return (struct str){a.n == 0 ? a.p : a.p + a.n, 0};
    return (struct str){a.p + from, a.n - from};
}

struct str str_head(struct str a, size_t n)
{
    return (struct str){a.p, n < a.n ? n : a.n};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str a)
{
    while (a.n > 0 && is_space(a.p[0]))
        a = str_from(a, 1);
    while (a.n > 0 && is_space(a.p[a.n - 1]))
        a.n--;
    return a;
}

size_t str_find(struct str a, char c)
{
    const char *hit = a.n == 0 ? NULL : memchr(a.p, c, a.n);
    return hit == NULL ? a.n : (size_t)(hit - a.p);
}

bool str_cut(struct str a, char separator, struct str *head, struct str *rest)
{
    size_t at = str_find(a, separator);
    *head = str_head(a, at);
    *rest = str_from(a, at + 1);
    return at < a.n;
}

bool str_to_u64(struct str a, uint64_t *value)
{
    uint64_t sum = 0;
    if (a.n == 0)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] < '0' || a.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(a.p[i] - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool str_to_i64(struct str a, int64_t *value)
{
    bool negative = a.n > 0 && a.p[0] == '-';
    uint64_t size;
    if (!str_to_u64(negative ? str_from(a, 1) : a, &size))
        return false;
    if (size > (uint64_t)INT64_MAX + (negative ? 1U : 0U))
        return false;
    if (negative)
        *value = size == 0 ? 0 : -(int64_t)(size - 1) - 1;
    else
        *value = (int64_t)size;
    return true;
}

bool str_copy(struct str a, char *to, size_t size)
{
    if (a.n >= size) {
        if (size > 0)
            to[0] = '\0';
        return false;
    }
    if (a.n > 0)
        memcpy(to, a.p, a.n);
    to[a.n] = '\0';
    return true;
}

void bytes_clear(void *p, size_t n)
{
    unsigned char *bytes = p;

    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 0)
            bytes[i] = 0;
}
