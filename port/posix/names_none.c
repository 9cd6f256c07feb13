/* In the place of names.c where users and groups are given as numbers alone. */
#include "internal.h"

static enum err find(const char *text, int64_t *number)
{
    uint64_t read;

    if (!str_to_u64(str_of(text), &read) || read >= UINT32_MAX)
        return port_fail_text(ERR_NOT_FOUND, "this build takes numbers only (USER_NAMES)");
    *number = (int64_t)read;
    return OK;
}

enum err port_find_user(const char *user, int64_t *uid, int64_t *gid)
{
    enum err err = find(user, uid);
    if (err == OK)
        *gid = *uid;
    return err;
}

enum err port_find_group(const char *group, int64_t *gid)
{
    return find(group, gid);
}
