/* Parses and judges `if`.  Owns its grammar and its idea of truth and equality; never resolves a template.  Invariant:
 * judging a parsed condition without templates has an answer unless a container is compared. */
#include "project/condition.h"

#include "base/assert.h"
#include "json/check.h"
#include "json/read.h"

#include <string.h>

static const struct str TEMPLATE_OPEN = {"${{", 3};

static bool holds_template(struct str text)
{
    for (; text.n >= TEMPLATE_OPEN.n; text = str_from(text, 1)) {
        if (str_starts_with(text, TEMPLATE_OPEN))
            return true;
    }
    return false;
}

/* A JSON string's length with quotes, or 0 when it does not end. */
static size_t json_string_length(struct str text)
{
    for (size_t i = 1; i < text.n; i++) {
        if (text.p[i] == '\\')
            i++;
        else if (text.p[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Each reader cuts its operand from the head of *text and answers NULL, or says what is wrong. */
static const char *read_template(struct str *text, struct condition_operand *operand)
{
    for (size_t i = TEMPLATE_OPEN.n; i + 1 < text->n; i++) {
        if (text->p[i] == '}' && text->p[i + 1] == '}') {
            struct str path = str_range(text->p + TEMPLATE_OPEN.n, i - TEMPLATE_OPEN.n);
            *operand = (struct condition_operand){CONDITION_TEMPLATE, str_trim(path)};
            *text = str_from(*text, i + 2);
            return NULL;
        }
    }
    return "a '${{' without its '}}'";
}

static const char *read_quoted(struct str *text, struct condition_operand *operand)
{
    struct str behind = str_from(*text, 1);
    size_t end = str_find(behind, '\'');
    if (end == behind.n)
        return "a string without its closing quote";
    *operand = (struct condition_operand){CONDITION_QUOTED, str_head(behind, end)};
    if (holds_template(operand->text))
        return "a template stands without quotes around it";
    *text = str_from(behind, end + 1);
    return NULL;
}

static const char *read_json(struct str *text, struct condition_operand *operand)
{
    size_t length = 0;
    if (text->p[0] == '"') {
        length = json_string_length(*text);
        if (length == 0)
            return "a string without its closing quote";
    } else {
        while (length < text->n && memchr(" \t\r\n=!", text->p[length], 6) == NULL)
            length++;
    }
    struct str raw = str_head(*text, length);
    if (holds_template(raw))
        return "a template stands alone, without quotes or text around it";
    if (raw.n > 0 && (raw.p[0] == '[' || raw.p[0] == '{'))
        return "containers cannot be compared";
    if (raw.n == 0 || json_check(raw, 1, NULL) != OK)
        return "an operand is one template, a JSON scalar or a 'single-quoted' string";
    *operand = (struct condition_operand){CONDITION_JSON, raw};
    *text = str_from(*text, length);
    return NULL;
}

static const char *read_operand(struct str *text, struct condition_operand *operand)
{
    *text = str_trim(*text);
    if (text->n == 0)
        return "an operand is missing";
    if (str_starts_with(*text, TEMPLATE_OPEN))
        return read_template(text, operand);
    if (text->p[0] == '\'')
        return read_quoted(text, operand);
    return read_json(text, operand);
}

enum err condition_parse(struct str text, struct condition *condition, const char **reason)
{
    *condition = (struct condition){.test = CONDITION_TRUTH};
    *reason = read_operand(&text, &condition->left);
    if (*reason != NULL)
        return ERR_SYNTAX;
    text = str_trim(text);
    if (text.n == 0)
        return OK;
    if (str_starts_with(text, STR("==")))
        condition->test = CONDITION_EQUAL;
    else if (str_starts_with(text, STR("!=")))
        condition->test = CONDITION_NOT_EQUAL;
    else {
        *reason = "behind an operand only '==' or '!=' and a second operand may stand";
        return ERR_SYNTAX;
    }
    text = str_from(text, 2);
    *reason = read_operand(&text, &condition->right);
    if (*reason == NULL && str_trim(text).n > 0)
        *reason = "only two operands can be compared";
    return *reason == NULL ? OK : ERR_SYNTAX;
}

static enum json_type type_of(const struct condition_operand *operand)
{
    ASSERT(operand->kind != CONDITION_TEMPLATE);
    return operand->kind == CONDITION_QUOTED ? JSON_STRING : json_type(operand->text);
}

bool condition_is_true(const struct condition_operand *value)
{
    switch (type_of(value)) {
    case JSON_BOOLEAN:
        return json_is_true(value->text);
    case JSON_NUMBER:
        return json_number_compare(value->text, STR("0")) != 0;
    case JSON_STRING:
        return value->text.n > (value->kind == CONDITION_QUOTED ? 0U : 2U);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return json_count(value->text) > 0;
    case JSON_NULL:
    case JSON_NONE:
        break;
    }
    return false;
}

/* Whether the decoded `raw` is `text`.  Bounded work without a buffer: both are walked by their characters. */
static bool raw_is_text(struct str raw, struct str text)
{
    char character[8];
    size_t at = 1;
    while (at + 1 < raw.n) {
        size_t length = 1;
        if (raw.p[at] == '\\') {
            bool unicode = at + 1 < raw.n && raw.p[at + 1] == 'u';
            length = unicode ? 6 : 2;
            /* The second half of a surrogate pair belongs to the first. */
            if (unicode && at + 3 < raw.n && (raw.p[at + 2] == 'd' || raw.p[at + 2] == 'D') &&
                memchr("89abAB", raw.p[at + 3], 6) != NULL)
                length = 12;
        }
        if (at + length + 1 > raw.n)
            return false;
        struct str piece = str_range(raw.p + at, length);
        if (length > 1) {
            char quoted[16];
            struct out q = OUT_ON(quoted), decoded = OUT_ON(character);
            out_byte(&q, '"');
            out_str(&q, piece);
            out_byte(&q, '"');
            if (!json_string_decode(out_view(&q), &decoded))
                return false;
            piece = out_view(&decoded);
        }
        if (!str_starts_with(text, piece))
            return false;
        text = str_from(text, piece.n);
        at += length;
    }
    return text.n == 0;
}

static bool strings_equal(const struct condition_operand *a, const struct condition_operand *b)
{
    if (a->kind == CONDITION_QUOTED && b->kind == CONDITION_QUOTED)
        return str_equal(a->text, b->text);
    if (a->kind == CONDITION_QUOTED)
        return raw_is_text(b->text, a->text);
    if (b->kind == CONDITION_QUOTED)
        return raw_is_text(a->text, b->text);
    return json_string_equal(a->text, b->text);
}

enum err condition_equal(const struct condition_operand *a, const struct condition_operand *b,
                         bool *equal)
{
    enum json_type type_a = type_of(a), type_b = type_of(b);
    *equal = false;
    if (type_a >= JSON_ARRAY || type_b >= JSON_ARRAY)
        return ERR_INVALID;
    if (type_a != type_b)
        return OK;
    switch (type_a) {
    case JSON_STRING:
        *equal = strings_equal(a, b);
        break;
    case JSON_NUMBER:
        *equal = json_number_compare(a->text, b->text) == 0;
        break;
    case JSON_BOOLEAN:
        *equal = json_is_true(a->text) == json_is_true(b->text);
        break;
    case JSON_NULL:
    case JSON_NONE:
    case JSON_ARRAY:
    case JSON_OBJECT:
        *equal = true;
        break;
    }
    return OK;
}

enum err condition_judge(const struct condition *condition, bool *holds)
{
    if (condition->test == CONDITION_TRUTH) {
        *holds = condition_is_true(&condition->left);
        return OK;
    }
    enum err err = condition_equal(&condition->left, &condition->right, holds);
    if (condition->test == CONDITION_NOT_EQUAL)
        *holds = !*holds;
    return err;
}
