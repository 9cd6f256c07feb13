/* The form of one line of the journal, for those who write lines and for those who read them; journal.h shows it.
 * Owns the checksum column and the members around event and memo, never a file.  Invariant: what record_read() lets
 * through is JSON with exactly the members that record_begin() and its caller write, in that order. */
#ifndef JOURNAL_RECORD_H
#define JOURNAL_RECORD_H

#include "base/err.h"
#include "base/out.h"
#include "journal/chain.h"
#include "json/write.h"

#define RECORD_FORMAT 1 /* of segments; there was none before */
#define RECORD_COLUMN 9 /* the checksum and its space */
#define RECORD_DEPTH                                                                               \
    64 /* of JSON in a line: what the check can do; messages are nested less deeply */

/* Views of the line that was read. */
struct record {
    uint64_t batch;
    int64_t synced;   /* bytes of the segment that were on disk when the record's batch began */
    struct str prev;  /* CHAIN_HEX digits, of the record before; STR_NONE where it had no chain */
    uint64_t seq;     /* of the event; 0 without */
    struct str event; /* raw objects, STR_NONE where absent */
    struct str memo;
    struct str head; /* the value of "segment", which stands in first lines alone */
    bool is_mark;    /* the last line of a checkpoint, which has `marked` records before it */
    int64_t marked;
};

struct record_head {
    int64_t format, number;
    int64_t first_seq;
    int64_t previous_size; /* bytes of records in the segment before; 0: there was none */
    /* of the record that holds event first_seq - 1; "" where that is not known */
    char head_sha256[CHAIN_HEX + 1];
};

/* A line without its line feed.  ERR_DAMAGED: the checksum does not hold; ERR_SYNTAX: the form does not. */
enum err record_read(struct str line, struct record *record);
/* The same for a line of a journal that was opened: what this journal's writer wrote is JSON, and the checksum says that it is still that.
 * ERR_DAMAGED. */
enum err record_read_own(struct str line, struct record *record);
/* The first line of a segment, checksum included.  ERR_UNSUPPORTED: of a newer format, head->format says which. */
enum err record_read_head(struct str line, struct record *record, struct record_head *head);
/* Whether a record could begin at the head of these bytes: cheap, for searching. */
bool record_may_start(struct str bytes);
#define RECORD_START_LENGTH (RECORD_COLUMN + sizeof("{\"batch\":") - 1)

/* Writes the empty column and the members up to "synced", and "prev" where that is not NULL; the writer stands inside the
 * record's object. */
void record_begin(struct out *out, struct json_writer *w, uint64_t batch, int64_t synced,
                  const struct chain_hash *prev);
/* Fills the column of a line that is written up to its line feed, which is counted in n. */
void record_seal(char *line, size_t n);
/* The line that says that a checkpoint is whole: all `records` records between the segment's head and this one. */
void record_write_mark(struct json_writer *w, uint64_t records);
void record_write_head(struct json_writer *w, const struct record_head *head,
                       const char *daemon_id);

#endif
