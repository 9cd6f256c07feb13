/* Reading: synced events one after the other, and bytes by their place.  Owns nothing but the journal's window and its one
 * cached descriptor.  Invariant: an event is handed out only when it is synced and the checksum of its record has just
 * held. */
#include "base/assert.h"
#include "journal/journal.h"
#include "journal/record.h"
#include "journal/segment.h"
#include "journal/window.h"

/* More never stands between the beginning of a line and that of an event in it, a carried one in a memo included. */
#define LEAD_MAX ((size_t)1024)

struct journal_cursor journal_cursor_after(const struct journal *journal, uint64_t seq)
{
    (void)journal;
    return (struct journal_cursor){.next_seq = seq + 1};
}

/* The segment that holds the event: the last one that could, since those of the same first_seq before it have none. */
static const struct journal_segment *segment_of(const struct journal *journal, uint64_t seq)
{
    size_t index = journal->segment_count - 1;
    while (index > 0 && journal->segments[index].first_seq > seq)
        index--;
    return &journal->segments[index];
}

/* Where the cursor goes on, found anew when it has no place or the place is gone. */
static const struct journal_segment *place_cursor(const struct journal *journal,
                                                  struct journal_cursor *cursor)
{
    const struct journal_segment *segment = segment_find(journal, cursor->segment);
    if (segment == NULL || cursor->offset > segment->size) {
        segment = segment_of(journal, cursor->next_seq);
        cursor->segment = segment->number;
        cursor->offset = 0;
    }
    return segment;
}

/* The next record behind the cursor, across segments, and its line, behind which the cursor is moved by its caller.  ERR_END
 * behind the last one. */
static enum err next_record(struct journal *journal, struct journal_cursor *cursor,
                            struct record *record, struct str *line)
{
    const struct journal_segment *segment = place_cursor(journal, cursor);
    int fd;
    while (cursor->offset == segment->size) {
        segment = segment_find(journal, segment->number + 1);
        if (segment == NULL)
            return ERR_END;
        cursor->segment = segment->number;
        cursor->offset = 0;
    }
    enum err err = segment_fd(journal, segment->number, &fd);
    if (err == OK)
        err =
            window_line(&journal->window, fd, segment->number, cursor->offset, segment->size, line);
    if (err != OK)
        return err;
    return record_read_own(*line, record);
}

static void pass(struct journal_cursor *cursor, struct str line)
{
    cursor->offset += (uint32_t)line.n + 1;
}

enum err journal_next(struct journal *journal, struct journal_cursor *cursor, struct out *to,
                      uint64_t *seq, size_t *need)
{
    struct record record;
    struct str line;
    if (need != NULL)
        *need = 0;
    if (cursor->next_seq > journal->synced_seq)
        return ERR_END;
    if (cursor->next_seq < journal_first_seq(journal))
        return ERR_NOT_FOUND;
    for (;;) {
        enum err err = next_record(journal, cursor, &record, &line);
        if (err != OK)
            return err == ERR_END ? ERR_DAMAGED : err; /* more was synced than is there */
        if (record.seq > cursor->next_seq)
            return ERR_DAMAGED;
        if (record.seq == cursor->next_seq)
            break;
        pass(cursor, line);
    }
    if (out_room(to) < record.event.n) {
        if (need != NULL)
            *need = record.event.n;
        return ERR_FULL;
    }
    out_str(to, record.event);
    if (seq != NULL)
        *seq = record.seq;
    cursor->last = (struct journal_record_at){cursor->segment, cursor->offset};
    pass(cursor, line);
    cursor->next_seq++;
    return OK;
}

enum err journal_head(struct journal *journal, const struct journal_cursor *cursor,
                      struct chain_hash *hash)
{
    const struct journal_segment *segment = segment_find(journal, cursor->last.segment);
    struct str line;
    int fd;
    if (segment == NULL)
        return ERR_NOT_FOUND;
    enum err err = segment_fd(journal, segment->number, &fd);
    if (err == OK)
        err = window_line(&journal->window, fd, segment->number, cursor->last.offset, segment->size,
                          &line);
    if (err == OK)
        *hash = chain_hash(line);
    return err == ERR_END ? ERR_DAMAGED : err;
}

struct journal_cursor journal_cursor_at(const struct journal *journal, uint64_t seq)
{
    return (struct journal_cursor){.next_seq = seq, .segment = segment_of(journal, seq)->number};
}

enum err journal_next_record(struct journal *journal, struct journal_cursor *cursor,
                             struct journal_record *record)
{
    struct record read;
    struct str line;
    enum err err = next_record(journal, cursor, &read, &line);
    if (err != OK)
        return err;
    struct str placed = read.seq != 0 ? read.event : read.memo;
    *record = (struct journal_record){.seq = read.seq, .event = read.event, .memo = read.memo};
    if (placed.n > 0)
        record->place =
            (struct journal_place){.segment = cursor->segment,
                                   .offset = cursor->offset + (uint32_t)(placed.p - line.p),
                                   .length = (uint32_t)placed.n};
    pass(cursor, line);
    return OK;
}

/* Whole records that still wait in the buffer. */
static enum err read_buffered(const struct journal *journal, struct journal_place place,
                              struct out *to)
{
    size_t end = journal->writing == JOURNAL_IDLE ? journal->out.n : journal->record_start;
    int64_t at = (int64_t)place.offset - journal->written;
    if (at + place.length > (int64_t)end)
        return ERR_NOT_FOUND;
    out_str(to, str_range(journal->buffer + at, place.length));
    return OK;
}

enum err journal_read(struct journal *journal, struct journal_place place, struct out *to)
{
    const struct journal_segment *segment = segment_find(journal, place.segment);
    struct str bytes;
    int fd;
    if (segment == NULL || place.length > LIMIT_RECORD)
        return ERR_NOT_FOUND;
    if (out_room(to) < place.length)
        return ERR_FULL;
    int64_t end = segment->size;
    if (segment == segment_newest(journal)) {
        if (place.offset >= journal->written)
            return read_buffered(journal, place, to);
        end = journal->written; /* what is written stays as it is, synced or not */
    }
    if ((int64_t)place.offset + place.length > end)
        return ERR_NOT_FOUND;
    enum err err = segment_fd(journal, place.segment, &fd);
    if (err == OK)
        err = window_bytes(&journal->window, fd, place.segment, place.offset, place.length, &bytes);
    if (err != OK)
        return err;
    if (bytes.n < place.length)
        return ERR_DAMAGED;
    out_str(to, bytes);
    return OK;
}

/* Where the line begins that has these bytes.  ERR_DAMAGED: no line feed is near enough before them. */
static enum err find_line(struct journal *journal, int fd, struct journal_place place,
                          int64_t *start)
{
    size_t back = place.offset < LEAD_MAX ? place.offset : LEAD_MAX;
    struct str bytes;
    enum err err = window_bytes(&journal->window, fd, place.segment, (int64_t)(place.offset - back),
                                back, &bytes);
    if (err != OK || bytes.n < back)
        return ERR_IO;
    while (back > 0 && bytes.p[back - 1] != '\n')
        back--;
    *start = (int64_t)place.offset - (int64_t)(bytes.n - back);
    return back > 0 || bytes.n == place.offset ? OK : ERR_DAMAGED;
}

enum err journal_copy(struct journal *journal, struct journal_place place, struct out *to)
{
    const struct journal_segment *segment = segment_find(journal, place.segment);
    struct record record;
    struct str line;
    int64_t start;
    int fd;
    if (segment == NULL || (int64_t)place.offset + place.length > segment->size)
        return ERR_NOT_FOUND;
    enum err err = segment_fd(journal, place.segment, &fd);
    if (err == OK)
        err = find_line(journal, fd, place, &start);
    if (err == OK)
        err = window_line(&journal->window, fd, place.segment, start, segment->size, &line);
    if (err != OK)
        return err;
    size_t at = (size_t)(place.offset - start);
    if (at + place.length > line.n || record_read(line, &record) != OK)
        return ERR_DAMAGED;
    if (out_room(to) < place.length)
        return ERR_FULL;
    out_str(to, str_head(str_from(line, at), place.length));
    return OK;
}

void journal_detach(struct journal *journal)
{
    journal->fd = -1;
    journal->read_fd = -1;
    journal->read_segment = 0;
}
