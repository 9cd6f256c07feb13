#include "rpc/line.h"

#include <string.h>

struct line_reader line_reader_on(char *buffer, size_t size)
{
    return (struct line_reader){.p = buffer, .cap = size};
}

void line_space(struct line_reader *reader, char **to, size_t *room)
{
    if (reader->start > 0) {
        memmove(reader->p, reader->p + reader->start, reader->n - reader->start);
        reader->n -= reader->start;
        reader->scanned -= reader->start;
        reader->start = 0;
    }
    *to = reader->p + reader->n;
    *room = reader->cap - reader->n;
}

void line_added(struct line_reader *reader, size_t n)
{
    reader->n += n;
}

static bool is_blank(struct str line)
{
    return str_trim(line).n == 0;
}

/* Cuts the line that ends at the line feed at `at` and moves on behind it. */
static struct str cut(struct line_reader *reader, size_t at)
{
    struct str line = {reader->p + reader->start, at - reader->start};
    reader->start = reader->scanned = at + 1;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (!reader->begun && str_starts_with(line, STR("\xef\xbb\xbf")))
        line = str_from(line, 3);
    reader->begun = true;
    return line;
}

enum err line_take(struct line_reader *reader, struct str *line, size_t *size)
{
    for (;;) {
        struct str rest = {reader->p + reader->scanned, reader->n - reader->scanned};
        size_t at = str_find(rest, '\n');
        bool found = at < rest.n;
        reader->scanned += at;
        if (reader->skipping) {
            /* Everything up to the line feed belongs to a line that was refused already. */
            reader->skipped += reader->scanned - reader->start;
            reader->start = reader->scanned;
            if (!found)
                return ERR_AGAIN;
            (void)cut(reader, reader->scanned);
            reader->skipping = false;
            continue;
        }
        if (found) {
            *line = cut(reader, reader->scanned);
            if (is_blank(*line))
                continue;
            return OK;
        }
        if (reader->n - reader->start < reader->cap)
            return ERR_AGAIN;
        *size = reader->n - reader->start;
        reader->skipping = true;
        reader->skipped = 0;
        reader->begun = true;
        return ERR_TOO_LARGE;
    }
}

bool line_is_partial(const struct line_reader *reader)
{
    return reader->skipping || reader->n > reader->start;
}
