/* What a run and its steps can be, and what events do to them: pure functions, the whole truth about order.  A journal whose events do
 * not pass here is damaged; an engine that wants to write one that does not pass has a bug.
 *
 *   run                                                     step
 *                                                                          ┌────────────── step.started ◄─┐
 *   (none) ─created─► queued ─started─► running ─┬─► succeeded   pending ──┴─► executing ─┬─► completed     │
 *                        │                ▲  │   ├─► failed         │                     ├─► failed        │
 *                        │          resumed  waiting                └─► skipped           ├─► retrying ─────┤
 *                        │                │  ▼   ├─► denied         └─► failed            └─► interrupted ──┘
 *                        │              waiting ─┴─► cancelled        (a template in `if`)      │
 *                        └────────────────────────► cancelled                                 └─► failed
 *
 * A gate or an input step goes from executing to waiting (run.waiting), back to executing when it was decided (run.resumed,
 * run.input_submitted), and from either to failed.  The run is `waiting` when a step waits and none executes: the table settles that
 * after every event, as one event alone cannot tell. */
#ifndef RUN_STATE_H
#define RUN_STATE_H

#include <stdbool.h>

enum run_status {
    RUN_NONE, /* no run.created yet */
    RUN_QUEUED,
    RUN_RUNNING,
    RUN_WAITING,
    RUN_SUCCEEDED,
    RUN_FAILED,
    RUN_CANCELLED,
    RUN_DENIED,
    RUN_STATUSES
};

enum step_state {
    STEP_PENDING,
    STEP_EXECUTING,
    STEP_WAITING, /* a gate or an input step that is open */
    STEP_RETRYING,
    STEP_INTERRUPTED,
    STEP_COMPLETED,
    STEP_FAILED,
    STEP_SKIPPED,
    STEP_STATES
};

/* The event types of contract §4 that belong to a run. */
enum run_event {
    EVENT_RUN_CREATED,
    EVENT_RUN_STARTED,
    EVENT_RUN_WAITING,
    EVENT_RUN_RESUMED,
    EVENT_RUN_INPUT_SUBMITTED,
    EVENT_RUN_CANCEL_REQUESTED,
    EVENT_RUN_CANCELLED,
    EVENT_RUN_SUCCEEDED,
    EVENT_RUN_FAILED,
    EVENT_RUN_DENIED,
    EVENT_STEP_STARTED,
    EVENT_STEP_SKIPPED,
    EVENT_STEP_INTERRUPTED,
    EVENT_STEP_PROGRESS,
    EVENT_STEP_LOG,
    EVENT_STEP_COMPLETED,
    EVENT_STEP_FAILED,
    EVENT_STEP_RETRYING,
    RUN_EVENTS
};

const char *run_event_name(enum run_event event);
/* False for names of no run event (daemon.started and the like). */
bool run_event_read(const char *name, enum run_event *event);
const char *run_status_name(enum run_status status);
bool run_status_read(const char *name, enum run_status *status);
const char *step_state_name(enum step_state state);

/* The status after an event; RUN_STATUSES where the event is impossible in that status. */
enum run_status run_next(enum run_status status, enum run_event event);
/* The state after a step event; STEP_STATES where it is impossible (also for events that are no step's). */
enum step_state step_next(enum step_state state, enum run_event event);

bool run_has_ended(enum run_status status);
/* Completed, failed or skipped: nothing happens to it any more. */
bool step_has_ended(enum step_state state);

#endif
