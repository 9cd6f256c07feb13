/* Field tables: which members an object must and may have, of which type, and where they go.  Owns
 * the words of the refusals.  Never writes a member that did not pass.  Invariant: the first
 * problem in the text's order is the one that is told, missing members after all others. */
#include "json/read.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static void refuse(struct json_field_error *error, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct json_field_error *error, const char *path, const char *format, ...)
{
    va_list args;
    struct out reason = OUT_ON(error->reason);
    va_start(args, format);
    out_vformat_cut(&reason, format, args);
    va_end(args);
    out_cstr(&reason);
    str_copy(str_head(str_of(path), sizeof error->path - 1), error->path, sizeof error->path);
}

static bool wants(enum json_type type, struct str raw, const char *reason,
                  const struct json_field *field, struct json_field_error *error)
{
    if (json_type(raw) == type)
        return true;
    refuse(error, field->name, "%s", reason);
    return false;
}

static bool read_text(struct str raw, const struct json_field *field, char *to,
                      struct json_field_error *error)
{
    ASSERT(field->size > 0);
    struct out out = out_on(to, field->size - 1);
    if (!wants(JSON_STRING, raw, "must be a string", field, error))
        return false;
    if (!json_string_decode(raw, &out)) {
        refuse(error, field->name, "must be at most %zu bytes long", field->size - 1);
    } else if (memchr(to, '\0', out.n) != NULL) {
        refuse(error, field->name, "must not contain U+0000");
    } else {
        to[out.n] = '\0';
        return true;
    }
    to[0] = '\0';
    return false;
}

static bool read_integer(struct str raw, const struct json_field *field, int64_t *to,
                         struct json_field_error *error)
{
    int64_t value;
    if (!json_integer(raw, &value)) {
        refuse(error, field->name, "must be an integer");
        return false;
    }
    if (field->minimum < field->maximum && (value < field->minimum || value > field->maximum)) {
        refuse(error, field->name, "must be from %" PRId64 " to %" PRId64, field->minimum,
               field->maximum);
        return false;
    }
    *to = value;
    return true;
}

static bool read_field(struct str raw, const struct json_field *field, void *to,
                       struct json_field_error *error)
{
    switch (field->type) {
    case JSON_FIELD_INTEGER:
        return read_integer(raw, field, to, error);
    case JSON_FIELD_TEXT:
        return read_text(raw, field, to, error);
    case JSON_FIELD_BOOLEAN:
        if (!wants(JSON_BOOLEAN, raw, "must be true or false", field, error))
            return false;
        *(bool *)to = json_is_true(raw);
        return true;
    case JSON_FIELD_OBJECT:
        if (!wants(JSON_OBJECT, raw, "must be an object", field, error))
            return false;
        break;
    case JSON_FIELD_ARRAY:
        if (!wants(JSON_ARRAY, raw, "must be an array", field, error))
            return false;
        break;
    case JSON_FIELD_STRING:
        if (!wants(JSON_STRING, raw, "must be a string", field, error))
            return false;
        break;
    case JSON_FIELD_RAW:
        break;
    }
    *(struct str *)to = raw;
    return true;
}

static size_t find_field(struct str name, const struct json_field *fields, size_t count)
{
    size_t i = 0;
    while (i < count && !json_string_is(name, fields[i].name))
        i++;
    return i;
}

enum err json_read(struct str raw_object, const struct json_field *fields, size_t count, void *into,
                   struct json_field_error *error)
{
    struct json_walk walk = json_walk(raw_object);
    struct str name, value;
    uint64_t given = 0, filled = 0;
    ASSERT(count <= 64);
    *error = (struct json_field_error){.path = ""};
    if (json_type(raw_object) != JSON_OBJECT) {
        refuse(error, "", "must be an object");
        return ERR_INVALID;
    }
    while (json_walk_next(&walk, &name, &value)) {
        size_t i = find_field(name, fields, count);
        if (i == count)
            continue;
        uint64_t bit = (uint64_t)1 << i;
        if ((given & bit) != 0) {
            refuse(error, fields[i].name, "must not be given twice");
            return ERR_EXISTS;
        }
        given |= bit;
        if ((fields[i].flags & JSON_NULLABLE) != 0 && json_type(value) == JSON_NULL)
            continue;
        if (!read_field(value, &fields[i], (char *)into + fields[i].offset, error))
            return ERR_INVALID;
        filled |= bit;
    }
    for (size_t i = 0; i < count; i++) {
        if ((fields[i].flags & JSON_REQUIRED) != 0 && (filled >> i & 1) == 0) {
            refuse(error, fields[i].name, "is required");
            return ERR_INVALID;
        }
    }
    return OK;
}
