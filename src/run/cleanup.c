/* Directories of runs that nobody retains, removed by a helper: at start, and when a retained run gives way to a newer one.  And what a daemon
 * that died had half made. */
#include "run/engine.h"

#include "base/log.h"
#include "json/read.h"
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
    struct removal run = *removal;
    struct out out = {.p = run.path, .cap = sizeof run.path, .n = strlen(run.path)};
    out_format(&out, "/%s", name);
    /* No link is followed.  The plan goes first: a run without one is not taken for retained after a crash (cleanup_ended). */
    if (port_unlink(out_cstr(&out)) != OK)
        (void)remove_entry(&run, "plan.json");
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

struct halves {
    struct engine *engine;
    const struct run *run;
    const char *directory;
};

/* Whether something was being made when the last daemon died: a step's value, or at the very end the run's outputs. */
static bool was_interrupted(struct engine *engine, const struct run *run)
{
    const struct step *steps = table_steps(&engine->table, run);
    unsigned ended = 0;
    for (unsigned i = 0; i < run->step_count; i++) {
        if (steps[i].state == STEP_EXECUTING || steps[i].state == STEP_INTERRUPTED)
            return true;
        ended += step_has_ended(steps[i].state);
    }
    return ended == run->step_count;
}

/* Whether any step's value is the artifact of that name.  What cannot be read may be. */
static bool is_value(struct engine *engine, const struct run *run, const char *name)
{
    const struct step *steps = table_steps(&engine->table, run);
    struct artifact artifact;
    struct str data, reference;

    for (unsigned i = 0; i < run->step_count; i++) {
        if (steps[i].state != STEP_COMPLETED)
            continue;
        if (source_data(engine, steps[i].ended, &data) != OK)
            return true;
        if (json_member(data, "artifact", &reference) &&
            (!artifact_read(reference, &artifact) || strcmp(artifact.sha256, name) == 0))
            return true;
    }
    return false;
}

static bool remove_half(void *context, const char *name)
{
    const struct halves *halves = context;
    char path[LIMIT_PATH];
    struct out out = OUT_ON(path);
    bool is_half = str_starts_with(str_of(name), STR(ARTIFACT_HALF)) ||
                   str_starts_with(str_of(name), STR(INTAKE_SPILL));

    if (!is_half && (strlen(name) != 64 || is_value(halves->engine, halves->run, name)))
        return true;
    out_text(&out, halves->directory);
    out_byte(&out, '/');
    out_text(&out, name);
    (void)port_unlink(out_cstr(&out));
    return true;
}

/* Before anything of the run is started again, so that nothing can be mistaken for what the last daemon left: files half made, and artifacts
 * that are whole and that no event names. */
void cleanup_halves(struct engine *engine, const struct run *run)
{
    char directory[LIMIT_PATH];
    struct halves halves = {.engine = engine, .run = run, .directory = directory};

    if (!was_interrupted(engine, run))
        return;
    source_run_path(engine, run->id, "", directory);
    (void)port_list(directory, remove_half, &halves);
    source_run_path(engine, run->id, "artifacts", directory);
    (void)port_list(directory, remove_half, &halves);
}

/* The journal may still hold runs that gave way to the space of their artifacts: they have not come back. */
void cleanup_ended(struct engine *engine)
{
    char path[LIMIT_PATH];
    struct port_stat stat;

    for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++) {
        struct ended_run *ended = &engine->table.ended[i];
        if (ended->status == RUN_NONE)
            continue;
        source_run_path(engine, ended->id, "plan.json", path);
        if (port_stat(path, &stat) == ERR_NOT_FOUND)
            ended->status = RUN_NONE;
    }
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
