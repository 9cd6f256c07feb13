/* Owns the outgoing buffer.  Invariant: [head, end) is a sequence of headers, each with its message behind it; a header is the
 * message's length twice, plus one for the link's own. */
#include "link/queue.h"

#include "base/assert.h"

#include <string.h>

void queue_clear(struct queue *queue)
{
    queue->head = queue->end = 0;
    queue->own = queue->begun = false;
}

static uint32_t header_at(const struct queue *queue, size_t at)
{
    uint32_t header;
    memcpy(&header, queue->bytes + at, sizeof header);
    return header;
}

static void set_header(struct queue *queue, size_t at, uint32_t header)
{
    memcpy(queue->bytes + at, &header, sizeof header);
}

bool queue_has_room(const struct queue *queue, size_t count)
{
    size_t wanted = (count + (queue->own ? 0 : 1)) * (LIMIT_MESSAGE + QUEUE_HEADER);
    return sizeof queue->bytes - (queue->end - queue->head) >= wanted;
}

struct out *queue_begin(struct queue *queue, size_t max, bool own)
{
    ASSERT(!queue->begun && !(own && queue->own));
    if (sizeof queue->bytes - queue->end < max + QUEUE_HEADER) {
        memmove(queue->bytes, queue->bytes + queue->head, queue->end - queue->head);
        queue->end -= queue->head;
        queue->head = 0;
    }
    ASSERT(sizeof queue->bytes - queue->end >= max + QUEUE_HEADER);
    queue->begun = true;
    queue->begun_own = own;
    queue->out = out_on(queue->bytes + queue->end + QUEUE_HEADER, max);
    return &queue->out;
}

void queue_end(struct queue *queue, bool ok)
{
    ASSERT(queue->begun);
    queue->begun = false;
    if (!ok || queue->out.overflow)
        return;
    set_header(queue, queue->end, (uint32_t)queue->out.n * 2 + (queue->begun_own ? 1 : 0));
    queue->end += QUEUE_HEADER + queue->out.n;
    queue->own = queue->own || queue->begun_own;
}

struct str queue_front(const struct queue *queue)
{
    if (queue_is_empty(queue))
        return STR_NONE;
    return str_range(queue->bytes + queue->head + QUEUE_HEADER, header_at(queue, queue->head) / 2);
}

void queue_drop(struct queue *queue)
{
    ASSERT(!queue_is_empty(queue) && !queue->begun);
    uint32_t header = header_at(queue, queue->head);
    if ((header & 1) != 0)
        queue->own = false;
    queue->head += QUEUE_HEADER + header / 2;
    if (queue->head == queue->end)
        queue->head = queue->end = 0;
}

bool queue_is_empty(const struct queue *queue)
{
    return queue->head == queue->end;
}
