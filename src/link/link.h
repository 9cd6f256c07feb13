/* The gateway link (contract §6): one outbound WebSocket that always comes back.  It owns the connection, the hello, the
 * outbox (a cursor over the journal), acks and ceilings, backoff.  It never knows runs: what hello says of them, and what commands
 * do, comes in through `struct link_host`. */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include "base/limits.h"
#include "journal/journal.h"
#include "loop/loop.h"
#include "rpc/rpc.h"

#define LINK_URLS 4 /* doors to one gateway */

struct link_options {
    char urls[LINK_URLS][LIMIT_URL];
    size_t url_count;              /* 0: no gateway, the link stays off */
    char token_file[LIMIT_PATH];   /* "" for none */
};

enum link_state { LINK_OFF, LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_UPGRADING, LINK_HELLO, LINK_CONNECTED,
                  LINK_CLOSING, LINK_SUPERSEDED, LINK_RETIRED };

struct link_host {
    void *context;
    /* Writes the members "daemon", "project", "limits", "command_seen", "runs" of hello's params into an open object. */
    void (*write_hello)(void *context, struct json_writer *w);
    /* The gateway's name is known, and that it has stored all up to `acked`. */
    void (*on_session)(void *context, const char *gateway);
    void (*on_acked)(void *context, uint64_t acked);
    /* The streams have parted (contract §6): take a new id, append daemon.started "forked"; the link then says hello again. */
    void (*on_forked)(void *context);
    void (*on_paused)(void *context, bool paused);
    /* 4409, 4410: no more dialling. */
    void (*on_final)(void *context, enum link_state state);
    const struct rpc_dispatcher *dispatcher;
};

struct link; /* link/session.h has its layout; one stands in the daemon's struct */

void link_start(struct link *link, struct loop *loop, struct journal *journal, const struct link_host *host,
                const struct link_options *options);
/* New URLs or token: take effect at the next dial; a changed URL list closes the present connection (1001) in order. */
void link_reconfigure(struct link *link, const struct link_options *options);
/* The part of a turn after the commit: takes newly synced events into the output, writes. */
void link_after_commit(struct link *link);
/* Begins the orderly end (close 1001); link_is_closed() tells when it is done; at most two seconds. */
void link_stop(struct link *link);
bool link_is_closed(const struct link *link);
/* The object of daemon.status: url, state, since, reconnects, last_error, next_try_s, acked_seq. */
void link_write_status(const struct link *link, struct json_writer *w);

#endif
