/* Input types.  Owns what a declaration may say and whether a value fits it; never knows where declarations come from.
 * Invariant: a declaration that passed declare_check() never makes declare_values() fail for its own sake. */
#include "project/declare.h"

#include "json/write.h"
#include "project/pattern.h"
#include "project/project.h"
#include "project/workspace.h"

#define PATTERN_SIZE 1025

enum type {
    TYPE_STRING,
    TYPE_INTEGER,
    TYPE_NUMBER,
    TYPE_BOOLEAN,
    TYPE_ARRAY,
    TYPE_OBJECT,
    TYPE_COUNT
};

static const char *const type_names[] = {"string", "integer", "number", "boolean",
                                         "array",  "object",  NULL};

struct declaration {
    struct str type_raw, required_raw, fallback, description, choices, minimum, maximum;
    struct str min_length_raw, max_length_raw, pattern, items_raw;
    unsigned type, items; /* enum type; TYPE_COUNT: none */
    bool required;
    int64_t min_length, max_length; /* -1: none */
};

static const struct reader_field declaration_fields[] = {
    {"type", READER_STRING, true, offsetof(struct declaration, type_raw)},
    {"required", READER_BOOLEAN, false, offsetof(struct declaration, required_raw)},
    {"default", READER_ANY, false, offsetof(struct declaration, fallback)},
    {"description", READER_STRING, false, offsetof(struct declaration, description)},
    {"enum", READER_ARRAY, false, offsetof(struct declaration, choices)},
    {"minimum", READER_NUMBER, false, offsetof(struct declaration, minimum)},
    {"maximum", READER_NUMBER, false, offsetof(struct declaration, maximum)},
    {"min_length", READER_NUMBER, false, offsetof(struct declaration, min_length_raw)},
    {"max_length", READER_NUMBER, false, offsetof(struct declaration, max_length_raw)},
    {"pattern", READER_STRING, false, offsetof(struct declaration, pattern)},
    {"items", READER_STRING, false, offsetof(struct declaration, items_raw)},
};

/* --- values -------------------------------------------------------------------------------------------------------- */

static bool has_type(struct str raw, unsigned type)
{
    int64_t integer;
    switch (json_type(raw)) {
    case JSON_STRING:
        return type == TYPE_STRING;
    case JSON_NUMBER:
        return type == TYPE_NUMBER || (type == TYPE_INTEGER && json_integer(raw, &integer));
    case JSON_BOOLEAN:
        return type == TYPE_BOOLEAN;
    case JSON_ARRAY:
        return type == TYPE_ARRAY;
    case JSON_OBJECT:
        return type == TYPE_OBJECT;
    case JSON_NULL:
    case JSON_NONE:
        break;
    }
    return false;
}

static bool wrong_type(const struct reader *r, struct str value, unsigned type)
{
    static const char *const texts[] = {
        "a string", "an integer of 64 bits without fraction or exponent",
        "a number", "true or false",
        "an array", "an object"};
    return reader_fail(r, value, "must be %s, not %s", texts[type],
                       type == TYPE_INTEGER && json_type(value) == JSON_NUMBER
                           ? "this number"
                           : json_type_name(json_type(value)));
}

static bool check_length(const struct reader *r, struct str value, const struct declaration *d)
{
    bool is_string = d->type == TYPE_STRING;
    int64_t length = (int64_t)(is_string ? json_string_characters(value) : json_count(value));
    const char *unit = is_string ? "characters" : "elements";
    if (d->min_length >= 0 && length < d->min_length)
        return reader_fail(r, value, "must have at least %lld %s, not %lld",
                           (long long)d->min_length, unit, (long long)length);
    if (d->max_length >= 0 && length > d->max_length)
        return reader_fail(r, value, "must have at most %lld %s, not %lld",
                           (long long)d->max_length, unit, (long long)length);
    return true;
}

static bool check_pattern(const struct reader *r, struct project_workspace *workspace,
                          struct str value, const struct declaration *d)
{
    char pattern[PATTERN_SIZE], reason[96];
    bool matches;
    if (!json_string_copy(d->pattern, pattern, sizeof pattern))
        return reader_fail(r, value, "its pattern cannot be read");
    if (!json_string_copy(value, workspace->scratch, sizeof workspace->scratch))
        return reader_fail(r, value, "holds U+0000, which no pattern matches");
    if (pattern_match(pattern, workspace->scratch, &matches, reason, sizeof reason) != OK)
        return reader_fail(r, value, "its pattern cannot be matched: %s", reason);
    return matches ? true : reader_fail(r, value, "must match the pattern %s", pattern);
}

static bool check_choices(const struct reader *r, struct str value, const struct declaration *d)
{
    struct json_walk walk = json_walk(d->choices);
    struct str name, choice;
    while (json_walk_next(&walk, &name, &choice)) {
        if (json_equal(choice, value))
            return true;
    }
    struct str shown = d->choices.n > 160 ? STR("the values of its enum") : d->choices;
    return reader_fail(r, value, "must be one of %.*s", STR_ARG(shown));
}

static bool check_items(const struct reader *r, struct str value, const struct declaration *d)
{
    struct json_walk walk = json_walk(value);
    struct str name, item;
    while (json_walk_next(&walk, &name, &item)) {
        if (!has_type(item, d->items))
            return wrong_type(r, item, d->items);
    }
    return true;
}

static bool check_value(const struct reader *r, struct project_workspace *workspace,
                        struct str value, const struct declaration *d)
{
    if (!has_type(value, d->type))
        return wrong_type(r, value, d->type);
    if (d->minimum.n > 0 && json_number_compare(value, d->minimum) < 0)
        return reader_fail(r, value, "must be at least %.*s", STR_ARG(d->minimum));
    if (d->maximum.n > 0 && json_number_compare(value, d->maximum) > 0)
        return reader_fail(r, value, "must be at most %.*s", STR_ARG(d->maximum));
    if ((d->type == TYPE_STRING || d->type == TYPE_ARRAY) && !check_length(r, value, d))
        return false;
    if (d->pattern.n > 0 && !check_pattern(r, workspace, value, d))
        return false;
    if (d->items != TYPE_COUNT && !check_items(r, value, d))
        return false;
    return d->choices.n == 0 || check_choices(r, value, d);
}

/* --- declarations -------------------------------------------------------------------------------------------------- */

static bool check_applies(const struct reader *r, const struct declaration *d)
{
    const struct {
        struct str raw;
        unsigned types;
        const char *text;
    } rules[] = {
        {d->minimum, 1U << TYPE_INTEGER | 1U << TYPE_NUMBER, "only numbers have a minimum"},
        {d->maximum, 1U << TYPE_INTEGER | 1U << TYPE_NUMBER, "only numbers have a maximum"},
        {d->min_length_raw, 1U << TYPE_STRING | 1U << TYPE_ARRAY,
         "only strings and arrays have a length"},
        {d->max_length_raw, 1U << TYPE_STRING | 1U << TYPE_ARRAY,
         "only strings and arrays have a length"},
        {d->pattern, 1U << TYPE_STRING, "only strings match a pattern"},
        {d->items_raw, 1U << TYPE_ARRAY, "only arrays have items"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].raw.n > 0 && (rules[i].types & 1U << d->type) == 0)
            return reader_fail(r, rules[i].raw, "%s; this is of type %s", rules[i].text,
                               type_names[d->type]);
    }
    return true;
}

static bool read_declaration(const struct reader *r, struct str raw, struct declaration *d)
{
    *d = (struct declaration){.items = TYPE_COUNT, .min_length = -1, .max_length = -1};
    return reader_object(r, raw, declaration_fields,
                         sizeof declaration_fields / sizeof declaration_fields[0], d) &&
           reader_word(r, d->type_raw, type_names, &d->type) &&
           reader_boolean(r, d->required_raw, &d->required) &&
           reader_integer(r, d->min_length_raw, 0, INT32_MAX, &d->min_length) &&
           reader_integer(r, d->max_length_raw, 0, INT32_MAX, &d->max_length) &&
           reader_word(r, d->items_raw, type_names, &d->items);
}

static bool check_bounds(const struct reader *r, const struct declaration *d)
{
    if (d->minimum.n > 0 && d->maximum.n > 0 && json_number_compare(d->minimum, d->maximum) > 0)
        return reader_fail(r, d->maximum, "below the minimum: no value can fit");
    if (d->min_length >= 0 && d->max_length >= 0 && d->min_length > d->max_length)
        return reader_fail(r, d->max_length_raw, "below min_length: no value can fit");
    return true;
}

static bool check_pattern_text(const struct reader *r, const struct declaration *d)
{
    char pattern[PATTERN_SIZE], reason[96];
    bool matches;
    if (d->pattern.n == 0)
        return true;
    if (!json_string_copy(d->pattern, pattern, sizeof pattern))
        return reader_fail(r, d->pattern, "must be at most %d bytes without U+0000",
                           PATTERN_SIZE - 1);
    switch (pattern_match(pattern, NULL, &matches, reason, sizeof reason)) {
    case OK:
        return true;
    case ERR_UNSUPPORTED:
        return reader_fail(r, d->pattern, "%s", reason);
    default:
        return reader_fail(r, d->pattern, "is no POSIX extended regular expression: %s", reason);
    }
}

static bool check_choices_text(const struct reader *r, struct project_workspace *workspace,
                               struct declaration *d)
{
    struct str choices = d->choices, name, choice;
    struct json_walk walk = json_walk(choices);
    if (choices.n == 0)
        return true;
    if (json_count(choices) == 0)
        return reader_fail(r, choices, "must have at least one value");
    d->choices = STR_NONE;
    while (json_walk_next(&walk, &name, &choice)) {
        if (!check_value(r, workspace, choice, d))
            return false;
    }
    d->choices = choices;
    return true;
}

bool declare_check(const struct reader *r, struct project_workspace *workspace,
                   struct str declarations)
{
    struct json_walk walk = json_walk(declarations);
    struct str name, raw;
    struct declaration d;
    while (json_walk_next(&walk, &name, &raw)) {
        if (!reader_name(r, name, "a name") || !read_declaration(r, raw, &d) ||
            !check_applies(r, &d) || !check_bounds(r, &d) || !check_pattern_text(r, &d) ||
            !check_choices_text(r, workspace, &d))
            return false;
        if (d.fallback.n > 0 && !check_value(r, workspace, d.fallback, &d))
            return false;
    }
    return true;
}

/* --- an object of values ------------------------------------------------------------------------------------------- */

static bool unknown_name(const struct reader *values, struct str name, struct str declarations)
{
    char known[160];
    struct out list = OUT_ON(known);
    struct json_walk walk = json_walk(declarations);
    struct str declared, raw;
    while (json_walk_next(&walk, &declared, &raw)) {
        if (list.n + declared.n + 8 > sizeof known) {
            out_text(&list, ", …");
            break;
        }
        out_text(&list, list.n == 0 ? "" : ", ");
        out_str(&list, plan_text(declared));
    }
    struct str inside = plan_text(name);
    return reader_fail(values, name, "unknown name '%.*s' (known: %s)",
                       inside.n > 64 ? 64 : (int)inside.n, inside.p,
                       list.n == 0 ? "none" : out_cstr(&list));
}

static bool write_given(const struct reader *values, struct project_workspace *workspace,
                        struct str declarations, struct str given, struct json_writer *w)
{
    struct json_walk walk = json_walk(source_root(values->source)), raw_walk = json_walk(given);
    struct str name, value, raw_name, raw_value, declared;
    while (json_walk_next(&walk, &name, &value) &&
           json_walk_next(&raw_walk, &raw_name, &raw_value)) {
        struct declaration d;
        if (!json_member_named(declarations, plan_text(name), &declared))
            return unknown_name(values, name, declarations);
        if (!read_declaration(values, declared, &d) || !check_value(values, workspace, value, &d))
            return false;
        json_key_str(w, plan_text(name));
        w->after_key = false; /* the value goes past the writer: byte for byte, less white space */
        json_compact(raw_value, w->out);
    }
    return true;
}

bool declare_values(const struct reader *values, struct project_workspace *workspace,
                    struct str declarations, struct str given, struct out *json)
{
    struct json_writer w = json_writer(json);
    struct json_walk walk = json_walk(declarations);
    struct str name, raw, value, root = source_root(values->source);
    if (!reader_is(values, root, READER_OBJECT))
        return false;
    json_object(&w);
    if (!write_given(values, workspace, declarations, given, &w))
        return false;
    while (json_walk_next(&walk, &name, &raw)) {
        struct declaration d;
        if (!read_declaration(values, raw, &d))
            return false;
        if (json_member_named(root, plan_text(name), &value))
            continue;
        if (d.fallback.n > 0) {
            json_key_str(&w, plan_text(name));
            json_raw(&w, d.fallback);
        } else if (d.required) {
            struct str inside = plan_text(name);
            reader_fail(values, root, "'%.*s' is required (%s)", STR_ARG(inside),
                        type_names[d.type]);
            /* The path names what is missing. */
            struct out path = OUT_ON(values->problem->path);
            out_text(&path, values->source->above);
            out_byte(&path, '.');
            out_str(&path, inside);
            out_cstr(&path);
            return false;
        }
    }
    json_object_end(&w);
    return true;
}

const char *declare_type(struct str declarations, struct str name)
{
    struct str raw, type;
    if (!json_member_named(declarations, name, &raw) || !json_member(raw, "type", &type))
        return NULL;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (json_string_is(type, type_names[i]))
            return type_names[i];
    }
    return NULL;
}
