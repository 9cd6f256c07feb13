/* Owns the arithmetic of waiting, no clock and no random source.  Invariant: no wait is above max + Retry-After's cap. */
#include "link/backoff.h"

int64_t backoff_window_ms(const struct backoff *backoff)
{
    int64_t window = backoff->initial_ms;

    for (unsigned n = 0; n < backoff->failures && window < backoff->max_ms; n++)
        window *= 2;
    return window < backoff->max_ms ? window : backoff->max_ms;
}

/* Uniform in [0, span]; a window is below 2^32 ms, so that the product fits. */
static int64_t uniform(int64_t span, uint32_t random)
{
    return (int64_t)((uint64_t)(span + 1) * random >> 32);
}

static int64_t minimum(int64_t retry_after_ms)
{
    if (retry_after_ms < 0)
        return 0;
    return retry_after_ms < BACKOFF_RETRY_AFTER_MAX_MS ? retry_after_ms
                                                       : BACKOFF_RETRY_AFTER_MAX_MS;
}

int64_t backoff_next_ms(struct backoff *backoff, int64_t retry_after_ms, uint32_t random)
{
    int64_t wait = minimum(retry_after_ms) + uniform(backoff_window_ms(backoff), random);

    if (backoff->failures < 63)
        backoff->failures++;
    return wait;
}

int64_t backoff_slowest_ms(const struct backoff *backoff, int64_t retry_after_ms, uint32_t random)
{
    int64_t half = backoff->max_ms / 2, wait = half + uniform(backoff->max_ms - half, random);
    int64_t least = minimum(retry_after_ms);

    return wait > least ? wait : least + uniform(half, random);
}

void backoff_worked(struct backoff *backoff, int64_t session_ms)
{
    if (session_ms >= BACKOFF_STABLE_MS)
        backoff->failures = 0;
}
