#include "run/quota.h"

#include "base/log.h"
#include "json/read.h"

#include <string.h>

#define EVICTIONS 16 /* as many as an answer names; more go with the next try */

/* The oldest ended run that has artifacts, and how many bytes; those before it have none and are passed over. */
static struct ended_run *next_holder(struct engine *engine, int64_t *bytes)
{
    char directory[LIMIT_PATH];
    struct ended_run *ended;

    while ((ended = table_oldest_ended(&engine->table)) != NULL) {
        source_run_path(engine, ended->id, "", directory);
        *bytes = artifact_total_of(directory);
        if (*bytes > 0)
            return ended;
        ended->status = RUN_NONE;
    }
    return NULL;
}

enum quota quota_check(struct engine *engine, int64_t bytes, struct out *answer,
                       char words[QUOTA_WORDS])
{
    struct json_writer w = json_writer(answer);
    struct out out = out_on(words, QUOTA_WORDS);
    char directory[LIMIT_PATH];
    struct ended_run *ended;
    int64_t freed, of_run;
    unsigned count = 0;

    source_run_path(engine, "", "", directory);
    int64_t total = artifact_total(directory), left = total;
    if (left + bytes <= LIMIT_ARTIFACTS)
        return QUOTA_FITS;
    json_array(&w);
    for (freed = 0; total - freed + bytes > LIMIT_ARTIFACTS; freed += of_run) {
        ended = next_holder(engine, &of_run);
        if (ended == NULL)
            break;
        if (count++ < EVICTIONS)
            json_u64(&w, ended->created_seq);
        ended->status = RUN_NONE;
    }
    json_array_end(&w);
    if (total - freed + bytes <= LIMIT_ARTIFACTS)
        return QUOTA_EVICTS;
    out_reset(answer);
    out_format(
        &out,
        "%lld bytes would not fit: all artifacts hold %lld bytes, the limit is %lld, and runs "
        "that have ended hold only %lld of them",
        (long long)bytes, (long long)total, (long long)LIMIT_ARTIFACTS, (long long)freed);
    out_cstr(&out);
    return QUOTA_EXCEEDED;
}

void quota_evict(struct engine *engine, struct str answer)
{
    struct json_walk walk = json_walk(answer);
    struct str name, value;
    int64_t seq;

    while (json_walk_next(&walk, &name, &value)) {
        for (size_t i = 0; i < LIMIT_RETAIN_RUNS; i++) {
            struct ended_run *ended = &engine->table.ended[i];
            if (ended->status == RUN_NONE || !json_integer(value, &seq) ||
                ended->created_seq != (uint64_t)seq)
                continue;
            log_info("run", "run %s is retained no longer: a new artifact needs the space of its",
                     ended->id);
            ended->status = RUN_NONE;
        }
    }
    engine->remover_wanted = true;
    engine_clean_up(engine);
}
