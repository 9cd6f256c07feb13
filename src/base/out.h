/* A bounded writer: appends to a fixed buffer and remembers when something did not fit.  After the
 * first overflow nothing more is written (the buffer keeps its whole prefix), so callers check
 * once, at the end. */
#ifndef BASE_OUT_H
#define BASE_OUT_H

#include "base/str.h"

#include <stdarg.h>

struct out {
    char *p;
    size_t cap;    /* bytes */
    size_t n;      /* bytes written */
    bool overflow; /* sticky */
    size_t lost;   /* bytes that were to follow since then */
};

#define OUT_ON(array) out_on((array), sizeof(array))

struct out out_on(char *buffer, size_t size);
void out_reset(struct out *out);
void out_byte(struct out *out, char c);
void out_str(struct out *out, struct str s);
/* The next n bytes, for the caller to fill; NULL, and an overflow, when they do not fit. */
char *out_take(struct out *out, size_t n);
void out_text(struct out *out, const char *text);
void out_u64(struct out *out, uint64_t value);
void out_i64(struct out *out, int64_t value);
void out_hex(struct out *out, const unsigned char *bytes, size_t n); /* lower case */
/* Cuts back to n bytes and forgets an overflow: for "write, see whether it fits, else take it
 * back". */
void out_truncate(struct out *out, size_t n);
struct str out_view(const struct out *out);
size_t out_room(const struct out *out); /* 0 after an overflow */
/* Messages for people only: the conversions of printf that base/format.c names. */
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_vformat(struct out *out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* The same, but a text that is too long is cut where the buffer ends, and that is no overflow.  Room for out_cstr()'s
 * NUL is left. */
void out_vformat_cut(struct out *out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Ends the text with NUL inside cap, cutting the last byte if it must: for C strings in
 * messages. */
const char *out_cstr(struct out *out);

#endif
