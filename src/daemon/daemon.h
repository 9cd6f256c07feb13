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

struct daemon {
    struct options options;
    struct identity identity;
    char directory[LIMIT_PATH]; /* PROJECT/.charter */
    int lock_fd;
    struct loop loop;
    struct journal journal;
    struct project project;
    struct project next_project; /* charter.yml read again, not yet taken */
    struct engine engine;
    struct link link;
    struct link_host link_host;
    struct link_options link_options;
    struct control control;
    struct rpc_dispatcher dispatcher;
    struct notify notify;

    int64_t started_ms; /* monotonic */
    bool crashed;       /* the daemon before this one did not say that it stopped */
    char last_version[32];
    enum daemon_phase phase;
    int64_t stop_at_ms; /* monotonic; -1: no bound */
    char stop_reason[64];
    unsigned stop_signals;
    /* Not every child of ours came of an integration: there were some when we began, or we are the first process of a container.  Then only
     * those count that carry our mark. */
    bool has_foreign_children;
    unsigned lacks;  /* daemon/lacks.c */
    bool has_strays; /* orphans of integrations were found, and killed, but not reaped yet */
    enum exit_code exit_code;

    struct helper loader; /* reads charter.yml */
    bool waits_for_space; /* the journal can write nothing, and so nothing else is done */
    bool reload_again;
    bool loaded, load_failed;
    char loader_answer[PROJECT_LOAD_ANSWER];

    /* Only helpers touch it: its pages are never this process's. */
    struct project_workspace workspace;
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
void daemon_link_options(struct daemon *daemon);
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
