/* What a fresh child is given less of than we have, and the signals it starts with.
 * Async-signal-safe calls only. */
#include "internal.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

void port_child_signals(void)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    for (int number = 1; number <= SIGRTMAX; number++)
        sigaction(number, &action, NULL); /* refused for SIGKILL and SIGSTOP: no matter */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit now;

    if (getrlimit(resource, &now) == -1)
        return;
    if (now.rlim_max != RLIM_INFINITY && hard > now.rlim_max)
        hard = now.rlim_max;
    now.rlim_cur = soft < hard ? soft : hard;
    now.rlim_max = hard;
    setrlimit(resource, &now);
}

void port_limit(int64_t memory_bytes, int64_t cpu_s, int64_t open_files, int64_t processes)
{
    if (memory_bytes > 0)
        limit(RLIMIT_AS, (rlim_t)memory_bytes, (rlim_t)memory_bytes);
    if (cpu_s > 0) /* SIGXCPU first, SIGKILL a second later should it be ignored */
        limit(RLIMIT_CPU, (rlim_t)cpu_s, (rlim_t)cpu_s + 1);
    if (open_files > 0)
        limit(RLIMIT_NOFILE, (rlim_t)open_files, (rlim_t)open_files);
#ifdef RLIMIT_NPROC
    if (processes > 0)
        limit(RLIMIT_NPROC, (rlim_t)processes, (rlim_t)processes);
#else
    (void)processes;
#endif
}

bool port_limits_memory(void)
{
    struct rlimit before, now;

    if (getrlimit(RLIMIT_AS, &before) == -1)
        return false;
    /* A soft limit that no process of ours comes near, for a moment: is it remembered? */
    now = before;
    now.rlim_cur = (rlim_t)1 << (sizeof(void *) > 4 ? 46 : 31);
    if (before.rlim_cur != RLIM_INFINITY && before.rlim_cur <= now.rlim_cur)
        return true; /* there is one already */
    rlim_t wanted = now.rlim_cur;
    if (setrlimit(RLIMIT_AS, &now) == -1 || getrlimit(RLIMIT_AS, &now) == -1)
        return false;
    bool binds = now.rlim_cur == wanted;
    setrlimit(RLIMIT_AS, &before);
    return binds;
}

void port_limit_core(void)
{
    limit(RLIMIT_CORE, 0, 0);
}
