/* Confines a fresh child by Landlock, the kernel's way for a process to give up rights for itself and
 * all that come of it: it may read and execute what its user may, but change files in a few
 * directories alone; it can signal and trace no process outside of its own family.  The numbers are
 * the kernel's interface; its headers are not everywhere. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include "autoconf.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef CONFIG_LANDLOCK
#define IS_BUILT_IN true
#else
#define IS_BUILT_IN false
#endif

/* The same on nearly every architecture; where not, the system's headers say so or there is none. */
#ifdef SYS_landlock_create_ruleset
enum {
    CREATE_RULESET = SYS_landlock_create_ruleset,
    ADD_RULE = SYS_landlock_add_rule,
    RESTRICT_SELF = SYS_landlock_restrict_self
};
#elif defined(__mips__) || defined(__alpha__) || (defined(__x86_64__) && defined(__ILP32__))
enum { CREATE_RULESET = -1, ADD_RULE = -1, RESTRICT_SELF = -1 };
#else
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };
#endif
enum { VERSION_WANTED = 1, RULE_BENEATH = 1 };
enum {
    EXECUTE = 1 << 0,
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIRECTORY = 1 << 3,
    ALL_OF_1 = (1 << 13) - 1,
    REFER = 1 << 13,        /* version 2 */
    TRUNCATE = 1 << 14,     /* 3 */
    IOCTL_DEVICE = 1 << 15, /* 5 */
    SCOPE_SIGNAL = 1 << 1   /* 6 */
};
enum { ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE };

struct ruleset {
    uint64_t files, net, scoped;
};

struct beneath {
    uint64_t allowed;
    int32_t directory;
} __attribute__((packed));

int port_confinement(void)
{
    long version =
        IS_BUILT_IN ? syscall(CREATE_RULESET, NULL, (size_t)0, (unsigned)VERSION_WANTED) : 0;
    return version > 0 ? (int)version : 0;
}

/* What is not there cannot be written to. */
static bool allow(int rules, const char *path, uint64_t rights)
{
    struct beneath beneath = {.allowed = rights};
    struct stat stat;

    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd == -1)
        return true;
    beneath.directory = fd;
    if (fstat(fd, &stat) == 0 && !S_ISDIR(stat.st_mode))
        beneath.allowed &= ON_FILES;
    bool done = syscall(ADD_RULE, rules, RULE_BENEATH, &beneath, 0U) == 0;
    close(fd);
    return done;
}

bool port_confine(const char *const *writable)
{
    static const char *const temporary[] = {"/tmp", "/var/tmp", "/dev/shm"};
    int version = port_confinement();
    struct ruleset ruleset = {.files = ALL_OF_1};
    uint64_t all, device = WRITE_FILE;

    if (version == 0)
        return true;
    ruleset.files |= version >= 2 ? REFER : 0;
    ruleset.files |= version >= 3 ? TRUNCATE : 0;
    ruleset.files |= version >= 5 ? IOCTL_DEVICE : 0;
    ruleset.scoped = version >= 6 ? SCOPE_SIGNAL : 0;
    all = ruleset.files;
    device |= all & (TRUNCATE | IOCTL_DEVICE);
    int rules = (int)syscall(CREATE_RULESET, &ruleset,
                             version >= 6   ? sizeof ruleset
                             : version >= 4 ? 2 * sizeof(uint64_t)
                                            : sizeof(uint64_t),
                             0U);
    if (rules == -1)
        return false;
    bool done = allow(rules, "/", EXECUTE | READ_FILE | READ_DIRECTORY) &&
                allow(rules, "/dev", device) && allow(rules, "/proc", device);
    for (size_t i = 0; i < sizeof temporary / sizeof temporary[0]; i++)
        done = done && allow(rules, temporary[i], all);
    for (; *writable != NULL; writable++)
        done = done && allow(rules, *writable, all);
    done = done && prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == 0 &&
           syscall(RESTRICT_SELF, rules, 0U) == 0;
    int number = errno;
    close(rules);
    errno = number;
    return done;
}
