/* The daemon: one struct that holds all of its state, and what is done with it.  Only its files know all rooms. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "control/control.h"
#include "daemon/identity.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "journal/journal.h"
#include "link/session.h"
#include "loop/helper.h"
#include "loop/loop.h"
#include "project/project.h"
#include "run/engine.h"

enum exit_code {
    EXIT_STOPPED = 0,
    EXIT_BROKEN = 1, /* verify: the chain does not hold, or the head is not in it */
    EXIT_USAGE = 2,
    EXIT_PROJECT = 3,
    EXIT_RUNNING = 4,
    EXIT_DAMAGED = 5, /* a supervisor must not restart it */
    EXIT_STORAGE = 6  /* it may */
};

/* How far a stop has come. */
enum daemon_phase {
    DAEMON_RUNNING,
    DAEMON_DRAINING, /* executing steps have until stop_at_ms */
    DAEMON_ENDING,   /* they are interrupted; processes are on their way out */
    DAEMON_SAID,     /* daemon.stopped is in the journal; the link closes */
    DAEMON_DONE
};

/* What was written up to the end of the last turn, and how much of it while nothing ran. */
struct wear {
    int64_t busy_ms; /* when there was a run or a helper last, or the start */
    int64_t seen_ms;
    uint64_t seen_bytes, seen_syncs;
    uint64_t first_seq; /* of the first event of this start */
    int64_t idle_ms;
    uint64_t idle_bytes, idle_syncs;
    bool was_idle;
};

/* The order is about pages: what is always in use stands together in as few of them as possible, between the large buffers that are touched
 * with their work alone.  The journal has its buffers first, the link last but for its addresses, the control socket first, the engine last. */
struct daemon {
    /* Only helpers touch it: its pages are never this process's. */
    struct project_workspace workspace;
    struct project next_project; /* charter.yml read again, not yet taken */
    char loader_answer[PROJECT_LOAD_ANSWER];
    struct journal journal;

    int64_t started_ms; /* monotonic */
    int64_t rest_at_ms; /* monotonic: when memory is given back; -1: it was */
    bool crashed;       /* the daemon before this one did not say that it stopped */
    enum daemon_phase phase;
    int64_t stop_at_ms; /* monotonic; -1: no bound */
    unsigned stop_signals;
    /* Not every child of ours came of an integration: there were some when we began, or we are the first process of a container.  Then only
     * those count that carry our mark. */
    bool has_foreign_children;
    unsigned lacks;  /* daemon/lacks.c */
    bool has_strays; /* orphans of integrations were found, and killed, but not reaped yet */
    enum exit_code exit_code;
    bool waits_for_space; /* the journal can write nothing, and so nothing else is done */
    bool reload_again;
    bool loaded, load_failed;
    int lock_fd;
    struct wear wear; /* with METRICS */
    char last_version[32];
    char stop_reason[64];
    struct identity identity;
    struct helper loader; /* reads charter.yml */
    struct rpc_dispatcher dispatcher;
    struct link_host link_host;
    struct notify notify;
    struct loop loop;
    struct link link;

    struct control control;
    char directory[LIMIT_PATH]; /* PROJECT/.charter */
    struct options options;
    struct engine engine;

    /* Its texts alone are in use, which stand at its beginning: no page of them is another's. */
    _Alignas(4096) struct project project;
};

/* daemon/start.c: from options to a daemon that is ready; false: exit_code says how it ended. */
bool daemon_start(struct daemon *daemon);
/* daemon/turn.c: one turn of the loop. */
void daemon_turn(struct daemon *daemon);
/* Waits a second for the disk to take something; false: a signal ends the wait. */
bool daemon_wait_for_space(void *context);
void daemon_begin_stop(struct daemon *daemon, const char *reason, int64_t grace_ms);
/* daemon/load.c: charter.yml, in a helper. */
bool daemon_load_project(struct daemon *daemon); /* at start: waits for it */
void daemon_reload(struct daemon *daemon);       /* SIGHUP */
/* What flags and charter.yml say of the gateway; its texts are theirs. */
struct link_options daemon_link_options(const struct daemon *daemon);
/* daemon/rest.c: at the end of a turn; and when it is to be called although nothing happens, -1: not. */
void rest_if_idle(struct daemon *daemon);
int64_t rest_next_ms(const struct daemon *daemon);
/* daemon/wear.c: from what a start has written on; at the end of each turn; the member "disk" of daemon.status. */
void wear_begin(struct daemon *daemon);
void wear_account(struct daemon *daemon);
void wear_write(struct daemon *daemon, struct json_writer *w);
/* daemon/methods.c */
extern const struct rpc_method daemon_methods[];
extern const size_t daemon_method_count;
bool daemon_on_command(void *context, struct rpc_call *call, const struct rpc_method *method,
                       struct str params);
void daemon_on_refusal(void *context, struct rpc_call *call, const struct rpc_error *error);
/* daemon/lacks.c: finds out what this system lacks, and becomes the heir of orphans where it can. */
void lacks_find(struct daemon *daemon);
void lacks_write(const struct daemon *daemon, struct json_writer *w);
/* daemon/host.c: what the link asks and tells. */
void daemon_fill_host(struct daemon *daemon);
/* The member "features" of hello and of daemon.status. */
void daemon_write_features(struct json_writer *w);
/* Appends daemon.started or daemon.stopped. */
void daemon_say_started(struct daemon *daemon, const char *reason);
void daemon_say_stopped(struct daemon *daemon);
/* daemon/retention.c: lets old segments go when the journal needs the space. */
void daemon_retain(struct daemon *daemon);
/* Ended runs that have something in segments up to this one are retained no longer. */
void daemon_let_ended_go(struct daemon *daemon, uint32_t segment);
/* Writes the checkpoint at the head of a new segment. */
void daemon_on_segment(void *context);
/* daemon/report.c: the commands that run no daemon. */
int daemon_check(struct daemon *daemon);
int daemon_limits(void);
/* daemon/verify.c */
int daemon_verify(struct daemon *daemon);

#endif
