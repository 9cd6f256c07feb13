/* Owns no state but the caller's. */
#include "link/secret.h"

#include <string.h>

void secret_look(struct secret *secret)
{
    if (secret->path == NULL || secret->path[0] == '\0' ||
        port_stat(secret->path, &secret->seen) != OK)
        memset(&secret->seen, 0, sizeof secret->seen);
}

enum err secret_read(struct secret *secret, char *buffer, size_t size, struct str *text)
{
    size_t got = 0;

    *text = STR_NONE;
    if (secret->path == NULL || secret->path[0] == '\0')
        return OK;
    secret_look(secret); /* before the reading: a change in between is seen as one later */
    enum err err = port_read_regular_file(secret->path, buffer, size, &got);
    if (err == OK)
        *text = str_trim(str_range(buffer, got));
    return err;
}

bool secret_has_changed(const struct secret *secret)
{
    struct port_stat now;
    const struct port_stat *seen = &secret->seen;

    if (secret->path == NULL || secret->path[0] == '\0' || port_stat(secret->path, &now) != OK)
        return false;
    return now.mtime_ms != seen->mtime_ms || now.size != seen->size || now.inode != seen->inode ||
           now.device != seen->device;
}
