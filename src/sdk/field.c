/* Field tables of authors: from an object into their struct.  Owns the words of the refusals, which name the path.  Never writes outside of a field's size.
 * Invariant: after a failure the struct holds whole values, some of them defaults. */
#include "sdk/sdk.h"

#include <string.h>

struct filling {
    const char *root;
    void *into;
    struct charter_error *error;
};

static int refuse(const struct filling *filling, struct str name, const char *reason,
                  const char *text, struct str found)
{
    char path[sizeof filling->error->path];
    struct out out = OUT_ON(path);

    out_text(&out, filling->root);
    if (name.n > 0) {
        out_byte(&out, '.');
        out_str(&out, str_head(name, out_room(&out) > 1 ? out_room(&out) - 1 : 0));
    }
    out_cstr(&out);
    sdk_error_set(filling->error, CHARTER_INVALID_INPUT, path, "%s %s%s%s%s", path, reason, text,
                  found.n > 0 ? ", it is " : "", found.n > 0 ? sdk_type_name(found) : "");
    filling->error->no_retry = true;
    return -1;
}

static int refuse_type(const struct filling *filling, const struct charter_field *field,
                       const char *reason, struct str found)
{
    return refuse(filling, str_of(field->name), reason, "", found);
}

/* Equal scalars; choices hold no others. */
static bool is_same(struct str a, struct str b)
{
    enum json_type type = json_type(a);
    if (type != json_type(b))
        return false;
    if (type == JSON_STRING)
        return json_string_equal(a, b);
    if (type == JSON_NUMBER)
        return json_number_compare(a, b) == 0;
    return str_equal(str_trim(a), str_trim(b));
}

static int check_choices(const struct filling *filling, const struct charter_field *field,
                         struct str raw)
{
    struct json_walk walk = json_walk(str_of(field->choices));
    struct str name, choice;

    while (json_walk_next(&walk, &name, &choice))
        if (is_same(raw, choice))
            return 0;
    return refuse(filling, str_of(field->name), "must be one of ", field->choices, STR_NONE);
}

static int check_bounds(const struct filling *filling, const struct charter_field *field,
                        struct str raw)
{
    if (field->minimum != NULL && json_number_compare(raw, str_of(field->minimum)) < 0)
        return refuse(filling, str_of(field->name), "must be at least ", field->minimum, STR_NONE);
    if (field->maximum != NULL && json_number_compare(raw, str_of(field->maximum)) > 0)
        return refuse(filling, str_of(field->name), "must be at most ", field->maximum, STR_NONE);
    return 0;
}

static int fill_string(const struct filling *filling, const struct charter_field *field,
                       struct str raw, char *to)
{
    char digits[32];
    struct out out = OUT_ON(digits);

    if (json_type(raw) != JSON_STRING)
        return refuse_type(filling, field, "must be a string", raw);
    if (json_string_copy(raw, to, field->size))
        return 0;
    to[0] = '\0';
    out_u64(&out, field->size - 1);
    return refuse(filling, str_of(field->name),
                  "must have no U+0000, and at most this many bytes: ", out_cstr(&out), STR_NONE);
}

static int fill_field(const struct filling *filling, const struct charter_field *field,
                      struct str raw)
{
    char *to = (char *)filling->into + field->offset;
    struct charter_value value = sdk_value(raw);
    int64_t integer;
    double number;
    bool boolean;

    switch (field->type) {
    case CHARTER_FIELD_STRING:
        if (fill_string(filling, field, raw, to) != 0)
            return -1;
        break;
    case CHARTER_FIELD_INTEGER:
        if (!charter_to_integer(value, &integer))
            return refuse_type(filling, field, "must be an integer of 64 bits", raw);
        if (check_bounds(filling, field, raw) != 0)
            return -1;
        memcpy(to, &integer, sizeof integer);
        break;
    case CHARTER_FIELD_NUMBER:
        if (!charter_to_number(value, &number))
            return refuse_type(filling, field, "must be a number in the range of a double", raw);
        if (check_bounds(filling, field, raw) != 0)
            return -1;
        memcpy(to, &number, sizeof number);
        break;
    case CHARTER_FIELD_BOOLEAN:
        if (!charter_to_boolean(value, &boolean))
            return refuse_type(filling, field, "must be true or false", raw);
        memcpy(to, &boolean, sizeof boolean);
        break;
    case CHARTER_FIELD_LIST:
    case CHARTER_FIELD_OBJECT:
    case CHARTER_FIELD_ANY:
        if (field->type == CHARTER_FIELD_LIST && json_type(raw) != JSON_ARRAY)
            return refuse_type(filling, field, "must be a list", raw);
        if (field->type == CHARTER_FIELD_OBJECT && json_type(raw) != JSON_OBJECT)
            return refuse_type(filling, field, "must be an object", raw);
        memcpy(to, &value, sizeof value);
        break;
    }
    return field->choices == NULL ? 0 : check_choices(filling, field, raw);
}

/* Unknown and doubled members; the answer's bit i is set where field i is given. */
static int look_over(const struct filling *filling, struct str object,
                     const struct charter_field *fields, size_t count, bool others, uint64_t *given)
{
    struct json_walk walk = json_walk(object);
    struct str name, value;

    *given = 0;
    while (json_walk_next(&walk, &name, &value)) {
        size_t i = 0;
        while (i < count && !json_string_is(name, fields[i].name))
            i++;
        struct str inside = str_range(name.p + 1, name.n - 2);
        if (i == count) {
            if (!others)
                return refuse(filling, inside, "is not known", "", STR_NONE);
            continue;
        }
        if ((*given >> i & 1) != 0)
            return refuse(filling, inside, "is given twice", "", STR_NONE);
        *given |= (uint64_t)1 << i;
    }
    return 0;
}

int sdk_fill(struct str object, const struct charter_field *fields, size_t count, bool others,
             bool partial, const char *root, void *into, struct charter_error *error)
{
    struct filling filling = {root, into, error};
    uint64_t given;

    for (size_t i = 0; i < count; i++)
        memset((char *)into + fields[i].offset, 0, fields[i].size);
    if (json_type(object) != JSON_OBJECT)
        return refuse(&filling, STR_NONE, "must be an object", "", object);
    if (look_over(&filling, object, fields, count, others, &given) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const struct charter_field *field = &fields[i];
        struct str raw = STR_NONE;
        if ((given >> i & 1) != 0)
            (void)json_member(object, field->name, &raw);
        else if (field->default_json != NULL)
            raw = str_of(field->default_json);
        else if ((field->flags & CHARTER_REQUIRED) != 0 && !partial)
            return refuse(&filling, str_of(field->name), "is required", "", STR_NONE);
        if (raw.n > 0 && fill_field(&filling, field, raw) != 0)
            return -1;
    }
    return 0;
}

int charter_fill(struct charter_value object, const struct charter_field *fields, size_t count,
                 unsigned flags, const char *root, void *into, struct charter_error *error)
{
    return sdk_fill(sdk_str(object), fields, count, (flags & CHARTER_OTHER_CONFIG) != 0, false,
                    root, into, error);
}

static size_t size_of(enum charter_field_type type)
{
    switch (type) {
    case CHARTER_FIELD_STRING:
        return 0; /* any */
    case CHARTER_FIELD_INTEGER:
        return sizeof(int64_t);
    case CHARTER_FIELD_NUMBER:
        return sizeof(double);
    case CHARTER_FIELD_BOOLEAN:
        return sizeof(bool);
    case CHARTER_FIELD_LIST:
    case CHARTER_FIELD_OBJECT:
    case CHARTER_FIELD_ANY:
        break;
    }
    return sizeof(struct charter_value);
}

static bool is_type(const char *text, enum json_type type)
{
    return text == NULL || json_type(sdk_checked(str_of(text), SDK_DEPTH)) == type;
}

const char *sdk_table_problem(const struct charter_field *fields, size_t count, const void *into)
{
    if (count > 0 && (fields == NULL || into == NULL))
        return "has no fields, or no struct to fill";
    if (count > 64)
        return "has more than 64 fields";
    for (size_t i = 0; i < count; i++) {
        const struct charter_field *field = &fields[i];
        size_t size = size_of(field->type);
        if (field->name == NULL)
            return "has a field without a name";
        if (field->size == 0 || (size != 0 && field->size != size))
            return "has a field whose size is not that of its type";
        if (!is_type(field->minimum, JSON_NUMBER) || !is_type(field->maximum, JSON_NUMBER) ||
            !is_type(field->choices, JSON_ARRAY))
            return "has a minimum or maximum that is no JSON number, or choices that are no array";
        if (field->default_json != NULL &&
            sdk_checked(str_of(field->default_json), SDK_DEPTH).n == 0)
            return "has a default that is not JSON";
    }
    return NULL;
}
