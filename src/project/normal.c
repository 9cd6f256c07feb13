/* Takes JSON files into the one form that the project's readers work on: compact, escaped minimally, with places.  Never
 * judges: json/check.h has.  Invariant: the value stays the same, numbers byte for byte. */
#include "project/convert.h"

#include "json/read.h"
#include "json/write.h"
#include "project/workspace.h"

struct scan {
    struct str text;
    size_t at;
    unsigned line, column;
};

static void advance(struct scan *scan, size_t n)
{
    for (; n > 0; n--, scan->at++) {
        unsigned char c = (unsigned char)scan->text.p[scan->at];
        if (c == '\n') {
            scan->line++;
            scan->column = 1;
        } else if ((c & 0xC0) != 0x80) {
            scan->column++;
        }
    }
}

static size_t string_length(struct str text)
{
    size_t i = 1;
    while (i < text.n && text.p[i] != '"')
        i += text.p[i] == '\\' ? 2 : 1;
    return i + 1 > text.n ? text.n : i + 1;
}

static size_t word_length(struct str text)
{
    size_t i = 0;
    while (i < text.n && text.p[i] > ' ' && text.p[i] != ',' && text.p[i] != ']' &&
           text.p[i] != '}')
        i++;
    return i;
}

static void copy_string(struct project_workspace *workspace, struct str raw, struct out *json)
{
    struct out decoded = OUT_ON(workspace->scratch);
    if (str_find(raw, '\\') == raw.n) {
        out_str(json, raw);
    } else if (json_string_decode(raw, &decoded)) {
        out_byte(json, '"');
        json_escape(json, out_view(&decoded));
        out_byte(json, '"');
    } else {
        json->overflow = true;
    }
}

bool normal_convert(struct project_workspace *workspace, struct project_source *source,
                    struct str text, struct project_problem *problem)
{
    struct scan scan = {text, 0, 1, 1};
    while (scan.at < text.n) {
        char c = text.p[scan.at];
        struct str rest = str_from(text, scan.at);
        bool is_mark = c == '{' || c == '}' || c == '[' || c == ']' || c == ',' || c == ':';
        size_t length = 1;
        if ((unsigned char)c <= ' ') {
            advance(&scan, 1);
            continue;
        }
        if ((!is_mark || c == '{' || c == '[') && !source_note(source, scan.line, scan.column))
            return source_fail(source, problem, scan.line, scan.column,
                               "more than %zu keys and values", source->token_max);
        if (c == '"') {
            length = string_length(rest);
            copy_string(workspace, str_head(rest, length), &source->json);
        } else {
            if (!is_mark)
                length = word_length(rest);
            out_str(&source->json, str_head(rest, length));
        }
        advance(&scan, length);
    }
    return true;
}
