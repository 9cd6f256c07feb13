/* Whole messages on their way out, in order, in one fixed buffer.  A message is lent out by queue_begin(), written, and
 * kept or taken back by queue_end().  Marked messages are the link's own, at most one of them at a time; the
 * others are answers. */
#ifndef LINK_QUEUE_H
#define LINK_QUEUE_H

#include "base/limits.h"
#include "base/out.h"

#define QUEUE_HEADER 4 /* bytes in front of each message */
/* An answer for each submission that can be put off, and one message of the link's own. */
#define QUEUE_BYTES ((LIMIT_SUBMISSIONS + 1) * (LIMIT_MESSAGE + QUEUE_HEADER))

struct queue {
    size_t head, end; /* of what is held, in bytes of the buffer */
    bool own;         /* a message of the link's own is held */
    bool begun, begun_own;
    struct out out;
    char bytes[QUEUE_BYTES];
};

void queue_clear(struct queue *queue);
/* Whether `count` messages of full length would fit besides what is held, with the place of the link's own kept free. */
bool queue_has_room(const struct queue *queue, size_t count);
/* Room for one message of at most `max` bytes (<= the buffer's); there must be so much. */
struct out *queue_begin(struct queue *queue, size_t max, bool own);
void queue_end(struct queue *queue, bool ok);
/* The oldest message; empty when there is none.  Valid until the next queue_begin(). */
struct str queue_front(const struct queue *queue);
void queue_drop(struct queue *queue);
bool queue_is_empty(const struct queue *queue);

#endif
