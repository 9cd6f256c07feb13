/* A borrowed view of bytes: neither owned nor NUL-terminated.  It lives as long as what it points
 * into; whoever returns one says what that is. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
};

#define STR_NONE ((struct str){NULL, 0})
/* A view of a string literal. */
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p

struct str str_of(const char *text); /* of a NUL-terminated string; NULL gives STR_NONE */
static inline struct str str_range(const char *p, size_t n)
{
    return (struct str){p, n};
}
bool str_equal(struct str a, struct str b);
bool str_is(struct str a, const char *text);
bool str_starts_with(struct str a, struct str prefix);
bool str_equal_nocase(struct str a, struct str b); /* ASCII only, as HTTP wants */
/* From byte `from` on, clamped to the end. */
struct str str_from(struct str a, size_t from);
/* The first `n` bytes, clamped. */
struct str str_head(struct str a, size_t n);
/* Without spaces, tabs, CR and LF on both ends. */
struct str str_trim(struct str a);
/* Cuts at the first `separator`: *head gets what stands before it, *rest what stands behind.
 * Without a separator *head is all, *rest is empty and the answer false.  Safe when rest points at
 * a's own place. */
bool str_cut(struct str a, char separator, struct str *head, struct str *rest);
/* Offset of the first `c`, or a.n. */
size_t str_find(struct str a, char c);

/* Decimal without sign, white space or overflow; false leaves *value alone. */
bool str_to_u64(struct str a, uint64_t *value);
/* The same with an optional '-'. */
bool str_to_i64(struct str a, int64_t *value);

/* Copies into a fixed array and ends it with NUL; false (and an empty string) when it does not
 * fit. */
bool str_copy(struct str a, char *to, size_t size);

/* Makes all of it zeros.  Pages that hold nothing else are only read: of a large struct that starts as zeros they stay untouched. */
void bytes_clear(void *p, size_t n);

#endif
