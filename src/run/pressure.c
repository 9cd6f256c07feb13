/* What gives way when the journal gets full (contract §4): logs and progress, before they get a seq, so that endings, decisions and cancels
 * keep their space; then new runs.  What was dropped is counted and told.  Invariant: nothing that decides is ever dropped. */
#include "run/engine.h"

#include "base/log.h"
#include "port.h"

#define TELL_MS 60000 /* of an unending pressure: now and then, as the marks take space too */

bool pressure_drops_logs(const struct engine *engine)
{
    const struct journal *journal = engine->journal;
    return journal->cramped || journal_bytes(journal) > journal->limit / 4 * 3;
}

/* What unfinished runs need is carried on and on and frees nothing; did it fill the journal, they could not end either. */
bool pressure_is_live(struct engine *engine)
{
    return engine_live_bytes(engine) > engine->journal->limit / 2;
}

bool pressure_refuses_runs(struct engine *engine)
{
    const struct journal *journal = engine->journal;
    return journal->cramped || journal_bytes(journal) > journal->limit / 16 * 15 ||
           pressure_is_live(engine);
}

/* What is left of the space that was reserved when no more could be had, or of the limit: endings, decisions, cancels and a
 * start are to fit all the same. */
static bool has_only_reserve(const struct journal *journal)
{
    int64_t used = journal->written + (int64_t)journal->out.n;
    return journal->cramped ? used > journal->segment_limit / 8 * 7
                            : journal_bytes(journal) > journal->limit / 32 * 31;
}

bool pressure_holds(struct engine *engine)
{
    bool holds = has_only_reserve(engine->journal);

    if (holds == engine->held)
        return holds;
    engine->held = holds;
    if (holds)
        log_warning("journal", "it has no space but for what must not be lost: integrations wait");
    else
        log_info("journal", "it has space again: integrations are read");
    for (size_t i = 0; i < LIMIT_PROCESSES && !holds; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_FREE)
            continue;
        if (process->out.fd >= 0 && !process->storing)
            process->out.wanted = PORT_READABLE;
        if (process->err.fd >= 0)
            process->err.wanted = PORT_READABLE;
    }
    return holds;
}

const char *pressure_name(struct engine *engine)
{
    return engine->held                    ? "integrations_wait"
           : engine->journal->cramped      ? "no_space"
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
    engine->fatal = event_open(engine, &event, &w);
    if (engine->fatal != OK)
        return;
    json_put_text(w, "run_id", run->id);
    json_put_u64(w, "count", run->dropped);
    json_put_u64(w, "bytes", run->dropped_bytes);
    engine->fatal = journal_end(engine->journal, true, NULL, NULL);
    run->dropped = run->dropped_bytes = 0;
}
