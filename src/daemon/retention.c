/* What the journal may forget (contract §4): segments whose events are all acknowledged and that no unfinished run needs.  Ended runs keep theirs
 * while there is room; over half of the limit the oldest of them give way. */
#include "daemon/daemon.h"

#include "base/log.h"

/* Acknowledged counts as given where nobody will ever acknowledge. */
static uint64_t acknowledged(const struct daemon *daemon)
{
    enum link_state state = link_state(&daemon->link);

    if (daemon->link_options.url_count == 0 || state == LINK_RETIRED || state == LINK_SUPERSEDED)
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

static uint32_t first_wanted_by_runs(const struct daemon *daemon)
{
    uint32_t first = UINT32_MAX;

    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        const struct run *run = &daemon->engine.table.runs[i];
        if (run->status != RUN_NONE && run->created.segment < first)
            first = run->created.segment;
    }
    return first;
}

static struct ended_run *oldest_ended(struct daemon *daemon)
{
    struct ended_run *oldest = NULL;

    for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++) {
        struct ended_run *ended = &daemon->engine.table.ended[i];
        if (ended->status != RUN_NONE &&
            (oldest == NULL || ended->created_seq < oldest->created_seq))
            oldest = ended;
    }
    return oldest;
}

void daemon_retain(struct daemon *daemon)
{
    struct journal *journal = &daemon->journal;

    if (journal->segment_count < 2 || journal_bytes(journal) <= journal->limit / 2)
        return;
    uint32_t acked = first_unacknowledged(daemon), wanted = first_wanted_by_runs(daemon);
    uint32_t until = acked < wanted ? acked : wanted;
    uint32_t oldest = journal->segments[0].number;
    if (until <= oldest)
        return;
    if (!journal_can_forget(journal)) {
        if (journal_want_room(journal))
            loop_wake(&daemon->loop);
        return;
    }
    /* One segment a turn: the work stays bounded, and the next turn looks again. */
    struct ended_run *ended;
    while ((ended = oldest_ended(daemon)) != NULL && ended->created.segment <= oldest) {
        log_debug("journal", "run %s is retained no longer: the journal needs the space",
                  ended->id);
        ended->status = RUN_NONE;
        daemon->engine.remover_wanted = true;
    }
    if (journal_forget(journal, oldest + 1) != OK)
        log_warning("journal", "segment %u could not be removed", oldest);
    else if (journal_bytes(journal) > journal->limit / 16 * 15)
        loop_wake(&daemon->loop); /* runs are refused meanwhile: nothing else may wake us */
    engine_clean_up(&daemon->engine);
}

void daemon_on_segment(void *context)
{
    struct daemon *daemon = context;
    const struct command_table *commands = &daemon->engine.commands;
    struct json_writer *memo;

    /* That a daemon is running must not be forgotten with the segment that says that it started. */
    if (journal_begin_memo(&daemon->journal, &memo) != OK)
        return;
    json_put_text(memo, "running", CHARTER_VERSION);
    if (journal_end(&daemon->journal, true, NULL, NULL) != OK)
        return;
    for (size_t i = 0; i < LIMIT_COMMAND_KEYS; i++) {
        /* From the oldest on, so that replay fills the table in the same order. */
        const struct command_entry *entry =
            &commands->entries[(commands->next + i) % LIMIT_COMMAND_KEYS];
        if (entry->seq == 0)
            continue;
        if (journal_begin_memo(&daemon->journal, &memo) != OK)
            return;
        command_write_entry(memo, entry);
        if (journal_end(&daemon->journal, true, NULL, NULL) != OK)
            return;
    }
}
