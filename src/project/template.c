/* Finds templates in strings and takes their paths apart.  Owns the syntax of "${{ path }}"; never knows what a path
 * means.  Invariant: the parts of an inside, put together with their brackets, are the inside again. */
#include "project/template.h"

#include <string.h>

static const struct str OPEN = {"${{", 3}, CLOSE = {"}}", 2};

/* Offset of `what` in `text`, or text.n. */
static size_t find(struct str text, struct str what)
{
    for (size_t i = 0; i + what.n <= text.n; i++) {
        if (text.p[i] == what.p[0] && memcmp(text.p + i, what.p, what.n) == 0)
            return i;
    }
    return text.n;
}

struct str template_inside(struct str raw_string)
{
    if (raw_string.n < 2 || raw_string.p[0] != '"')
        return STR_NONE;
    return str_range(raw_string.p + 1, raw_string.n - 2);
}

enum err template_next(struct str *rest, struct template_part *part)
{
    if (rest->n == 0)
        return ERR_END;
    size_t open = find(*rest, OPEN);
    if (open > 0) {
        *part = (struct template_part){.is_template = false, .text = str_head(*rest, open)};
        *rest = str_from(*rest, open);
        return OK;
    }
    struct str behind = str_from(*rest, OPEN.n);
    size_t close = find(behind, CLOSE);
    if (close == behind.n)
        return ERR_SYNTAX;
    *part = (struct template_part){.is_template = true, .text = str_trim(str_head(behind, close))};
    *rest = str_from(behind, close + CLOSE.n);
    return OK;
}

bool template_is_whole(struct str inside, struct str *path)
{
    struct template_part part;
    if (template_next(&inside, &part) != OK || !part.is_template || inside.n > 0)
        return false;
    *path = part.text;
    return true;
}

bool template_in(struct str raw)
{
    return find(raw, OPEN) < raw.n;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

struct template_path template_path(struct str text)
{
    return (struct template_path){.rest = text};
}

static enum err read_index(struct str *rest, struct template_step *step)
{
    size_t close = str_find(*rest, ']');
    *step = (struct template_step){.is_index = true};
    if (close == rest->n || !str_to_u64(str_range(rest->p + 1, close - 1), &step->index))
        return ERR_SYNTAX;
    *rest = str_from(*rest, close + 1);
    return OK;
}

static enum err read_name(struct str *rest, struct template_step *step)
{
    size_t n = 0;
    while (n < rest->n && is_name_byte(rest->p[n]))
        n++;
    if (n == 0)
        return ERR_SYNTAX;
    *step = (struct template_step){.name = str_head(*rest, n)};
    *rest = str_from(*rest, n);
    return OK;
}

enum err template_path_next(struct template_path *path, struct template_step *step)
{
    if (!path->begun) {
        path->begun = true;
        return read_name(&path->rest, step);
    }
    if (path->rest.n == 0)
        return ERR_END;
    if (path->rest.p[0] == '[')
        return read_index(&path->rest, step);
    if (path->rest.p[0] != '.')
        return ERR_SYNTAX;
    path->rest = str_from(path->rest, 1);
    return read_name(&path->rest, step);
}
