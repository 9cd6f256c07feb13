/* The control socket (contract §5): one JSON-RPC object per line, for the daemon's own user and root.  It owns the listener, its clients and
 * their subscriptions to events; what requests mean is the dispatcher's business.  Invariant: nothing is written to a client but in
 * control_after_commit(). */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "base/limits.h"
#include "journal/journal.h"
#include "loop/loop.h"
#include "rpc/line.h"
#include "rpc/rpc.h"

/* A client's subscription (run.events). */
struct control_follow {
    bool active, follow;
    bool gap_told;
    char run_id[LIMIT_RUN_ID + 1]; /* "": all events */
    struct journal_cursor cursor;
    uint64_t after, last; /* as asked; the last event told */
};

struct control_client {
    struct loop_fd node;
    bool open; /* a place that was never used stays all zeros, and its pages untouched */
    struct control *control;
    struct rpc_peer peer;
    struct line_reader reader;
    struct str held;        /* a request that found no room, to be dispatched again */
    bool is_holding, ended; /* ended: it sends no more */
    bool unread; /* whole lines stand in the reader, for when there is room for their answers */
    bool closing;
    int64_t partial_since_ms; /* of half a line; 0: none */
    struct control_follow follow;
    struct out out;
    size_t sent, begun;
};

/* Of one client: touched while it is connected. */
struct control_buffers {
    char in[LIMIT_MESSAGE + 1];
    char out[LIMIT_MESSAGE +
             1]; /* what goes out: one message and its line feed at least fit whenever it is read */
};

/* What the control room asks about a run without knowing runs: its first event, and whether it has ended.  False: no such run. */
typedef bool control_find_run(void *context, const char *run_id, uint64_t *created_seq,
                              bool *ended);

struct control {
    _Alignas(4096) struct control_buffers
        buffers[LIMIT_CLIENTS]; /* first: what is always in use stands together */
    struct loop *loop;
    struct journal *journal;
    const struct rpc_dispatcher *dispatcher;
    control_find_run *find_run;
    void *find_run_context;
    struct loop_fd listener;
    int64_t listen_at_ms; /* monotonic; where the listener sleeps for want of descriptors */
    unsigned count;
    char path[LIMIT_PATH], address_file[LIMIT_PATH];
    struct control_client clients[LIMIT_CLIENTS];
};

/* Listens at PROJECT/.charter/daemon.sock, or at a short path that .charter/daemon.addr then names.  The caller holds the project's lock: a
 * socket that is there already was left behind.  ERR_IO and others with port_last_error(). */
enum err control_start(struct control *control, struct loop *loop, struct journal *journal,
                       const char *charter_directory, const struct rpc_dispatcher *dispatcher,
                       control_find_run *find_run, void *find_run_context);
/* At a turn's beginning: dispatches requests that found no room before, and lines that were read already. */
void control_retry(struct control *control);
/* The part of a turn after the commit: events for followers, then everything that is to be written. */
void control_after_commit(struct control *control);
/* Monotonic time at which a client's half line has had its 30 s, or -1. */
int64_t control_next_ms(const struct control *control);
/* Gives the buffers of clients back that wait for nothing: for when there is nothing to do. */
void control_rest(struct control *control);
/* Removes the socket's name, closes clients (what was answered is written first, as far as they take it at once). */
void control_stop(struct control *control);
/* The method run.events; context is the control. */
void control_on_events(struct control *control, struct rpc_call *call, struct str params);

#endif
