/* What an event means for its run and step (contract §4): a table from types to acts.  Runs and steps are nothing but
 * a summary of the events, kept in the same transaction, so that lists need not read all events. */
#include "gateway/store_internal.h"

#include "json/read.h"

#include <string.h>

struct act {
    const char *type;
    enum err (*apply)(struct store *store, int64_t run_key, const struct store_event *event,
                      const char *status);
    const char *status;
};

static struct str member(struct str data, const char *name)
{
    struct str value;

    return data.n > 0 && json_member(data, name, &value) && json_type(value) != JSON_NULL
               ? value
               : STR_NONE;
}

static enum err on_created(struct store *store, int64_t run_key, const struct store_event *event,
                           const char *status)
{
    char workflow[LIMIT_NAME + 1] = "";

    (void)status;
    (void)json_string_copy(member(event->data, "workflow_id"), workflow, sizeof workflow);
    return store_execute(store, SQL_RUN_CREATED, "itst", run_key, workflow,
                         member(event->data, "labels"), event->time);
}

static enum err on_started(struct store *store, int64_t run_key, const struct store_event *event,
                           const char *status)
{
    (void)status;
    return store_execute(store, SQL_RUN_STARTED, "it", run_key, event->time);
}

static enum err on_ended(struct store *store, int64_t run_key, const struct store_event *event,
                         const char *status)
{
    return store_execute(store, SQL_RUN_ENDED, "itssti", run_key, status,
                         member(event->data, "outputs"), member(event->data, "error"), event->time,
                         event->n);
}

/* A run waits when a step of it waits and none executes. */
static enum err settle(struct store *store, int64_t run_key, enum err err)
{
    return err != OK ? err : store_execute(store, SQL_RUN_WAITS, "i", run_key);
}

static enum err on_step_started(struct store *store, int64_t run_key,
                                const struct store_event *event, const char *status)
{
    (void)status;
    return settle(store, run_key,
                  store_execute(store, SQL_STEP_STARTED, "itit", run_key, event->step_id,
                                event->attempt, event->time));
}

static enum err on_step_waiting(struct store *store, int64_t run_key,
                                const struct store_event *event, const char *status)
{
    (void)status;
    return settle(store, run_key,
                  store_execute(store, SQL_STEP_WAITING, "its", run_key, event->step_id,
                                event->data.n > 0 ? event->data : STR("{}")));
}

static enum err on_step_goes_on(struct store *store, int64_t run_key,
                                const struct store_event *event, const char *status)
{
    return settle(store, run_key,
                  store_execute(store, SQL_STEP_STATUS, "ittis", run_key, event->step_id, status,
                                event->attempt, member(event->data, "error")));
}

static enum err on_step_ended(struct store *store, int64_t run_key, const struct store_event *event,
                              const char *status)
{
    return settle(store, run_key,
                  store_execute(store, SQL_STEP_ENDED, "ittist", run_key, event->step_id, status,
                                event->attempt, member(event->data, "error"), event->time));
}

static const struct act acts[] = {
    {"run.created", on_created, "queued"},
    {"run.started", on_started, "running"},
    {"run.waiting", on_step_waiting, "waiting"},
    {"run.resumed", on_step_goes_on, "running"},
    {"run.input_submitted", on_step_goes_on, "running"},
    {"run.succeeded", on_ended, "succeeded"},
    {"run.failed", on_ended, "failed"},
    {"run.cancelled", on_ended, "cancelled"},
    {"run.denied", on_ended, "denied"},
    {"step.started", on_step_started, "running"},
    {"step.retrying", on_step_goes_on, "retrying"},
    {"step.interrupted", on_step_goes_on, "interrupted"},
    {"step.completed", on_step_ended, "completed"},
    {"step.failed", on_step_ended, "failed"},
    {"step.skipped", on_step_ended, "skipped"},
};

enum err store_derive(struct store *store, int64_t run_key, const struct store_event *event)
{
    struct store_event stand_in = *event;

    /* An event too large for any peer is announced by its type alone: the run goes on all the same. */
    if (strcmp(event->type, "events.oversize") == 0) {
        if (!json_string_copy(member(event->data, "type"), stand_in.type, sizeof stand_in.type))
            return OK;
        stand_in.data = STR_NONE;
    }
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        bool of_step =
            acts[i].apply != on_created && acts[i].apply != on_started && acts[i].apply != on_ended;
        if (strcmp(acts[i].type, stand_in.type) != 0)
            continue;
        if (of_step && stand_in.step_id[0] == '\0')
            return OK;
        return acts[i].apply(store, run_key, &stand_in, acts[i].status);
    }
    return OK;
}
