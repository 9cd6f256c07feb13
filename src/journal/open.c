/* Opening the journal: reads all that is there, cuts a torn tail, makes the newest segment ready for appends.  Owns every
 * change that recovery makes on disk, and their order; what is bad and why is replay.c's and verdict.c's.  Invariant: not a
 * byte has changed when anything but OK or a failure of storage comes out. */
#include "journal/replay.h"

#include "base/assert.h"
#include "journal/segment.h"
#include "journal/window.h"
#include "port.h"

#include <inttypes.h>

static enum err too_new(const struct replay *replay, size_t index, const struct record_head *head)
{
    char fact[96];
    struct out text = OUT_ON(fact);
    out_format(&text, "format %" PRId64 " is newer than this daemon, which reads %d", head->format,
               RECORD_FORMAT);
    replay_describe(replay, index, 0, out_cstr(&text));
    return ERR_UNSUPPORTED;
}

/* Before anything else is believed: no segment is of a newer format, and none is missing.  *linked counts the segments, from the
 * oldest on, whose heads go on where the one before ends: of these, what the heads say is noted. */
static enum err survey(struct replay *replay, size_t *linked)
{
    struct journal *journal = replay->journal;
    struct record record;
    struct record_head head;
    struct str line;
    int64_t size_before = 0;
    *linked = 0;
    for (size_t i = 0; i < journal->segment_count; i++) {
        struct journal_segment *segment = &journal->segments[i];
        enum err err = replay_open_segment(replay, i);
        if (err != OK)
            return err;
        err = replay_line_at(replay, 0, &line);
        if (err == OK)
            err = record_read_head(line, &record, &head);
        if (err == ERR_UNSUPPORTED)
            return too_new(replay, i, &head);
        if (err == OK && *linked == i && head.number == segment->number &&
            head.previous_size <= size_before &&
            (i == 0 || (uint64_t)head.first_seq >= segment[-1].first_seq)) {
            segment->first_seq = (uint64_t)head.first_seq;
            if (i > 0)
                segment[-1].size = head.previous_size;
            *linked = i + 1;
        }
        size_before = replay->size;
        replay_close_segment(replay);
    }
    for (size_t i = 1; i < journal->segment_count; i++) {
        if (journal->segments[i].number != journal->segments[i - 1].number + 1)
            return replay_damaged(replay, i - 1, 0, "the segment that follows this one is missing");
    }
    return OK;
}

enum err open_has_checkpoint(struct replay *replay, size_t index, bool *whole)
{
    struct record record = {0};
    struct str line;
    int64_t records = 0;
    *whole = false;
    enum err err = replay_open_segment(replay, index);
    if (err != OK)
        return err;
    int64_t at = 0;
    while (replay_line_at(replay, at, &line) == OK && record_read(line, &record) == OK &&
           record.seq == 0 && !record.is_mark) {
        records += at > 0; /* the head is not counted */
        at += (int64_t)line.n + 1;
    }
    *whole = record.is_mark && record.marked == records;
    replay_close_segment(replay);
    return OK;
}

/* The newest segment that a start can read from, without what is older. */
static enum err choose_first(struct replay *replay, size_t linked)
{
    bool whole = false;
    for (size_t i = linked; i-- > 1 && !whole;) {
        enum err err = open_has_checkpoint(replay, i, &whole);
        if (err != OK)
            return err;
        if (whole)
            replay->first = i;
    }
    return OK;
}

/* Reads everything from the first segment on, up to where it ends or is torn. */
static enum err read_all(struct replay *replay)
{
    struct journal *journal = replay->journal;
    if (replay->first > 0)
        replay->end = journal->segments[replay->first - 1].size;
    for (size_t i = replay->first; i < journal->segment_count; i++) {
        bool zeros;
        enum err err = replay_open_segment(replay, i);
        if (err == OK)
            err = replay_read_segment(replay, replay->end);
        if (err == OK)
            err = verdict_only_zeros(replay, &zeros);
        if (err != OK)
            return err;
        replay->last = i;
        replay->end = replay->offset;
        if (replay->offset == 0 || !zeros) {
            replay->torn = true;
            replay->cut_bytes = zeros ? 0 : replay->size - replay->offset;
            return verdict_on_rest(replay);
        }
        replay_close_segment(replay);
        journal->segments[i].size = replay->offset;
    }
    return OK;
}

/* Removes what is torn: first whole segments, newest first, so that no gap can be left; then the tail. */
static enum err cut(struct replay *replay)
{
    struct journal *journal = replay->journal;
    size_t keep = replay->end > 0 ? replay->last + 1 : replay->last;
    char fact[96];
    struct out text = OUT_ON(fact);
    out_format(&text, "torn tail of %" PRId64 " bytes cut", replay->cut_bytes);
    if (replay->cut_bytes > 0)
        replay_describe(replay, replay->last, replay->end, out_cstr(&text));
    replay->report->cut_bytes = replay->cut_bytes;
    while (journal->segment_count > keep) {
        enum err err = segment_remove(journal, segment_newest(journal)->number);
        if (err == OK)
            err = segment_sync_directory(journal);
        if (err != OK)
            return replay_storage(replay, "a torn segment cannot be removed", err);
        journal->segment_count--;
    }
    return OK;
}

static enum err hash_at(struct journal *journal, struct journal_record_at at,
                        struct chain_hash *hash)
{
    struct journal_cursor cursor = {.last = at};
    return journal_head(journal, &cursor, hash);
}

/* The chain goes on from the last line, whoever wrote it. */
static enum err resume_chain(struct replay *replay)
{
    struct chain *chain = &replay->journal->chain;
    *chain = (struct chain){.has_head = replay->has_head, .head = replay->head};
    if (!CHAIN_BUILT_IN || replay->record.segment == 0)
        return OK; /* nothing was readable: the chain begins anew */
    enum err err = hash_at(replay->journal, replay->record, &chain->last);
    if (err == OK && replay->event_record.segment != 0) {
        chain->has_head = true;
        err = hash_at(replay->journal, replay->event_record, &chain->head);
    }
    return err;
}

enum err open_settle(struct replay *replay)
{
    struct journal *journal = replay->journal;
    struct journal_segment *newest = segment_newest(journal);
    char path[LIMIT_PATH];
    segment_path(journal, newest->number, path);
    enum err err = port_open(path, PORT_READ_WRITE, &journal->fd);
    if (err != OK) {
        journal->fd = -1;
        return replay_storage(replay, "the newest segment cannot be opened for writing", err);
    }
    if (replay->torn && replay->end > 0) {
        newest->size = replay->end;
        err = port_truncate(journal->fd, newest->size);
        if (err != OK)
            return replay_storage(replay, "the torn tail cannot be cut", err);
    }
    /* Without a reserve appends still work as long as there is space. */
    if (newest->size < journal->segment_limit)
        (void)segment_reserve(journal->fd, journal->segment_limit);
    err = port_sync(journal->fd);
    if (err == OK)
        err = segment_sync_directory(journal);
    if (err != OK)
        return replay_storage(replay, "the journal cannot be synced", ERR_IO);
    window_forget(&journal->window);
    journal->written = newest->size;
    err = resume_chain(replay);
    if (err != OK)
        return replay_storage(replay, "the end of the journal cannot be read", err);
    return OK;
}

static enum err make_directory(struct replay *replay)
{
    struct journal *journal = replay->journal;
    char parent[LIMIT_PATH];
    enum err err = port_make_directory(journal->directory, 0700);
    if (err != OK && err != ERR_EXISTS)
        return replay_storage(replay, "the directory cannot be made", err);
    struct str path = str_of(journal->directory);
    size_t slash = path.n;
    while (slash > 0 && path.p[slash - 1] != '/')
        slash--;
    if (!str_copy(slash == 0 ? STR(".") : str_head(path, slash), parent, sizeof parent))
        return ERR_TOO_LARGE;
    /* Also when it was there: whoever made it may have died before this. */
    if (port_sync_directory(parent) != OK)
        return replay_storage(replay, "the directory's name cannot be synced", ERR_IO);
    return OK;
}

static enum err begin_first(struct replay *replay)
{
    struct journal *journal = replay->journal;
    enum err err = segment_begin(journal);
    if (err != OK)
        return replay_storage(replay, "the first segment cannot be made", err);
    journal->urgent = true;
    err = journal_commit(journal, 0);
    return err == OK ? OK : replay_storage(replay, "the first segment cannot be written", err);
}

enum err open_list(struct replay *replay)
{
    struct journal *journal = replay->journal;
    enum err err = make_directory(replay);
    if (err != OK)
        return err;
    journal->segment_count = 0;
    err = segment_list(journal);
    if (err == ERR_FULL) {
        struct out text = OUT_ON(replay->report->text);
        out_format(&text, "more than %d segments in %s", JOURNAL_SEGMENTS, journal->directory);
        out_cstr(&text);
        return ERR_DAMAGED;
    }
    return err == OK ? OK : replay_storage(replay, "the directory cannot be read", err);
}

static enum err open_all(struct replay *replay)
{
    struct journal *journal = replay->journal;
    size_t linked;
    enum err err = open_list(replay);
    if (err == OK)
        err = survey(replay, &linked);
    if (err == OK)
        err = choose_first(replay, linked);
    if (err == OK)
        err = read_all(replay);
    if (err == OK && replay->torn)
        err = cut(replay);
    replay_close_segment(replay);
    if (err != OK)
        return err;
    journal->batch = replay->batch + (replay->torn ? 2 : 1);
    journal->synced_seq = journal->next_seq - 1;
    journal->has_checkpoint =
        journal->segment_count > 0 && replay->marked == journal->segment_count;
    return journal->segment_count == 0 ? begin_first(replay) : open_settle(replay);
}

/* Everything but the hooks, and but the buffers, whose pages stay untouched. */
static void reset(struct journal *journal)
{
    journal->segment_count = 0;
    journal->fd = journal->read_fd = -1;
    journal->written = 0;
    journal->read_segment = 0;
    journal->batch = 1;
    journal->chain = (struct chain){.has_head = false};
    journal->next_seq = 1;
    journal->synced_seq = 0;
    journal->lazy_since_ms = journal->retry_ms = 0;
    journal->records = journal->syncs = journal->bytes_written = 0;
    journal->urgent = journal->lazy = journal->failed = false;
    journal->cramped = journal->room_wanted = false;
    journal->in_on_segment = journal->has_checkpoint = journal->directory_dirty = false;
    journal->writing = JOURNAL_IDLE;
    journal->out = OUT_ON(journal->buffer);
    window_forget(&journal->window);
}

enum err open_begin(struct replay *replay, const char *directory, const char *daemon_id,
                    int64_t limit)
{
    struct journal *journal = replay->journal;
    *replay->report = (struct journal_report){0};
    reset(journal);
    journal->limit = limit;
    journal->segment_limit = limit / 64 > 4 * LIMIT_RECORD ? limit / 64 : 4 * LIMIT_RECORD;
    journal->switch_at = journal->segment_limit;
    if (str_copy(str_of(directory), journal->directory, LIMIT_PATH - SEGMENT_NAME_SIZE) &&
        str_copy(str_of(daemon_id), journal->daemon_id, sizeof journal->daemon_id))
        return OK;
    struct out text = OUT_ON(replay->report->text);
    out_format(&text, "the path or the daemon's id is too long");
    out_cstr(&text);
    return ERR_TOO_LARGE;
}

enum err journal_open(struct journal *journal, const char *directory, const char *daemon_id,
                      int64_t limit,
                      enum err (*on_record)(void *context, const struct journal_record *record),
                      void *context, struct journal_report *report)
{
    struct replay replay = {
        .journal = journal, .report = report, .on_record = on_record, .context = context, .fd = -1};
    enum err err = open_begin(&replay, directory, daemon_id, limit);
    if (err == OK)
        err = open_all(&replay);
    replay_close_segment(&replay);
    if (err != OK)
        journal_close(journal);
    return err;
}

void journal_close(struct journal *journal)
{
    if (journal->fd >= 0)
        port_close(journal->fd);
    if (journal->read_fd >= 0)
        port_close(journal->read_fd);
    journal->fd = journal->read_fd = -1;
    window_forget(&journal->window);
}
