/* What the gateway keeps: daemons, their events exactly once and in order, the runs that follow from the events, and
 * commands on their way.  Everything behind this header is durable when a call returns OK.
 *
 * The store of one machine is SQLite (store*.c); another one, shared by several gateways, can take its place behind
 * the same functions.  Calls block for as long as the disk takes: a gateway for one machine can afford that, its
 * other connections wait meanwhile.
 *
 * Every function may also answer ERR_IO or ERR_NO_SPACE: nothing was changed then, store_reason() says why.  Texts in
 * structs that are handed to `each` live during that call. */
#ifndef GATEWAY_STORE_H
#define GATEWAY_STORE_H

#include "base/err.h"
#include "base/out.h"
#include "gateway/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

/* Opens or makes the file.  ERR_UNSUPPORTED: made by a newer version; ERR_INVALID: somebody else's database. */
enum err store_open(const char *path, struct store **store, struct out *why);
void store_close(struct store *store);
const char *store_reason(const struct store *store);

/* --- daemons -------------------------------------------------------------------------------- */

/* The hash of a daemon's journal after an event: its chain's head. */
#define STORE_HASH 64 /* hexadecimal digits */

struct store_head {
    int64_t seq;
    char sha256[STORE_HASH + 1];
};

struct store_daemon {
    int64_t key; /* the store's own name for it, never 0 */
    char id[LIMIT_DAEMON_ID + 1];
    char previous_id[LIMIT_DAEMON_ID + 1]; /* of a fork, or "" */
    char project[GATEWAY_PROJECT];
    char version[GATEWAY_VERSION + 1];
    int64_t epoch;
    int64_t last_seen_ms;   /* Unix time */
    int64_t message_bytes;  /* what it takes in one message */
    int64_t acked;          /* stored up to here, gaps counted */
    int64_t command_seq;    /* highest given out */
    struct store_head head; /* the newest that it named; seq 0: none */
    /* The first event for which it has named another hash than before: its journal was edited, or is another one. */
    struct store_head kept, named; /* seq 0: there is none */
    int64_t named_ms;              /* Unix time */
};

/* ERR_NOT_FOUND. */
enum err store_daemon_find(struct store *store, const char *id, struct store_daemon *daemon);
/* A daemon has said hello.  One that is not known is added with `acked` as given; for a known one everything but
 * acked is taken over.  The command counter goes up to command_seq where it is behind.  *daemon becomes the row. */
enum err store_daemon_hello(struct store *store, struct store_daemon *daemon);
enum err store_daemon_seen(struct store *store, int64_t key, int64_t now_ms);
/* In the order in which they were first seen; a false from `each` ends the walk, in all walks. */
enum err store_daemons(struct store *store,
                       bool (*each)(void *context, const struct store_daemon *), void *context);

/* --- events --------------------------------------------------------------------------------- */

struct store_event {
    int64_t seq;
    int64_t n; /* 0: no run */
    char run_id[LIMIT_RUN_ID + 1];
    char time[GATEWAY_TIME + 1];
    char type[GATEWAY_TYPE + 1];
    char step_id[LIMIT_NAME + 1];
    int64_t attempt;
    struct str data; /* raw object, or STR_NONE */
    struct str raw;  /* the whole event, byte for byte */
};

/* One batch is one transaction: begin, any number of events in the order of their seqs, then commit or rollback.
 * Events must continue the stream: that is the caller's to see to.  After a failure only rollback is allowed. */
enum err store_append_begin(struct store *store);
enum err store_append(struct store *store, int64_t daemon_key, const struct store_event *event);
/* acked: what is stored with this batch; head seq 0: it carried none.  A head stays what it was when it was first named:
 * *conflict is one that is kept, and was another; the new one is recorded beside it. */
enum err store_append_commit(struct store *store, int64_t daemon_key, int64_t acked, int64_t now_ms,
                             const struct store_head *head, struct store_head *conflict);
void store_append_rollback(struct store *store);
/* Events from..to are lost for good: recorded, and acked becomes `to`. */
enum err store_gap(struct store *store, int64_t daemon_key, int64_t from, int64_t to,
                   struct str reason, int64_t now_ms);
/* The time of a stored event.  ERR_NOT_FOUND. */
enum err store_event_time(struct store *store, int64_t daemon_key, int64_t seq,
                          char time[GATEWAY_TIME + 1]);

/* --- runs, as their events tell ------------------------------------------------------------- */

struct store_run {
    int64_t key; /* rises with the first event seen: newest is highest */
    int64_t daemon_key;
    struct str daemon_id, run_id, workflow_id, status;
    struct str created_at, started_at, ended_at; /* STR_NONE where not known */
    struct str labels, outputs, error;           /* raw JSON, or STR_NONE */
    struct str waiting_step,
        waiting; /* the first waiting step and its run.waiting's data, or STR_NONE */
};

struct store_step {
    struct str step_id, status, started_at, ended_at, error; /* error: raw JSON, or STR_NONE */
    int64_t attempt;
};

struct store_run_filter {
    int64_t before;     /* run keys below this alone; 0: all */
    int64_t daemon_key; /* 0: all */
    struct str status;  /* STR_NONE: all */
};

/* Newest first. */
enum err store_runs(struct store *store, const struct store_run_filter *filter, int64_t limit,
                    bool (*each)(void *context, const struct store_run *), void *context);
/* daemon_key 0: any.  ERR_NOT_FOUND; ERR_EXISTS: several daemons have a run of this id. */
enum err store_run_find(struct store *store, const char *run_id, int64_t daemon_key,
                        int64_t *run_key);
/* `each` is called once.  ERR_NOT_FOUND. */
enum err store_run_get(struct store *store, int64_t run_key,
                       bool (*each)(void *context, const struct store_run *), void *context);
enum err store_run_steps(struct store *store, int64_t run_key,
                         bool (*each)(void *context, const struct store_step *), void *context);
/* Events with n above `after`, in order. */
enum err store_run_events(struct store *store, int64_t run_key, int64_t after, int64_t limit,
                          bool (*each)(void *context, int64_t n, struct str type, struct str raw),
                          void *context);
/* Whether the run's ending event is stored, and its n. */
enum err store_run_end(struct store *store, int64_t run_key, bool *ended, int64_t *n);

/* A daemon has answered with this run, whose events may still be on their way: from now on it is known. */
enum err store_run_announce(struct store *store, int64_t daemon_key, const char *run_id);

/* --- commands ------------------------------------------------------------------------------- */

struct store_command {
    int64_t seq;
    struct str key, method, params; /* params: raw object without `command` */
    bool answered;
    bool failed;       /* the answer is an error */
    struct str answer; /* raw result or error */
};

/* A new command under the daemon's next seq.  ERR_EXISTS: the key is taken. */
enum err store_command_add(struct store *store, int64_t daemon_key, struct str key,
                           struct str method, struct str params, int64_t *seq);
/* `each` is called once.  ERR_NOT_FOUND. */
enum err store_command_find(struct store *store, int64_t daemon_key, struct str key,
                            bool (*each)(void *context, const struct store_command *),
                            void *context);
/* Those without an answer, in the order of their seqs; deferred ones are left out. */
enum err store_commands_waiting(struct store *store, int64_t daemon_key,
                                bool (*each)(void *context, const struct store_command *),
                                void *context);
enum err store_command_answer(struct store *store, int64_t daemon_key, int64_t seq, bool failed,
                              struct str answer);
/* The daemon did not take it: the key is free again. */
enum err store_command_forget(struct store *store, int64_t daemon_key, int64_t seq);
/* The daemon did not take it, but its caller was promised that it will be delivered: from not_before_ms on
 * store_commands_renew() gives it a new seq, because a daemon refuses seqs that do not rise. */
enum err store_command_defer(struct store *store, int64_t daemon_key, int64_t seq,
                             int64_t not_before_ms);
/* *renewed: how many are waiting again; *left: how many are still deferred. */
enum err store_commands_renew(struct store *store, int64_t daemon_key, int64_t now_ms,
                              int64_t *renewed, int64_t *left);

#endif
