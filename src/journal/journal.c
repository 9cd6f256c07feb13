/* Appending to the journal and making it durable.  Owns the buffer, the batch and what is promised to be on disk; never reads
 * records back (cursor.c), never decides what is truth after a crash (replay.c).  Invariant: synced_seq and the newest
 * segment's size rise only after a sync that has returned, and never after one that has failed. */
#include "journal/journal.h"

#include "base/assert.h"
#include "json/check.h"
#include "journal/record.h"
#include "journal/segment.h"
#include "journal/window.h"
#include "port.h"

#define RETRY_MS 1000 /* between two attempts to begin a segment */
#define LAZY_MS 1000  /* contract §4: logs and progress may wait for company that long */

_Static_assert(LIMIT_EVENT + 512 <= LIMIT_RECORD,
               "an event fits a record with what stands around it");

/* --- the buffer ---------------------------------------------------------------------------------------------------- */

/* Puts the buffer behind what is written, without a sync.  After an error it is as it was: bytes that did reach the file
 * will be written once more, at the same place. */
static enum err write_out(struct journal *journal)
{
    size_t put;
    if (journal->out.n == 0)
        return OK;
    enum err err = port_write_at(journal->fd, out_view(&journal->out), journal->written, &put);
    if (err == ERR_NO_SPACE || err == ERR_READ_ONLY) {
        journal->cramped = true;
        return err;
    }
    if (err != OK) {
        journal->failed = true;
        return ERR_IO;
    }
    journal->written += (int64_t)journal->out.n;
    journal->bytes_written += journal->out.n;
    out_reset(&journal->out);
    return OK;
}

/* Room for one more record in the buffer, and in the journal as a whole. */
static enum err make_room(struct journal *journal)
{
    int64_t end = journal->written + (int64_t)journal->out.n + LIMIT_RECORD;
    if (journal->failed)
        return ERR_IO;
    /* Places have offsets of 32 bits.  A segment outgrows its size by what one turn appends, and by more only
     * when no other can be begun. */
    if (end > UINT32_MAX ||
        (journal->segment_count == JOURNAL_SEGMENTS && end > 2 * journal->segment_limit))
        return ERR_NO_SPACE;
    return sizeof journal->buffer - journal->out.n < LIMIT_RECORD ? write_out(journal) : OK;
}

/* --- records ------------------------------------------------------------------------------------------------------- */

static enum err begin(struct journal *journal)
{
    ASSERT(journal->fd >= 0 && journal->writing == JOURNAL_IDLE);
    enum err err = make_room(journal);
    if (err != OK) {
        if (journal->in_on_segment)
            journal->has_checkpoint = false;
        return err;
    }
    journal->record_start = journal->out.n;
    journal->out.cap = journal->out.n + LIMIT_RECORD;
    journal->has_event = journal->was_masked = false;
    record_begin(&journal->out, &journal->writer, journal->batch, segment_newest(journal)->size,
                 CHAIN_BUILT_IN ? &journal->chain.last : NULL);
    return OK;
}

static struct str time_in_words(struct journal *journal, int64_t time_ms)
{
    if (journal->time_ms != time_ms || journal->time[0] == '\0') {
        struct out out = OUT_ON(journal->time);
        time_write(&out, time_ms);
        journal->time_ms = time_ms;
    }
    return str_range(journal->time, sizeof journal->time);
}

enum err journal_begin(struct journal *journal, const struct journal_event *event,
                       struct json_writer **data)
{
    struct json_writer *w = &journal->writer;
    enum err err = begin(journal);
    if (err != OK)
        return err;
    journal->writing = JOURNAL_EVENT;
    journal->has_event = true;
    json_key_str(w, STR("event"));
    journal->event_start = journal->out.n;
    json_object(w);
    json_key_str(w, STR("seq"));
    json_u64(w, journal->next_seq);
    if (event->run_id != NULL) {
        json_key_str(w, STR("run_id"));
        json_text(w, event->run_id);
        json_key_str(w, STR("n"));
        json_u64(w, event->n);
    }
    json_key_str(w, STR("time"));
    json_string(w, time_in_words(journal, event->time_ms));
    json_key_str(w, STR("type"));
    json_text(w, event->type);
    if (event->step_id != NULL) {
        json_key_str(w, STR("step_id"));
        json_text(w, event->step_id);
    }
    if (event->attempt > 0) {
        json_key_str(w, STR("attempt"));
        json_u64(w, event->attempt);
    }
    json_key_str(w, STR("data"));
    json_object(w);
    *data = w;
    return OK;
}

/* Ends data and event, whose text is final then: what the mask takes out must not reach the checksum. */
static void end_event(struct journal *journal)
{
    struct json_writer *w = &journal->writer;
    ASSERT(w->depth == 3);
    json_object_end(w);
    json_object_end(w);
    if (!journal->out.overflow && journal->mask != NULL) {
        size_t length = journal->out.n - journal->event_start;
        size_t masked = length;
        journal->was_masked =
            journal->mask(journal->mask_context, journal->buffer + journal->event_start, &masked);
        ASSERT(masked <= length);
        out_truncate(&journal->out, journal->event_start + masked);
    }
    journal->event_end = journal->out.n;
}

static struct json_writer *begin_memo(struct journal *journal)
{
    journal->writing = JOURNAL_MEMO;
    json_key(&journal->writer, "memo");
    if (!journal->has_event)
        journal->event_start = journal->out.n; /* the place of a memo alone */
    json_object(&journal->writer);
    return &journal->writer;
}

struct json_writer *journal_memo(struct journal *journal)
{
    ASSERT(journal->writing == JOURNAL_EVENT);
    end_event(journal);
    return begin_memo(journal);
}

enum err journal_begin_memo(struct journal *journal, struct json_writer **memo)
{
    enum err err = begin(journal);
    if (err == OK)
        *memo = begin_memo(journal);
    return err;
}

void journal_drop(struct journal *journal)
{
    ASSERT(journal->writing != JOURNAL_IDLE);
    out_truncate(&journal->out, journal->record_start);
    journal->out.cap = sizeof journal->buffer;
    journal->writing = JOURNAL_IDLE;
}

size_t journal_length(const struct journal *journal)
{
    ASSERT(journal->writing == JOURNAL_MEMO && !journal->has_event);
    return journal->out.n - journal->event_start;
}

/* What the writer itself has put together is JSON; what others wrote, or changed afterwards, is looked at. */
static bool can_be_read_back(const struct journal *journal)
{
    struct str line = str_from(out_view(&journal->out), journal->record_start);
    if (journal->out.overflow)
        return false;
    if (journal->has_event && journal->event_end - journal->event_start > LIMIT_EVENT)
        return false;
    return (!journal->writer.has_raw && !journal->was_masked) ||
           json_check(str_from(line, RECORD_COLUMN), RECORD_DEPTH, NULL) == OK;
}

enum err journal_end(struct journal *journal, bool lazy, uint64_t *seq, struct journal_place *place)
{
    struct json_writer *w = &journal->writer;
    ASSERT(journal->writing != JOURNAL_IDLE);
    if (journal->writing == JOURNAL_EVENT) {
        end_event(journal);
    } else if (journal->writing == JOURNAL_MEMO) {
        ASSERT(w->depth == 2);
        json_object_end(w);
        if (!journal->has_event)
            journal->event_end = journal->out.n;
    }
    json_object_end(w);
    out_byte(&journal->out, '\n');
    if (!can_be_read_back(journal)) {
        if (journal->in_on_segment)
            journal->has_checkpoint = false;
        journal_drop(journal);
        return ERR_TOO_LARGE;
    }
    record_seal(journal->buffer + journal->record_start, journal->out.n - journal->record_start);
    if (CHAIN_BUILT_IN)
        chain_extend(&journal->chain, str_from(out_view(&journal->out), journal->record_start),
                     journal->has_event);
    journal->out.cap = sizeof journal->buffer;
    journal->writing = JOURNAL_IDLE;
    journal->records++;
    if (journal->in_on_segment)
        ; /* a checkpoint waits for whatever comes next: older segments still hold what it says */
    else if (lazy)
        journal->lazy = true;
    else
        journal->urgent = true;
    if (seq != NULL)
        *seq = journal->has_event ? journal->next_seq : 0;
    if (place != NULL)
        *place = (struct journal_place){
            .segment = segment_newest(journal)->number,
            .offset = (uint32_t)(journal->written + (int64_t)journal->event_start),
            .length = (uint32_t)(journal->event_end - journal->event_start)};
    if (journal->has_event)
        journal->next_seq++;
    return OK;
}

/* --- durability ---------------------------------------------------------------------------------------------------- */

static enum err sync_batch(struct journal *journal)
{
    enum err err = write_out(journal);
    if (err != OK)
        return err;
    if (port_sync(journal->fd) != OK) {
        /* The system may have dropped the pages and would call the next sync a success. */
        journal->failed = true;
        return ERR_IO;
    }
    segment_newest(journal)->size = journal->written;
    journal->synced_seq = journal->next_seq - 1;
    journal->batch++;
    journal->syncs++;
    journal->urgent = journal->lazy = false;
    journal->lazy_since_ms = 0;
    return OK;
}

/* What a start needs that reads from this segment on, and the mark that says that all of it is there. */
static void append_checkpoint(struct journal *journal)
{
    uint64_t before = journal->records;
    journal->has_checkpoint = true;
    journal->in_on_segment = true;
    journal->on_segment(journal->on_segment_context);
    if (journal->has_checkpoint && begin(journal) == OK) {
        record_write_mark(&journal->writer, journal->records - before);
        journal->writing = JOURNAL_MARK;
        (void)journal_end(journal, true, NULL, NULL);
    }
    journal->in_on_segment = false;
    ASSERT(journal->writing == JOURNAL_IDLE);
    /* A checkpoint that fills a segment must not be followed by nothing but the next one. */
    int64_t size = journal->written + (int64_t)journal->out.n;
    if (journal->switch_at < size + journal->segment_limit / 2)
        journal->switch_at = size + journal->segment_limit / 2;
}

/* Everything is synced and the buffer empty. */
static enum err switch_segment(struct journal *journal, int64_t now_ms)
{
    if (segment_begin(journal) != OK) {
        /* No space or no descriptor: the old one grows meanwhile, and this is not tried at every turn. */
        journal->cramped = true;
        journal->retry_ms = now_ms + RETRY_MS;
        return journal->failed ? ERR_IO : OK;
    }
    journal->cramped = false;
    if (journal->on_segment != NULL)
        append_checkpoint(journal);
    else
        journal->has_checkpoint = true;
    return journal->failed ? ERR_IO : OK;
}

enum err journal_commit(struct journal *journal, int64_t now_ms)
{
    ASSERT(journal->fd >= 0 && journal->writing == JOURNAL_IDLE);
    if (journal->failed)
        return ERR_IO;
    if (journal->lazy && journal->lazy_since_ms == 0)
        journal->lazy_since_ms = now_ms > 0 ? now_ms : 1;
    bool is_full = journal->written + (int64_t)journal->out.n >= journal->switch_at;
    bool is_due = journal->lazy && (is_full || now_ms - journal->lazy_since_ms >= LAZY_MS);
    enum err err = journal->urgent || is_due ? sync_batch(journal) : OK;
    /* Where space was short, a new segment is what shows that there is some again. */
    bool is_quiet = !journal->urgent && !journal->lazy && journal->out.n == 0;
    if (err == OK && is_quiet &&
        (journal->cramped ? now_ms >= journal->retry_ms : journal->written >= journal->switch_at))
        err = switch_segment(journal, now_ms);
    return err;
}

void journal_hurry(struct journal *journal)
{
    journal->urgent = journal->urgent || journal->out.n > 0;
}

enum err journal_turn_over(struct journal *journal, int64_t now_ms)
{
    enum err err = OK;
    journal->switch_at = 0;
    for (int step = 0; err == OK && step < 2;
         step++) { /* what waits, and the new segment; its checkpoint */
        journal->urgent = journal->out.n > 0;
        err = journal_commit(journal, now_ms);
    }
    return err == OK && !journal_can_forget(journal) ? ERR_NO_SPACE : err;
}

int64_t journal_due_ms(const struct journal *journal)
{
    return journal->lazy_since_ms > 0 ? journal->lazy_since_ms + LAZY_MS : -1;
}

/* --- what is held -------------------------------------------------------------------------------------------------- */

uint64_t journal_first_seq(const struct journal *journal)
{
    ASSERT(journal->segment_count > 0);
    return journal->segments[0].first_seq;
}

uint64_t journal_last_seq(const struct journal *journal)
{
    return journal->synced_seq;
}

int64_t journal_bytes(const struct journal *journal)
{
    int64_t bytes = journal->written + (int64_t)journal->out.n;
    for (size_t i = 0; i + 1 < journal->segment_count; i++)
        bytes += journal->segments[i].size;
    return bytes;
}

void journal_rest(struct journal *journal)
{
    if (journal->out.n == 0)
        port_release(journal->buffer, sizeof journal->buffer);
    window_forget(&journal->window);
    port_release(journal->window.bytes, sizeof journal->window.bytes);
}

bool journal_is_resting(const struct journal *journal)
{
    return journal->out.n == 0 && journal->window.segment == 0;
}

bool journal_can_forget(const struct journal *journal)
{
    return !journal->failed && journal->segment_count > 1 && journal->has_checkpoint &&
           journal->segments[journal->segment_count - 1].size > 0;
}

bool journal_want_room(struct journal *journal)
{
    if (journal->failed || journal_can_forget(journal))
        return false;
    if (journal->has_checkpoint && journal->out.n > 0) {
        journal->urgent = true;
        return true;
    }
    if (journal->has_checkpoint || journal->room_wanted)
        return false;
    journal->room_wanted = true;
    journal->switch_at = 0;
    return true;
}

enum err journal_forget(struct journal *journal, uint32_t segment)
{
    if (journal->failed)
        return ERR_IO;
    while (journal_can_forget(journal) && journal->segments[0].number < segment) {
        /* One removal that is not durable yet is harmless; a second could become so before the first, and leave
         * a gap. */
        enum err err = journal->directory_dirty ? segment_sync_directory(journal) : OK;
        if (err == OK)
            err = segment_remove(journal, journal->segments[0].number);
        if (err != OK)
            return err;
        journal->directory_dirty = true;
        journal->segment_count--;
        for (size_t i = 0; i < journal->segment_count; i++)
            journal->segments[i] = journal->segments[i + 1];
    }
    return OK;
}
