/* Owns the words of what a schema refuses.  Never follows references: what it does not know it lets pass.  Invariant: the first problem in the value's
 * order is the one that is told, missing members after all others. */
#include "json/schema.h"

#include <stdarg.h>

#define DEPTH_MAX 64

static bool refuse(struct json_schema_problem *problem, struct str at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(struct json_schema_problem *problem, struct str at, const char *format, ...)
{
    struct out reason = OUT_ON(problem->reason);
    va_list args;
    va_start(args, format);
    out_vformat_cut(&reason, format, args);
    va_end(args);
    out_cstr(&reason);
    problem->at = at;
    return false;
}

static const char *with_article(struct str value)
{
    static const char *const names[] = {
        [JSON_NONE] = "nothing",    [JSON_NULL] = "null",       [JSON_BOOLEAN] = "a boolean",
        [JSON_NUMBER] = "a number", [JSON_STRING] = "a string", [JSON_ARRAY] = "a list",
        [JSON_OBJECT] = "an object"};
    return names[json_type(value)];
}

static bool is_whole(struct str number)
{
    return str_find(number, '.') == number.n && str_find(number, 'e') == number.n &&
           str_find(number, 'E') == number.n;
}

/* --- type --- */

static const struct {
    const char *name, *words;
    enum json_type type;
} types[] = {
    {"string", "a string", JSON_STRING}, {"integer", "an integer", JSON_NUMBER},
    {"number", "a number", JSON_NUMBER}, {"boolean", "true or false", JSON_BOOLEAN},
    {"array", "a list", JSON_ARRAY},     {"object", "an object", JSON_OBJECT},
    {"null", "null", JSON_NULL},
};

#define TYPES (sizeof types / sizeof types[0])

static size_t find_type(struct str raw_name)
{
    size_t i = 0;
    while (i < TYPES && !json_string_is(raw_name, types[i].name))
        i++;
    return i;
}

static bool has_type(struct str raw_name, struct str value)
{
    size_t i = find_type(raw_name);
    return i < TYPES && types[i].type == json_type(value) &&
           (!str_is(str_of(types[i].name), "integer") || is_whole(value));
}

static bool check_type(struct str type, struct str value, struct json_schema_problem *problem)
{
    struct json_walk walk = json_walk(type);
    struct str ignored, one;
    char words[128];
    struct out out = OUT_ON(words);

    if (json_type(type) == JSON_STRING) {
        if (has_type(type, value) || find_type(type) == TYPES)
            return true;
        out_text(&out, types[find_type(type)].words);
    }
    while (json_walk_next(&walk, &ignored, &one)) {
        if (has_type(one, value) || find_type(one) == TYPES)
            return true;
        out_text(&out, out.n == 0 ? "" : " or ");
        out_text(&out, types[find_type(one)].words);
    }
    return refuse(problem, value, "must be %s, it is %s", out_cstr(&out),
                  json_type(value) == JSON_NUMBER && !is_whole(value) ? "a fraction"
                                                                      : with_article(value));
}

/* --- values --- */

static bool check_enum(struct str choices, struct str value, struct json_schema_problem *problem)
{
    struct json_walk walk = json_walk(choices);
    struct str ignored, choice;
    while (json_walk_next(&walk, &ignored, &choice))
        if (json_equal(choice, value))
            return true;
    char words[140];
    struct out out = OUT_ON(words);
    json_compact(choices, &out); /* what does not fit is left out */
    return refuse(problem, value, "must be one of %s", out_cstr(&out));
}

static bool check_bounds(struct str schema, struct str value, struct json_schema_problem *problem)
{
    struct str bound;
    if (json_type(value) != JSON_NUMBER)
        return true;
    if (json_member(schema, "minimum", &bound) && json_number_compare(value, bound) < 0)
        return refuse(problem, value, "must be at least %.*s", STR_ARG(str_head(bound, 64)));
    if (json_member(schema, "maximum", &bound) && json_number_compare(value, bound) > 0)
        return refuse(problem, value, "must be at most %.*s", STR_ARG(str_head(bound, 64)));
    return true;
}

static bool check(struct str schema, struct str value,
                  enum json_schema_known (*look)(struct str raw_string), unsigned depth,
                  struct json_schema_problem *problem);

static bool check_member(struct str schema, struct str name, struct str value,
                         enum json_schema_known (*look)(struct str raw_string), unsigned depth,
                         struct json_schema_problem *problem)
{
    struct str properties, inner, others;
    struct json_walk walk;

    if (json_member(schema, "properties", &properties)) {
        struct str known;
        walk = json_walk(properties);
        while (json_walk_next(&walk, &known, &inner))
            if (json_string_equal(known, name))
                return check(inner, value, look, depth, problem);
    }
    if (!json_member(schema, "additionalProperties", &others))
        return true;
    if (json_type(others) == JSON_BOOLEAN && !json_is_true(others))
        return refuse(problem, name, "is not a known member");
    return json_type(others) != JSON_OBJECT || check(others, value, look, depth, problem);
}

bool json_schema_required(struct str schema, struct json_walk *walk, struct str *name)
{
    struct str ignored, required;
    if (walk->rest.p == NULL) {
        if (!json_member(schema, "required", &required))
            return false;
        *walk = json_walk(required);
    }
    return json_walk_next(walk, &ignored, name);
}

static bool has_member(struct str object, struct str raw_name)
{
    struct json_walk walk = json_walk(object);
    struct str name, value;
    while (json_walk_next(&walk, &name, &value))
        if (json_string_equal(name, raw_name))
            return true;
    return false;
}

static bool check_object(struct str schema, struct str value,
                         enum json_schema_known (*look)(struct str raw_string), unsigned depth,
                         struct json_schema_problem *problem)
{
    struct json_walk walk = json_walk(value), required = {.is_object = false};
    struct str name, inner;

    while (json_walk_next(&walk, &name, &inner))
        if (!check_member(schema, name, inner, look, depth, problem))
            return false;
    while (json_schema_required(schema, &required, &name))
        if (!has_member(value, name))
            return refuse(problem, value, "must have a member %.*s", STR_ARG(str_head(name, 100)));
    return true;
}

static bool check(struct str schema, struct str value,
                  enum json_schema_known (*look)(struct str raw_string), unsigned depth,
                  struct json_schema_problem *problem)
{
    struct str keyword, ignored, item;
    enum json_schema_known known = JSON_SCHEMA_KNOWN;

    if (depth > DEPTH_MAX)
        return refuse(problem, value, "is nested too deep");
    if (json_type(schema) == JSON_BOOLEAN)
        return json_is_true(schema) || refuse(problem, value, "must not be given");
    if (look != NULL && json_type(value) == JSON_STRING)
        known = look(value);
    if (known == JSON_SCHEMA_OPEN)
        return true;
    if (json_member(schema, "type", &keyword) && !check_type(keyword, value, problem))
        return false;
    if (known == JSON_SCHEMA_TEXT)
        return true;
    if (json_member(schema, "enum", &keyword) && !check_enum(keyword, value, problem))
        return false;
    if (!check_bounds(schema, value, problem))
        return false;
    if (json_type(value) == JSON_OBJECT)
        return check_object(schema, value, look, depth + 1, problem);
    if (json_type(value) == JSON_ARRAY && json_member(schema, "items", &keyword)) {
        struct json_walk walk = json_walk(value);
        while (json_walk_next(&walk, &ignored, &item))
            if (!check(keyword, item, look, depth + 1, problem))
                return false;
    }
    return true;
}

bool json_schema_value(struct str schema, struct str value,
                       enum json_schema_known (*look)(struct str raw_string),
                       struct json_schema_problem *problem)
{
    return check(schema, value, look, 0, problem);
}

bool json_schema_member(struct str schema, struct str name, struct str value,
                        enum json_schema_known (*look)(struct str raw_string),
                        struct json_schema_problem *problem)
{
    return check_member(schema, name, value, look, 0, problem);
}

/* --- schemas --- */

static bool is_type_name(struct str raw)
{
    return json_type(raw) == JSON_STRING && find_type(raw) < TYPES;
}

static bool check_type_keyword(struct str type, struct json_schema_problem *problem)
{
    struct json_walk walk = json_walk(type);
    struct str ignored, one;

    if (is_type_name(type))
        return true;
    if (json_type(type) != JSON_ARRAY || json_count(type) == 0)
        return refuse(problem, type, "type must be the name of a type, or a list of such");
    while (json_walk_next(&walk, &ignored, &one))
        if (!is_type_name(one))
            return refuse(problem, one, "type must be the name of a type, or a list of such");
    return true;
}

static bool usable(struct str schema, unsigned depth, struct json_schema_problem *problem)
{
    static const struct {
        const char *name;
        enum json_type type;
    } keywords[] = {{"properties", JSON_OBJECT},
                    {"required", JSON_ARRAY},
                    {"enum", JSON_ARRAY},
                    {"minimum", JSON_NUMBER},
                    {"maximum", JSON_NUMBER}};
    struct str value, name, inner;
    struct json_walk walk = {.is_object = false};

    if (depth > DEPTH_MAX)
        return refuse(problem, schema, "is nested too deep");
    if (json_type(schema) == JSON_BOOLEAN)
        return true;
    if (json_type(schema) != JSON_OBJECT)
        return refuse(problem, schema, "a schema must be an object, it is %s",
                      with_article(schema));
    if (json_member(schema, "type", &value) && !check_type_keyword(value, problem))
        return false;
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (json_member(schema, keywords[i].name, &value) && json_type(value) != keywords[i].type)
            return refuse(problem, value, "%s must not be %s", keywords[i].name,
                          with_article(value));
    while (json_schema_required(schema, &walk, &name))
        if (json_type(name) != JSON_STRING)
            return refuse(problem, name, "required must be a list of names");
    if (json_member(schema, "items", &value) && !usable(value, depth + 1, problem))
        return false;
    if (json_member(schema, "additionalProperties", &value) && !usable(value, depth + 1, problem))
        return false;
    if (json_member(schema, "properties", &value)) {
        walk = json_walk(value);
        while (json_walk_next(&walk, &name, &inner))
            if (!usable(inner, depth + 1, problem))
                return false;
    }
    return true;
}

bool json_schema_is_usable(struct str schema, struct json_schema_problem *problem)
{
    return usable(schema, 0, problem);
}
