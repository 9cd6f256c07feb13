/* The journal: one append-only stream of events for the whole daemon, and the only truth about its runs.
 *
 * Segments are text files in one directory, "0000000001.log" and so on.  A line is a record:
 *
 *     CRC32C {"batch":17,"event":{"seq":1042,…,"data":{…}},"memo":{…}}\n
 *
 * CRC32C is eight hex digits over what follows the space, up to the line feed.  `batch` rises by one after each sync that has
 * returned: a bad record that no valid record of a later batch follows is a torn tail, any other is damage.  `event`
 * is what peers see, byte for byte; `memo` is what the daemon must remember besides (absent where there is nothing; a record may be
 * a memo alone).  The first line of a segment is {"batch":…,"segment":{"format":1,"number":…,"daemon_id":…,"first_seq":…}}.
 *
 * Appends go into a buffer; journal_commit() writes and syncs it once per turn.  Readers see synced records only.
 * Nothing here allocates; nothing but journal_commit() and opening blocks. */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/err.h"
#include "base/limits.h"
#include "base/out.h"
#include "json/write.h"

#define JOURNAL_SEGMENTS 128 /* more are never held; segment size is the limit / 64, at least a few records */

/* Where bytes stand in the journal: an event's JSON, or a value inside it. */
struct journal_place {
    uint32_t segment; /* number; 0: nowhere */
    uint32_t offset;  /* bytes from the segment's start */
    uint32_t length;
};

struct journal_segment {
    uint32_t number;
    uint64_t first_seq; /* of the first event that could stand in it */
    int64_t size;       /* bytes of whole records */
};

struct journal {
    char directory[LIMIT_PATH];
    char daemon_id[LIMIT_DAEMON_ID + 1];
    int64_t limit, segment_limit;         /* bytes */
    struct journal_segment segments[JOURNAL_SEGMENTS]; /* oldest first */
    size_t segment_count;
    int fd;                               /* of the newest segment */
    int read_fd;                          /* one cached older segment for readers */
    uint32_t read_segment;
    uint64_t batch;
    uint64_t next_seq;                    /* of the next event to be appended */
    uint64_t synced_seq;                  /* highest on disk; 0: none */
    bool urgent;                          /* something buffered waits for a commit that may not be put off */
    bool dirty;                           /* something was written or buffered since the last sync */
    int64_t lazy_since_ms;                /* monotonic time of the oldest lazy record not yet synced, or 0 */
    uint64_t records, syncs, bytes_written; /* since start, for status and the bench */
    /* Called with the text of each event before its checksum: may shorten it in place (secrets). May be NULL. */
    void (*mask)(void *context, char *text, size_t *n);
    void *mask_context;
    /* Called right after a new segment was begun: appends the memos that a later start needs when older segments have gone.
     * May be NULL. */
    void (*on_segment)(void *context);
    void *on_segment_context;
    /* the record being written */
    struct out out;
    struct json_writer writer;
    size_t record_start, event_start, event_end;
    char buffer[2 * LIMIT_RECORD];
};

/* --- opening and replay ---------------------------------------------------------------------------------------- */

struct journal_record {
    uint64_t seq;         /* of the event; 0: a memo alone */
    struct str event;     /* raw object, STR_NONE without */
    struct str memo;      /* raw object, STR_NONE without */
    struct journal_place place; /* of the event */
};

struct journal_report {
    char text[512];       /* in words, for the log and for exit 5: names segment and offset */
    int64_t cut_bytes;    /* torn tail that was cut */
};

/* Opens (and makes) the directory, reads every record in order through `on_record` (borrowed for the call), cuts a torn tail and is ready
 * to append.  ERR_DAMAGED: a bad record in the middle, a missing segment, or a newer format (nothing touched, `report` says
 * where); ERR_UNSUPPORTED: the newer format.  ERR_IO, ERR_NO_SPACE, ERR_READ_ONLY: storage.  An error from on_record ends the
 * replay and comes out.  `daemon_id` goes into new segments' heads. */
enum err journal_open(struct journal *journal, const char *directory, const char *daemon_id, int64_t limit,
                      enum err (*on_record)(void *context, const struct journal_record *record), void *context,
                      struct journal_report *report);
void journal_close(struct journal *journal);

/* --- appending --------------------------------------------------------------------------------------------------- */

struct journal_event {
    const char *type;
    const char *run_id;    /* NULL: none (daemon events) */
    uint64_t n;            /* within the run */
    const char *step_id;   /* NULL: none */
    unsigned attempt;      /* 0: none */
    int64_t time_ms;       /* wall clock */
};

/* Begins an event: the writer stands inside its "data" object. Exactly one journal_end() or journal_drop() follows.
 * There is always room for LIMIT_RECORD bytes; what is longer makes the writer overflow. ERR_IO, ERR_NO_SPACE, ERR_READ_ONLY:
 * the buffer had to be written out first and could not. */
enum err journal_begin(struct journal *journal, const struct journal_event *event, struct json_writer **data);
/* Ends `data`, and begins a memo: the writer stands inside its object. */
struct json_writer *journal_memo(struct journal *journal);
/* A record of a memo alone. */
enum err journal_begin_memo(struct journal *journal, struct json_writer **memo);
/* Ends the record.  A lazy one may wait up to a second for company (logs, progress).  *place (may be NULL) is the event's place;
 * its bytes can be read after the next commit.  ERR_TOO_LARGE: over LIMIT_EVENT, nothing was appended. */
enum err journal_end(struct journal *journal, bool lazy, uint64_t *seq, struct journal_place *place);
void journal_drop(struct journal *journal);

/* Writes what is buffered and syncs, when something urgent waits or a lazy record is due at now_ms; else does nothing.  Any failure is
 * fatal for the daemon (exit 6): what was synced is unknown.  Starts a new segment when the newest is full. */
enum err journal_commit(struct journal *journal, int64_t now_ms);
/* Monotonic time at which a lazy record is due, or -1. */
int64_t journal_due_ms(const struct journal *journal);

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* A reader's place in the stream: cheap, any number of them; the journal does not know them. */
struct journal_cursor {
    uint64_t next_seq;
    uint32_t segment, offset; /* where to look first; 0: find it */
};

struct journal_cursor journal_cursor_after(const struct journal *journal, uint64_t seq);
/* Copies the next event's JSON into `to`.  ERR_END: all that is synced was read; ERR_NOT_FOUND: that seq is held no longer (see
 * journal_first_seq); ERR_FULL: needs more room than `to` has (nothing moved, *need bytes); ERR_DAMAGED, ERR_IO. */
enum err journal_next(struct journal *journal, struct journal_cursor *cursor, struct out *to, uint64_t *seq, size_t *need);
/* Reads the bytes of a place. */
enum err journal_read(struct journal *journal, struct journal_place place, struct out *to);
uint64_t journal_first_seq(const struct journal *journal); /* oldest held; next_seq when empty */
uint64_t journal_last_seq(const struct journal *journal);  /* newest synced */
int64_t journal_bytes(const struct journal *journal);

/* --- retention ---------------------------------------------------------------------------------------------------- */

/* Removes all segments numbered below `segment`, but never the newest. */
enum err journal_forget(struct journal *journal, uint32_t segment);

#endif
