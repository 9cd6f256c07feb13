/* What the flash takes: of the bytes and syncs since the start, which an idle daemon caused.  Idle is a daemon without a run or a helper, from
 * two seconds after the last one on: what may wait for company has been written by then. */
#include "daemon/daemon.h"

#include "port.h"

#define IDLE_AFTER_MS 2000

void wear_account(struct daemon *daemon)
{
    struct wear *wear = &daemon->wear;
    int64_t now_ms = daemon->loop.now_ms;
    uint64_t bytes, syncs;

    if (!port_wear(&bytes, &syncs))
        return;
    if (daemon->engine.table.count > 0 || daemon->loop.helpers != NULL)
        wear->busy_ms = now_ms;
    bool is_idle = now_ms - wear->busy_ms >= IDLE_AFTER_MS;
    /* The turn in which a run begins is that run's. */
    if (is_idle && now_ms > wear->seen_ms) {
        int64_t from_ms = wear->busy_ms + IDLE_AFTER_MS;
        wear->idle_ms += now_ms - (from_ms > wear->seen_ms ? from_ms : wear->seen_ms);
    }
    if (is_idle && wear->was_idle) {
        wear->idle_bytes += bytes - wear->seen_bytes;
        wear->idle_syncs += syncs - wear->seen_syncs;
    }
    wear->was_idle = is_idle;
    wear->seen_ms = now_ms;
    wear->seen_bytes = bytes;
    wear->seen_syncs = syncs;
}

void wear_begin(struct daemon *daemon)
{
    daemon->wear = (struct wear){.busy_ms = daemon->loop.now_ms,
                                 .seen_ms = daemon->loop.now_ms,
                                 .first_seq = daemon->journal.next_seq};
}

void wear_write(struct daemon *daemon, struct json_writer *w)
{
    const struct wear *wear = &daemon->wear;
    uint64_t bytes, syncs;

    if (!port_wear(&bytes, &syncs))
        return;
    wear_account(daemon);
    json_key(w, "disk");
    json_object(w);
    json_put_u64(w, "bytes_written", bytes);
    json_put_u64(w, "syncs", syncs);
    json_put_u64(w, "events", journal_last_seq(&daemon->journal) + 1 - wear->first_seq);
    json_put_u64(w, "runs_ended", daemon->engine.metrics.runs_ended);
    json_key(w, "idle");
    json_object(w);
    json_put_i64(w, "seconds", wear->idle_ms / 1000);
    json_put_u64(w, "bytes_written", wear->idle_bytes);
    json_put_u64(w, "syncs", wear->idle_syncs);
    json_object_end(w);
    json_object_end(w);
}
