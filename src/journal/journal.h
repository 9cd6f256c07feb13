/* The journal: one append-only stream of events for the whole daemon, and the only truth about its runs.
 *
 * Segments are text files in one directory, "0000000001.log" and so on.  A line is a record:
 *
 *     CRC32C {"batch":17,"synced":81920,"prev":"…","event":{"seq":1042,…,"data":{…}},"memo":{…}}\n
 *
 * CRC32C is eight hex digits over what follows the space, up to the line feed.  `batch` rises after each sync that has
 * returned, `synced` is how many bytes of this segment that sync had left on disk: a batch begins at the offset that its
 * records name.  `prev` is the SHA-256 of the record before (chain.h).  `event` is what peers see, byte for byte; `memo` is what the daemon must remember besides (absent where
 * there is nothing; a record may be a memo alone).  The first line of a segment has, instead of both,
 *
 *     "segment":{"format":1,"number":2,"daemon_id":"…","first_seq":1000,"previous_size":1048712,"head_sha256":"…"}
 *
 * where head_sha256 is the hash of the record of event first_seq - 1, so that this one can be checked when its segment has
 * gone; and keeps that place in every later format, so that an older daemon knows what it must not touch.
 *
 * Behind the head of every segment but the first stands a checkpoint: the memos that the journal's owner needs to know all that
 * came before, and then a mark, `"checkpoint":{"records":12}`, which says that they are all there.  Opening replays from the
 * newest checkpoint that is whole: the time that it takes does not grow with the history.
 *
 * Recovery.  A bad record (checksum, form, order, no line feed) at offset P is a torn tail when no valid record of a later
 * batch stands anywhere behind it: none in its segment that says synced > P, nothing but zeros in later segments, since a
 * segment is begun only when the one before it is wholly synced.  Then everything from P on goes, before the first append.
 * Anything else is damage, and nothing is touched.  Zeros behind the last line are unused space.
 *
 * Appends go into a buffer; journal_commit() writes and syncs it once per turn.  Readers see synced records only.
 * Nothing here allocates; nothing but journal_commit(), beginning a record and opening blocks. */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/err.h"
#include "base/limits.h"
#include "base/out.h"
#include "base/time.h"
#include "journal/chain.h"
#include "json/write.h"

/* More are never held; a segment is meant to have a 64th of the limit, at least a few records. */
#define JOURNAL_SEGMENTS 128

/* Where bytes stand in the journal: an event's JSON, or a value inside it. */
struct journal_place {
    uint32_t segment; /* number; 0: nowhere */
    uint32_t offset;  /* bytes from the segment's start */
    uint32_t length;
};

struct journal_segment {
    uint32_t number;
    uint64_t first_seq; /* of the first event that could stand in it */
    int64_t size;       /* bytes of synced records; what follows is not there for readers */
};

/* Bytes of one segment as they stand on disk, for readers. */
struct journal_window {
    char bytes[LIMIT_RECORD];
    uint32_t segment; /* number; 0: nothing is held */
    int64_t from;     /* offset of the first byte held */
    size_t n;
};

struct journal {
    /* The large ones first: what is always in use stands together, and next to what follows the journal. */
    char buffer[2 * LIMIT_RECORD];
    struct journal_window window;

    /* Called with the text of each event before its checksum: may change and shorten it in place (secrets), and says whether it did;
     * what remains must be JSON.  The owner sets it before or after journal_open(), which leaves it alone; may be NULL. */
    bool (*mask)(void *context, char *text, size_t *n);
    void *mask_context;
    /* Called by journal_commit() right after it has begun a segment: appends the checkpoint, memos that say all that a
     * later start must know of older segments.  They wait for the next sync, whatever its reason; until then
     * journal_forget() removes nothing.  Set like `mask`; may be NULL: then no checkpoint is written, and a start reads everything. */
    void (*on_segment)(void *context);
    void *on_segment_context;

    char directory[LIMIT_PATH];
    char daemon_id[LIMIT_DAEMON_ID + 1];
    int64_t limit, segment_limit;                      /* bytes */
    struct journal_segment segments[JOURNAL_SEGMENTS]; /* oldest first */
    size_t segment_count;
    int fd;            /* of the newest segment; -1: closed */
    int64_t written;   /* bytes in the newest segment's file, synced or not; the buffer follows */
    int64_t switch_at; /* written bytes at which the next segment is begun */
    int read_fd;       /* one cached older segment for readers, or -1 */
    uint32_t read_segment;
    struct chain chain;    /* where CHAIN_BUILT_IN */
    uint64_t batch;        /* of the records that wait for the next sync */
    uint64_t next_seq;     /* of the next event to be appended */
    uint64_t synced_seq;   /* highest on disk; 0: none */
    int64_t lazy_since_ms; /* monotonic time of the oldest lazy record not yet synced, or 0 */
    uint64_t records, syncs, bytes_written; /* since start, for status and the bench */
    bool urgent;                            /* something that waits for a sync may not be put off */
    bool lazy; /* something that waits for a sync may be put off for a second */
    bool
        cramped; /* the next segment could not be begun: what is reserved in this one is all there is */
    bool room_wanted;     /* journal_want_room() has begun a segment already */
    int64_t retry_ms;     /* monotonic; then another segment is tried again */
    bool failed;          /* sticky: what is on disk is unknown */
    bool in_on_segment;   /* appends are the callback's */
    bool has_checkpoint;  /* all of the callback's appends to the newest segment went through */
    bool directory_dirty; /* a removed segment's name may still come back */
    int64_t time_ms;      /* of the newest event; in words below: the same for all of a turn */
    char time[TIME_TEXT_LENGTH];
    /* the record being written */
    enum { JOURNAL_IDLE, JOURNAL_EVENT, JOURNAL_MEMO, JOURNAL_MARK } writing;
    bool has_event;
    bool was_masked; /* its text is no longer only what the writer has put there */
    struct out out;  /* on `buffer` */
    struct json_writer writer;
    size_t record_start, event_start, event_end;
};

/* --- opening and replay ---------------------------------------------------------------------------------------- */

struct journal_record {
    uint64_t seq;               /* of the event; 0: a memo alone */
    struct str event;           /* raw object, STR_NONE without */
    struct str memo;            /* raw object, STR_NONE without */
    struct journal_place place; /* of the event; of the memo where that is alone */
    bool salvaged;              /* by journal_salvage(): something before it may be missing */
    uint64_t lost; /* then: how many events are missing between the one before and this */
};

struct journal_report {
    char text[512];    /* in words, for the log and for exit 5: names segment and offset */
    int64_t cut_bytes; /* torn tail that was cut: 0 for none; `text` tells */
};

/* Opens (and makes) the directory, passes every record from the newest whole checkpoint on, in order, to `on_record` (borrowed
 * for the call, which must not touch the journal), cuts a torn tail and is ready to append.  Of older segments only the heads and the sizes
 * are looked at; what is bad in them shows when it is read.  ERR_DAMAGED: a bad record in the middle, a missing segment, a contradiction; ERR_UNSUPPORTED: a newer format; in both nothing was touched and `report` says where.  ERR_IO,
 * ERR_NO_SPACE, ERR_READ_ONLY: storage.  ERR_TOO_LARGE: a name that does not fit.  An error from on_record ends the replay and
 * comes out.  After any failure the journal is closed.  `daemon_id` goes into new segments' heads.
 *
 * What was found is synced again before this returns, as a killed daemon may have left it in the page cache only.  New
 * records have the batch behind the last one read, or, where something was cut, one more: no remains of what was cut
 * can then pass for a record of the same batch. */
enum err journal_open(struct journal *journal, const char *directory, const char *daemon_id,
                      int64_t limit,
                      enum err (*on_record)(void *context, const struct journal_record *record),
                      void *context, struct journal_report *report);
/* The same for a journal that may be damaged, as far as it can be read.  All segments are read first, the older ones too: where
 * nothing is damaged, this is journal_open(), and *damaged is 0.  Else the whole directory is copied to `copy`, *damaged is the number of
 * the newest damaged segment, `report` says where the first fault is, and what is good from the newest whole checkpoint on is passed to
 * on_record as salvaged.  The owner then carries what it needs out of the segments up to *damaged (journal_copy() checks what it
 * reads) into a new one, which journal_turn_over() begins, and forgets them: else the next start finds the same damage. */
enum err journal_salvage(struct journal *journal, const char *directory, const char *copy,
                         const char *daemon_id, int64_t limit,
                         enum err (*on_record)(void *context, const struct journal_record *record),
                         void *context, struct journal_report *report, uint32_t *damaged);
/* Begins a segment, with its checkpoint, and makes all of it durable. */
enum err journal_turn_over(struct journal *journal, int64_t now_ms);
void journal_close(struct journal *journal);

/* --- appending --------------------------------------------------------------------------------------------------- */

struct journal_event {
    const char *type;
    const char *run_id;  /* NULL: none (daemon events) */
    uint64_t n;          /* within the run */
    const char *step_id; /* NULL: none */
    unsigned attempt;    /* 0: none */
    int64_t time_ms;     /* wall clock */
};

/* Begins an event: the writer stands inside its "data" object.  Exactly one journal_end() or journal_drop() follows.
 * There is always room for LIMIT_RECORD bytes; what is longer makes the writer overflow.  Nothing was begun after an error:
 * ERR_NO_SPACE, ERR_READ_ONLY: the buffer had to be written out first and could not, or no more segments can be held;
 * what is buffered stays and a later try may succeed.  ERR_IO: the journal has failed. */
enum err journal_begin(struct journal *journal, const struct journal_event *event,
                       struct json_writer **data);
/* Ends `data`, and begins a memo: the writer stands inside its object. */
struct json_writer *journal_memo(struct journal *journal);
/* A record of a memo alone. */
enum err journal_begin_memo(struct journal *journal, struct json_writer **memo);
/* Ends the record.  A lazy one may wait up to a second for company (logs, progress).  *seq (may be NULL) is the event's, 0 for a
 * memo alone; *place (may be NULL) is the event's place, or that of a memo alone.  ERR_TOO_LARGE: the
 * event is over LIMIT_EVENT, the record over LIMIT_RECORD, nested deeper than 64 or, by a raw piece, no JSON: nothing was
 * appended, no seq was used.  Whatever this accepts, a later start can read. */
enum err journal_end(struct journal *journal, bool lazy, uint64_t *seq,
                     struct journal_place *place);
void journal_drop(struct journal *journal);
/* Bytes so far from where the place of the record being written will begin: for places inside a memo. */
size_t journal_length(const struct journal *journal);

/* Writes what is buffered and syncs, when something urgent waits or a lazy record is due at now_ms (monotonic); else does
 * nothing.  Begins a new segment when the newest is full, after the sync; where that fails for want of space, the newest goes on
 * growing.  ERR_IO is final and fatal for the daemon (exit 6): what was synced is unknown, and every later call answers
 * the same.  ERR_NO_SPACE, ERR_READ_ONLY: nothing is lost, what is buffered stays and a later try may succeed. */
enum err journal_commit(struct journal *journal, int64_t now_ms);
/* Lazy records are due at once: somebody waits for them. */
void journal_hurry(struct journal *journal);
/* Monotonic time at which a lazy record is due, or -1. */
int64_t journal_due_ms(const struct journal *journal);

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* A reader's place in the stream: cheap, any number of them; the journal does not know them. */
struct journal_cursor {
    uint64_t next_seq;
    uint32_t segment, offset; /* where to look first; 0: find it */
    struct journal_record_at {
        uint32_t segment, offset; /* of a line; segment 0: none */
    } last;                       /* the record whose event was read last */
};

struct journal_cursor journal_cursor_after(const struct journal *journal, uint64_t seq);
/* Copies the next event's JSON into `to`.  ERR_END: all that is synced was read; ERR_NOT_FOUND: that seq is held no longer (see
 * journal_first_seq); ERR_FULL: needs more room than `to` has (nothing was written, *need bytes); ERR_DAMAGED, ERR_IO.
 * seq and need may be NULL. */
enum err journal_next(struct journal *journal, struct journal_cursor *cursor, struct out *to,
                      uint64_t *seq, size_t *need);
/* The hash of the record whose event journal_next() gave last: what the chain says after it.  ERR_NOT_FOUND: nothing was read,
 * or it is held no longer; ERR_DAMAGED, ERR_IO. */
enum err journal_head(struct journal *journal, const struct journal_cursor *cursor,
                      struct chain_hash *hash);
/* Appends the bytes of a place to `to`, which may be on the journal's own writer.  Also of what was appended and not synced
 * yet: to decide with, never to be told before the next commit.  ERR_NOT_FOUND: held no longer; ERR_FULL: no room in `to`;
 * ERR_DAMAGED, ERR_IO. */
enum err journal_read(struct journal *journal, struct journal_place place, struct out *to);
/* The same, of what is in a whole record whose checksum has just held; ERR_DAMAGED where it does not. */
enum err journal_copy(struct journal *journal, struct journal_place place, struct out *to);
/* Reading records as a start does, memos and checkpoints included: from the segment that has event `seq`, or could have it, to the end of what
 * is synced (ERR_END).  The record's views are good until the journal is used again. */
struct journal_cursor journal_cursor_at(const struct journal *journal, uint64_t seq);
enum err journal_next_record(struct journal *journal, struct journal_cursor *cursor,
                             struct journal_record *record);
/* For the copy of a journal in a forked helper, whose descriptors are gone: what is synced can be read on, by the segments' names.
 * Nothing else may be done with it. */
void journal_detach(struct journal *journal);
uint64_t journal_first_seq(const struct journal *journal); /* oldest held; next_seq when empty */
uint64_t journal_last_seq(const struct journal *journal);  /* newest synced; 0: none */
/* Of all segments, what is buffered included. */
int64_t journal_bytes(const struct journal *journal);
/* Gives the memory of buffers that hold nothing back to the system: for when there is nothing to do. */
void journal_rest(struct journal *journal);
/* Nothing stands in its buffers: the window, which ends in front of `segment`, and all before it. */
bool journal_is_resting(const struct journal *journal);

/* --- retention ---------------------------------------------------------------------------------------------------- */

/* Removes all segments numbered below `segment`, but never the newest; what cannot go yet stays for a later call: nothing
 * goes as long as the newest has not got all that on_segment appends, on disk.  After a start that is so until the next
 * segment is begun, as the old daemon may have died in the middle of it.  That the names are gone is synced lazily. */
enum err journal_forget(struct journal *journal, uint32_t segment);
/* Whether journal_forget() would remove anything at all now: ask before giving up what only old segments hold. */
bool journal_can_forget(const struct journal *journal);
/* Does, with the next commits, what journal_forget() waits for, as nothing else may ever be appended where there is too little room: begins
 * a segment (once a start: the newest may not have what on_segment appends), and syncs what stands at its head.  True: there is
 * something to commit. */
bool journal_want_room(struct journal *journal);

#endif
