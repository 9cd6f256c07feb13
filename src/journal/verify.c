#include "journal/verify.h"

#include "base/assert.h"
#include "journal/replay.h"
#include "journal/segment.h"
#include "journal/window.h"
#include "port.h"

#include <inttypes.h>

#define ATTEMPTS 100 /* each finds an older segment gone that was there when it began */

struct verify {
    struct replay replay; /* the segment being read; nobody's records are passed on */
    struct journal *journal;
    struct verify_report *report;
    const struct verify_head *asked;
    struct journal_report words;
    struct chain_hash last; /* of the record before */
    bool has_last;
    uint64_t next_seq;
};

/* --- what is found -------------------------------------------------------------------------------------------------- */

static void note_fault(struct verify *verify, const char *fault, const char *expected,
                       struct str found)
{
    struct verify_report *report = verify->report;
    if (report->faults++ > 0)
        return;
    (void)str_copy(str_of(fault), report->fault, sizeof report->fault);
    report->fault_segment = verify->journal->segments[verify->replay.index].number;
    report->fault_offset = (uint32_t)verify->replay.offset;
    report->fault_seq = verify->next_seq;
    (void)str_copy(str_of(expected), report->expected, sizeof report->expected);
    (void)str_copy(found, report->found, sizeof report->found);
}

static void begin_part(struct verify *verify)
{
    verify->report->from_the_beginning = false;
    verify->report->chain =
        (struct verify_part){.segment = verify->journal->segments[verify->replay.index].number,
                             .offset = (uint32_t)verify->replay.offset,
                             .seq = verify->next_seq};
}

/* Whether the record names the one before it. */
static void follow(struct verify *verify, const struct record *record)
{
    static const struct chain_hash none = {{0}};
    struct verify_report *report = verify->report;
    bool is_first = report->records == 0;
    bool is_first_ever = is_first && verify->journal->segments[0].number == 1;
    char expected[CHAIN_HEX + 1];

    report->is_chained = record->prev.n > 0;
    if (is_first)
        begin_part(verify);
    if (record->prev.n == 0) {
        report->unchained++;
        begin_part(verify);
        return;
    }
    report->from_the_beginning = report->from_the_beginning || is_first_ever;
    if (is_first && !is_first_ever)
        return; /* what it names has gone */
    chain_hash_write(is_first_ever ? &none : &verify->last, expected);
    if (str_is(record->prev, expected))
        return;
    note_fault(verify,
               is_first_ever ? "the first record of all names one before it"
                             : "the record before this one is not the one that was there when this "
                               "one was written",
               expected, record->prev);
    begin_part(verify);
}

/* What stands at the end of a part of the chain: an event whose record has this hash. */
static void meet_event(struct verify *verify, uint64_t seq, const struct chain_hash *hash)
{
    struct verify_report *report = verify->report;
    report->head = (struct verify_head){seq, *hash};
    if (verify->asked == NULL || verify->asked->seq != seq)
        return;
    report->asked_part = report->chain;
    report->asked_found = *hash;
    report->asked = chain_hash_equal(hash, &verify->asked->hash) ? VERIFY_HELD : VERIFY_DIFFERS;
}

static void take_event(struct verify *verify, const struct record *record)
{
    struct verify_report *report = verify->report;
    char fault[sizeof report->fault];
    struct out text = OUT_ON(fault);
    if (record->seq != verify->next_seq) {
        out_format(&text, "event %" PRIu64 " stands where %" PRIu64 " should", record->seq,
                   verify->next_seq);
        note_fault(verify, out_cstr(&text), "", STR_NONE);
    }
    verify->next_seq = record->seq + 1;
    report->last_seq = record->seq;
    meet_event(verify, record->seq, &verify->last);
}

/* --- records -------------------------------------------------------------------------------------------------------- */

static void pass(struct verify *verify, const struct record *record, struct str line)
{
    verify->replay.batch = record->batch;
    verify->replay.synced = record->synced;
    verify->last = chain_hash(line);
    verify->report->records++;
    verify->report->bytes += line.n + 1;
    verify->replay.offset += (int64_t)line.n + 1;
}

/* The first line of a segment, which must go on where the one before it ends. */
static enum err read_head(struct verify *verify, int64_t previous_size, bool *bad)
{
    struct replay *replay = &verify->replay;
    struct verify_report *report = verify->report;
    uint32_t number = verify->journal->segments[replay->index].number;
    struct record record;
    struct record_head head;
    struct chain_hash hash;
    struct str line;
    enum err err = replay_line_at(replay, 0, &line);
    if (err == ERR_IO)
        return replay_storage(replay, "a segment cannot be read", err);
    if (err == OK)
        err = record_read_head(line, &record, &head);
    *bad = err != OK;
    if (err == ERR_UNSUPPORTED) {
        struct out text = OUT_ON(report->trouble);
        out_format(&text,
                   "segment %010" PRIu32 ".log has format %" PRId64 "; this program reads %d",
                   number, head.format, RECORD_FORMAT);
        out_cstr(&text);
        return err;
    }
    if (err != OK)
        return OK;
    bool is_first = report->records == 0;
    if (is_first)
        report->first_seq = verify->next_seq = (uint64_t)head.first_seq;
    follow(verify, &record);
    if (head.number != number)
        note_fault(verify, "the head names another segment than the file", "", STR_NONE);
    else if (!is_first && head.previous_size != previous_size)
        note_fault(verify, "the segment before this one had another size", "", STR_NONE);
    else if (!is_first && record.batch <= replay->batch)
        note_fault(verify, "the batch number does not rise", "", STR_NONE);
    else if ((uint64_t)head.first_seq != verify->next_seq)
        note_fault(verify, "events between this segment and the one before it are missing", "",
                   STR_NONE);
    verify->next_seq = (uint64_t)head.first_seq;
    pass(verify, &record, line);
    /* The record itself may have gone: then this line is its witness. */
    if (is_first && head.first_seq > 1 && chain_hash_read(str_of(head.head_sha256), &hash))
        meet_event(verify, (uint64_t)head.first_seq - 1, &hash);
    return OK;
}

/* The next record of the segment.  ERR_END: there are no more, or what stands there is none, which *bad then says. */
static enum err read_one(struct verify *verify, bool *bad)
{
    struct replay *replay = &verify->replay;
    struct record record;
    struct str line;
    *bad = false;
    enum err err = replay_line_at(replay, replay->offset, &line);
    if (err == ERR_IO)
        return replay_storage(replay, "a segment cannot be read", err);
    if (err == ERR_END)
        return ERR_END;
    if (err == OK)
        err = record_read(line, &record);
    if (err != OK || record.head.n != 0) {
        *bad = true;
        return ERR_END;
    }
    const char *fault = replay_batch_fault(replay, &record);
    follow(verify, &record);
    if (fault != NULL)
        note_fault(verify, fault, "", STR_NONE);
    pass(verify, &record, line);
    if (record.seq != 0)
        take_event(verify, &record);
    return OK;
}

/* What the directory holds by now.  ERR_AGAIN: the segment being read, or the next one, has been removed. */
static enum err list(struct verify *verify, uint32_t reading)
{
    struct journal *journal = verify->journal;
    struct out text = OUT_ON(verify->report->trouble);
    enum err err = segment_list(journal);
    if (err == ERR_FULL) {
        out_format(&text, "more than %d segments in %s", JOURNAL_SEGMENTS, journal->directory);
        out_cstr(&text);
        return err;
    }
    if (err != OK) {
        out_format(&text, "%s: %s", journal->directory, port_last_error());
        out_cstr(&text);
        return err == ERR_NOT_FOUND ? err : ERR_IO;
    }
    if (journal->segment_count == 0) {
        out_format(&text, "%s: no segments", journal->directory);
        out_cstr(&text);
        return ERR_NOT_FOUND;
    }
    if (reading == 0)
        return OK;
    for (size_t i = 0; i < journal->segment_count; i++)
        if (journal->segments[i].number == reading) {
            verify->replay.index = i;
            return OK;
        }
    return ERR_AGAIN;
}

/* Reads what the file has by now, which a daemon may have changed since it was read: appended to it, cut its reserve off. */
static enum err look_again(struct verify *verify)
{
    struct port_stat stat;
    window_forget(&verify->journal->window);
    if (port_stat_fd(verify->replay.fd, &stat) != OK)
        return replay_storage(&verify->replay, "a segment cannot be examined", ERR_IO);
    verify->replay.size = stat.size;
    return OK;
}

/* What stands at replay->offset is no record.  *end: so it may be, as the reserve of a segment, or as a tail that is torn or
 * being written.  Else it is damage, unless it has become a record meanwhile. */
static enum err judge(struct verify *verify, bool *end)
{
    struct replay *replay = &verify->replay;
    size_t index = replay->index;
    bool zeros;
    *end = true;
    enum err err = verdict_only_zeros(replay, &zeros);
    if (err != OK || zeros)
        return err;
    uint32_t number = verify->journal->segments[index].number;
    int64_t tail = replay->size - replay->offset;
    replay->cut_bytes = 0;
    replay->fault = "this is no record";
    err = verdict_on_rest(replay);
    if (replay->index != index) {
        /* It has looked into later segments. */
        int64_t offset = replay->offset;
        replay_close_segment(replay);
        enum err again = replay_open_segment(replay, index);
        replay->offset = offset;
        if (again != OK)
            return list(verify, number) == ERR_AGAIN ? ERR_AGAIN : again;
    }
    if (err == OK)
        verify->report->tail_bytes = tail;
    *end = err == OK;
    if (err == OK || err == ERR_DAMAGED)
        return OK;
    return list(verify, number) == ERR_AGAIN ? ERR_AGAIN : err;
}

/* Reads the open segment from replay->offset to its end.  *damaged: something stands there that is neither record nor end. */
static enum err read_segment(struct verify *verify, int64_t previous_size, bool *damaged)
{
    struct replay *replay = &verify->replay;
    bool judged = false;
    *damaged = false;
    for (;;) {
        bool bad = false, end = true;
        int64_t before = replay->offset;
        enum err err = OK;
        while (err == OK && !bad)
            err = replay->offset == 0 ? read_head(verify, previous_size, &bad)
                                      : read_one(verify, &bad);
        if (err != OK && err != ERR_END)
            return err;
        if (!bad)
            return OK;
        if (judged && replay->offset == before) {
            *damaged = true;
            return OK;
        }
        /* Once more with fresh eyes after the verdict: what follows may have been written behind our back, and
         * then this was written before it. */
        err = look_again(verify);
        if (err == OK)
            err = judge(verify, &end);
        if (err != OK || end)
            return err;
        err = look_again(verify);
        if (err != OK)
            return err;
        judged = true;
    }
}

/* --- segments ------------------------------------------------------------------------------------------------------- */

/* Opens a segment of the list.  ERR_AGAIN: it, or the one before it, has been removed. */
static enum err open_segment(struct verify *verify, size_t *index, bool *missing)
{
    struct journal *journal = verify->journal;
    *missing = false;
    if (*index > 0 &&
        journal->segments[*index].number != journal->segments[*index - 1].number + 1) {
        /* Oldest first: where the one before it is still there, none between them was removed by a daemon.  The list may have
         * been made in the middle of a removal. */
        enum err err = list(verify, journal->segments[*index - 1].number);
        if (err != OK)
            return err;
        *index = verify->replay.index + 1;
        if (*index == journal->segment_count)
            return ERR_AGAIN;
        *missing = journal->segments[*index].number != journal->segments[*index - 1].number + 1;
    }
    uint32_t number = journal->segments[*index].number;
    replay_close_segment(&verify->replay);
    enum err err = replay_open_segment(&verify->replay, *index);
    verify->replay.offset = 0;
    return err == OK || list(verify, number) == OK ? err : ERR_AGAIN;
}

static void note_missing(struct verify *verify, size_t index)
{
    char fault[96];
    struct out text = OUT_ON(fault);
    out_format(&text, "segment %010" PRIu32 ".log is missing before it",
               verify->journal->segments[index - 1].number + 1);
    note_fault(verify, out_cstr(&text), "", STR_NONE);
}

/* The last one in the list may have been closed by a new one since: then it is read to its end. */
static enum err read_rest(struct verify *verify, int64_t previous_size, bool *damaged)
{
    struct journal *journal = verify->journal;
    enum err err = list(verify, journal->segments[verify->replay.index].number);
    if (err != OK || verify->replay.index + 1 == journal->segment_count)
        return err;
    verify->report->tail_bytes = 0;
    err = look_again(verify);
    return err == OK ? read_segment(verify, previous_size, damaged) : err;
}

static enum err read_all(struct verify *verify)
{
    struct journal *journal = verify->journal;
    struct verify_report *report = verify->report;
    int64_t previous_size = 0;
    enum err err = list(verify, 0);
    if (err != OK)
        return err;
    report->first_segment = journal->segments[0].number;
    for (size_t index = 0; index < journal->segment_count; index = verify->replay.index + 1) {
        bool missing, damaged;
        err = open_segment(verify, &index, &missing);
        if (err != OK)
            return err;
        report->last_segment = journal->segments[index].number;
        report->segments++;
        if (missing)
            note_missing(verify, index);
        err = read_segment(verify, previous_size, &damaged);
        if (err == OK && !damaged && index + 1 == journal->segment_count)
            err = read_rest(verify, previous_size, &damaged);
        if (err != OK)
            return err;
        if (damaged) {
            note_fault(verify, "this is no record, and records of a later batch follow", "",
                       STR_NONE);
            report->ended_early = true;
            return OK;
        }
        previous_size = verify->replay.offset;
    }
    return OK;
}

static void conclude(const struct verify *verify)
{
    struct verify_report *report = verify->report;
    if (verify->asked == NULL || report->asked != VERIFY_NOT_ASKED)
        return;
    if (verify->asked->seq < report->first_seq)
        report->asked = VERIFY_GONE;
    else
        report->asked = report->ended_early ? VERIFY_NOT_REACHED : VERIFY_AHEAD;
}

enum err verify_journal(struct journal *journal, const char *directory,
                        const struct verify_head *asked, struct verify_report *report)
{
    enum err err = ERR_AGAIN;
    journal->fd = journal->read_fd = -1;
    if (!str_copy(str_of(directory), journal->directory, LIMIT_PATH - SEGMENT_NAME_SIZE))
        return ERR_TOO_LARGE;
    for (int attempt = 0; err == ERR_AGAIN && attempt < ATTEMPTS; attempt++) {
        struct verify verify = {.journal = journal, .report = report, .asked = asked};
        *report = (struct verify_report){.segments = 0};
        verify.replay.journal = journal;
        verify.replay.report = &verify.words;
        verify.replay.fd = -1;
        window_forget(&journal->window);
        err = read_all(&verify);
        replay_close_segment(&verify.replay);
        if (err == OK)
            conclude(&verify);
        else if (err != ERR_AGAIN && report->trouble[0] == '\0')
            (void)str_copy(str_of(verify.words.text), report->trouble, sizeof report->trouble);
    }
    return err == ERR_AGAIN ? ERR_BUSY : err;
}
