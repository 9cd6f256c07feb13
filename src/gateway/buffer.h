/* A queue of bytes on the heap that grows up to what its users ask for and gives its memory back.  What was put in
 * lies in one piece, so that parsers see whole messages. */
#ifndef GATEWAY_BUFFER_H
#define GATEWAY_BUFFER_H

#include "base/out.h"
#include "base/str.h"

struct buffer {
    char *p;
    size_t cap;   /* bytes allocated */
    size_t start; /* of the oldest byte */
    size_t n;     /* bytes held */
};

/* What is held; valid until the next call that is not a view. */
struct str buffer_view(const struct buffer *buffer);
/* Makes room for `room` more bytes in one piece; false when there is no memory. */
bool buffer_reserve(struct buffer *buffer, size_t room);
/* A writer on the room behind what is held; buffer_added() takes over what was written. */
struct out buffer_writer(struct buffer *buffer);
void buffer_added(struct buffer *buffer, size_t n);
bool buffer_put(struct buffer *buffer, struct str bytes);
/* Forgets the n oldest bytes, n at most buffer->n. */
void buffer_drop(struct buffer *buffer, size_t n);
/* Gives the memory back; what was held is gone. */
void buffer_free(struct buffer *buffer);

#endif
