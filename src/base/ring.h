/* A FIFO of bytes in a fixed buffer.  Writers ask ring_room() first: a put that does not fit whole
 * is refused, never cut. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include "base/str.h"

struct ring {
    char *p;
    size_t cap;
    size_t head; /* offset of the oldest byte */
    size_t n;    /* bytes held */
};

struct ring ring_on(char *buffer, size_t size);
size_t ring_room(const struct ring *ring);
bool ring_put(struct ring *ring, struct str s);
/* The oldest bytes that lie in one piece; empty when the ring is. Valid until the next put or
 * drop. */
struct str ring_peek(const struct ring *ring);
/* Forgets the n oldest bytes; n is at most ring->n. */
void ring_drop(struct ring *ring, size_t n);

#endif
