#include "gateway/buffer.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_SMALLEST 1024
#define BUFFER_KEPT 16384 /* an empty buffer that is larger gives its memory back */

struct str buffer_view(const struct buffer *buffer)
{
    return buffer->n == 0 ? STR_NONE : str_range(buffer->p + buffer->start, buffer->n);
}

bool buffer_reserve(struct buffer *buffer, size_t room)
{
    if (buffer->cap - buffer->start - buffer->n >= room)
        return true;
    if (buffer->start > 0) {
        memmove(buffer->p, buffer->p + buffer->start, buffer->n);
        buffer->start = 0;
        if (buffer->cap - buffer->n >= room)
            return true;
    }
    if (room > SIZE_MAX / 4 || buffer->n > SIZE_MAX / 4)
        return false;
    size_t cap = buffer->cap < BUFFER_SMALLEST ? BUFFER_SMALLEST : buffer->cap;
    while (cap < buffer->n + room)
        cap *= 2;
    char *p = realloc(buffer->p, cap);
    if (p == NULL)
        return false;
    buffer->p = p;
    buffer->cap = cap;
    return true;
}

struct out buffer_writer(struct buffer *buffer)
{
    return out_on(buffer->p + buffer->start + buffer->n, buffer->cap - buffer->start - buffer->n);
}

void buffer_added(struct buffer *buffer, size_t n)
{
    ASSERT(n <= buffer->cap - buffer->start - buffer->n);
    buffer->n += n;
}

bool buffer_put(struct buffer *buffer, struct str bytes)
{
    if (bytes.n == 0)
        return true;
    if (!buffer_reserve(buffer, bytes.n))
        return false;
    memcpy(buffer->p + buffer->start + buffer->n, bytes.p, bytes.n);
    buffer->n += bytes.n;
    return true;
}

void buffer_drop(struct buffer *buffer, size_t n)
{
    ASSERT(n <= buffer->n);
    buffer->start += n;
    buffer->n -= n;
    if (buffer->n > 0)
        return;
    buffer->start = 0;
    if (buffer->cap > BUFFER_KEPT)
        buffer_free(buffer);
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->p);
    *buffer = (struct buffer){.p = NULL};
}
