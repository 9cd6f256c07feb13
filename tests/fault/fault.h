/* Faults for tests: a layer between port/ and the C library, put in by the linker (--wrap, see the Makefile), so that the
 * objects under test are the ones that ship.  It counts the calls that touch files below one directory, and makes the n-th of
 * them fail, be cut short, hang, or be the last thing that the process does; it writes down what was written and synced;
 * and it moves the wall clock.  Calls on other files, and everything where nobody asked, go through.
 *
 * A program is told by its environment: FAULT_PATH (the directory), FAULT_CONTROL (a file with a struct fault_control, mapped
 * and shared with whoever changes it meanwhile), FAULT_TRACE (a file that gets a struct fault_trace for each call).  A unit test sets the
 * same by calls.  Forked helpers share the counters. */
#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H

#include <stdint.h>

enum fault_kind {
    FAULT_OPEN,
    FAULT_CLOSE,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,       /* fdatasync of a file */
    FAULT_SYNC_NAMES, /* fsync of a directory */
    FAULT_TRUNCATE,
    FAULT_ALLOCATE,
    FAULT_RENAME,
    FAULT_UNLINK,
    FAULT_MAKE_DIRECTORY,
    FAULT_REMOVE_DIRECTORY,
    FAULT_STAT,
    FAULT_LIST,
    FAULT_OUT, /* bytes to a socket or a pipe: what peers get to see */
    FAULT_FORK,
    FAULT_WAIT, /* for whatever comes next: a turn of the loop begins behind it */
    FAULT_KINDS
};

enum fault_action {
    FAULT_NOTHING,
    FAULT_KILL_BEFORE, /* the daemon dies with SIGKILL, the call is not made */
    FAULT_KILL_AFTER,  /* the call takes effect, then it dies */
    FAULT_FAIL,        /* the call is not made: `error` */
    FAULT_SHORT,       /* half of the bytes go through */
    FAULT_SHORT_FAIL,  /* the first call is cut short, those after it fail */
    FAULT_DO_AND_FAIL, /* the call takes effect, and `error` comes out all the same */
    FAULT_HOLD         /* the call waits until the action is another one */
};

enum { FAULT_IN_DAEMON = 1, FAULT_IN_HELPERS = 2 };

struct fault_control {
    int64_t kinds;     /* bits of enum fault_kind: those that count */
    int64_t processes; /* whose calls count: FAULT_IN_… */
    int64_t seen;      /* calls that counted so far */
    int64_t from,
        until; /* the action takes those with from <= number < until; the first is number 1 */
    int64_t action;
    int64_t error;
    int64_t fired;          /* how often it has */
    int64_t wall_offset_ms; /* added to CLOCK_REALTIME */
    int64_t no_syncs;       /* syncs are noted and not made: for a disk that is only thought of */
    int64_t by_kind[FAULT_KINDS];        /* all calls, whatever counts */
    int64_t fired_kind, fired_in_helper; /* of the last call that the action took */
    char fired_path[256];                /* "": it has no path */
};

/* In FAULT_TRACE: this, then the path, the second path, the data. */
struct fault_trace {
    int64_t kind;
    int64_t in_helper;
    int64_t inode;  /* 0: none */
    int64_t offset; /* of a write; the flags of an open; the new size of a truncation */
    int64_t result; /* bytes written; 0; -1 */
    int64_t path_length, to_length, data_length;
};

/* For unit tests. */
extern struct fault_control *fault_control;
void fault_below(const char *directory); /* NULL: nothing any more */
/* After each call that went through, failed ones included. */
extern void (*fault_on_call)(const struct fault_trace *call, const char *path, const char *to,
                             const void *data);

#endif
