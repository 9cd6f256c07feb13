/* Owns the walk through the names of a directory. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum err port_list(const char *path, bool (*each)(void *context, const char *name), void *context)
{
    enum err err = OK;
    DIR *directory = opendir(path);

    if (directory == NULL)
        return port_fail();
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            if (errno != 0)
                err = port_fail();
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!each(context, entry->d_name))
            break;
    }
    closedir(directory);
    return err;
}
