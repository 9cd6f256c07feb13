#include "base/ring.h"

#include "base/assert.h"

#include <string.h>

struct ring ring_on(char *buffer, size_t size)
{
    return (struct ring){.p = buffer, .cap = size};
}

size_t ring_room(const struct ring *ring)
{
    return ring->cap - ring->n;
}

bool ring_put(struct ring *ring, struct str s)
{
    if (s.n > ring_room(ring))
        return false;
    if (s.n == 0)
        return true;
    size_t tail = (ring->head + ring->n) % ring->cap;
    size_t first = ring->cap - tail;
    if (first > s.n)
        first = s.n;
    memcpy(ring->p + tail, s.p, first);
    memcpy(ring->p, s.p + first, s.n - first);
    ring->n += s.n;
    return true;
}

struct str ring_peek(const struct ring *ring)
{
    size_t whole = ring->cap - ring->head;
    return (struct str){ring->p + ring->head, ring->n < whole ? ring->n : whole};
}

void ring_drop(struct ring *ring, size_t n)
{
    ASSERT(n <= ring->n);
    ring->n -= n;
    ring->head = ring->n == 0 ? 0 : (ring->head + n) % ring->cap;
}
