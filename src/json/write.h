/* Writing JSON into a bounded writer: commas and colons come by themselves, strings are escaped,
 * nothing but what RFC 8259 allows can come out (given that raw pieces are JSON).  Bytes of strings
 * that are not UTF-8 become U+FFFD. What does not fit shows in out->overflow, once, at the end.  At
 * most 64 containers within each other; closing what is not open is a bug and asserted. */
#ifndef JSON_WRITE_H
#define JSON_WRITE_H

#include "base/out.h"

struct json_writer {
    struct out *out;
    uint64_t has_items; /* bit d: the container at depth d (0: the outermost) has an item already */
    uint8_t depth;
    bool after_key;
    bool has_raw; /* took text that somebody else wrote: all else is JSON by itself */
};

struct json_writer json_writer(struct out *out);

void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *name);
void json_key_str(struct json_writer *w, struct str name);
void json_string(struct json_writer *w, struct str text);
void json_text(struct json_writer *w, const char *text); /* NULL writes null */
void json_i64(struct json_writer *w, int64_t value);
void json_u64(struct json_writer *w, uint64_t value);
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
/* A value that is JSON already; STR_NONE writes null. */
void json_raw(struct json_writer *w, struct str raw);
/* The same for a value that the caller now appends to the answered writer itself, whole. */
struct out *json_raw_begin(struct json_writer *w);
void json_time(struct json_writer *w, int64_t unix_ms); /* a string, base/time.h's form */
/* printf into a string value; messages for people only, cut at 1 KiB. */
void json_format(struct json_writer *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A string in pieces, cut between characters (half a character counts as bytes that are not
 * UTF-8). */
void json_string_begin(struct json_writer *w);
void json_string_add(struct json_writer *w, struct str text);
void json_string_end(struct json_writer *w);

/* Key and value in one: json_put_text(w, "kind", "timeout"). */
void json_put_text(struct json_writer *w, const char *key, const char *text);
void json_put_str(struct json_writer *w, const char *key, struct str text);
void json_put_i64(struct json_writer *w, const char *key, int64_t value);
void json_put_u64(struct json_writer *w, const char *key, uint64_t value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_null(struct json_writer *w, const char *key);
void json_put_raw(struct json_writer *w, const char *key, struct str raw);
void json_put_time(struct json_writer *w, const char *key, int64_t unix_ms);

/* Escapes `text` as the inside of a JSON string. */
void json_escape(struct out *out, struct str text);

#endif
