/* Field tables over a source's raw JSON.  Owns the wording of "must be a string" and the like; never knows what a field
 * is for.  Invariant: a function that answers false has filled the problem. */
#include "project/reader.h"

#include "project/project.h"

#include <string.h>

#define DURATION_MS_MAX INT64_C(1000000000000) /* some 31 years */
#define HINT_LENGTH 24

bool reader_fail(const struct reader *r, struct str at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    source_vproblem(r->source, r->problem, r->code, at, format, args);
    va_end(args);
    return false;
}

/* --- hints --------------------------------------------------------------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance of two short texts. */
static size_t distance(struct str a, struct str b)
{
    size_t row[HINT_LENGTH + 1];
    if (a.n > HINT_LENGTH || b.n > HINT_LENGTH)
        return HINT_LENGTH;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t above = row[j];
            size_t change = diagonal + (a.p[i - 1] == b.p[j - 1] ? 0 : 1);
            row[j] = smaller(change, smaller(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b.n];
}

void reader_hint(struct out *to, struct str text, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = text.n < 4 ? 2 : 3;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(text, str_of(names[i]));
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    if (best == NULL)
        return;
    out_text(to, " (did you mean '");
    out_text(to, best);
    out_text(to, "'?)");
}

/* --- objects ------------------------------------------------------------------------------------------------------- */

static bool unknown_member(const struct reader *r, struct str name,
                           const struct reader_field *fields, size_t count)
{
    const char *names[32];
    char hint[64];
    struct out to = OUT_ON(hint);
    size_t n = 0;
    for (; n < count && n < sizeof names / sizeof names[0]; n++)
        names[n] = fields[n].name;
    struct str inside = str_range(name.p + 1, name.n - 2);
    reader_hint(&to, inside, names, n);
    return reader_fail(r, name, "unknown member '%.*s'%s", inside.n > 64 ? 64 : (int)inside.n,
                       inside.p, out_cstr(&to));
}

/* "a string or an array" for a set of types. */
static void types_text(unsigned types, struct out *to)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",       [JSON_BOOLEAN] = "a boolean", [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "a list",      [JSON_OBJECT] = "an object"};
    bool first = true;
    for (unsigned type = JSON_NULL; type <= JSON_OBJECT; type++) {
        if ((types & 1U << type) == 0)
            continue;
        if (!first)
            out_text(to, " or ");
        out_text(to, names[type]);
        first = false;
    }
}

bool reader_is(const struct reader *r, struct str raw, unsigned types)
{
    if ((types & 1U << json_type(raw)) != 0)
        return true;
    char wanted[96];
    struct out to = OUT_ON(wanted);
    types_text(types, &to);
    return reader_fail(r, raw, "must be %s", out_cstr(&to));
}

bool reader_object(const struct reader *r, struct str raw, const struct reader_field *fields,
                   size_t count, void *into)
{
    struct json_walk walk = json_walk(raw);
    struct str name, value;
    if (!reader_is(r, raw, READER_OBJECT))
        return false;
    for (size_t i = 0; i < count; i++)
        *(struct str *)(void *)((char *)into + fields[i].offset) = STR_NONE;
    while (json_walk_next(&walk, &name, &value)) {
        size_t i = 0;
        while (i < count && !json_string_is(name, fields[i].name))
            i++;
        if (i == count) {
            if (str_starts_with(name, STR("\"x-")))
                continue;
            return unknown_member(r, name, fields, count);
        }
        if (json_type(value) == JSON_NULL && (fields[i].types & READER_NULL) == 0)
            continue;
        if (!reader_is(r, value, fields[i].types))
            return false;
        *(struct str *)(void *)((char *)into + fields[i].offset) = value;
    }
    for (size_t i = 0; i < count; i++) {
        const struct str *field = (const struct str *)(void *)((char *)into + fields[i].offset);
        if (fields[i].required && field->n == 0)
            return reader_fail(r, raw, "'%s' is missing", fields[i].name);
    }
    return true;
}

/* --- values -------------------------------------------------------------------------------------------------------- */

bool reader_boolean(const struct reader *r, struct str raw, bool *value)
{
    if (raw.n == 0)
        return true;
    if (!reader_is(r, raw, READER_BOOLEAN))
        return false;
    *value = json_is_true(raw);
    return true;
}

bool reader_integer(const struct reader *r, struct str raw, int64_t minimum, int64_t maximum,
                    int64_t *value)
{
    int64_t read;
    if (raw.n == 0)
        return true;
    if (!reader_is(r, raw, READER_NUMBER))
        return false;
    if (!json_integer(raw, &read))
        return reader_fail(r, raw, "must be an integer");
    if (read < minimum)
        return reader_fail(r, raw, "must be at least %lld", (long long)minimum);
    if (read > maximum)
        return reader_fail(r, raw, "must be at most %lld", (long long)maximum);
    *value = read;
    return true;
}

bool reader_thousandths(struct str raw, int64_t *value)
{
    struct str whole, places;
    uint64_t integer, rest = 0;
    str_cut(raw, '.', &whole, &places);
    if (places.n > 3 || !str_to_u64(whole, &integer) || integer > (uint64_t)DURATION_MS_MAX / 1000)
        return false;
    if (places.n > 0 && !str_to_u64(places, &rest))
        return false;
    for (size_t n = places.n; n < 3; n++)
        rest *= 10;
    *value = (int64_t)(integer * 1000 + rest);
    return true;
}

bool reader_seconds(const struct reader *r, struct str raw, int64_t *ms)
{
    int64_t read;
    if (raw.n == 0)
        return true;
    if (!reader_is(r, raw, READER_NUMBER))
        return false;
    if (!reader_thousandths(raw, &read) || read == 0)
        return reader_fail(
            r, raw,
            "must be a number of seconds above 0, with at most three places behind the point");
    *ms = read;
    return true;
}

bool reader_word(const struct reader *r, struct str raw, const char *const *words, unsigned *index)
{
    char list[160];
    struct out to = OUT_ON(list);
    if (raw.n == 0)
        return true;
    if (!reader_is(r, raw, READER_STRING))
        return false;
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (json_string_is(raw, words[i])) {
            *index = i;
            return true;
        }
        out_text(&to, i == 0 ? "" : ", ");
        out_text(&to, words[i]);
    }
    return reader_fail(r, raw, "must be one of: %s", out_cstr(&to));
}

bool reader_name(const struct reader *r, struct str raw, const char *what)
{
    if (raw.n >= 2 && raw.p[0] == '"' && project_is_name(str_range(raw.p + 1, raw.n - 2)))
        return true;
    return reader_fail(r, raw, "%s consists of 1 to %d letters, digits, '_' and '-'", what,
                       LIMIT_NAME);
}
