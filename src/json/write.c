/* The one place where JSON text is put together.  Owns commas, colons and escapes; never looks at
 * whether the text fits, which is the bounded writer's sticky error.  Invariant: after each call
 * the output is a prefix of one JSON value, given calls in a sensible order, which assertions
 * check. */
#include "json/write.h"

#include "base/assert.h"
#include "json/internal.h"
#include "json/utf8.h"

#include <stdarg.h>
#include <string.h>

#define DEPTH_MAX 64
#define FORMAT_SIZE 1024

struct json_writer json_writer(struct out *out)
{
    return (struct json_writer){.out = out};
}

/* What stands between the value before and the one that begins now. */
static void separate(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    uint64_t here = (uint64_t)1 << (w->depth - 1);
    if ((w->has_items & here) != 0)
        out_byte(w->out, ',');
    w->has_items |= here;
}

static void container_open(struct json_writer *w, char bracket)
{
    separate(w);
    out_byte(w->out, bracket);
    ASSERT(w->depth < DEPTH_MAX);
    w->has_items &= ~((uint64_t)1 << w->depth);
    w->depth++;
}

static void container_close(struct json_writer *w, char bracket)
{
    ASSERT(w->depth > 0 && !w->after_key);
    w->depth--;
    out_byte(w->out, bracket);
}

void json_object(struct json_writer *w)
{
    container_open(w, '{');
}

void json_object_end(struct json_writer *w)
{
    container_close(w, '}');
}

void json_array(struct json_writer *w)
{
    container_open(w, '[');
}

void json_array_end(struct json_writer *w)
{
    container_close(w, ']');
}

static void escape_byte(struct out *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"':
        out_text(out, "\\\"");
        break;
    case '\\':
        out_text(out, "\\\\");
        break;
    case '\b':
        out_text(out, "\\b");
        break;
    case '\f':
        out_text(out, "\\f");
        break;
    case '\n':
        out_text(out, "\\n");
        break;
    case '\r':
        out_text(out, "\\r");
        break;
    case '\t':
        out_text(out, "\\t");
        break;
    default: {
        char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        out_str(out, str_range(escape, sizeof escape));
        break;
    }
    }
}

void json_escape(struct out *out, struct str text)
{
    size_t from = 0, i = json_plain_run(text);
    while (i < text.n) {
        unsigned char c = (unsigned char)text.p[i];
        size_t length = c < 0x80 ? 0 : utf8_length(str_from(text, i));
        if (length == 0) {
            out_str(out, str_range(text.p + from, i - from));
            if (c < 0x80)
                escape_byte(out, c);
            else
                out_text(out, UTF8_REPLACEMENT);
            from = ++i;
        }
        i += length + json_plain_run(str_from(text, i + length));
    }
    if (from < text.n)
        out_str(out, str_from(text, from));
}

void json_string_begin(struct json_writer *w)
{
    separate(w);
    out_byte(w->out, '"');
}

void json_string_add(struct json_writer *w, struct str text)
{
    json_escape(w->out, text);
}

void json_string_end(struct json_writer *w)
{
    out_byte(w->out, '"');
}

/* Strings are mostly plain and are put down whole, with a colon behind the names. */
static void quote(struct out *out, struct str text, bool is_name)
{
    if (json_plain_run(text) < text.n) {
        out_byte(out, '"');
        json_escape(out, text);
        out_text(out, is_name ? "\":" : "\"");
        return;
    }
    char *to = out_take(out, text.n + (is_name ? 3 : 2));
    if (to == NULL)
        return;
    to[0] = '"';
    if (text.n > 0)
        memcpy(to + 1, text.p, text.n);
    to[text.n + 1] = '"';
    if (is_name)
        to[text.n + 2] = ':';
}

void json_string(struct json_writer *w, struct str text)
{
    separate(w);
    quote(w->out, text, false);
}

void json_text(struct json_writer *w, const char *text)
{
    if (text == NULL)
        json_null(w);
    else
        json_string(w, str_of(text));
}

void json_key_str(struct json_writer *w, struct str name)
{
    ASSERT(!w->after_key);
    separate(w);
    quote(w->out, name, true);
    w->after_key = true;
}

void json_key(struct json_writer *w, const char *name)
{
    json_key_str(w, str_of(name));
}

void json_i64(struct json_writer *w, int64_t value)
{
    separate(w);
    out_i64(w->out, value);
}

void json_u64(struct json_writer *w, uint64_t value)
{
    separate(w);
    out_u64(w->out, value);
}

void json_bool(struct json_writer *w, bool value)
{
    separate(w);
    out_text(w->out, value ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    separate(w);
    out_text(w->out, "null");
}

void json_raw(struct json_writer *w, struct str raw)
{
    if (raw.n == 0) {
        json_null(w);
        return;
    }
    separate(w);
    w->has_raw = true;
    out_str(w->out, raw);
}

struct out *json_raw_begin(struct json_writer *w)
{
    separate(w);
    w->has_raw = true;
    return w->out;
}

void json_format(struct json_writer *w, const char *format, ...)
{
    char text[FORMAT_SIZE];
    struct out out = OUT_ON(text);
    va_list args;
    va_start(args, format);
    out_vformat_cut(&out, format, args);
    va_end(args);
    json_string(w, str_head(out_view(&out), utf8_cut(out_view(&out))));
}

void json_put_text(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_text(w, text);
}

void json_put_str(struct json_writer *w, const char *key, struct str text)
{
    json_key(w, key);
    json_string(w, text);
}

void json_put_i64(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_i64(w, value);
}

void json_put_u64(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_u64(w, value);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

void json_put_null(struct json_writer *w, const char *key)
{
    json_key(w, key);
    json_null(w);
}

void json_put_raw(struct json_writer *w, const char *key, struct str raw)
{
    json_key(w, key);
    json_raw(w, raw);
}
