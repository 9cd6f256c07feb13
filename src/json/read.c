/* Trees of tokens.  The one file that knows jsmn; it owns how deep jsmn may look.  Never trusts
 * jsmn with unchecked text's meaning: jsmn takes much that is not JSON, so json/check.h always runs
 * before.  Invariant: a container that was not descended into is one token without children, and
 * its parent counts it like any other. */
#include "json/read.h"

#include "json/internal.h"

#include <limits.h>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#define JSMN_STATIC
#define JSMN_PARENT_LINKS /* else closing a bracket looks at all tokens before it */
#include <jsmn.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

_Static_assert(sizeof(struct json_token) == sizeof(jsmntok_t), "a token is jsmn's token");
_Static_assert(_Alignof(struct json_token) == _Alignof(jsmntok_t), "a token is jsmn's token");

static jsmntok_t *tokens_of(const struct json_doc *doc)
{
    return (jsmntok_t *)doc->tokens;
}

/* Lets jsmn read on to `end`. */
static enum err run(struct json_doc *doc, jsmn_parser *parser, size_t end)
{
    int got = jsmn_parse(parser, doc->text.p, end, tokens_of(doc), (unsigned)doc->max);
    if (got == JSMN_ERROR_NOMEM)
        return ERR_FULL;
    if (got == JSMN_ERROR_INVAL || parser->pos != end)
        return ERR_SYNTAX;
    return got == JSMN_ERROR_PART ? ERR_AGAIN : OK;
}

/* Does for the container at parser->pos what jsmn would, but for its inside. */
static enum err append_opaque(struct json_doc *doc, jsmn_parser *parser)
{
    jsmntok_t *tokens = tokens_of(doc);
    size_t start = parser->pos, end = json_skip(doc->text, start);
    if (parser->toknext >= doc->max)
        return ERR_FULL;
    tokens[parser->toknext++] =
        (jsmntok_t){.type = doc->text.p[start] == '{' ? JSMN_OBJECT : JSMN_ARRAY,
                    .start = (int)start,
                    .end = (int)end,
                    .parent = parser->toksuper};
    if (parser->toksuper >= 0)
        tokens[parser->toksuper].size++;
    parser->pos = (unsigned)end;
    return OK;
}

/* Feeds jsmn up to each bracket that would open a container deeper than `depth`, and steps over
 * that one. */
static enum err run_bounded(struct json_doc *doc, jsmn_parser *parser, unsigned depth)
{
    unsigned open = 0;
    for (size_t at = 0; at < doc->text.n;) {
        char c = doc->text.p[at];
        if (c == '"') {
            at = json_skip(doc->text, at);
        } else if ((c == '{' || c == '[') && open == depth) {
            enum err err = run(doc, parser, at);
            if (err == OK) /* jsmn sees no open container around this one */
                return ERR_SYNTAX;
            if (err == ERR_AGAIN)
                err = append_opaque(doc, parser);
            if (err != OK)
                return err;
            at = parser->pos;
        } else {
            if (c == '{' || c == '[')
                open++;
            else if ((c == '}' || c == ']') && open > 0)
                open--;
            at++;
        }
    }
    return OK;
}

enum err json_parse(struct json_doc *doc, struct str text, struct json_token *tokens, size_t max,
                    unsigned depth)
{
    jsmn_parser parser;
    enum err err = OK;
    *doc = (struct json_doc){.text = text, .tokens = tokens, .max = max};
    if (text.n >= INT_MAX || max > INT_MAX)
        return ERR_TOO_LARGE;
    jsmn_init(&parser);
    if (depth > 0)
        err = run_bounded(doc, &parser, depth);
    if (err == OK)
        err = run(doc, &parser, text.n);
    if (err == ERR_AGAIN || (err == OK && parser.toknext == 0))
        err = ERR_SYNTAX;
    doc->count = err == OK ? parser.toknext : 0;
    return err;
}

struct json_node json_root(const struct json_doc *doc)
{
    return (struct json_node){.doc = doc, .at = 0};
}

struct str json_node_raw(struct json_node node)
{
    if (node.at >= node.doc->count)
        return STR_NONE;
    const jsmntok_t *token = &tokens_of(node.doc)[node.at];
    size_t start = (size_t)token->start, end = (size_t)token->end;
    if (token->type == JSMN_STRING) { /* jsmn leaves the quotes out */
        start--;
        end++;
    }
    return str_range(node.doc->text.p + start, end - start);
}

enum json_type json_node_type(struct json_node node)
{
    return json_type(json_node_raw(node));
}

bool json_node_next(struct json_node container, uint32_t *cursor, struct str *name,
                    struct json_node *value)
{
    const jsmntok_t *tokens = tokens_of(container.doc);
    uint32_t count = (uint32_t)container.doc->count;
    *name = STR_NONE;
    *value = container;
    if (container.at >= count || tokens[container.at].type == JSMN_STRING)
        return false;
    const jsmntok_t *parent = &tokens[container.at];
    uint32_t at = *cursor == 0 ? container.at + 1 : *cursor;
    if (at >= count || tokens[at].start >= parent->end)
        return false;
    if (parent->type == JSMN_OBJECT) {
        /* A name and its value, which is its only child. */
        if (at + 1 >= count || tokens[at + 1].parent != (int)at)
            return false;
        *name = json_node_raw((struct json_node){container.doc, at});
        at++;
    }
    value->at = at;
    int end = tokens[at].end;
    for (at++; at < count && tokens[at].start < end;)
        at++;
    *cursor = at;
    return true;
}

bool json_node_member(struct json_node object, const char *name, struct json_node *value)
{
    struct str found;
    struct json_node node;
    uint32_t cursor = 0;
    if (json_node_type(object) != JSON_OBJECT)
        return false;
    while (json_node_next(object, &cursor, &found, &node)) {
        if (json_string_is(found, name)) {
            *value = node;
            return true;
        }
    }
    return false;
}
