/* The layout of struct link and what the sources of this room tell each other.  Owners of a link embed it and use link.h. */
#ifndef LINK_SESSION_H
#define LINK_SESSION_H

#include "link/backoff.h"
#include "link/connect.h"
#include "link/link.h"
#include "link/outbox.h"
#include "link/queue.h"
#include "link/state.h"
#include "link/tls.h"
#include "link/transport.h"
#include "link/ws.h"

#define LINK_DEADLINE_MS 10000  /* each step of connecting; hello */
#define LINK_WRITE_MS 30000     /* a write without progress */
#define LINK_CLOSE_MS 2000      /* the close handshake */
#define LINK_HEARTBEAT_S 30     /* where the gateway names none */
#define LINK_AGAIN_MS 20        /* how soon a request that found no room is dispatched again */
#define LINK_TOKEN_POLL_MS 2000 /* how often a refused token's file is looked at */
#define LINK_MESSAGES_A_TURN 32
#define LINK_BATCHES_A_TURN 8
#define LINK_DRAINS 3 /* drains of short sessions in a row that are obeyed to the letter */
#define LINK_ERROR CONNECT_ERROR /* bytes of last_error */

/* What comes after the present connection. */
enum link_after {
    LINK_AFTER_BACKOFF, /* the usual window */
    LINK_AFTER_SLOW,    /* the slowest pace */
    LINK_AFTER_TOKEN,   /* the same until the token file, or the proxy's credentials, change */
    LINK_AFTER_EXACT,   /* at once, after a change of ours; same URL */
    LINK_AFTER_DRAIN,   /* at the time that the gateway asked for, same URL */
    LINK_AFTER_SUPERSEDED,
    LINK_AFTER_RETIRED
};

/* What link_start() or link_reconfigure() were given last; of texts, no more is touched than there is. */
struct link_settings {
    size_t url_count;
    const struct proxy_options *proxy;
    const struct tls_options *tls;
    char token_file[LIMIT_PATH]; /* "" for none */
    char urls[LINK_URLS][LIMIT_URL];
};

struct link_traffic {
    uint64_t bytes_in, bytes_out, messages_in, messages_out;
};

struct link {
    struct rpc_peer peer; /* first: a peer's address is the link's */
    struct loop *loop;
    struct journal *journal;
    struct link_host host;

    enum link_state state;
    int64_t since_ms;        /* wall clock: of the present state */
    int64_t state_at_ms;     /* monotonic: the same */
    struct loop_timer timer; /* the nearest of all deadlines */
    struct loop_timer again; /* input was left for the next turn */
    bool stopping;

    /* dialling */
    size_t url_at;
    struct url url;
    struct backoff backoff;
    int64_t next_try_ms;          /* monotonic; while waiting */
    const struct secret *watched; /* the file whose change ends the wait; NULL: none does */
    int64_t watch_ms;             /* when to look at it again */

    /* the connection */
    struct transport transport;
    struct loop_fd socket; /* in the loop while there is one */
    bool write_failed;     /* only reading is left: it may hold the reason */
    int64_t failed_ms;     /* since then */
    bool is_held;          /* `held` is a message that waits for room */
    bool is_waiting;       /* it found no room at the dispatcher, and comes again soon */
    struct str held;
    int64_t heard_ms, pinged_ms; /* monotonic */
    int64_t write_since_ms;      /* of the last progress while something is unsent; 0: nothing is */
    uint64_t bytes_in_seen, bytes_out_seen;
    enum link_after after;
    int64_t after_ms;   /* Retry-After, reconnect_after_ms */
    unsigned drains;    /* short sessions in a row that the gateway ended with a drain */
    bool finish_writes; /* close only when all that is queued has gone */
    unsigned close_code;
    const char *close_reason;

    /* the session */
    bool hello_due, has_forked, paused;
    const char *hello_reason;
    unsigned hello_count;
    unsigned heartbeat_s;
    unsigned sessions;
    int64_t session_at_ms; /* monotonic: of its beginning; 0: there is none */
    struct outbox outbox;

    /* figures for the status */
    struct link_traffic past; /* of connections that have ended */
    int64_t round_trip_us;    /* of the last ping, before the first one of hello; -1: unknown */
    int64_t hello_us;         /* monotonic: when hello was written */
    int64_t hello_wall_ms;    /* when hello was written */
    int64_t clock_offset_ms;  /* the gateway's clock less ours, as of the last hello */
    bool knows_clock;

    char last_error[LINK_ERROR];
    struct connect connect;
    struct queue queue;
    char message[LIMIT_MESSAGE]; /* stands between the buffers of these two: see link_rest() */
    struct ws ws;                /* clears itself, and leaves its buffers untouched */
    struct tls tls;              /* its pool last */
    /* Behind all else, as most of it is never touched; what is lies in one page. */
    _Alignas(2048) struct link_settings options;
};

/* --- session.c: the connection's life --------------------------------------------------------------------------- */

bool link_has_socket(const struct link *link);
/* Enters the next state and logs it. */
void link_enter(struct link *link, enum link_event event);
void link_set_error(struct link *link, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* For words of peers, of at most SECRET_TEXT bytes: a peer may repeat what it was sent.  They never get longer. */
void link_hide_secrets(const struct link *link, char *text);
/* The one end of every attempt and every connection; `after` and last_error are set. */
void link_finish(struct link *link);
/* The same, with the words for last_error and the log. */
void link_lost(struct link *link, enum link_after after, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Begins the close handshake: what is queued and not begun is thrown away, unless finish_writes is set.  The words are for
 * last_error. */
void link_close(struct link *link, unsigned code, const char *reason, enum link_after after,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Behind the opening handshake on link->transport and link->ws: its socket goes into the loop, hello is next. */
void link_attach(struct link *link);

/* --- receive.c, transmit.c, timing.c: what moves it -------------------------------------------------------------- */

void link_on_ready(struct loop_fd *node, unsigned ready);
void link_on_again(struct loop_timer *timer);
void link_write_out(struct link *link);
void link_on_timer(struct loop_timer *timer);
void link_schedule(struct link *link);

/* --- status.c ------------------------------------------------------------------------------------------------------ */

/* Adds the figures of a connection that ends to those of the past; its socket is still there. */
void link_count_traffic(struct link *link);

/* --- dialling.c: waiting, URLs, the token -------------------------------------------------------------------------- */

void link_dial(struct link *link);
/* Sets next_try_ms by what `after` says, and logs it with last_error. */
void link_plan_retry(struct link *link);
/* Looks whether the file has changed whose contents were refused. */
void link_watch_secret(struct link *link);

/* --- hello.c -------------------------------------------------------------------------------------------------------- */

void link_write_hello(struct link *link);
/* The answer, or whatever else came in its place. */
void link_take_hello(struct link *link, const struct rpc_envelope *envelope);

/* --- inbound.c: messages from the gateway --------------------------------------------------------------------------- */

/* False: there is no room for the answer; the message is to be given again later. */
bool link_take_message(struct link *link, struct str message);

#endif
