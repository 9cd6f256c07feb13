/* The gateway link (contract §6): one outbound WebSocket that always comes back.  It owns the connection, the hello, the
 * outbox (a cursor over the journal), acks and ceilings, backoff.  It never knows runs: what hello says of them, and what commands
 * do, comes in through `struct link_host`.  link_none.c stands in where CONFIG_LINK is off. */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include "base/limits.h"
#include "journal/journal.h"
#include "link/proxy.h"
#include "link/tls_options.h"
#include "loop/loop.h"
#include "rpc/rpc.h"

#define LINK_URLS 4 /* doors to one gateway */

struct link_options {
    const char
        *urls[LINK_URLS];   /* as the token file's name, good for the call that is given them */
    size_t url_count;       /* 0: no gateway, the link stays off */
    const char *token_file; /* NULL for none */
    const struct proxy_options *proxy; /* both live as long as the link */
    const struct tls_options *tls;
    int64_t backoff_initial_ms; /* 0: the contract's 1 s */
    int64_t
        backoff_max_ms; /* 0: the contract's 300 s; the slowest pace is half of it to all of it */
};

enum link_state {
    LINK_OFF,
    LINK_WAITING,
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_TUNNELLING,
    LINK_SECURING,
    LINK_UPGRADING,
    LINK_HELLO,
    LINK_CONNECTED,
    LINK_CLOSING,
    LINK_SUPERSEDED,
    LINK_RETIRED
};

struct link_host {
    void *context;
    /* Of the first hello: "start", "crash" or "upgrade"; later ones say "reconnect" or "forked". NULL is "start". */
    const char *start_reason;
    /* Writes the members "daemon", "project", "limits", "command_seen", "runs" of hello's params into an open object.
     * After on_forked "daemon" holds previous_id. */
    void (*write_hello)(void *context, struct json_writer *w);
    /* The gateway's name is known, and that it has stored all up to `acked`. May be NULL. */
    void (*on_session)(void *context, const char *gateway);
    void (*on_acked)(void *context, uint64_t acked);
    /* The streams have parted (contract §6): take a new id, append daemon.started "forked"; the link then says hello again
     * after the commit of the turn. */
    void (*on_forked)(void *context);
    /* Also called with false when a session ends that was paused. */
    void (*on_paused)(void *context, bool paused);
    /* 4409, 4410: no more dialling.  LINK_SUPERSEDED: end the local runs. */
    void (*on_final)(void *context, enum link_state state);
    const struct rpc_dispatcher *dispatcher;
};

struct link; /* link/session.h has its layout; one stands in the daemon's struct */

/* ERR_IO: no memory for the one allocation that the link makes. */
enum err link_start(struct link *link, struct loop *loop, struct journal *journal,
                    const struct link_host *host, const struct link_options *options);
/* New URLs or token: take effect at the next dial; a changed URL list closes the present connection (1001) in order. */
void link_reconfigure(struct link *link, const struct link_options *options);
/* Before the commit, when there may be room: a request that the dispatcher had none for is dispatched again, as it is every few
 * milliseconds. */
void link_retry(struct link *link);
/* The part of a turn after the commit: takes newly synced events into the output, writes. */
void link_after_commit(struct link *link);
/* Gives memory back that the last burst has touched and nothing stands in: for when there is nothing to do. */
void link_rest(struct link *link);
/* Begins the orderly end (close 1001), or goes on with it; link_is_closed() tells when it is done; at most two seconds. */
void link_stop(struct link *link);
bool link_is_closed(const struct link *link);
/* Frees what link_start() took, at once and without a close frame; for tests and the very end. */
void link_end(struct link *link);
/* The highest seq that the gateway is known to have. */
uint64_t link_acked(const struct link *link);
enum link_state link_state(const struct link *link);
/* Whether a gateway's URL can be dialled, for the check of options; *reason is static storage. */
bool link_url_is_good(const char *url, const char **reason);
/* The object of daemon.status: url, state, since, reconnects, last_error, next_try_s, acked_seq. */
void link_write_status(const struct link *link, struct json_writer *w);

#endif
