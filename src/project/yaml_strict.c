/* libyaml reads YAML 1.1 and is lenient; this pass over its tokens refuses what YAML 1.2 reads in another way or not at
 * all, so that no plan is misread.  Owns these differences and nothing else.  Invariant: it changes no value, it only
 * refuses.  One leniency stays: a closing bracket may stand as far left as the key that it belongs to. */
#include "project/yaml_input.h"

#ifdef CONFIG_YAML

#include <string.h>

/* A place in the text; libyaml's marks count characters. */
struct place {
    size_t byte, character;
};

struct strict {
    const struct project_source *source;
    struct project_problem *problem;
    struct str text;
    struct place start, end; /* of the token before, then of this one */
    unsigned flow;           /* brackets that are open */
    /* Columns of the block collections that are open; deeper ones than this are refused as nested too deep anyway. */
    size_t indents[LIMIT_JSON_DEPTH + 1];
    size_t depth;
};

/* --- input --------------------------------------------------------------------------------------------------------- */

static int read_input(void *data, unsigned char *buffer, size_t size, size_t *size_read)
{
    struct yaml_input *input = data;
    struct str piece = str_head(input->rest, size);
    if (piece.n == 0 && input->ends_blank) {
        input->ends_blank = false;
        piece = STR("\n");
    } else {
        input->rest = str_from(input->rest, piece.n);
    }
    if (piece.n > 0)
        memcpy(buffer, piece.p, piece.n);
    *size_read = piece.n;
    return 1;
}

bool yaml_input_open(struct yaml_input *input, yaml_parser_t *parser, struct str text)
{
    /* A last line of spaces that has no line feed belongs to a block scalar all the same. */
    *input = (struct yaml_input){text, text.n > 0 && text.p[text.n - 1] == ' '};
    if (!yaml_parser_initialize(parser))
        return false;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input(parser, read_input, input);
    return true;
}

bool yaml_input_failed(const struct project_source *source, const yaml_parser_t *parser,
                       struct project_problem *problem)
{
    const char *what = parser->problem == NULL ? "not YAML" : parser->problem;
    unsigned line = (unsigned)parser->problem_mark.line,
             column = (unsigned)parser->problem_mark.column;
    if (parser->error == YAML_MEMORY_ERROR)
        return source_fail(source, problem, 0, 0, "out of memory");
    if (parser->error == YAML_READER_ERROR) {
        /* The reader is ahead of the scanner and knows the byte alone. */
        return source_fail(source, problem, (unsigned)parser->mark.line + 1,
                           (unsigned)parser->mark.column + 1,
                           "%s at or behind this place (byte %zu)", what, parser->problem_offset);
    }
    return source_fail(source, problem, line + 1, column + 1, "%s%s%s", what,
                       parser->context == NULL ? "" : " ",
                       parser->context == NULL ? "" : parser->context);
}

/* --- text ---------------------------------------------------------------------------------------------------------- */

static bool fail(const struct strict *s, yaml_mark_t mark, const char *reason)
{
    return source_fail(s->source, s->problem, (unsigned)mark.line + 1, (unsigned)mark.column + 1,
                       "%s", reason);
}

static struct place find(const struct strict *s, struct place from, size_t character)
{
    while (from.character < character && from.byte < s->text.n) {
        from.byte++;
        while (from.byte < s->text.n && ((unsigned char)s->text.p[from.byte] & 0xC0) == 0x80)
            from.byte++;
        from.character++;
    }
    return from;
}

static char byte_at(const struct strict *s, size_t at)
{
    return at < s->text.n ? s->text.p[at] : '\n';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t line_start(const struct strict *s, size_t at)
{
    while (at > 0 && s->text.p[at - 1] != '\n' && s->text.p[at - 1] != '\r')
        at--;
    return at;
}

/* Spaces at the head of a line; *blank says whether nothing else but tabs stands there. */
static size_t indent_of(const struct strict *s, size_t start, bool *blank)
{
    size_t spaces = 0;
    while (byte_at(s, start + spaces) == ' ')
        spaces++;
    size_t at = start + spaces;
    while (byte_at(s, at) == '\t' || byte_at(s, at) == ' ')
        at++;
    *blank = byte_at(s, at) == '\n' || byte_at(s, at) == '\r';
    return spaces;
}

/* Whether a line with that many spaces stands right of the block collection that is open. */
static bool is_inside(const struct strict *s, size_t spaces)
{
    return s->depth == 0 || spaces > s->indents[s->depth - 1];
}

/* --- rules --------------------------------------------------------------------------------------------------------- */

/* `[a]#b`, `"a"#b`: '#' begins a comment behind white space alone. */
static bool check_comment(const struct strict *s, size_t from, const yaml_token_t *token)
{
    if (byte_at(s, from) != '#' || from >= s->start.byte || from == 0 ||
        is_space(byte_at(s, from - 1)))
        return true;
    return fail(s, token->start_mark, "the comment before this place needs a space before its '#'");
}

static bool check_flow_line(const struct strict *s, const yaml_token_t *token)
{
    bool blank;
    size_t start = line_start(s, s->start.byte), spaces = indent_of(s, start, &blank);
    bool closes =
        token->type == YAML_FLOW_SEQUENCE_END_TOKEN || token->type == YAML_FLOW_MAPPING_END_TOKEN;
    for (size_t i = start; i < s->start.byte; i++) {
        if (!is_space(s->text.p[i]))
            return true; /* not the first of its line */
    }
    if (closes || s->end.byte == s->start.byte || is_inside(s, spaces))
        return true;
    return fail(s, token->start_mark,
                "a line inside brackets must be indented with spaces, further than its key");
}

static bool check_quoted(const struct strict *s, const yaml_token_t *token)
{
    for (size_t at = s->start.byte; at < s->end.byte; at++) {
        bool blank;
        if (s->text.p[at] == '\n' && !is_inside(s, indent_of(s, at + 1, &blank)) && !blank)
            return fail(
                s, token->start_mark,
                "the lines of this string must be indented with spaces, further than its key");
    }
    return true;
}

/* The comment of its first line; and an empty block scalar with text below that YAML 1.2 takes for its first line: libyaml went by blank lines with more
 * spaces before it. */
static bool check_block(const struct strict *s, const yaml_token_t *token)
{
    size_t at = s->start.byte + 1;
    bool has_indent = false;
    for (; strchr("+-123456789", byte_at(s, at)) != NULL && byte_at(s, at) != '\0'; at++)
        has_indent = has_indent || byte_at(s, at) >= '1';
    if (!is_space(byte_at(s, at)))
        return fail(s, token->start_mark,
                    "the comment behind this sign needs a space before its '#'");
    for (size_t i = 0; i < token->data.scalar.length; i++) {
        if (token->data.scalar.value[i] != '\n')
            return true;
    }
    if (has_indent)
        return true;
    while (byte_at(s, at) != '\n')
        at++;
    while (at + 1 < s->text.n) {
        bool blank;
        size_t spaces = indent_of(s, at + 1, &blank);
        if (!blank && s->depth > 0 && spaces > s->indents[s->depth - 1])
            return fail(
                s, token->start_mark,
                "blank lines at the head of this text have more spaces than its first line");
        if (!blank)
            return true;
        for (at++; byte_at(s, at) != '\n'; at++)
            ;
    }
    return true;
}

static bool check_scalar(const struct strict *s, const yaml_token_t *token)
{
    switch (token->data.scalar.style) {
    case YAML_PLAIN_SCALAR_STYLE:
        if (s->flow > 0 && token->data.scalar.length == 1 && token->data.scalar.value[0] == '-')
            return fail(s, token->start_mark, "a '-' alone inside brackets must be quoted");
        return true;
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        return check_quoted(s, token);
    case YAML_LITERAL_SCALAR_STYLE:
    case YAML_FOLDED_SCALAR_STYLE:
        return check_block(s, token);
    case YAML_ANY_SCALAR_STYLE:
        break;
    }
    return true;
}

static bool check_token(struct strict *s, const yaml_token_t *token)
{
    char next = byte_at(s, s->end.byte);
    switch (token->type) {
    case YAML_BLOCK_SEQUENCE_START_TOKEN:
    case YAML_BLOCK_MAPPING_START_TOKEN:
        if (s->depth == sizeof s->indents / sizeof s->indents[0])
            return fail(s, token->start_mark, "nested too deep");
        s->indents[s->depth++] = token->start_mark.column;
        return true;
    case YAML_BLOCK_END_TOKEN:
        s->depth -= s->depth > 0;
        return true;
    case YAML_KEY_TOKEN:
        if (s->flow > 0 && s->end.byte > s->start.byte && !is_space(next))
            return fail(
                s, token->start_mark,
                "a '?' before a key needs a space behind it, one that belongs to the text quotes");
        return true;
    case YAML_ANCHOR_TOKEN:
    case YAML_ALIAS_TOKEN:
        if (!is_space(next) && (s->flow == 0 || next == '\0' || strchr(",[]{}", next) == NULL))
            return fail(
                s, token->start_mark,
                "names of anchors consist of letters, digits, '_' and '-'; a space ends them");
        return true;
    case YAML_SCALAR_TOKEN:
        return check_scalar(s, token);
    default:
        return true;
    }
}

/* U+0085, U+2028 and U+2029 end lines in YAML 1.1 and are common characters in 1.2. */
static bool check_line_ends(const struct strict *s)
{
    yaml_mark_t mark = {0, 0, 0};
    for (size_t i = 0; i < s->text.n; i++) {
        struct str rest = str_from(s->text, i);
        if (str_starts_with(rest, STR("\xC2\x85")) || str_starts_with(rest, STR("\xE2\x80\xA8")) ||
            str_starts_with(rest, STR("\xE2\x80\xA9")))
            return fail(
                s, mark,
                "U+0085, U+2028 and U+2029 are to be written as \\N, \\L and \\P in double quotes");
        if (rest.p[0] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)rest.p[0] & 0xC0) != 0x80) {
            mark.column++;
        }
    }
    return true;
}

static bool check_next(struct strict *s, const yaml_token_t *token)
{
    size_t gap = s->end.byte;
    s->start = find(s, s->start, token->start_mark.index);
    s->end = find(s, s->start, token->end_mark.index);
    if (!check_comment(s, gap, token) || (s->flow > 0 && !check_flow_line(s, token)) ||
        !check_token(s, token))
        return false;
    if (token->type == YAML_FLOW_SEQUENCE_START_TOKEN ||
        token->type == YAML_FLOW_MAPPING_START_TOKEN)
        s->flow++;
    /* Deeper brackets would cost libyaml quadratic time. */
    if (s->flow > LIMIT_JSON_DEPTH)
        return fail(s, token->start_mark, "nested too deep");
    if (token->type == YAML_FLOW_SEQUENCE_END_TOKEN || token->type == YAML_FLOW_MAPPING_END_TOKEN)
        s->flow -= s->flow > 0;
    return true;
}

bool yaml_strict(const struct project_source *source, struct str text,
                 struct project_problem *problem)
{
    struct strict s = {.source = source, .problem = problem, .text = text};
    struct yaml_input input;
    yaml_parser_t parser;
    if (!check_line_ends(&s))
        return false;
    if (!yaml_input_open(&input, &parser, text))
        return source_fail(source, problem, 0, 0, "out of memory");
    bool taken = true, is_end = false;
    while (taken && !is_end) {
        yaml_token_t token;
        if (!yaml_parser_scan(&parser, &token))
            break; /* the same error comes again, with its words, when the events are read */
        is_end = token.type == YAML_STREAM_END_TOKEN;
        taken = check_next(&s, &token);
        yaml_token_delete(&token);
    }
    yaml_parser_delete(&parser);
    return taken;
}

#endif
