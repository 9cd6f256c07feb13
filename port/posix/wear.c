/* Owns the count of what reaches the disk: bytes written into files and calls that wait until they are there.  The numbers stand in memory that
 * forked helpers share, so that what they write counts like our own.  Before port_wear_begin() nothing is counted. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, which every system has and POSIX has not */
#include "internal.h"

#include <sys/mman.h>

#if __GCC_ATOMIC_LLONG_LOCK_FREE == 2

struct counter {
    uint64_t all;
};

static void add(struct counter *counter, uint32_t n)
{
    __atomic_fetch_add(&counter->all, n, __ATOMIC_SEQ_CST);
}

static uint64_t value_of(const struct counter *counter)
{
    return __atomic_load_n(&counter->all, __ATOMIC_SEQ_CST);
}

#else

/* Halves, where a processor of 32 bits has no atomic addition of 64. A reader between the two additions of one sees 4 GiB too few. */
struct counter {
    uint32_t low, high;
};

static void add(struct counter *counter, uint32_t n)
{
    uint32_t before = __atomic_fetch_add(&counter->low, n, __ATOMIC_SEQ_CST);
    if (before > UINT32_MAX - n)
        __atomic_fetch_add(&counter->high, 1, __ATOMIC_SEQ_CST);
}

static uint64_t value_of(const struct counter *counter)
{
    uint32_t low, high;

    do {
        high = __atomic_load_n(&counter->high, __ATOMIC_SEQ_CST);
        low = __atomic_load_n(&counter->low, __ATOMIC_SEQ_CST);
    } while (high != __atomic_load_n(&counter->high, __ATOMIC_SEQ_CST));
    return (uint64_t)high << 32 | low;
}

#endif

static struct counters {
    struct counter bytes, syncs;
} * counters;

void port_wear_begin(void)
{
    const int access = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_ANONYMOUS;
    /* Without a file there is no descriptor. */
    // cppcheck-suppress invalidFunctionArg
    void *page = mmap(NULL, sizeof *counters, access, kind, -1, 0);

    if (page != MAP_FAILED)
        counters = page;
}

void port_wear_wrote(size_t n)
{
    if (counters != NULL)
        add(&counters->bytes, (uint32_t)n);
}

void port_wear_synced(void)
{
    if (counters != NULL)
        add(&counters->syncs, 1);
}

bool port_wear(uint64_t *bytes, uint64_t *syncs)
{
    *bytes = counters == NULL ? 0 : value_of(&counters->bytes);
    *syncs = counters == NULL ? 0 : value_of(&counters->syncs);
    return counters != NULL;
}
