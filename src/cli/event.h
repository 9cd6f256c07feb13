/* One event of a run as the daemon sends it (contract §4), read into fields. */
#ifndef CLI_EVENT_H
#define CLI_EVENT_H

#include "base/limits.h"
#include "base/str.h"

#include <stdint.h>

struct cli_event {
    char type[40];
    char run_id[LIMIT_RUN_ID + 1]; /* "" for the daemon's own */
    char step_id[LIMIT_NAME + 1];  /* "" where it has none */
    char time[40];                 /* as sent */
    int64_t time_ms;               /* 0 where it could not be read */
    int64_t seq, attempt;          /* attempt 0: none */
    struct str data;               /* raw object, borrowed */
};

/* False when it is no event. */
bool cli_event_read(struct str raw, struct cli_event *event);

/* A member of the event's data: raw, STR_NONE where absent or null. */
struct str cli_event_data(const struct cli_event *event, const char *name);

#endif
