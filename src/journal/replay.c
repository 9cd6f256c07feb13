#include "journal/replay.h"

#include "journal/segment.h"
#include "journal/window.h"
#include "port.h"

#include <inttypes.h>

/* --- what is said of a failure -------------------------------------------------------------------------------------- */

void replay_describe(const struct replay *replay, size_t index, int64_t offset, const char *fact)
{
    struct out text = OUT_ON(replay->report->text);
    char name[SEGMENT_NAME_SIZE];
    segment_name(replay->journal->segments[index].number, name);
    out_format(&text, "segment %s, offset %" PRId64 ": %s", name, offset, fact);
    out_cstr(&text);
}

enum err replay_damaged(const struct replay *replay, size_t index, int64_t offset, const char *fact)
{
    replay_describe(replay, index, offset, fact);
    return ERR_DAMAGED;
}

enum err replay_storage(const struct replay *replay, const char *what, enum err err)
{
    struct out text = OUT_ON(replay->report->text);
    out_format(&text, "%s: %s (%s)", what, port_last_error(), replay->journal->directory);
    out_cstr(&text);
    return err == ERR_NO_SPACE || err == ERR_READ_ONLY || err == ERR_TOO_LARGE ? err : ERR_IO;
}

/* --- one segment --------------------------------------------------------------------------------------------------- */

enum err replay_open_segment(struct replay *replay, size_t index)
{
    char path[LIMIT_PATH];
    struct port_stat stat;
    segment_path(replay->journal, replay->journal->segments[index].number, path);
    enum err err = port_open(path, PORT_READ, &replay->fd);
    if (err != OK) {
        replay->fd = -1;
        return replay_storage(replay, "a segment cannot be opened", err);
    }
    err = port_stat_fd(replay->fd, &stat);
    if (err != OK)
        return replay_storage(replay, "a segment cannot be examined", err);
    replay->index = index;
    replay->size = stat.size;
    if (stat.kind != PORT_FILE || stat.size > UINT32_MAX)
        return replay_damaged(replay, index, 0, "no regular file of a segment's size");
    return OK;
}

void replay_close_segment(struct replay *replay)
{
    if (replay->fd >= 0)
        port_close(replay->fd);
    replay->fd = -1;
}

enum err replay_line_at(struct replay *replay, int64_t offset, struct str *line)
{
    struct journal *journal = replay->journal;
    return window_line(&journal->window, replay->fd, journal->segments[replay->index].number,
                       offset, replay->size, line);
}

const char *replay_batch_fault(const struct replay *replay, const struct record *record)
{
    if (record->batch < replay->batch)
        return "the batch number falls";
    if (record->batch == replay->batch && record->synced != replay->synced)
        return "the batch begins at two places";
    if (record->batch > replay->batch && record->synced != replay->offset)
        return "the batch does not begin here";
    return NULL;
}

static const char *order_fault(const struct replay *replay, const struct record *record)
{
    const char *fault = replay_batch_fault(replay, record);
    if (fault != NULL)
        return fault;
    if (record->seq != 0 && record->seq != replay->journal->next_seq)
        return "the sequence number is out of order";
    return NULL;
}

static const char *line_fault(enum err err)
{
    return err == ERR_DAMAGED ? "the checksum does not hold" : "no record of this format";
}

static enum err pass_on(const struct replay *replay, const struct record *record, struct str line)
{
    struct journal_record passed = {
        .seq = record->seq, .event = record->event, .memo = record->memo};
    struct str placed = record->seq != 0 ? record->event : record->memo;
    passed.place.segment = replay->journal->segments[replay->index].number;
    passed.place.offset = (uint32_t)(replay->offset + (placed.p - line.p));
    passed.place.length = (uint32_t)placed.n;
    enum err err = replay->on_record(replay->context, &passed);
    if (err != OK)
        replay_describe(replay, replay->index, replay->offset,
                        "the record contradicts what came before");
    return err;
}

/* Reads the head, which links the segment to the one before it.  A head that holds but contradicts is damage at once: the
 * segment before was wholly synced when it was written. */
static enum err read_head(struct replay *replay, int64_t previous_size)
{
    struct journal *journal = replay->journal;
    struct journal_segment *segment = &journal->segments[replay->index];
    struct record record;
    struct record_head head;
    struct str line;
    enum err err = replay_line_at(replay, 0, &line);
    if (err == ERR_IO)
        return replay_storage(replay, "a segment cannot be read", err);
    if (err == OK)
        err = record_read_head(line, &record, &head);
    if (err != OK) {
        replay->fault = line_fault(err);
        return OK;
    }
    if (head.number != segment->number)
        return replay_damaged(replay, replay->index, 0,
                              "the head names another number than the file");
    if (replay->index == replay->first) {
        journal->next_seq = (uint64_t)head.first_seq;
    } else {
        if (head.previous_size != previous_size)
            return replay_damaged(
                replay, replay->index - 1, previous_size,
                "records are missing: the next segment says that this one was longer");
        if ((uint64_t)head.first_seq != journal->next_seq || record.batch <= replay->batch)
            return replay_damaged(replay, replay->index, 0,
                                  "the head does not go on where the segment before it ends");
    }
    segment->first_seq = (uint64_t)head.first_seq;
    if (chain_hash_read(str_of(head.head_sha256), &replay->head))
        replay->has_head = true;
    replay->record = (struct journal_record_at){segment->number, 0};
    replay->batch = record.batch;
    replay->synced = 0;
    replay->offset = (int64_t)line.n + 1;
    return OK;
}

/* Reads records up to the end or the first bad one. */
enum err replay_read_segment(struct replay *replay, int64_t previous_size)
{
    struct record record;
    struct str line;
    replay->offset = 0;
    replay->fault = NULL;
    enum err err = read_head(replay, previous_size);
    while (err == OK && replay->fault == NULL) {
        err = replay_line_at(replay, replay->offset, &line);
        if (err == ERR_END)
            return OK;
        if (err == ERR_IO)
            return replay_storage(replay, "a segment cannot be read", err);
        if (err == ERR_DAMAGED) {
            replay->fault = "a line without end";
            return OK;
        }
        err = record_read(line, &record);
        replay->fault = err != OK            ? line_fault(err)
                        : record.head.n != 0 ? "a second head"
                                             : order_fault(replay, &record);
        if (replay->fault != NULL)
            return OK;
        if (record.is_mark)
            replay->marked = replay->index + 1;
        else
            err = pass_on(replay, &record, line);
        if (err == OK) {
            replay->batch = record.batch;
            replay->synced = record.synced;
            replay->record.offset = (uint32_t)replay->offset;
            replay->offset += (int64_t)line.n + 1;
            if (record.seq != 0) {
                replay->event_record = replay->record;
                replay->journal->next_seq++;
            }
        }
    }
    return err;
}
