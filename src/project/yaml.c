/* YAML to JSON through libyaml's events, by the 1.2 core schema (contract §3).  Owns what of YAML is taken; runs in helper
 * processes alone, because libyaml uses the heap.  Never keeps a tree: an alias is answered by copying the JSON that its
 * anchor's node became.  Invariant: what comes out is one JSON value within the limits of size, depth and tokens. */
#include "project/convert.h"

#include "base/limits.h"

#ifdef CONFIG_YAML

#include "base/assert.h"
#include "json/read.h"
#include "json/utf8.h"
#include "json/write.h"
#include "project/scalar.h"
#include "project/workspace.h"
#include "project/yaml_input.h"

#define NO_ANCHOR PROJECT_ANCHORS
#define CORE_TAG "tag:yaml.org,2002:"

struct level {
    bool is_object, wants_key;
    size_t anchor; /* that its node has, or NO_ANCHOR */
};

struct conversion {
    struct project_workspace *workspace;
    struct project_source *source;
    struct project_problem *problem;
    struct json_writer writer;
    struct level levels[LIMIT_JSON_DEPTH];
    size_t depth;
    unsigned documents;
    yaml_mark_t mark; /* where the current event starts */
};

/* A scalar, as an event or an alias gives it. */
struct scalar {
    struct str text, tag; /* tag empty: none */
    bool is_plain;
};

static bool fail_at(struct conversion *c, yaml_mark_t mark, const char *reason)
{
    return source_fail(c->source, c->problem, (unsigned)mark.line + 1, (unsigned)mark.column + 1,
                       "%s", reason);
}

static bool fail(struct conversion *c, const char *reason)
{
    return fail_at(c, c->mark, reason);
}

/* --- anchors ------------------------------------------------------------------------------------------------------- */

static struct str keep(struct conversion *c, struct str text)
{
    struct out *arena = &c->workspace->arena_out;
    size_t from = arena->n;
    out_str(arena, text);
    return str_range(arena->p + from, arena->n - from);
}

/* Puts the anchor into the table; a later one of the same name stands before the earlier one. */
static bool anchor_add(struct conversion *c, const yaml_char_t *name, size_t *index)
{
    *index = NO_ANCHOR;
    if (name == NULL)
        return true;
    if (c->workspace->anchor_count == PROJECT_ANCHORS)
        return fail(c, "more anchors than this reader holds");
    *index = c->workspace->anchor_count++;
    struct project_anchor *anchor = &c->workspace->anchors[*index];
    *anchor = (struct project_anchor){.name = keep(c, str_of((const char *)name)),
                                      .tokens = c->source->tokens};
    return true;
}

static const struct project_anchor *anchor_find(const struct conversion *c, struct str name)
{
    for (size_t i = c->workspace->anchor_count; i > 0; i--) {
        if (str_equal(c->workspace->anchors[i - 1].name, name))
            return &c->workspace->anchors[i - 1];
    }
    return NULL;
}

/* --- places and order ---------------------------------------------------------------------------------------------- */

static struct level *level_of(struct conversion *c)
{
    return c->depth == 0 ? NULL : &c->levels[c->depth - 1];
}

static bool is_key(struct conversion *c)
{
    struct level *level = level_of(c);
    return level != NULL && level->is_object && level->wants_key;
}

/* A key or value is about to be written. */
static bool begin_node(struct conversion *c)
{
    if (!source_note(c->source, (unsigned)c->mark.line + 1, (unsigned)c->mark.column + 1))
        return fail(c, "more keys and values than a project file may have");
    return true;
}

static bool end_node(struct conversion *c)
{
    struct level *level = level_of(c);
    if (level != NULL && level->is_object)
        level->wants_key = !level->wants_key;
    return c->source->json.overflow ? fail(c, "too long as JSON with its aliases expanded") : true;
}

/* --- scalars ------------------------------------------------------------------------------------------------------- */

/* The type that an explicit tag and the text make, or false with a reason. */
static bool tagged_type(struct conversion *c, const struct scalar *scalar, enum scalar_type *type)
{
    static const struct {
        const char *name;
        enum scalar_type type;
    } tags[] = {{"str", SCALAR_STRING},
                {"null", SCALAR_NULL},
                {"bool", SCALAR_BOOLEAN},
                {"int", SCALAR_INTEGER},
                {"float", SCALAR_FLOAT}};
    enum scalar_type found = scalar_type(scalar->text);
    if (str_is(scalar->tag, "!")) {
        *type = SCALAR_STRING;
        return true;
    }
    if (!str_starts_with(scalar->tag, STR(CORE_TAG)))
        return fail(c, "only the tags of the core schema are known");
    struct str name = str_from(scalar->tag, sizeof CORE_TAG - 1);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (!str_is(name, tags[i].name))
            continue;
        *type = tags[i].type == SCALAR_STRING ? SCALAR_STRING : found;
        if (*type == tags[i].type || (tags[i].type == SCALAR_FLOAT &&
                                      (found == SCALAR_INTEGER || found == SCALAR_NOT_FINITE)))
            return true;
        return fail(c, "the scalar does not fit its tag");
    }
    return fail(c, "only the tags of the core schema are known");
}

static bool write_key(struct conversion *c, const struct scalar *scalar)
{
    enum scalar_type type;
    if (scalar->tag.n > 0 && !tagged_type(c, scalar, &type))
        return false;
    if (scalar->is_plain && scalar->tag.n == 0 && str_is(scalar->text, "<<"))
        return fail(c, "the merge key '<<' is not part of YAML 1.2: name the members, or quote it");
    json_key_str(&c->writer, scalar->text);
    return true;
}

static bool write_value(struct conversion *c, const struct scalar *scalar)
{
    enum scalar_type type = SCALAR_STRING;
    char small[128];
    if (scalar->tag.n > 0) {
        if (!tagged_type(c, scalar, &type))
            return false;
    } else if (scalar->is_plain) {
        type = scalar_type(scalar->text);
    }
    if (type == SCALAR_NOT_FINITE)
        return fail(c, "JSON has no infinite numbers and no NaN");
    if (type == SCALAR_TOO_LONG)
        return fail(c, "a hexadecimal or octal number with too many digits");
    if (type == SCALAR_STRING) {
        json_string(&c->writer, scalar->text);
        return true;
    }
    struct out number = out_on(small, sizeof small);
    if (scalar->text.n + 2 > sizeof small)
        number = OUT_ON(c->workspace->scratch);
    scalar_write(scalar->text, type, &number);
    json_raw(&c->writer, out_view(&number));
    return true;
}

static bool put_scalar(struct conversion *c, const struct scalar *scalar)
{
    if (!begin_node(c))
        return false;
    return (is_key(c) ? write_key(c, scalar) : write_value(c, scalar)) && end_node(c);
}

static bool on_scalar(struct conversion *c, const yaml_event_t *event)
{
    struct scalar scalar = {
        .text = str_range((const char *)event->data.scalar.value, event->data.scalar.length),
        .tag = str_of((const char *)event->data.scalar.tag),
        .is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE};
    size_t index;
    if (!utf8_is_valid(scalar.text))
        return fail(c, "an escape that is no character");
    if (!anchor_add(c, event->data.scalar.anchor, &index))
        return false;
    if (index != NO_ANCHOR) {
        struct project_anchor *anchor = &c->workspace->anchors[index];
        anchor->is_scalar = true;
        anchor->is_plain = scalar.is_plain;
        anchor->scalar = keep(c, scalar.text);
        anchor->tag = keep(c, scalar.tag);
        if (c->workspace->arena_out.overflow)
            return fail(c, "anchored scalars take too much room");
    }
    return put_scalar(c, &scalar);
}

/* --- containers ---------------------------------------------------------------------------------------------------- */

static bool on_start(struct conversion *c, bool is_object, const yaml_char_t *anchor,
                     const yaml_char_t *tag)
{
    struct str name = str_of((const char *)tag);
    if (is_key(c))
        return fail(c, "a key must be a scalar");
    if (name.n > 0 && !str_is(name, "!") &&
        !str_is(name, is_object ? CORE_TAG "map" : CORE_TAG "seq"))
        return fail(c, "only the tags of the core schema are known");
    if (c->depth == LIMIT_JSON_DEPTH)
        return fail(c, "nested too deep");
    struct level *level = &c->levels[c->depth];
    if (!anchor_add(c, anchor, &level->anchor) || !begin_node(c))
        return false;
    if (is_object)
        json_object(&c->writer);
    else
        json_array(&c->writer);
    if (level->anchor != NO_ANCHOR)
        c->workspace->anchors[level->anchor].start = c->source->json.n - 1;
    level->is_object = level->wants_key = is_object;
    c->depth++;
    return true;
}

static bool on_end(struct conversion *c)
{
    ASSERT(c->depth > 0);
    struct level *level = level_of(c);
    if (level->is_object)
        json_object_end(&c->writer);
    else
        json_array_end(&c->writer);
    if (level->anchor != NO_ANCHOR && !c->source->json.overflow) {
        struct project_anchor *anchor = &c->workspace->anchors[level->anchor];
        anchor->end = c->source->json.n;
        anchor->tokens = c->source->tokens - anchor->tokens;
    }
    c->depth--;
    return end_node(c);
}

/* --- aliases ------------------------------------------------------------------------------------------------------- */

/* Containers within each other in compact JSON. */
static size_t height_of(struct str json)
{
    size_t height = 0, depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < json.n; i++) {
        char ch = json.p[i];
        if (in_string && ch == '\\')
            i++;
        else if (ch == '"')
            in_string = !in_string;
        else if (!in_string && (ch == '{' || ch == '[') && ++depth > height)
            height = depth;
        else if (!in_string && (ch == '}' || ch == ']'))
            depth--;
    }
    return height;
}

static bool on_alias(struct conversion *c, const yaml_event_t *event)
{
    const struct project_anchor *anchor =
        anchor_find(c, str_of((const char *)event->data.alias.anchor));
    if (anchor == NULL)
        return fail(c, "an alias without an anchor before it");
    if (anchor->is_scalar) {
        struct scalar scalar = {anchor->scalar, anchor->tag, anchor->is_plain};
        return put_scalar(c, &scalar);
    }
    if (is_key(c))
        return fail(c, "a key must be a scalar");
    if (anchor->end == 0)
        return fail(c, "an alias inside of what it stands for");
    struct str json = str_range(c->source->json.p + anchor->start, anchor->end - anchor->start);
    if (c->depth + height_of(json) > LIMIT_JSON_DEPTH)
        return fail(c, "nested too deep");
    if (!begin_node(c))
        return false;
    c->source->tokens += anchor->tokens - 1;
    if (c->source->tokens > c->source->token_max)
        return fail(c,
                    "more keys and values than a project file may have, with its aliases expanded");
    json_raw(&c->writer, json);
    return end_node(c);
}

/* --- the stream ---------------------------------------------------------------------------------------------------- */

static bool on_event(struct conversion *c, const yaml_event_t *event)
{
    c->mark = event->start_mark;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return ++c->documents == 1 ? true : fail(c, "a second document; a project file is one");
    case YAML_ALIAS_EVENT:
        return on_alias(c, event);
    case YAML_SCALAR_EVENT:
        return on_scalar(c, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(c, false, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_start(c, true, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(c);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return true;
}

static bool convert_events(struct conversion *c, yaml_parser_t *parser)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return yaml_input_failed(c->source, parser, c->problem);
        bool is_end = event.type == YAML_STREAM_END_EVENT;
        bool taken = on_event(c, &event);
        yaml_event_delete(&event);
        if (!taken || is_end)
            return taken;
    }
}

bool yaml_convert(struct project_workspace *workspace, struct project_source *source,
                  struct str text, struct project_problem *problem)
{
    struct conversion c = {.workspace = workspace,
                           .source = source,
                           .problem = problem,
                           .writer = json_writer(&source->json)};
    struct yaml_input input;
    yaml_parser_t parser;
    workspace->arena_out = OUT_ON(workspace->arena);
    workspace->anchor_count = 0;
    if (!yaml_strict(source, text, problem))
        return false;
    if (!yaml_input_open(&input, &parser, text))
        return source_fail(source, problem, 0, 0, "out of memory");
    bool done = convert_events(&c, &parser);
    yaml_parser_delete(&parser);
    if (done && source->json.n == 0) {
        source->empty = true;
        out_text(&source->json, "null");
    }
    return done;
}

#endif
