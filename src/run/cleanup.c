/* Directories of runs that nobody retains, removed by a helper: at start, and when a retained run gives way to a newer one.  And what a daemon
 * that died had half made. */
#include "run/engine.h"

#include "base/log.h"
#include "port.h"

#include <string.h>

struct removal {
    const struct engine *engine;
    char path[LIMIT_PATH];
    unsigned depth;
};

static bool remove_entry(void *context, const char *name)
{
    struct removal *removal = context, inner = *removal;
    struct port_stat stat;
    struct out out = {.p = inner.path, .cap = sizeof inner.path, .n = strlen(inner.path)};

    out_byte(&out, '/');
    out_text(&out, name);
    out_cstr(&out);
    if (port_unlink(inner.path) == OK || port_stat(inner.path, &stat) != OK ||
        stat.kind != PORT_DIRECTORY)
        return true;
    inner.depth++;
    if (inner.depth <
        16) /* integrations own what they write below files/; a tree deeper than that stays */
        (void)port_list(inner.path, remove_entry, &inner);
    (void)port_remove_directory(inner.path);
    return true;
}

static bool remove_unknown(void *context, const char *name)
{
    struct removal *removal = context;
    struct engine *engine = (struct engine *)(uintptr_t)removal->engine;

    if (table_find(&engine->table, str_of(name)) != NULL ||
        table_find_ended(&engine->table, str_of(name)) != NULL)
        return true;
    for (size_t i = 0; i < LIMIT_SUBMISSIONS; i++)
        if (engine->jobs[i].kind != JOB_FREE && strcmp(engine->jobs[i].run_id, name) == 0)
            return true;
    return remove_entry(removal, name);
}

static int remover_work(void *context, struct out *answer)
{
    struct removal removal = {.engine = context};
    (void)answer;
    source_run_path(context, "", "", removal.path);
    removal.path[strlen(removal.path) - 1] = '\0';
    (void)port_list(removal.path, remove_unknown, &removal);
    return 0;
}

static void on_removed(struct helper *helper, enum err outcome, struct str answer, int exit_code)
{
    (void)answer;
    (void)exit_code;
    struct engine *engine = helper->owner;
    if (outcome != OK)
        log_warning("run", "directories of old runs could not be removed: %s", err_text(outcome));
    engine_clean_up(engine);
    if (helper_running(&engine->remover))
        return;
    /* Artifacts and outputs may have waited for the space. */
    store_next(engine);
    engine_attend_all(engine);
}

static bool remove_half(void *context, const char *name)
{
    struct removal removal = *(struct removal *)context;
    struct out out = {.p = removal.path, .cap = sizeof removal.path, .n = strlen(removal.path)};

    if (!str_starts_with(str_of(name), STR(ARTIFACT_HALF)) &&
        !str_starts_with(str_of(name), STR("spill-")))
        return true;
    out_byte(&out, '/');
    out_text(&out, name);
    (void)port_unlink(out_cstr(&out));
    return true;
}

/* Before anything of the run is started again, so that nothing can be mistaken for what the last daemon left half made. */
void cleanup_halves(const struct engine *engine, const struct run *run)
{
    struct removal removal = {.engine = engine};

    source_run_path(engine, run->id, "", removal.path);
    (void)port_list(removal.path, remove_half, &removal);
    source_run_path(engine, run->id, "artifacts", removal.path);
    (void)port_list(removal.path, remove_half, &removal);
}

/* The helper is a copy of this process: it knows which runs are retained, and which are being submitted (`jobs`), at the moment when it starts.
 * Of others it would take the directories, so that no submission begins while it runs (run/job.c). */
void engine_clean_up(struct engine *engine)
{
    struct helper_job job = {.work = remover_work,
                             .context = engine,
                             .timeout_ms = 60000,
                             .buffer = engine->remover_answer,
                             .size = sizeof engine->remover_answer,
                             .on_done = on_removed};

    if (!engine->remover_wanted || helper_running(&engine->remover))
        return;
    engine->remover_wanted = false;
    engine->remover.owner = engine;
    if (helper_start(engine->loop, &engine->remover, &job) != OK)
        engine->remover_wanted = true; /* with the next run that goes */
}
