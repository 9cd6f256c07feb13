/* Names of users and groups become numbers. */
#include "internal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/types.h>

enum err port_find_user(const char *user, int64_t *uid, int64_t *gid)
{
    uint64_t number;
    struct passwd *found;
    bool is_number = str_to_u64(str_of(user), &number) && number < UINT32_MAX;

    errno = 0;
    /* A helper has one thread. */
    // cppcheck-suppress [getpwuidCalled, getpwnamCalled]
    found = is_number ? getpwuid((uid_t)number) : getpwnam(user);
    if (found == NULL && !is_number)
        return errno == 0 ? port_fail_text(ERR_NOT_FOUND, "no such user") : port_fail();
    /* A number needs no entry; its group then has the same number. */
    *uid = found == NULL ? (int64_t)number : (int64_t)found->pw_uid;
    *gid = found == NULL ? (int64_t)number : (int64_t)found->pw_gid;
    return OK;
}

enum err port_find_group(const char *group, int64_t *gid)
{
    uint64_t number;

    if (str_to_u64(str_of(group), &number) && number < UINT32_MAX) {
        *gid = (int64_t)number;
        return OK;
    }
    errno = 0;
    // cppcheck-suppress getgrnamCalled
    struct group *found = getgrnam(group);
    if (found == NULL)
        return errno == 0 ? port_fail_text(ERR_NOT_FOUND, "no such group") : port_fail();
    *gid = (int64_t)found->gr_gid;
    return OK;
}
