/* What the journal may forget (contract §4): segments whose events are all acknowledged, once what unfinished runs need of them has been carried
 * on.  Nothing goes while there is room; over half of the limit the oldest segments do, and the ended runs that stand in them. */
#include "daemon/daemon.h"

#include "base/log.h"

/* Acknowledged counts as given where nobody will ever acknowledge. */
static uint64_t acknowledged(const struct daemon *daemon)
{
    enum link_state state = link_state(&daemon->link);

    if (daemon->link.options.url_count == 0 || state == LINK_RETIRED || state == LINK_SUPERSEDED)
        return UINT64_MAX;
    return link_acked(&daemon->link);
}

/* The number of the first segment that must stay because of its events' acknowledgement. */
static uint32_t first_unacknowledged(const struct daemon *daemon)
{
    const struct journal *journal = &daemon->journal;
    uint64_t acked = acknowledged(daemon);
    size_t i = 0;

    while (i + 1 < journal->segment_count && journal->segments[i + 1].first_seq - 1 <= acked)
        i++;
    return journal->segments[i].number;
}

void daemon_let_ended_go(struct daemon *daemon, uint32_t segment)
{
    for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++) {
        struct ended_run *ended = &daemon->engine.table.ended[i];
        if (ended->status == RUN_NONE || ended->needs > segment)
            continue;
        log_debug("journal", "run %s is retained no longer: the journal needs the space",
                  ended->id);
        ended->status = RUN_NONE;
        daemon->engine.remover_wanted = true;
    }
}

/* What unfinished runs need of the segment has been carried out of it, and is on disk. */
static bool is_free_of_runs(struct daemon *daemon, uint32_t segment)
{
    struct journal *journal = &daemon->journal;
    int64_t bytes = journal_bytes(journal);

    /* Where most of the journal is needed, carrying it round and round would wear the disk and free nothing. */
    if (engine_live_bytes(&daemon->engine) > bytes / 4 * 3)
        return false;
    switch (engine_carry(&daemon->engine, segment)) {
    case CARRY_DONE:
        return !journal->urgent;
    case CARRY_GOES_ON:
        loop_wake(&daemon->loop);
        return false;
    case CARRY_FAILED:
        break;
    }
    return false;
}

void daemon_retain(struct daemon *daemon)
{
    struct journal *journal = &daemon->journal;

    if (journal->segment_count < 2 || journal_bytes(journal) <= journal->limit / 2)
        return;
    uint32_t oldest = journal->segments[0].number;
    if (first_unacknowledged(daemon) <= oldest || engine_is_reading(&daemon->engine))
        return;
    if (!journal_can_forget(journal)) {
        if (journal_want_room(journal))
            loop_wake(&daemon->loop);
        return;
    }
    if (!is_free_of_runs(daemon, oldest))
        return;
    /* One segment a turn: the work stays bounded, and the next turn looks again. */
    daemon_let_ended_go(daemon, oldest);
    if (journal_forget(journal, oldest + 1) != OK)
        log_warning("journal", "segment %u could not be removed", oldest);
    else if (journal_bytes(journal) > journal->limit / 2)
        loop_wake(&daemon->loop);
    engine_clean_up(&daemon->engine);
}

void daemon_on_segment(void *context)
{
    struct daemon *daemon = context;
    struct json_writer *memo;

    /* That a daemon is running must not be forgotten with the segment that says that it started. */
    if (journal_begin_memo(&daemon->journal, &memo) != OK)
        return;
    json_put_text(memo, "running", CHARTER_VERSION);
    if (journal_end(&daemon->journal, true, NULL, NULL) != OK)
        return;
    checkpoint_write(&daemon->engine);
}
