/* Walks raw containers without tokens.  Never decodes, never keeps more than a view of what is
 * left.  Invariant: a malformed text ends the walk early, it never leads outside of it. */
#include "json/read.h"

#include "json/internal.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static size_t skip_space(struct str text, size_t at)
{
    while (at < text.n && is_space(text.p[at]))
        at++;
    return at;
}

/* Index behind the string whose quote is at `at`. */
static size_t skip_string(struct str text, size_t at)
{
    for (at++; at < text.n; at++) {
        at += json_plain_run(str_range(text.p + at, text.n - at));
        if (at < text.n && text.p[at] == '"')
            return at + 1;
        if (at < text.n && text.p[at] == '\\')
            at++; /* takes the byte behind it along */
    }
    return text.n;
}

static size_t skip_container(struct str text, size_t at)
{
    size_t depth = 0;
    while (at < text.n) {
        switch (text.p[at]) {
        case '"':
            at = skip_string(text, at);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return at + 1;
            break;
        default:
            break;
        }
        at++;
    }
    return text.n;
}

size_t json_skip(struct str text, size_t at)
{
    if (at >= text.n)
        return text.n;
    switch (text.p[at]) {
    case '"':
        return skip_string(text, at);
    case '{':
    case '[':
        return skip_container(text, at);
    default:
        break;
    }
    size_t end = at;
    while (end < text.n && !is_space(text.p[end]) && text.p[end] != ',' && text.p[end] != ']' &&
           text.p[end] != '}')
        end++;
    return end;
}

size_t json_length(struct str text)
{
    return json_skip(text, 0);
}

struct json_walk json_walk(struct str raw_container)
{
    struct str raw = str_trim(raw_container);
    struct json_walk walk = {.rest = STR_NONE};
    if (raw.n >= 2 && (raw.p[0] == '{' || raw.p[0] == '[')) {
        walk.rest = str_range(raw.p + 1, raw.n - 2);
        walk.is_object = raw.p[0] == '{';
    }
    return walk;
}

bool json_walk_next(struct json_walk *walk, struct str *name, struct str *value)
{
    struct str rest = walk->rest;
    size_t at = skip_space(rest, 0);
    walk->rest = STR_NONE;
    *name = STR_NONE;
    *value = STR_NONE;
    if (at < rest.n && rest.p[at] == ',')
        at = skip_space(rest, at + 1);
    if (walk->is_object) {
        if (at >= rest.n || rest.p[at] != '"')
            return false;
        size_t end = skip_string(rest, at);
        struct str found = str_range(rest.p + at, end - at);
        at = skip_space(rest, end);
        if (at >= rest.n || rest.p[at] != ':')
            return false;
        at = skip_space(rest, at + 1);
        *name = found;
    }
    size_t end = json_skip(rest, at);
    if (end == at)
        return false;
    *value = str_range(rest.p + at, end - at);
    walk->rest = str_from(rest, end);
    return true;
}

bool json_member_named(struct str raw_object, struct str decoded_name, struct str *value)
{
    struct json_walk walk = json_walk(raw_object);
    struct str name, found;
    while (walk.is_object && json_walk_next(&walk, &name, &found)) {
        if (json_string_says(name, decoded_name)) {
            *value = found;
            return true;
        }
    }
    return false;
}

bool json_member(struct str raw_object, const char *name, struct str *value)
{
    return json_member_named(raw_object, str_of(name), value);
}

bool json_element(struct str raw_array, size_t index, struct str *value)
{
    struct json_walk walk = json_walk(raw_array);
    struct str name, found;
    while (!walk.is_object && json_walk_next(&walk, &name, &found)) {
        if (index-- == 0) {
            *value = found;
            return true;
        }
    }
    return false;
}

size_t json_count(struct str raw_container)
{
    struct json_walk walk = json_walk(raw_container);
    struct str name, value;
    size_t count = 0;
    while (json_walk_next(&walk, &name, &value))
        count++;
    return count;
}

void json_compact(struct str raw, struct out *to)
{
    size_t at = 0;
    while (at < raw.n) {
        size_t from = at;
        while (at < raw.n && !is_space(raw.p[at]))
            at = raw.p[at] == '"' ? skip_string(raw, at) : at + 1;
        out_str(to, str_range(raw.p + from, at - from));
        at = skip_space(raw, at);
    }
}
