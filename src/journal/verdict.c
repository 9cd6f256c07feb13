/* Torn or damaged: what a bad record is, judged by what stands behind it.  Owns that decision; reads alone.
 *
 * The batch in flight when the power went may have been written in any part and order; records of a later batch can exist only
 * if the sync of that one returned, and then what is bad at P was on disk once: damage.  Every record says from which
 * offset on its batch was not synced yet, so "a later batch" is: synced > P in the same segment, or anything at all in a later
 * one. */
#include "journal/replay.h"

#include "journal/segment.h"
#include "journal/window.h"

/* Whether everything from the last good record on is zeros. */
enum err verdict_only_zeros(struct replay *replay, bool *zeros)
{
    struct journal *journal = replay->journal;
    struct str bytes;
    *zeros = true;
    for (int64_t at = replay->offset; at < replay->size; at += (int64_t)bytes.n) {
        size_t n = replay->size - at < LIMIT_RECORD ? (size_t)(replay->size - at) : LIMIT_RECORD;
        enum err err = window_bytes(&journal->window, replay->fd,
                                    journal->segments[replay->index].number, at, n, &bytes);
        if (err != OK || bytes.n == 0)
            return replay_storage(replay, "a segment cannot be read", ERR_IO);
        for (size_t i = 0; i < bytes.n; i++)
            if (bytes.p[i] != '\0') {
                *zeros = false;
                return OK;
            }
    }
    return OK;
}

/* Offset of the next place from `at` on where a record could begin; the file's size when there is none. */
enum err verdict_find_start(struct replay *replay, int64_t *at)
{
    struct journal *journal = replay->journal;
    struct str bytes;
    while (replay->size - *at >= (int64_t)RECORD_START_LENGTH) {
        size_t n = replay->size - *at < LIMIT_RECORD ? (size_t)(replay->size - *at) : LIMIT_RECORD;
        enum err err = window_bytes(&journal->window, replay->fd,
                                    journal->segments[replay->index].number, *at, n, &bytes);
        if (err != OK || bytes.n < n)
            return replay_storage(replay, "a segment cannot be read", ERR_IO);
        size_t i = 0;
        for (; i + RECORD_START_LENGTH <= bytes.n; i++) {
            if (record_may_start(str_from(bytes, i))) {
                *at += (int64_t)i;
                return OK;
            }
        }
        *at += (int64_t)i;
    }
    *at = replay->size;
    return OK;
}

/* Looks for a valid record from `at` on whose batch began behind `synced_over`.  Not at line starts alone: the line feed before
 * it may be among what was lost. */
static enum err find_later(struct replay *replay, int64_t at, int64_t synced_over, bool *found)
{
    struct record record;
    struct str line;
    *found = false;
    for (;;) {
        enum err err = verdict_find_start(replay, &at);
        if (err != OK || at == replay->size)
            return err;
        err = replay_line_at(replay, at, &line);
        if (err == ERR_IO)
            return replay_storage(replay, "a segment cannot be read", err);
        if (err == OK && record_read(line, &record) == OK) {
            if (record.synced > synced_over) {
                *found = true;
                return OK;
            }
            at += (int64_t)line.n + 1;
        } else {
            at++;
        }
    }
}

/* OK: what follows the fault (in the segment that is open, and in all later ones) may be cut. */
enum err verdict_on_rest(struct replay *replay)
{
    struct journal *journal = replay->journal;
    size_t index = replay->index;
    int64_t offset = replay->offset;
    char why[256];
    struct out text = OUT_ON(why);
    bool later;
    /* Segments before the oldest have gone only when this one had synced records. */
    if (index == 0 && offset == 0 && journal->segments[0].number > 1)
        return replay_damaged(replay, index, offset, replay->fault);
    enum err err = find_later(replay, offset, offset, &later);
    /* A segment is begun only when the one before it is wholly synced: whatever has reached it is as good as a record. */
    for (size_t i = index + 1; err == OK && !later && i < journal->segment_count; i++) {
        bool zeros;
        replay_close_segment(replay);
        err = replay_open_segment(replay, i);
        replay->offset = 0;
        if (err == OK)
            err = verdict_only_zeros(replay, &zeros);
        later = err == OK && !zeros;
        replay->cut_bytes += replay->size;
    }
    if (err != OK || !later)
        return err;
    out_format(&text, "%s, and records of a later batch follow", replay->fault);
    return replay_damaged(replay, index, offset, out_cstr(&text));
}
