/* Reading a journal from its beginning, record by record, until it ends or something is bad.  Owns how far one has come
 * and what was said of a failure; never changes anything on disk.  Invariant: all that was passed on is in order, in
 * whole records whose checksums hold. */
#ifndef JOURNAL_REPLAY_H
#define JOURNAL_REPLAY_H

#include "journal/journal.h"
#include "journal/record.h"

struct replay {
    struct journal *journal;
    struct journal_report *report;
    enum err (*on_record)(void *context, const struct journal_record *record);
    void *context;
    uint64_t batch; /* of the last good record */
    int64_t synced; /* the same */
    size_t
        first; /* index of the segment that reading begins with: 0, or one with a whole checkpoint */
    size_t index; /* of the segment being read */
    int fd;
    int64_t offset; /* in it, behind the last good record */
    int64_t size;   /* of its file */
    /* the last record, and the last with an event: the chain goes on from them */
    struct journal_record_at record, event_record;
    struct chain_hash head; /* of the event before a segment, where its head says so */
    bool has_head;
    const char *fault; /* why reading stopped at `offset`; NULL: it did not */
    /* the outcome: good records end at `end` of segment `last`, and `torn` says that there is more to go */
    size_t last;
    int64_t end;
    bool torn;
    int64_t cut_bytes;
    size_t
        marked; /* the last segment whose checkpoint is whole, counted from 1; 0: none was seen */
};

/* Opens a segment by its index; the one before must be closed.  ERR_DAMAGED: no such thing as a segment; others of storage. */
enum err replay_open_segment(struct replay *replay, size_t index);
void replay_close_segment(struct replay *replay);
/* The line at an offset of the open segment, as window_line(). */
enum err replay_line_at(struct replay *replay, int64_t offset, struct str *line);
/* Passes on the open segment's records up to its end or the first bad one, which replay->fault then names.  previous_size is
 * where the segment before ended.  ERR_DAMAGED: what is valid contradicts; others of storage and of on_record. */
enum err replay_read_segment(struct replay *replay, int64_t previous_size);

/* Whether a good line at replay->offset is also in order behind the last one: a batch begins where its records say that it does,
 * and nowhere else.  NULL: it is. */
const char *replay_batch_fault(const struct replay *replay, const struct record *record);

/* Says in the report where something is. */
void replay_describe(const struct replay *replay, size_t index, int64_t offset, const char *fact);
/* The same, and answers ERR_DAMAGED. */
enum err replay_damaged(const struct replay *replay, size_t index, int64_t offset,
                        const char *fact);
/* Says what the system said, and answers what of it the journal's callers know. */
enum err replay_storage(const struct replay *replay, const char *what, enum err err);

/* --- verdict.c ------------------------------------------------------------------------------------------------------ */

/* Moves *at, in the open segment, to the next place where a record could begin; to the file's size when there is none. */
enum err verdict_find_start(struct replay *replay, int64_t *at);
/* Whether everything from replay->offset on is zeros: unused space. */
enum err verdict_only_zeros(struct replay *replay, bool *zeros);
/* OK when what follows replay->fault, in the open segment and in all later ones, may be cut; ERR_DAMAGED.  Another
 * segment may be open afterwards. */
enum err verdict_on_rest(struct replay *replay);

/* --- open.c, for salvage.c as well ------------------------------------------------------------------------------------- */

/* An empty journal of that name; ERR_TOO_LARGE. */
enum err open_begin(struct replay *replay, const char *directory, const char *daemon_id,
                    int64_t limit);
/* Makes the directory where it is not there, and lists the segments. */
enum err open_list(struct replay *replay);
/* Whether a segment begins with a checkpoint and all of it is there. */
enum err open_has_checkpoint(struct replay *replay, size_t index, bool *whole);
/* Makes what was read durable, and the newest segment ready for appends. */
enum err open_settle(struct replay *replay);

#endif
