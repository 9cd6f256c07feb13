#include "run/table.h"

#include "base/assert.h"

#include <string.h>

struct run *table_find(struct run_table *table, struct str run_id)
{
    for (size_t i = 0; i < LIMIT_RUNS; i++)
        if (table->runs[i].status != RUN_NONE && str_is(run_id, table->runs[i].id))
            return &table->runs[i];
    return NULL;
}

struct ended_run *table_find_ended(struct run_table *table, struct str run_id)
{
    for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++)
        if (table->ended[i].status != RUN_NONE && str_is(run_id, table->ended[i].id))
            return &table->ended[i];
    return NULL;
}

/* First fit over the slices of the live runs.  The pool holds the longest plan for every slot, so a hole is wanting only when
 * many long plans have come and gone in an unlucky order; the caller says "busy" then. */
static bool find_slice(const struct run_table *table, unsigned steps, uint32_t *first)
{
    uint32_t at = 0;
    bool moved = true;

    while (moved) {
        moved = false;
        for (size_t i = 0; i < LIMIT_RUNS; i++) {
            const struct run *run = &table->runs[i];
            uint32_t end = run->step_first + run->step_count;
            if (run->status != RUN_NONE && run->step_first < at + steps && end > at) {
                at = end;
                moved = true;
            }
        }
    }
    *first = at;
    return at + steps <= LIMIT_STEP_RECORDS;
}

struct run *table_add(struct run_table *table, unsigned steps)
{
    uint32_t first;

    ASSERT(steps <= LIMIT_STEPS);
    if (!find_slice(table, steps, &first))
        return NULL;
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *run = &table->runs[i];
        if (run->status != RUN_NONE)
            continue;
        memset(run, 0, sizeof *run);
        memset(&table->steps[first], 0, steps * sizeof table->steps[0]);
        run->step_first = first;
        run->step_count = (uint16_t)steps;
        run->failed_step = LIMIT_STEPS;
        table->count++;
        return run;
    }
    return NULL;
}

void table_remove(struct run_table *table, struct run *run)
{
    run->status = RUN_NONE;
    table->count--;
}

/* By the journal's order: clocks may jump, and a device may begin every life in 1970. */
static bool ended_before(const struct ended_run *a, const struct ended_run *b)
{
    return a->ended.segment != b->ended.segment ? a->ended.segment < b->ended.segment
                                                : a->ended.offset < b->ended.offset;
}

/* --- places ------------------------------------------------------------------------------------------------------- */

/* The run's places one after the other: three of its own, then those of its steps; NULL at the end. */
static struct journal_place *place_at(struct run_table *table, struct run *run, unsigned i)
{
    switch (i) {
    case 0:
        return &run->created;
    case 1:
        return &run->failed;
    case 2:
        return &run->cancel;
    default:
        return i - 3 < run->step_count ? &table_steps(table, run)[i - 3].ended : NULL;
    }
}

bool table_oldest_place(struct run_table *table, const struct run *run,
                        struct journal_place *oldest)
{
    struct run copy = *run;
    const struct journal_place *place;

    *oldest = (struct journal_place){UINT32_MAX, 0, 0};
    for (unsigned i = 0; (place = place_at(table, &copy, i)) != NULL; i++)
        if (place->segment != 0 && place->segment < oldest->segment)
            *oldest = *place;
    return oldest->segment != UINT32_MAX;
}

int64_t table_place_bytes(struct run_table *table, const struct run *run)
{
    struct run copy = *run;
    const struct journal_place *place;
    int64_t bytes = 0;

    for (unsigned i = 0; (place = place_at(table, &copy, i)) != NULL; i++)
        bytes += place->length;
    return bytes;
}

void table_move(struct run_table *table, struct run *run, struct journal_place from,
                struct journal_place to)
{
    struct journal_place *place;

    for (unsigned i = 0; (place = place_at(table, run, i)) != NULL; i++)
        if (place->segment == from.segment && place->offset == from.offset)
            *place = to;
}

/* --- ended runs ---------------------------------------------------------------------------------------------------- */

struct ended_run *table_oldest_ended(struct run_table *table)
{
    struct ended_run *oldest = NULL;

    for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++) {
        struct ended_run *ended = &table->ended[i];
        if (ended->status != RUN_NONE && (oldest == NULL || ended_before(ended, oldest)))
            oldest = ended;
    }
    return oldest;
}

struct ended_run *table_add_ended(struct run_table *table, char evicted[LIMIT_RUN_ID + 1])
{
    struct ended_run *place = &table->ended[0];

    for (size_t i = 0; i < LIMIT_RETAIN_RUNS && place->status != RUN_NONE; i++)
        if (table->ended[i].status == RUN_NONE || ended_before(&table->ended[i], place))
            place = &table->ended[i];
    evicted[0] = '\0';
    if (place->status != RUN_NONE)
        memcpy(evicted, place->id, sizeof place->id);
    memset(place, 0, sizeof *place);
    return place;
}

void table_retire(struct run_table *table, struct run *run, struct journal_place ended,
                  char evicted[LIMIT_RUN_ID + 1])
{
    struct ended_run *place = table_add_ended(table, evicted);
    struct journal_place oldest;

    place->needs = table_oldest_place(table, run, &oldest) ? oldest.segment : ended.segment;
    place->status = run->status;
    memcpy(place->id, run->id, sizeof place->id);
    memcpy(place->inputs_digest, run->inputs_digest, sizeof place->inputs_digest);
    place->created_seq = run->created_seq;
    place->created = run->created;
    place->ended = ended;
    place->created_ms = run->created_ms;
    place->started_ms = run->started_ms;
    place->ended_ms = run->ended_ms;

    run->status = RUN_NONE;
    table->count--;
    if (run->counted)
        table->in_flight--;
}

struct step *table_steps(struct run_table *table, const struct run *run)
{
    return &table->steps[run->step_first];
}

unsigned table_index(const struct run_table *table, const struct run *run)
{
    return (unsigned)(run - table->runs);
}

bool table_previous(struct run_table *table, uint64_t before, struct run **run,
                    struct ended_run **ended)
{
    uint64_t best = 0;

    *run = NULL;
    *ended = NULL;
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        struct run *candidate = &table->runs[i];
        if (candidate->status != RUN_NONE && candidate->created_seq > best &&
            (before == 0 || candidate->created_seq < before)) {
            best = candidate->created_seq;
            *run = candidate;
        }
    }
    for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++) {
        struct ended_run *candidate = &table->ended[i];
        if (candidate->status != RUN_NONE && candidate->created_seq > best &&
            (before == 0 || candidate->created_seq < before)) {
            best = candidate->created_seq;
            *run = NULL;
            *ended = candidate;
        }
    }
    return best > 0;
}
