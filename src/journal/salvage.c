/* Going on with a damaged journal.  Owns the copy that is kept, and what counts as damaged; never changes a byte of a segment
 * that is.  Invariant: what is passed on are whole records whose checksums hold, in rising order. */
#include "journal/replay.h"
#include "journal/segment.h"
#include "journal/window.h"
#include "port.h"

#include <inttypes.h>

struct salvage {
    struct replay replay;
    bool pass_on;        /* records go to the owner */
    bool is_described;   /* the first fault */
    uint32_t bad;        /* number of the newest damaged segment; 0: none */
    uint64_t lost;       /* events missing since the last record */
    bool is_first_known; /* next_seq is */
};

static uint32_t number_of(const struct salvage *salvage, size_t index)
{
    return salvage->replay.journal->segments[index].number;
}

static void is_bad(struct salvage *salvage, size_t index, int64_t offset, const char *fact)
{
    if (!salvage->is_described)
        replay_describe(&salvage->replay, index, offset, fact);
    salvage->is_described = true;
    if (number_of(salvage, index) > salvage->bad)
        salvage->bad = number_of(salvage, index);
}

/* Whether a record goes on from those before it; one that was cut long ago, and whose bytes came back, does not. */
static bool is_next(const struct salvage *salvage, const struct record *record)
{
    const struct replay *replay = &salvage->replay;
    return record->head.n == 0 && record->batch >= replay->batch &&
           (record->seq == 0 || record->seq >= replay->journal->next_seq);
}

/* The next good record behind replay->offset, which is moved to it. ERR_END: there is none. */
static enum err find_record(struct salvage *salvage, struct record *record, struct str *line)
{
    struct replay *replay = &salvage->replay;
    int64_t at = replay->offset;
    for (;;) {
        enum err err = verdict_find_start(replay, &at);
        if (err != OK)
            return err;
        if (at == replay->size)
            return ERR_END;
        err = replay_line_at(replay, at, line);
        if (err == ERR_IO)
            return replay_storage(replay, "a segment cannot be read", err);
        if (err == OK && record_read(*line, record) == OK && is_next(salvage, record))
            break;
        at++;
    }
    if (at != replay->offset)
        is_bad(salvage, replay->index, replay->offset, "a record is damaged");
    replay->offset = at;
    return OK;
}

static void note_seq(struct salvage *salvage, uint64_t seq)
{
    struct journal *journal = salvage->replay.journal;
    if (salvage->is_first_known && seq > journal->next_seq)
        salvage->lost += seq - journal->next_seq;
    journal->next_seq = seq;
    salvage->is_first_known = true;
}

static enum err give(struct salvage *salvage, const struct record *record, struct str line)
{
    struct replay *replay = &salvage->replay;
    struct journal_record passed = {
        .seq = record->seq, .event = record->event, .memo = record->memo, .salvaged = true};
    struct str placed = record->seq != 0 ? record->event : record->memo;
    if (record->is_mark || !salvage->pass_on)
        return OK;
    passed.place.segment = replay->journal->segments[replay->index].number;
    passed.place.offset = (uint32_t)(replay->offset + (placed.p - line.p));
    passed.place.length = (uint32_t)placed.n;
    passed.lost = salvage->lost;
    salvage->lost = 0;
    return replay->on_record(replay->context, &passed);
}

/* The head, which also tells whether the segment before it ended where it should. */
static enum err read_head(struct salvage *salvage)
{
    struct replay *replay = &salvage->replay;
    struct journal_segment *segment = &replay->journal->segments[replay->index];
    bool is_first = replay->index == replay->first;
    struct record record;
    struct record_head head;
    struct str line;
    enum err err = replay_line_at(replay, 0, &line);
    if (err == ERR_IO)
        return replay_storage(replay, "a segment cannot be read", err);
    if (err == OK)
        err = record_read_head(line, &record, &head);
    if (err == ERR_UNSUPPORTED) {
        replay_describe(replay, replay->index, 0, "its format is newer than this daemon");
        return err;
    }
    replay->offset = 0;
    if (err != OK || head.number != segment->number) {
        is_bad(salvage, replay->index, 0, "its head is damaged");
        segment->first_seq = replay->journal->next_seq;
        return OK;
    }
    if (!is_first && (head.previous_size != replay->end || head.number != segment[-1].number + 1 ||
                      (uint64_t)head.first_seq != replay->journal->next_seq))
        is_bad(salvage, replay->index - 1, replay->end, "records are missing from here on");
    if (!is_first && segment[-1].number + 1 < segment->number && segment->number - 1 > salvage->bad)
        salvage->bad = segment->number - 1; /* those that have gone stood between */
    if (!salvage->is_first_known || (uint64_t)head.first_seq > replay->journal->next_seq)
        note_seq(salvage, (uint64_t)head.first_seq);
    if (chain_hash_read(str_of(head.head_sha256), &replay->head))
        replay->has_head = true;
    segment->first_seq = (uint64_t)head.first_seq;
    replay->record = (struct journal_record_at){segment->number, 0};
    replay->batch = record.batch;
    replay->offset = (int64_t)line.n + 1;
    return OK;
}

/* What is behind the last good record: unused space, a torn tail of the newest segment, or damage. */
static enum err read_rest(struct salvage *salvage)
{
    struct replay *replay = &salvage->replay;
    struct journal *journal = replay->journal;
    struct journal_segment *segment = &journal->segments[replay->index];
    bool is_newest = replay->index + 1 == journal->segment_count, zeros;
    enum err err = verdict_only_zeros(replay, &zeros);
    if (err != OK)
        return err;
    if (!zeros && !is_newest)
        is_bad(salvage, replay->index, replay->offset, "a record is damaged");
    replay->end = replay->offset;
    bool is_damaged = salvage->bad == segment->number;
    replay->torn = is_newest && !zeros && !is_damaged;
    segment->size = is_damaged ? replay->size : replay->offset;
    return OK;
}

static enum err read_segment(struct salvage *salvage, size_t index)
{
    struct replay *replay = &salvage->replay;
    struct record record;
    struct str line;
    enum err err = replay_open_segment(replay, index);
    if (err == ERR_DAMAGED)
        return OK; /* no file: is_bad() follows with the next one's head */
    if (err == OK)
        err = read_head(salvage);
    while (err == OK && (err = find_record(salvage, &record, &line)) == OK) {
        if (record.seq != 0)
            note_seq(salvage, record.seq);
        err = give(salvage, &record, line);
        replay->batch = record.batch;
        replay->record = (struct journal_record_at){replay->journal->segments[index].number,
                                                    (uint32_t)replay->offset};
        replay->offset += (int64_t)line.n + 1;
        if (record.seq != 0) {
            replay->event_record = replay->record;
            replay->journal->next_seq++;
        }
    }
    if (err == ERR_END)
        err = read_rest(salvage);
    replay_close_segment(replay);
    return err;
}

static enum err read_from(struct salvage *salvage, size_t first)
{
    struct replay *replay = &salvage->replay;
    enum err err = OK;
    replay->first = first;
    replay->batch = 0;
    replay->end = 0;
    replay->has_head = false;
    replay->record = replay->event_record = (struct journal_record_at){0, 0};
    replay->journal->next_seq = 1;
    salvage->is_first_known = false;
    salvage->lost = 0;
    for (size_t i = first; err == OK && i < replay->journal->segment_count; i++)
        err = read_segment(salvage, i);
    return err;
}

/* --- the copy ------------------------------------------------------------------------------------------------------- */

static enum err copy_bytes(struct replay *replay, int to)
{
    struct journal *journal = replay->journal;
    enum err err = OK;
    size_t got, put;
    for (int64_t at = 0; err == OK && at < replay->size; at += (int64_t)got) {
        window_forget(&journal->window);
        err =
            port_read_at(replay->fd, journal->window.bytes, sizeof journal->window.bytes, at, &got);
        if (err == OK && got == 0)
            break;
        if (err == OK)
            err = port_write_at(to, str_range(journal->window.bytes, got), at, &put);
    }
    return err == OK ? port_sync(to) : err;
}

static enum err copy_segment(struct replay *replay, size_t index, const char *copy)
{
    char path[LIMIT_PATH], name[SEGMENT_NAME_SIZE];
    struct out out = OUT_ON(path);
    int to;
    segment_name(replay->journal->segments[index].number, name);
    out_format(&out, "%s/%s", copy, name);
    if (out.overflow)
        return ERR_TOO_LARGE;
    enum err err = replay_open_segment(replay, index);
    if (err == OK)
        err = port_open(out_cstr(&out), PORT_TRUNCATE, &to);
    if (err == OK) {
        err = copy_bytes(replay, to);
        port_close(to);
    }
    replay_close_segment(replay);
    return err;
}

/* Half a copy is of no use, and the disk may be full of it. */
static void remove_copy(const struct journal *journal, const char *copy)
{
    char path[LIMIT_PATH], name[SEGMENT_NAME_SIZE];
    for (size_t i = 0; i < journal->segment_count; i++) {
        struct out out = OUT_ON(path);
        segment_name(journal->segments[i].number, name);
        out_format(&out, "%s/%s", copy, name);
        (void)port_unlink(out_cstr(&out));
    }
    (void)port_remove_directory(copy);
}

/* A directory that is there already is another copy, and stays as it is. */
static enum err copy_all(struct replay *replay, const char *copy)
{
    static const char what[] = "the damaged journal cannot be copied";
    enum err err = port_make_directory(copy, 0700);
    if (err != OK)
        return replay_storage(replay, what, err);
    for (size_t i = 0; err == OK && i < replay->journal->segment_count; i++)
        err = copy_segment(replay, i, copy);
    if (err == OK)
        err = port_sync_directory(copy);
    if (err == OK)
        return OK;
    err = replay_storage(replay, what, err);
    remove_copy(replay->journal, copy);
    return err;
}

/* --- all together ---------------------------------------------------------------------------------------------------- */

/* The numbers of segments must have no gaps: an empty file stands for one that has gone, until it goes with the damaged ones. */
static enum err fill_gaps(struct replay *replay)
{
    const struct journal *journal = replay->journal;
    char path[LIMIT_PATH];
    int fd;
    for (size_t i = 1; i < journal->segment_count; i++)
        for (uint32_t number = journal->segments[i - 1].number + 1;
             number < journal->segments[i].number; number++) {
            segment_path(journal, number, path);
            if (port_open(path, PORT_CREATE, &fd) != OK)
                return replay_storage(replay, "a missing segment cannot be replaced", ERR_IO);
            port_close(fd);
        }
    return open_list(replay);
}

static enum err choose_first(struct replay *replay, size_t *first)
{
    bool whole = false;
    *first = 0;
    for (size_t i = replay->journal->segment_count; i-- > 1 && !whole;) {
        enum err err = open_has_checkpoint(replay, i, &whole);
        if (err != OK)
            return err;
        if (whole)
            *first = i;
    }
    return OK;
}

/* A segment in front of the checkpoint: there for readers, as far as it is good. */
static enum err skip_segment(struct replay *replay, size_t index)
{
    struct journal_segment *segment = &replay->journal->segments[index];
    struct record record;
    struct record_head head;
    struct str line;
    enum err err = replay_open_segment(replay, index);
    if (err != OK)
        return err;
    segment->size = replay->size;
    segment->first_seq = index > 0 ? segment[-1].first_seq : 1;
    if (replay_line_at(replay, 0, &line) == OK && record_read_head(line, &record, &head) == OK) {
        segment->first_seq = (uint64_t)head.first_seq;
        if (index > 0 && head.previous_size < segment[-1].size)
            segment[-1].size = head.previous_size;
    }
    replay_close_segment(replay);
    return OK;
}

/* A number far from all others is a name that somebody gave to a file: nobody loses that many segments. */
static enum err check_gaps(struct replay *replay)
{
    const struct journal *journal = replay->journal;
    for (size_t i = 1; i < journal->segment_count; i++)
        if (journal->segments[i].number - journal->segments[0].number >= JOURNAL_SEGMENTS)
            return replay_damaged(replay, i, 0,
                                  "its number is too far from the oldest one's; move it elsewhere");
    return OK;
}

static enum err salvage_all(struct salvage *salvage, const char *copy, uint32_t *damaged)
{
    struct replay *replay = &salvage->replay;
    struct journal *journal = replay->journal;
    size_t first = 0;
    enum err err = check_gaps(replay);
    if (err == OK)
        err = copy_all(replay, copy);
    *damaged = salvage->bad;
    if (err == OK)
        err = fill_gaps(replay);
    if (err == OK)
        err = choose_first(replay, &first);
    for (size_t i = 0; err == OK && i < first; i++)
        err = skip_segment(replay, i);
    salvage->pass_on = true;
    salvage->bad = 0;
    if (err == OK)
        err = read_from(salvage, first);
    if (err != OK)
        return err;
    replay->torn = replay->torn && replay->end > 0;
    journal->batch = replay->batch + 2;
    journal->synced_seq = journal->next_seq - 1;
    return open_settle(replay);
}

enum err journal_salvage(struct journal *journal, const char *directory, const char *copy,
                         const char *daemon_id, int64_t limit,
                         enum err (*on_record)(void *context, const struct journal_record *record),
                         void *context, struct journal_report *report, uint32_t *damaged)
{
    struct salvage salvage = {.replay = {.journal = journal,
                                         .report = report,
                                         .on_record = on_record,
                                         .context = context,
                                         .fd = -1}};
    *damaged = 0;
    enum err err = open_begin(&salvage.replay, directory, daemon_id, limit);
    if (err == OK)
        err = open_list(&salvage.replay);
    if (err == OK)
        err = read_from(&salvage, 0);
    if (err == OK && salvage.bad == 0)
        return journal_open(journal, directory, daemon_id, limit, on_record, context, report);
    if (err == OK)
        err = salvage_all(&salvage, copy, damaged);
    replay_close_segment(&salvage.replay);
    if (err != OK)
        journal_close(journal);
    return err;
}
