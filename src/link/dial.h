/* From a host name to a connected TCP socket: the name is resolved in a helper process, anew each time, then its addresses are
 * tried with staggered starts (RFC 8305 in spirit: families in turn, the next one after a quarter of a second or at once
 * when one fails; the first that connects wins).  One dial at a time; it ends by one call of on_done, or by dial_cancel(). */
#ifndef LINK_DIAL_H
#define LINK_DIAL_H

#include "link/url.h"
#include "loop/helper.h"
#include "loop/loop.h"
#include "port.h"

#define DIAL_ADDRESSES 8
#define DIAL_AT_ONCE 3
#define DIAL_STAGGER_MS 250
#define DIAL_SHARE                                                                                 \
    4 /* an attempt has this part of the deadline for itself, where others wait for its place */

struct dial;

struct dial_handler {
    void (*on_resolved)(struct dial *dial); /* connecting begins */
    /* fd is the caller's when err is OK; else `dial->error` has the words. */
    void (*on_done)(struct dial *dial, enum err err, int fd);
};

struct dial {
    void *owner;
    char error[256];

    /* dial.c's */
    struct dial_handler handler;
    struct loop *loop;
    int64_t deadline_ms; /* for each of the two phases */
    const char *host;
    unsigned port;
    struct helper helper;
    char answer[512];
    struct port_address addresses[DIAL_ADDRESSES];
    size_t count, next;
    struct loop_fd attempts[DIAL_AT_ONCE]; /* in the loop while they run */
    size_t tries[DIAL_AT_ONCE];            /* index of its address */
    int64_t began_ms[DIAL_AT_ONCE];
    struct loop_timer stagger, deadline;
    bool connecting;
};

/* `host` must live until the end.  on_done is never called before this returns. ERR_IO: the helper did not start; `error` says why. */
enum err dial_start(struct dial *dial, struct loop *loop, const struct url *url,
                    int64_t deadline_ms, const struct dial_handler *handler);
/* Nothing happens where nothing is under way. */
void dial_cancel(struct dial *dial);

#endif
