/* Owns the order of events on the wire: first a gap, then batches from acked + 1 on, never past the ceiling. */
#include "link/outbox.h"

#include "json/read.h"
#include "rpc/rpc.h"

#include <string.h>

/* `],"head":{"seq":…,"sha256":"…"}}}` with the longest seq, and some air. */
#define BATCH_TAIL (56 + CHAIN_HEX)

_Static_assert(LIMIT_EVENT + 128 + BATCH_TAIL <= LIMIT_MESSAGE,
               "an event, what stands before it and the chain's head are a message");

void outbox_start(struct outbox *outbox)
{
    memset(outbox, 0, sizeof *outbox);
    outbox->batch_max = LIMIT_MESSAGE;
}

void outbox_begin_session(struct outbox *outbox, const struct journal *journal, uint64_t acked,
                          uint64_t ceiling, size_t message_max)
{
    uint64_t first = journal_first_seq(journal);

    outbox->acked = outbox->sent = acked;
    outbox->ceiling = ceiling;
    outbox->message_max = message_max < LIMIT_MESSAGE ? message_max : LIMIT_MESSAGE;
    outbox->batch_first = 0;
    outbox->batch_longest = 0;
    outbox->gap_to = acked + 1 < first ? first - 1 : 0;
    outbox->cursor = journal_cursor_after(journal, acked);
}

enum err outbox_ack(struct outbox *outbox, uint64_t acked)
{
    if (acked > outbox->sent)
        return ERR_INVALID;
    if (acked > outbox->acked)
        outbox->acked = acked;
    if (outbox->acked == outbox->sent)
        outbox->batch_longest = 0;
    return OK;
}

void outbox_raise_ceiling(struct outbox *outbox, uint64_t ceiling)
{
    if (ceiling > outbox->ceiling)
        outbox->ceiling = ceiling;
}

bool outbox_has_work(const struct outbox *outbox, const struct journal *journal)
{
    if (outbox->gap_to > 0)
        return true;
    if (outbox->acked < outbox->careful_to && outbox->acked < outbox->sent)
        return false;
    return outbox->sent < journal_last_seq(journal) && outbox->sent < outbox->ceiling;
}

static void write_gap(struct outbox *outbox, struct journal *journal, struct out *out)
{
    struct json_writer w = rpc_begin_notification(out, "events.gap");

    json_object(&w);
    json_put_u64(&w, "from", outbox->acked + 1);
    json_put_u64(&w, "to", outbox->gap_to);
    json_put_text(&w, "reason", "the journal holds these events no longer");
    json_object_end(&w);
    rpc_end(&w);
    outbox->sent = outbox->gap_to;
    outbox->gap_to = 0;
    outbox->cursor = journal_cursor_after(journal, outbox->sent);
}

/* --- an event that no message of this session can hold ------------------------------------------------------------ */

struct event_head {
    int64_t seq, n, attempt;
    char run_id[LIMIT_RUN_ID + 1], step_id[LIMIT_NAME + 1], time[32], type[48];
};

static bool read_event_head(struct str event, struct event_head *head)
{
    static const struct json_field fields[] = {
        {"seq", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct event_head, seq), 0, 0, 0},
        {"n", JSON_FIELD_INTEGER, 0, offsetof(struct event_head, n), 0, 0, 0},
        {"run_id", JSON_FIELD_TEXT, 0, offsetof(struct event_head, run_id), LIMIT_RUN_ID + 1, 0, 0},
        {"step_id", JSON_FIELD_TEXT, 0, offsetof(struct event_head, step_id), LIMIT_NAME + 1, 0, 0},
        {"attempt", JSON_FIELD_INTEGER, 0, offsetof(struct event_head, attempt), 0, 0, 0},
        {"time", JSON_FIELD_TEXT, 0, offsetof(struct event_head, time), 32, 0, 0},
        {"type", JSON_FIELD_TEXT, 0, offsetof(struct event_head, type), 48, 0, 0},
    };
    struct json_field_error error;

    memset(head, 0, sizeof *head);
    return json_read(event, fields, sizeof fields / sizeof fields[0], head, &error) == OK;
}

/* Stands in the event's place: same seq, n and run_id. */
static void write_stand_in(struct json_writer *w, const struct event_head *head, size_t bytes)
{
    json_object(w);
    json_put_i64(w, "seq", head->seq);
    if (head->run_id[0] != '\0') {
        json_put_text(w, "run_id", head->run_id);
        json_put_i64(w, "n", head->n);
    }
    json_put_text(w, "time", head->time);
    json_put_text(w, "type", "events.oversize");
    if (head->step_id[0] != '\0')
        json_put_text(w, "step_id", head->step_id);
    if (head->attempt > 0)
        json_put_i64(w, "attempt", head->attempt);
    json_key(w, "data");
    json_object(w);
    json_put_text(w, "type", head->type);
    json_put_u64(w, "bytes", bytes);
    json_object_end(w);
    json_object_end(w);
}

static struct json_writer begin_batch(struct out *out)
{
    struct json_writer w = rpc_begin_notification(out, "events.append");

    json_object(&w);
    json_key(&w, "events");
    json_array(&w);
    return w;
}

/* Reads the next event into all of `out`'s room, and leaves its stand-in there instead. */
static enum err add_stand_in(struct outbox *outbox, struct journal *journal, struct json_writer *w)
{
    struct out *out = w->out;
    struct event_head head;
    size_t need;
    uint64_t seq;

    /* The event may need the whole of the buffer: what was written of the batch is only its beginning. */
    out_truncate(out, 0);
    enum err err = journal_next(journal, &outbox->cursor, out, &seq, &need);
    if (err != OK)
        return err;
    size_t bytes = out->n;
    bool good = read_event_head(out_view(out), &head);
    out_truncate(out, 0);
    if (!good)
        return ERR_DAMAGED;
    *w = begin_batch(out);
    write_stand_in(w, &head, bytes);
    outbox->sent = seq;
    return OK;
}

/* The chain's head after the batch: of the record whose event was read last, whatever stands for it on the wire. */
static enum err write_head(const struct outbox *outbox, struct journal *journal,
                           struct json_writer *w)
{
    struct chain_hash hash;
    char hex[CHAIN_HEX + 1];
    enum err err = journal_head(journal, &outbox->cursor, &hash);

    if (err != OK)
        return err;
    chain_hash_write(&hash, hex);
    json_key(w, "head");
    json_object(w);
    json_put_u64(w, "seq", outbox->sent);
    json_put_text(w, "sha256", hex);
    json_object_end(w);
    return OK;
}

/* --- batches ------------------------------------------------------------------------------------------------------- */

/* Adds the next event when it fits into `max` bytes with the end of the message. */
static enum err add_event(struct outbox *outbox, struct journal *journal, struct json_writer *w,
                          size_t max)
{
    struct out *out = w->out;
    struct json_writer before = *w;
    size_t n = out->n, cap = out->cap, need;
    uint64_t seq;

    if (n + BATCH_TAIL + 1 >= max)
        return ERR_FULL;
    out->cap = max - BATCH_TAIL;
    enum err err = journal_next(journal, &outbox->cursor, json_raw_begin(w), &seq, &need);
    out->cap = cap;
    if (err == OK && out->overflow)
        err = ERR_FULL;
    if (err != OK) {
        out_truncate(out, n);
        *w = before;
        return err;
    }
    outbox->sent = seq;
    return OK;
}

enum err outbox_write(struct outbox *outbox, struct journal *journal, struct out *out)
{
    if (outbox->gap_to > 0) {
        write_gap(outbox, journal, out);
        return OK;
    }
    uint64_t first = outbox->sent + 1, last = journal_last_seq(journal);
    size_t max = outbox->batch_max < outbox->message_max ? outbox->batch_max : outbox->message_max;
    struct json_writer w = begin_batch(out);
    enum err err;

    if (outbox->oversize_seq == first) {
        err = add_stand_in(outbox, journal, &w);
    } else {
        /* One event goes in any case, whatever the batches have shrunk to. */
        err = add_event(outbox, journal, &w, outbox->message_max);
        if (err == ERR_FULL)
            err = add_stand_in(outbox, journal, &w);
    }
    if (err != OK)
        return err;
    while (err == OK && outbox->sent < last && outbox->sent < outbox->ceiling &&
           outbox->sent + 1 != outbox->oversize_seq)
        err = add_event(outbox, journal, &w, max);
    json_array_end(&w);
    err = CHAIN_BUILT_IN ? write_head(outbox, journal, &w) : OK;
    json_object_end(&w);
    rpc_end(&w);
    outbox->batch_first = first;
    if (outbox->sent > first && out->n > outbox->batch_longest)
        outbox->batch_longest = out->n;
    return err;
}

void outbox_too_large(struct outbox *outbox)
{
    if (outbox->batch_first == 0 || outbox->acked >= outbox->sent)
        return; /* it was no batch that was too large */
    outbox->careful_to = outbox->sent;
    /* Only when nothing else was under way is it certain which one it was. */
    if (outbox->batch_first == outbox->sent && outbox->acked + 1 == outbox->sent) {
        outbox->oversize_seq = outbox->sent;
        return;
    }
    /* Half of what was said; in the end a batch has one event. */
    if (outbox->batch_longest > 0)
        outbox->batch_max = outbox->batch_longest / 2;
}
