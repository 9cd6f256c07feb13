/* Outputs of a run that are longer than an event may carry: resolved, hashed and stored as one artifact by a helper.  One run at a time; others
 * wait for their turn.  The run ends when the file is durable. */
#include "run/quota.h"

#include "base/hash.h"
#include "port.h"

#include <string.h>

#define OUTPUTS_TIMEOUT_MS 60000
#define OUTPUTS_AGAIN 2 /* exit code: when the runs that the answer names have gone */

/* --- in the helper -------------------------------------------------------------------------------------------------- */

static enum err hash_file(int fd, struct artifact *artifact)
{
    char bytes[16384];
    unsigned char digest[32];
    struct sha256 sha;
    struct out hex = OUT_ON(artifact->sha256);
    size_t got;

    artifact->bytes = 0;
    sha256_start(&sha);
    do {
        enum err err = port_read_at(fd, bytes, sizeof bytes, artifact->bytes, &got);
        if (err != OK)
            return err;
        sha256_add(&sha, str_range(bytes, got));
        artifact->bytes += (int64_t)got;
    } while (got == sizeof bytes);
    sha256_end(&sha, digest);
    out_hex(&hex, digest, sizeof digest);
    out_cstr(&hex);
    return OK;
}

/* The same walk that measured them, into the file. */
static enum err write_outputs(struct engine *engine, struct run *run, int fd, char *reason)
{
    struct scope scope = {.engine = engine, .run = run, .step = STEP_NONE, .reason = reason};
    struct request_sink sink = {.fd = fd};
    struct str raw;

    sink.chunk = OUT_ON(sink.buffer);
    enum err err = source_outputs(engine, run, &raw);
    if (err == OK)
        err = request_value(&scope, &sink, raw, false);
    sink_flush(&sink);
    return err == OK ? sink.err : err;
}

static int outputs_work(void *context, struct out *answer)
{
    struct engine *engine = context;
    struct run *run = engine->outputs.run;
    char directory[LIMIT_PATH], temporary[LIMIT_PATH], reason[LIMIT_TEXT] = "";
    struct artifact artifact = {.media_type = "application/json"};
    struct json_writer w = json_writer(answer);
    char words[QUOTA_WORDS];
    enum quota quota;
    int fd;

    journal_detach(engine->journal);
    source_run_path(engine, run->id, "", directory);
    enum err err = artifact_begin(directory, temporary, &fd);
    if (err == OK) {
        err = write_outputs(engine, run, fd, reason);
        if (err == OK)
            err = hash_file(fd, &artifact);
        /* Its bytes are counted already. */
        quota = err == OK ? quota_check(engine, 0, answer, words) : QUOTA_FITS;
        if (quota != QUOTA_FITS) {
            artifact_drop(temporary, fd);
            if (quota == QUOTA_EXCEEDED)
                out_text(answer, words);
            return quota == QUOTA_EVICTS ? OUTPUTS_AGAIN : 1;
        }
        if (err == OK)
            err = artifact_finish(directory, run->id, temporary, fd, &artifact);
        else
            artifact_drop(temporary, fd);
    }
    if (err == OK) {
        artifact_write(&w, &artifact);
        return 0;
    }
    out_text(answer, reason[0] != '\0' ? reason : port_last_error());
    return 1;
}

/* --- in the daemon ---------------------------------------------------------------------------------------------------- */

static void on_stored(struct helper *helper, enum err outcome, struct str answer, int exit_code)
{
    struct engine *engine = helper->owner;
    struct run *run = engine->outputs.run;
    struct failure failure;

    engine->outputs.run = NULL;
    run->ending = false;
    engine_attend_all(
        engine); /* others may wait for this place; and this run may have been cancelled meanwhile */
    if (run->outcome != OUTCOME_NONE)
        return;
    if (outcome == OK && exit_code == OUTPUTS_AGAIN) {
        quota_evict(engine, answer); /* the run is looked at again when that is through */
        return;
    }
    if (outcome == OK && exit_code == 0) {
        ending_succeed(engine, run, answer);
        return;
    }
    failure_set(&failure, FAILURE_TOO_LARGE, "the run's outputs cannot be stored: %.*s",
                STR_ARG(answer));
    ending_fail(engine, run, &failure);
}

void outputs_store(struct engine *engine, struct run *run)
{
    struct helper_job job = {.work = outputs_work,
                             .context = engine,
                             .timeout_ms = OUTPUTS_TIMEOUT_MS,
                             .buffer = engine->outputs.answer,
                             .size = sizeof engine->outputs.answer,
                             .on_done = on_stored};
    struct failure failure;

    if (engine->outputs.run != NULL || helper_running(&engine->remover))
        return; /* looked at again when that one is through */
    /* The helper reads what is on disk: after this turn's commit. What others append from now on need not be. */
    if (run->outputs_seq == 0)
        run->outputs_seq = engine->journal->next_seq - 1;
    if (journal_last_seq(engine->journal) < run->outputs_seq) {
        journal_hurry(engine->journal);
        engine_attend(engine, run);
        return;
    }
    engine->outputs.run = run;
    engine->outputs.helper.owner = engine;
    run->ending = true;
    if (helper_start(engine->loop, &engine->outputs.helper, &job) == OK)
        return;
    engine->outputs.run = NULL;
    run->ending = false;
    failure_set(&failure, FAILURE_TOO_LARGE, "the run's outputs cannot be stored: %s",
                port_last_error());
    ending_fail(engine, run, &failure);
}
