/* Values by themselves: types, paths, walks.  Never copies a value; what it answers points into what it was given.  Invariant: a value that is
 * not JSON leads nowhere, it is never read past its end. */
#include "sdk/sdk.h"

#include "json/check.h"

struct str sdk_checked(struct str text, unsigned depth)
{
    return json_check(text, depth, NULL) == OK ? str_trim(text) : STR_NONE;
}

struct charter_value charter_parse(const char *json, size_t length)
{
    return sdk_value(sdk_checked(str_range(json, length), LIMIT_JSON_DEPTH));
}

enum charter_type charter_type_of(struct charter_value value)
{
    switch (json_type(sdk_str(value))) {
    case JSON_NULL:
        return CHARTER_TYPE_NULL;
    case JSON_BOOLEAN:
        return CHARTER_TYPE_BOOLEAN;
    case JSON_NUMBER:
        return CHARTER_TYPE_NUMBER;
    case JSON_STRING:
        return CHARTER_TYPE_STRING;
    case JSON_ARRAY:
        return CHARTER_TYPE_LIST;
    case JSON_OBJECT:
        return CHARTER_TYPE_OBJECT;
    case JSON_NONE:
        break;
    }
    return CHARTER_TYPE_NONE;
}

const char *sdk_type_name(struct str raw)
{
    switch (json_type(raw)) {
    case JSON_NULL:
        return "null";
    case JSON_BOOLEAN:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "a list";
    case JSON_OBJECT:
        return "an object";
    case JSON_NONE:
        break;
    }
    return "nothing";
}

/* Takes "[12]" off the front of a path. */
static bool take_index(struct str *path, uint64_t *index)
{
    struct str digits, rest;
    if (!str_cut(str_from(*path, 1), ']', &digits, &rest) || !str_to_u64(digits, index))
        return false;
    *path = rest;
    return true;
}

struct str sdk_find(struct str in, const char *path)
{
    struct str rest = str_of(path), found = in;
    bool first = true;

    while (rest.n > 0) {
        uint64_t index;
        if (rest.p[0] == '[') {
            if (!take_index(&rest, &index) || index > SIZE_MAX ||
                !json_element(found, (size_t)index, &found))
                return STR_NONE;
        } else {
            if (!first && rest.p[0] != '.')
                return STR_NONE;
            rest = str_from(rest, first ? 0 : 1);
            size_t dot = str_find(rest, '.'), bracket = str_find(rest, '[');
            size_t end = dot < bracket ? dot : bracket;
            if (end == 0 || !json_member_named(found, str_head(rest, end), &found))
                return STR_NONE;
            rest = str_from(rest, end);
        }
        first = false;
    }
    return found;
}

struct charter_value charter_find(struct charter_value in, const char *path)
{
    return sdk_value(sdk_find(sdk_str(in), path));
}

size_t charter_count(struct charter_value container)
{
    return json_count(sdk_str(container));
}

bool charter_to_boolean(struct charter_value value, bool *to)
{
    if (json_type(sdk_str(value)) != JSON_BOOLEAN)
        return false;
    *to = json_is_true(sdk_str(value));
    return true;
}

bool charter_to_integer(struct charter_value value, int64_t *to)
{
    return json_type(sdk_str(value)) == JSON_NUMBER && json_integer(sdk_str(value), to);
}

bool charter_to_number(struct charter_value value, double *to)
{
    return json_type(sdk_str(value)) == JSON_NUMBER && sdk_number_read(sdk_str(value), to);
}

bool charter_to_string(struct charter_value value, char *to, size_t size)
{
    return json_string_copy(sdk_str(value), to, size);
}

bool charter_string_is(struct charter_value value, const char *text)
{
    return json_type(sdk_str(value)) == JSON_STRING && json_string_is(sdk_str(value), text);
}

struct charter_walk charter_walk_of(struct charter_value container)
{
    struct json_walk walk = json_walk(sdk_str(container));
    struct charter_walk to = {walk.rest.p, walk.rest.n, walk.is_object};
    return to;
}

bool charter_walk_next(struct charter_walk *walk, struct charter_value *name,
                       struct charter_value *value)
{
    struct json_walk inner = {str_range(walk->rest, walk->length), walk->is_object};
    struct str key, found;

    if (!json_walk_next(&inner, &key, &found))
        return false;
    walk->rest = inner.rest.p;
    walk->length = inner.rest.n;
    if (name != NULL)
        *name = sdk_value(key);
    *value = sdk_value(found);
    return true;
}

const char *charter_output_type_name(enum charter_output_type type)
{
    static const char *const names[] = {"json", "text",   "number",  "boolean",
                                        "list", "object", "artifact"};
    return names[type];
}
