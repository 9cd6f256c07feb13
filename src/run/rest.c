/* Giving memory back that the last work has touched and nothing needs.  Owns no state; what is given back is logically empty before and after. */
#include "run/engine.h"

#include "port.h"

/* Places that are free stand beside each other more often than not: one call for all of those.  True: all are free. */
static bool release_free_processes(struct engine *engine)
{
    size_t from = 0, i;

    for (i = 0; i <= LIMIT_PROCESSES; i++) {
        if (i < LIMIT_PROCESSES && engine->processes[i].state == PROCESS_FREE)
            continue;
        if (i > from && i - from < LIMIT_PROCESSES)
            port_release(&engine->processes[from], (i - from) * sizeof engine->processes[0]);
        if (i == LIMIT_PROCESSES && from == 0)
            return true;
        from = i + 1;
    }
    return false;
}

static bool release_free_jobs(struct engine *engine)
{
    bool all = true;

    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++) {
        all = all && engine->jobs[i].kind == JOB_FREE;
        if (engine->jobs[i].kind == JOB_FREE)
            port_release(&engine->jobs[i], sizeof engine->jobs[i]);
    }
    return all;
}

void engine_rest(struct engine *engine)
{
    struct engine_scratch *scratch = &engine->scratch;
    size_t runs = offsetof(struct engine, table.runs);

    scratch->step_run = NULL;
    scratch->event_place.segment = 0;
    scratch->names.run = NULL;
    scratch->plan.run = NULL;
    bool no_processes = release_free_processes(engine);
    bool no_jobs = release_free_jobs(engine);
    if (no_processes && no_jobs && engine->table.count == 0)
        port_release((char *)engine + runs, sizeof *engine - runs);
    else
        port_release(scratch, sizeof *scratch);
}
