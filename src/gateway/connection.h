/* One accepted connection: its buffers, its deadlines, its life from accept to close.  It begins as HTTP and may turn
 * into a caller that waits for a daemon's answer, a follower of a run, or a daemon's WebSocket; what those mean stands
 * in api*.c and session.c.
 *
 * Invariant: only connection_settle(), at the end of a turn, writes to the socket and frees the place; everything else
 * fills `out` and sets marks. */
#ifndef GATEWAY_CONNECTION_H
#define GATEWAY_CONNECTION_H

#include "gateway/buffer.h"
#include "gateway/limits.h"
#include "gateway/session.h"
#include "gateway/ws_server.h"
#include "loop/loop.h"

struct gateway;

enum connection_kind {
    CONNECTION_FREE,
    CONNECTION_HTTP,      /* between requests, or reading one */
    CONNECTION_WAITING,   /* a caller of POST …/rpc: the daemon's answer is due */
    CONNECTION_FOLLOWING, /* text/event-stream */
    CONNECTION_DAEMON,    /* a WebSocket */
    CONNECTION_LINGERING  /* all is sent; the peer reads and closes */
};

/* What a waiting caller waits for. */
struct connection_call {
    int64_t daemon_key;
    int64_t seq;               /* of the command; 0: a read, known by rpc_id alone */
    uint64_t rpc_id;           /* of a read */
    char id[6 * LIMIT_ID + 3]; /* the caller's own, raw */
    char key[LIMIT_KEY + 1];
};

struct connection_follow {
    int64_t run_key, after; /* n of the last event sent */
    bool due;               /* there may be more in the store */
};

struct connection {
    struct gateway *gateway;
    enum connection_kind kind;
    struct loop_fd node;
    struct loop_timer timer; /* what it means depends on the kind */
    struct loop_timer stall; /* set while there is something to send */
    struct buffer in, out;
    size_t searched;    /* http_request_read()'s */
    bool continue_sent; /* 100 Continue for the present request */
    bool request_begun; /* its deadline runs */
    bool keep_alive;    /* after the present answer */
    bool without_body;  /* the present request is a HEAD */
    bool peer_ended;    /* it will send no more */
    bool closing;       /* linger once everything is sent */
    bool dead;          /* to be freed without another word */

    struct connection_call call;
    struct connection_follow follow;
    struct ws_server ws;
    struct session session;
};

/* Takes over an accepted descriptor. */
void connection_open(struct connection *connection, struct gateway *gateway, int fd);
/* The end of a turn has two passes over all connections, because they act on each other: first each does what its input
 * and the store allow, then output is written and the dead are freed. */
void connection_advance(struct connection *connection);
void connection_settle(struct connection *connection);
/* Sends what is queued, then closes in order. */
void connection_close(struct connection *connection);
/* Back to HTTP after a caller's answer was queued. */
void connection_answered(struct connection *connection);
void connection_timer_in(struct connection *connection, int64_t ms);
/* For an orderly exit: says goodbye in the way of its kind. */
void connection_stop(struct connection *connection);
/* An HTTP connection between two requests: the first to go when places are short. */
bool connection_is_idle(const struct connection *connection);

#endif
