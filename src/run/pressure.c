/* What gives way when the journal gets full (contract §4): logs and progress, before they get a seq, so that endings, decisions and cancels
 * keep their space; then new runs.  What was dropped is counted and told.  Invariant: nothing that decides is ever dropped. */
#include "run/engine.h"

#include "base/log.h"

#define TELL_MS 60000 /* of an unending pressure: now and then, as the marks take space too */

bool pressure_drops_logs(const struct engine *engine)
{
    const struct journal *journal = engine->journal;
    return journal->cramped || journal_bytes(journal) > journal->limit / 4 * 3;
}

bool pressure_refuses_runs(const struct engine *engine)
{
    const struct journal *journal = engine->journal;
    return journal->cramped || journal_bytes(journal) > journal->limit / 16 * 15;
}

const char *pressure_name(const struct engine *engine)
{
    return engine->journal->cramped        ? "no_space"
           : pressure_refuses_runs(engine) ? "runs_refused"
           : pressure_drops_logs(engine)   ? "logs_dropped"
                                           : "none";
}

bool pressure_drop(struct engine *engine, struct run *run, size_t bytes)
{
    if (!pressure_drops_logs(engine))
        return false;
    if (run->dropped == 0) {
        log_warning("journal",
                    "it has little space left: logs and progress of run %s are dropped and counted",
                    run->id);
        run->dropped_since_ms = engine->loop->now_ms;
        engine_attend(engine, run);
    }
    run->dropped++;
    run->dropped_bytes += bytes;
    return true;
}

void pressure_tell(struct engine *engine, struct run *run, bool ending)
{
    struct journal_event event = {.type = "events.dropped", .time_ms = engine->loop->wall_ms};
    struct json_writer *w;

    if (run->dropped == 0 || engine->fatal != OK)
        return;
    if (!ending && pressure_drops_logs(engine) &&
        engine->loop->now_ms - run->dropped_since_ms < TELL_MS)
        return;
    engine->fatal = journal_begin(engine->journal, &event, &w);
    if (engine->fatal != OK)
        return;
    json_put_text(w, "run_id", run->id);
    json_put_u64(w, "count", run->dropped);
    json_put_u64(w, "bytes", run->dropped_bytes);
    engine->fatal = journal_end(engine->journal, true, NULL, NULL);
    run->dropped = run->dropped_bytes = 0;
}
