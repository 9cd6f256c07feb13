/* The authors' JSON writer: json/write.c's, with a refusal where that one asserts, because what is written here is not our own code's doing.  Owns
 * the rules of what may stand where.  Invariant: what stands in the buffer is the prefix of one JSON value. */
#include "sdk/sdk.h"

/* Bits and bounds of charter_writer become those of json_writer and out, and back. */
struct pen {
    struct out out;
    struct json_writer json;
};

static void take(struct pen *pen, const struct charter_writer *w)
{
    pen->out = (struct out){.p = w->buffer, .cap = w->size, .n = w->length, .overflow = w->failed};
    pen->json = json_writer(&pen->out);
    pen->json.has_items = w->has_items;
    pen->json.depth = w->depth;
    pen->json.after_key = w->after_key;
}

static void give(struct charter_writer *w, const struct pen *pen)
{
    w->length = pen->out.n;
    w->failed = pen->out.overflow;
    w->has_items = pen->json.has_items;
    w->depth = pen->json.depth;
    w->after_key = pen->json.after_key;
}

struct charter_writer charter_writer_on(char *buffer, size_t size)
{
    return (struct charter_writer){.buffer = buffer, .size = size};
}

bool charter_writer_is_whole(const struct charter_writer *w)
{
    return !w->failed && w->depth == 0 && w->length > 0;
}

struct charter_value charter_writer_value(const struct charter_writer *w)
{
    return sdk_value(charter_writer_is_whole(w) ? str_range(w->buffer, w->length) : STR_NONE);
}

static bool in_object(const struct charter_writer *w)
{
    return w->depth > 0 && (w->objects >> (w->depth - 1) & 1) != 0;
}

/* Whether a value may begin here; where it may not, the writer has failed. */
static bool begin(struct charter_writer *w, struct pen *pen)
{
    bool fits = w->depth == 0 ? w->length == 0 : !in_object(w) || w->after_key;
    if (!fits)
        w->failed = true;
    if (w->failed)
        return false;
    take(pen, w);
    return true;
}

static void open_container(struct charter_writer *w, bool object)
{
    struct pen pen;
    if (w->depth >= SDK_DEPTH)
        w->failed = true;
    if (!begin(w, &pen))
        return;
    uint64_t bit = (uint64_t)1 << w->depth;
    w->objects = object ? w->objects | bit : w->objects & ~bit;
    if (object)
        json_object(&pen.json);
    else
        json_array(&pen.json);
    give(w, &pen);
}

static void close_container(struct charter_writer *w, bool object)
{
    struct pen pen;
    if (w->depth == 0 || in_object(w) != object || w->after_key)
        w->failed = true;
    if (w->failed)
        return;
    take(&pen, w);
    if (object)
        json_object_end(&pen.json);
    else
        json_array_end(&pen.json);
    give(w, &pen);
}

void charter_write_object(struct charter_writer *w)
{
    open_container(w, true);
}

void charter_write_object_end(struct charter_writer *w)
{
    close_container(w, true);
}

void charter_write_list(struct charter_writer *w)
{
    open_container(w, false);
}

void charter_write_list_end(struct charter_writer *w)
{
    close_container(w, false);
}

void charter_write_key(struct charter_writer *w, const char *name)
{
    struct pen pen;
    if (!in_object(w) || w->after_key)
        w->failed = true;
    if (w->failed)
        return;
    take(&pen, w);
    json_key(&pen.json, name);
    give(w, &pen);
}

static void write_raw(struct charter_writer *w, struct str raw)
{
    struct pen pen;
    if (!begin(w, &pen))
        return;
    json_raw(&pen.json, raw); /* nothing: null */
    give(w, &pen);
}

void charter_write_bytes(struct charter_writer *w, const char *text, size_t length)
{
    struct pen pen;
    if (!begin(w, &pen))
        return;
    json_string(&pen.json, str_range(text, length));
    give(w, &pen);
}

void charter_write_string(struct charter_writer *w, const char *text)
{
    if (text == NULL)
        write_raw(w, STR_NONE);
    else
        charter_write_bytes(w, text, str_of(text).n);
}

void charter_write_integer(struct charter_writer *w, int64_t value)
{
    char digits[24];
    struct out out = OUT_ON(digits);
    out_i64(&out, value);
    write_raw(w, out_view(&out));
}

void charter_write_number(struct charter_writer *w, double value)
{
    char digits[48];
    struct out out = OUT_ON(digits);
    if (!sdk_number_is_finite(value)) {
        w->failed = true;
        return;
    }
    sdk_number_write(&out, value);
    write_raw(w, out_view(&out));
}

void charter_write_boolean(struct charter_writer *w, bool value)
{
    write_raw(w, value ? STR("true") : STR("false"));
}

void charter_write_null(struct charter_writer *w)
{
    write_raw(w, STR_NONE);
}

void charter_write_value(struct charter_writer *w, struct charter_value value)
{
    struct str raw = sdk_str(value);
    if (raw.n > 0) {
        raw = sdk_checked(raw, (unsigned)(w->depth < SDK_DEPTH ? SDK_DEPTH - w->depth : 0));
        if (raw.n == 0)
            w->failed = true;
    }
    write_raw(w, raw);
}

void charter_put_string(struct charter_writer *w, const char *key, const char *text)
{
    charter_write_key(w, key);
    charter_write_string(w, text);
}

void charter_put_integer(struct charter_writer *w, const char *key, int64_t value)
{
    charter_write_key(w, key);
    charter_write_integer(w, value);
}

void charter_put_number(struct charter_writer *w, const char *key, double value)
{
    charter_write_key(w, key);
    charter_write_number(w, value);
}

void charter_put_boolean(struct charter_writer *w, const char *key, bool value)
{
    charter_write_key(w, key);
    charter_write_boolean(w, value);
}

void charter_put_null(struct charter_writer *w, const char *key)
{
    charter_write_key(w, key);
    charter_write_null(w);
}

void charter_put_value(struct charter_writer *w, const char *key, struct charter_value value)
{
    charter_write_key(w, key);
    charter_write_value(w, value);
}
