/* The run table: all runs that have not ended, their steps, and what is kept of the last ended ones.  RAM holds what decides; values,
 * inputs and errors stand in the journal and are found by their places. */
#ifndef RUN_TABLE_H
#define RUN_TABLE_H

#include "base/limits.h"
#include "journal/journal.h"
#include "run/state.h"

enum step_when { WHEN_SUCCESS, WHEN_FAILURE, WHEN_ALWAYS };

/* What a step decides with; the rest is read from its line in plan.json when it starts. */
struct step {
    uint8_t state; /* enum step_state */
    uint8_t when;  /* enum step_when */
    uint8_t attempt, interruptions;
    bool may_fail; /* continue_on_error */
    bool decided;  /* a gate or input step that was answered: `ended` is the event that says how */
    uint8_t integration; /* index among the plan's, for "who needs this process later" */
    uint32_t plan_offset, plan_length; /* its line in plan.json */
    struct journal_place
        ended;          /* the event that ended it, with its value or error; waiting: run.waiting */
    int64_t started_ms; /* wall clock; 0: not yet */
    int64_t
        at_ms; /* retrying, waiting: monotonic time of the next attempt, of the end of waiting (0: none); ended: wall clock */
};
_Static_assert(sizeof(struct step) <= 48, "step records are the table's bulk");

enum run_outcome { OUTCOME_NONE, OUTCOME_FAILED, OUTCOME_CANCELLED, OUTCOME_DENIED };

struct run {
    uint8_t status;      /* enum run_status; RUN_NONE: the slot is free */
    uint8_t outcome;     /* enum run_outcome: how it will end, once that is decided */
    uint8_t cancels;     /* cancel requests, counted to two */
    uint8_t failed_step; /* where outcome is OUTCOME_FAILED by a step; else LIMIT_STEPS */
    uint8_t executing;   /* steps in flight in this daemon's life */
    uint8_t processes;   /* integration processes that are not gone */
    uint8_t active;      /* steps whose state is executing */
    uint8_t waiting;     /* steps whose state is waiting */
    bool graph;          /* some step has `needs` */
    bool attention;      /* something happened: the engine looks at it in this turn */
    bool ending;         /* a helper stores its outputs: it ends when that is done */
    bool counted;        /* holds one of the places in flight */
    bool wants_place;    /* something of it could begin now */
    bool timed_out;      /* its own timeout decided the outcome */
    bool damaged;        /* salvaged: events of it are lost, it cannot go on */
    bool unsure;         /* salvaged: events may be lost that were its */
    char id[LIMIT_RUN_ID + 1];
    char workflow_id[LIMIT_NAME + 1];
    unsigned char inputs_digest[32];
    uint64_t n; /* of its last event */
    uint64_t
        outputs_seq; /* what must be on disk before a helper reads its outputs; 0: it has not been asked */
    uint64_t created_seq;
    struct journal_place created, failed,
        cancel; /* events: run.created, the failure that decided, the first cancel */
    int64_t created_ms, started_ms, ended_ms; /* wall clock; 0: not yet */
    int64_t deadline_ms;                      /* monotonic; 0: none */
    int64_t timeout_ms;                       /* of the run; 0: none */
    uint32_t step_first;                      /* its slice of the step pool */
    uint16_t step_count;
    uint16_t concurrency, max_parallel;
    uint32_t inline_bytes;                   /* of inline values so far */
    uint64_t dropped, dropped_bytes;         /* logs and progress, and their text, not told yet */
    int64_t dropped_since_ms;                /* monotonic */
    uint32_t outputs_offset, outputs_length; /* sections of plan.json */
    uint32_t integrations_offset, integrations_length;
};
_Static_assert(sizeof(struct run) <= 512, "run slots stay small");

/* An ended run: enough to list it, and to find the rest in the journal. */
struct ended_run {
    uint8_t status; /* RUN_NONE: free */
    char id[LIMIT_RUN_ID + 1];
    unsigned char inputs_digest[32];
    uint64_t created_seq;
    struct journal_place created, ended; /* events */
    uint32_t needs; /* the oldest segment that has something of it: without that it is not whole */
    int64_t created_ms, started_ms, ended_ms;
};

/* Which steps a step needs, in plans that say so; kept apart, as most plans do not. */
struct step_needs {
    uint32_t bits[(LIMIT_STEPS + 31) / 32];
};

struct run_table {
    struct ended_run ended[LIMIT_RETAIN_RUNS];
    unsigned count;     /* runs that have not ended */
    unsigned in_flight; /* of these, those that hold a place in flight */
    struct run runs[LIMIT_RUNS];
    struct step steps[LIMIT_STEP_RECORDS];
    struct step_needs needs[LIMIT_STEP_RECORDS]; /* at the places of the steps; of graphs alone */
};

struct run *table_find(struct run_table *table, struct str run_id);
struct ended_run *table_find_ended(struct run_table *table, struct str run_id);
/* A zeroed slot with room for `steps` steps, or NULL when the table is full. */
struct run *table_add(struct run_table *table, unsigned steps);
/* Frees a slot that came to nothing. */
void table_remove(struct run_table *table, struct run *run);
/* Moves a run that has ended to the ended ones and frees its slot.  The oldest ended run goes when there is no room: its id is
 * copied to `evicted` ("" if none went). */
void table_retire(struct run_table *table, struct run *run, struct journal_place ended,
                  char evicted[LIMIT_RUN_ID + 1]);
/* A zeroed place among the ended runs, the oldest's where none is free: `evicted` as above. */
struct ended_run *table_add_ended(struct run_table *table, char evicted[LIMIT_RUN_ID + 1]);

/* The one that ended first, or NULL. */
struct ended_run *table_oldest_ended(struct run_table *table);
/* Of all places in the journal that a run has: the one in the oldest segment (false: it has none), and the bytes of all together. */
bool table_oldest_place(struct run_table *table, const struct run *run,
                        struct journal_place *oldest);
int64_t table_place_bytes(struct run_table *table, const struct run *run);
/* What stood at `from` stands at `to` now; lengths of `from` do not matter. */
void table_move(struct run_table *table, struct run *run, struct journal_place from,
                struct journal_place to);

struct step *table_steps(struct run_table *table, const struct run *run);
unsigned table_index(const struct run_table *table, const struct run *run);

/* Rows newest first: the run with the highest created_seq below `before` (0: from the top).  Exactly one of *run and *ended is set; false
 * at the end. */
bool table_previous(struct run_table *table, uint64_t before, struct run **run,
                    struct ended_run **ended);

#endif
