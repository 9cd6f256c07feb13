#include "run/state.h"

#include <stddef.h>
#include <string.h>

static const char *const event_names[RUN_EVENTS] = {
    [EVENT_RUN_CREATED] = "run.created",
    [EVENT_RUN_STARTED] = "run.started",
    [EVENT_RUN_WAITING] = "run.waiting",
    [EVENT_RUN_RESUMED] = "run.resumed",
    [EVENT_RUN_INPUT_SUBMITTED] = "run.input_submitted",
    [EVENT_RUN_CANCEL_REQUESTED] = "run.cancel_requested",
    [EVENT_RUN_CANCELLED] = "run.cancelled",
    [EVENT_RUN_SUCCEEDED] = "run.succeeded",
    [EVENT_RUN_FAILED] = "run.failed",
    [EVENT_RUN_DENIED] = "run.denied",
    [EVENT_STEP_STARTED] = "step.started",
    [EVENT_STEP_SKIPPED] = "step.skipped",
    [EVENT_STEP_INTERRUPTED] = "step.interrupted",
    [EVENT_STEP_PROGRESS] = "step.progress",
    [EVENT_STEP_LOG] = "step.log",
    [EVENT_STEP_COMPLETED] = "step.completed",
    [EVENT_STEP_FAILED] = "step.failed",
    [EVENT_STEP_RETRYING] = "step.retrying",
};

static const char *const status_names[RUN_STATUSES] = {
    [RUN_NONE] = "none",           [RUN_QUEUED] = "queued",       [RUN_RUNNING] = "running",
    [RUN_WAITING] = "waiting",     [RUN_SUCCEEDED] = "succeeded", [RUN_FAILED] = "failed",
    [RUN_CANCELLED] = "cancelled", [RUN_DENIED] = "denied",
};

static const char *const state_names[STEP_STATES] = {
    [STEP_WAITING] = "waiting",     [STEP_PENDING] = "pending",
    [STEP_EXECUTING] = "running",   [STEP_RETRYING] = "retrying",
    [STEP_COMPLETED] = "completed", [STEP_INTERRUPTED] = "interrupted",
    [STEP_FAILED] = "failed",       [STEP_SKIPPED] = "skipped",
};

const char *run_event_name(enum run_event event)
{
    return event_names[event];
}

bool run_event_read(const char *name, enum run_event *event)
{
    for (int i = 0; i < RUN_EVENTS; i++)
        if (strcmp(name, event_names[i]) == 0) {
            *event = (enum run_event)i;
            return true;
        }
    return false;
}

const char *run_status_name(enum run_status status)
{
    return status_names[status];
}

bool run_status_read(const char *name, enum run_status *status)
{
    for (int i = RUN_QUEUED; i < RUN_STATUSES; i++)
        if (strcmp(name, status_names[i]) == 0) {
            *status = (enum run_status)i;
            return true;
        }
    return false;
}

const char *step_state_name(enum step_state state)
{
    return state_names[state];
}

bool run_has_ended(enum run_status status)
{
    return status >= RUN_SUCCEEDED && status < RUN_STATUSES;
}

bool step_has_ended(enum step_state state)
{
    return state == STEP_COMPLETED || state == STEP_FAILED || state == STEP_SKIPPED;
}

enum run_status run_next(enum run_status status, enum run_event event)
{
    bool live = status == RUN_RUNNING || status == RUN_WAITING;

    switch (event) {
    case EVENT_RUN_CREATED:
        return status == RUN_NONE ? RUN_QUEUED : RUN_STATUSES;
    case EVENT_RUN_STARTED:
        return status == RUN_QUEUED ? RUN_RUNNING : RUN_STATUSES;
    case EVENT_RUN_WAITING:
        return live ? RUN_WAITING : RUN_STATUSES;
    case EVENT_RUN_RESUMED:
    case EVENT_RUN_INPUT_SUBMITTED:
        return live ? RUN_RUNNING : RUN_STATUSES;
    case EVENT_RUN_CANCEL_REQUESTED:
        return live || status == RUN_QUEUED ? status : RUN_STATUSES;
    case EVENT_RUN_CANCELLED:
        return live || status == RUN_QUEUED ? RUN_CANCELLED : RUN_STATUSES;
    case EVENT_RUN_SUCCEEDED:
        return status == RUN_RUNNING ? RUN_SUCCEEDED : RUN_STATUSES;
    case EVENT_RUN_FAILED:
        /* Also out of the queue: what was accepted may prove impossible (its plan.json is gone). */
        return live || status == RUN_QUEUED ? RUN_FAILED : RUN_STATUSES;
    case EVENT_RUN_DENIED:
        return live ? RUN_DENIED : RUN_STATUSES;
    case EVENT_STEP_STARTED:
    case EVENT_STEP_SKIPPED:
    case EVENT_STEP_INTERRUPTED:
    case EVENT_STEP_PROGRESS:
    case EVENT_STEP_LOG:
    case EVENT_STEP_COMPLETED:
    case EVENT_STEP_FAILED:
    case EVENT_STEP_RETRYING:
        /* A step that goes on while others wait makes the run a running one again. */
        return live ? (event == EVENT_STEP_STARTED ? RUN_RUNNING : status) : RUN_STATUSES;
    case RUN_EVENTS:
        break;
    }
    return RUN_STATUSES;
}

enum step_state step_next(enum step_state state, enum run_event event)
{
    switch (event) {
    case EVENT_STEP_STARTED:
        return state == STEP_PENDING || state == STEP_RETRYING || state == STEP_INTERRUPTED
                   ? STEP_EXECUTING
                   : STEP_STATES;
    case EVENT_RUN_WAITING:
        return state == STEP_EXECUTING ? STEP_WAITING : STEP_STATES;
    case EVENT_RUN_RESUMED:
    case EVENT_RUN_INPUT_SUBMITTED:
        return state == STEP_WAITING ? STEP_EXECUTING : STEP_STATES;
    case EVENT_STEP_SKIPPED:
        return state == STEP_PENDING ? STEP_SKIPPED : STEP_STATES;
    case EVENT_STEP_INTERRUPTED:
        return state == STEP_EXECUTING ? STEP_INTERRUPTED : STEP_STATES;
    case EVENT_STEP_PROGRESS:
        return state == STEP_EXECUTING ? state : STEP_STATES;
    case EVENT_STEP_LOG:
        /* Any state: a process may warn in its teardown, after the step that it served. */
        return state;
    case EVENT_STEP_COMPLETED:
        return state == STEP_EXECUTING ? STEP_COMPLETED : STEP_STATES;
    case EVENT_STEP_FAILED:
        return step_has_ended(state) ? STEP_STATES : STEP_FAILED;
    case EVENT_STEP_RETRYING:
        return state == STEP_EXECUTING ? STEP_RETRYING : STEP_STATES;
    default:
        return STEP_STATES;
    }
}
