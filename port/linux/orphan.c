/* What becomes of our children when we die, and finding them after that.  Children die with us,
 * orphaned descendants become ours, and processes of a daemon that died are found by a mark in
 * their environment. */
#define _GNU_SOURCE
#include "../posix/internal.h"
#include "base/out.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void port_die_with_parent(int64_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* It may have died before the call: then the signal will never come. */
    if ((int64_t)getppid() != parent)
        _exit(127);
}

bool port_become_subreaper(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) == 0;
}

enum err port_children(void (*each)(void *context, int64_t pid), void *context)
{
    char path[64], bytes[512];
    struct out out = OUT_ON(path);
    int64_t pid = 0;
    ssize_t got;

    out_format(&out, "/proc/self/task/%ld/children", (long)getpid());
    int fd = open(out_cstr(&out), O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        port_fail();
        return ERR_UNSUPPORTED;
    }
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] >= '0' && bytes[i] <= '9') {
                pid = pid * 10 + (bytes[i] - '0');
            } else if (pid > 0) {
                each(context, pid);
                pid = 0;
            }
        }
    close(fd);
    return OK;
}

/* Whether one of the NUL-ended strings in the file is `entry`; read by pieces, as an environment
 * may be long. */
static bool holds(int fd, const char *entry)
{
    char bytes[1024];
    size_t want = strlen(entry), at = 0; /* how much of this string agrees so far */
    bool differs = false;
    ssize_t got;

    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] == '\0') {
                if (!differs && at == want)
                    return true;
                at = 0;
                differs = false;
            } else if (differs || at >= want || bytes[i] != entry[at]) {
                differs = true;
            } else {
                at++;
            }
        }
    return false;
}

bool port_is_marked(int64_t pid, const char *name_and_value)
{
    char path[64];
    struct out out = OUT_ON(path);

    out_format(&out, "/proc/%" PRId64 "/environ", pid);
    int fd = open(out_cstr(&out), O_RDONLY | O_CLOEXEC);
    if (fd == -1) /* gone already, or another's: then it is none of ours */
        return false;
    bool found = holds(fd, name_and_value);
    port_close(fd);
    return found;
}

struct search {
    const char *name_and_value;
    void (*each)(void *context, int64_t pid);
    void *context;
};

static bool look_at(void *context, const char *name)
{
    const struct search *search = context;
    uint64_t pid;

    if (str_to_u64(str_of(name), &pid) && pid != (uint64_t)getpid() &&
        port_is_marked((int64_t)pid, search->name_and_value))
        search->each(search->context, (int64_t)pid);
    return true;
}

enum err port_find_marked(const char *name_and_value, void (*each)(void *context, int64_t pid),
                          void *context)
{
    struct search search = {name_and_value, each, context};

    return port_list("/proc", look_at, &search) == OK ? OK : ERR_UNSUPPORTED;
}
