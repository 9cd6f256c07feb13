/* When to dial again (contract §6): pure functions of counters and of a random number that is given. */
#ifndef LINK_BACKOFF_H
#define LINK_BACKOFF_H

#include <stdint.h>

#define BACKOFF_INITIAL_MS 1000
#define BACKOFF_MAX_MS 300000
#define BACKOFF_STABLE_MS 30000 /* a session that lasted so long was a working one */
#define BACKOFF_RETRY_AFTER_MAX_MS 3600000

struct backoff {
    unsigned failures; /* since the last working session */
    int64_t initial_ms, max_ms;
};

/* min(initial × 2ⁿ, max). */
int64_t backoff_window_ms(const struct backoff *backoff);
/* Full jitter: uniform in the window; what Retry-After asks (0: nothing) goes before it, so that those who were told
 * the same do not come back in the same moment.  Counts one more failure. */
int64_t backoff_next_ms(struct backoff *backoff, int64_t retry_after_ms, uint32_t random);
/* The slowest pace: uniform in [max / 2, max]. */
int64_t backoff_slowest_ms(const struct backoff *backoff, int64_t retry_after_ms, uint32_t random);
/* A session has ended that worked for so long. */
void backoff_worked(struct backoff *backoff, int64_t session_ms);

#endif
