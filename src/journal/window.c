#include "journal/window.h"

#include "base/assert.h"
#include "port.h"

/* What is read first: many records in most journals, and no waste when two readers take turns. */
#define STEP (LIMIT_RECORD < 16384 ? (size_t)LIMIT_RECORD : (size_t)16384)

void window_forget(struct journal_window *window)
{
    window->segment = 0;
    window->n = 0;
}

/* What the window has from that offset on, at most n bytes. */
static struct str held(const struct journal_window *window, uint32_t segment, int64_t offset,
                       size_t n)
{
    if (window->segment != segment || offset < window->from ||
        offset >= window->from + (int64_t)window->n)
        return STR_NONE;
    return str_head(str_from(str_range(window->bytes, window->n), (size_t)(offset - window->from)),
                    n);
}

static enum err load(struct journal_window *window, int fd, uint32_t segment, int64_t offset,
                     size_t n)
{
    size_t got;
    window_forget(window);
    enum err err = port_read_at(fd, window->bytes, n, offset, &got);
    if (err != OK) /* once more: a value that cannot be read fails a step for good */
        err = port_read_at(fd, window->bytes, n, offset, &got);
    if (err != OK)
        return ERR_IO;
    window->segment = segment;
    window->from = offset;
    window->n = got;
    return OK;
}

enum err window_bytes(struct journal_window *window, int fd, uint32_t segment, int64_t offset,
                      size_t n, struct str *bytes)
{
    ASSERT(n <= sizeof window->bytes);
    enum err err = OK;
    *bytes = held(window, segment, offset, n);
    if (bytes->n < n) {
        err = load(window, fd, segment, offset, n);
        *bytes = held(window, segment, offset, n);
    }
    return err;
}

enum err window_line(struct journal_window *window, int fd, uint32_t segment, int64_t offset,
                     int64_t end, struct str *line)
{
    *line = STR_NONE;
    if (offset >= end)
        return ERR_END;
    size_t max = end - offset < LIMIT_RECORD ? (size_t)(end - offset) : LIMIT_RECORD;
    struct str bytes = held(window, segment, offset, max);
    size_t wanted = max < STEP ? max : STEP;
    for (;;) {
        size_t feed = str_find(bytes, '\n');
        if (feed < bytes.n) {
            *line = str_head(bytes, feed);
            return OK;
        }
        if (bytes.n == max)
            return ERR_DAMAGED;
        /* The window may have had more already than the first step would bring. */
        if (bytes.n >= wanted)
            wanted = max;
        enum err err = window_bytes(window, fd, segment, offset, wanted, &bytes);
        if (err != OK)
            return err;
        if (bytes.n < wanted)
            return ERR_DAMAGED; /* the file is shorter than it was */
    }
}
