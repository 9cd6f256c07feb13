/* Owns the names of files and what stands behind them; never their bytes. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PATH_MAX /* not where there is no bound; this is what is met in practice */
#define PATH_MAX 4096
#endif

static void fill(struct port_stat *stat, const struct stat *found)
{
    *stat = (struct port_stat){
        .kind = S_ISREG(found->st_mode)    ? PORT_FILE
                : S_ISDIR(found->st_mode)  ? PORT_DIRECTORY
                : S_ISLNK(found->st_mode)  ? PORT_SYMLINK
                : S_ISSOCK(found->st_mode) ? PORT_SOCKET
                                           : PORT_OTHER,
        .size = (int64_t)found->st_size,
        .mtime_ms = (int64_t)found->st_mtim.tv_sec * 1000 + found->st_mtim.tv_nsec / 1000000,
        .uid = (int64_t)found->st_uid,
        .inode = (uint64_t)found->st_ino,
        .device = (uint64_t)found->st_dev,
        .exposed = (found->st_mode & (S_IROTH | S_IWOTH)) != 0,
    };
}

enum err port_stat(const char *path, struct port_stat *stat_out)
{
    struct stat found;

    if (stat(path, &found) == -1)
        return port_fail();
    fill(stat_out, &found);
    stat_out->executable = stat_out->kind == PORT_FILE && access(path, X_OK) == 0;
    return OK;
}

enum err port_stat_fd(int fd, struct port_stat *stat_out)
{
    struct stat found;

    if (fstat(fd, &found) == -1)
        return port_fail();
    fill(stat_out, &found);
    stat_out->executable =
        stat_out->kind == PORT_FILE && (found.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
    return OK;
}

enum err port_rename(const char *from, const char *to)
{
    return rename(from, to) == -1 ? port_fail() : OK;
}

enum err port_unlink(const char *path)
{
    return unlink(path) == -1 ? port_fail() : OK;
}

enum err port_make_directory(const char *path, unsigned mode)
{
    return mkdir(path, (mode_t)mode) == -1 ? port_fail() : OK;
}

enum err port_remove_directory(const char *path)
{
    return rmdir(path) == -1 ? port_fail() : OK;
}

enum err port_set_owner(const char *path, int64_t uid, int64_t gid)
{
    return chown(path, (uid_t)uid, (gid_t)gid) == -1 ? port_fail() : OK;
}

enum err port_set_mode(const char *path, unsigned mode)
{
    return chmod(path, (mode_t)mode) == -1 ? port_fail() : OK;
}

enum err port_symlink(const char *target, const char *path)
{
    return symlink(target, path) == -1 ? port_fail() : OK;
}

enum err port_real_path(const char *path, char *to, size_t size)
{
    char found[PATH_MAX];

    if (realpath(path, found) == NULL)
        return port_fail();
    return str_copy(str_of(found), to, size) ? OK : port_fail_with(ENAMETOOLONG);
}

enum err port_current_directory(char *to, size_t size)
{
    return getcwd(to, size) == NULL ? port_fail() : OK;
}
