#include "daemon/identity.h"

#include "json/check.h"
#include "json/read.h"
#include "json/write.h"
#include "port.h"
#include "project/project.h"

#include <string.h>

static enum err new_id(struct identity *identity, int64_t wall_ms)
{
    struct ulid ulid = {.last_ms = 0};
    unsigned char fresh[10];
    char text[ULID_LENGTH + 1];

    enum err err = port_random(fresh, sizeof fresh);
    if (err != OK)
        return err;
    ulid_next(&ulid, (uint64_t)wall_ms, fresh, text);
    struct out out = OUT_ON(identity->id);
    out_text(&out, "d-");
    out_text(&out, text);
    out_cstr(&out);
    return OK;
}

static void path_of(const char *directory, const char *name, char path[LIMIT_PATH])
{
    struct out out = out_on(path, LIMIT_PATH);
    out_format(&out, "%s/%s", directory, name);
    out_cstr(&out);
}

/* Both files have this length from their beginning, one sector of a disk: written in place they need no space. */
#define FILE_BYTES 512

static void write_text(const struct identity *identity, char bytes[FILE_BYTES])
{
    struct out out = out_on(bytes, FILE_BYTES - 1);
    struct json_writer w = json_writer(&out);

    json_object(&w);
    json_put_text(&w, "id", identity->id);
    json_put_i64(&w, "epoch", identity->epoch);
    if (identity->previous_id[0] != '\0')
        json_put_text(&w, "previous_id", identity->previous_id);
    json_object_end(&w);
    memset(bytes + out.n, ' ', FILE_BYTES - out.n);
    bytes[FILE_BYTES - 1] = '\n';
}

static enum err put(const char *path, enum port_open how, const char bytes[FILE_BYTES])
{
    size_t written;
    int fd;

    enum err err = port_open(path, how, &fd);
    if (err != OK)
        return err;
    err = port_write_at(fd, str_range(bytes, FILE_BYTES), 0, &written);
    if (err == OK)
        err = port_sync(fd);
    port_close(fd);
    return err;
}

/* A new file in the place of the old one, whole or not at all.  The spare comes after it, since it is of no use before. */
static enum err replace_file(const char *directory, const char *path, const char *spare,
                             const char bytes[FILE_BYTES])
{
    char temporary[LIMIT_PATH];

    path_of(directory, "daemon.json.new", temporary);
    enum err err = put(temporary, PORT_TRUNCATE, bytes);
    if (err == OK)
        err = port_rename(temporary, path);
    if (err == OK)
        err = port_sync_directory(directory);
    if (err != OK)
        return err;
    /* Without it a later start needs a disk that has room. */
    if (put(spare, PORT_TRUNCATE, bytes) == OK)
        (void)port_sync_directory(directory);
    return OK;
}

/* A start must be possible on a disk that is full: so both files are written in place, the spare first, and one of them is whole whatever
 * happens meanwhile. */
static enum err write_file(const struct identity *identity, const char *directory)
{
    char bytes[FILE_BYTES], spare[LIMIT_PATH], path[LIMIT_PATH];
    struct port_stat stat;

    write_text(identity, bytes);
    path_of(directory, "daemon.json", path);
    path_of(directory, "daemon.json.spare", spare);
    bool in_place = port_stat(path, &stat) == OK && stat.size == FILE_BYTES &&
                    port_stat(spare, &stat) == OK && stat.size == FILE_BYTES;
    if (!in_place)
        return replace_file(directory, path, spare, bytes);
    enum err err = put(spare, PORT_READ_WRITE, bytes);
    return err == OK ? put(path, PORT_READ_WRITE, bytes) : err;
}

static enum err read_file(struct identity *identity, const char *path)
{
    static const struct json_field fields[] = {
        {"id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct identity, id), LIMIT_DAEMON_ID + 1,
         0, 0},
        {"epoch", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct identity, epoch), 0, 0,
         INT64_MAX - 1},
        {"previous_id", JSON_FIELD_TEXT, 0, offsetof(struct identity, previous_id),
         LIMIT_DAEMON_ID + 1, 0, 0},
    };
    struct json_field_error problem;
    char bytes[1024];
    size_t got;

    memset(identity, 0, sizeof *identity);
    enum err err = port_read_file(path, bytes, sizeof bytes, &got);
    if (err != OK)
        return err == ERR_TOO_LARGE ? ERR_DAMAGED : err;
    struct str text = str_trim(str_range(bytes, got));
    if (json_check(text, LIMIT_JSON_DEPTH, NULL) != OK ||
        json_read(text, fields, 3, identity, &problem) != OK ||
        !project_is_id(str_of(identity->id)))
        return ERR_DAMAGED;
    return OK;
}

enum err identity_start(struct identity *identity, const char *directory, int64_t wall_ms)
{
    char path[LIMIT_PATH];

    path_of(directory, "daemon.json", path);
    enum err err = read_file(identity, path);
    if (err == ERR_NOT_FOUND)
        err = new_id(identity, wall_ms);
    if (err == ERR_DAMAGED) {
        /* Torn, when the power went while it was written: the spare was whole by then. */
        path_of(directory, "daemon.json.spare", path);
        if (read_file(identity, path) == OK)
            err = OK;
    }
    if (err != OK)
        return err;
    identity->epoch++;
    return write_file(identity, directory);
}

enum err identity_fork(struct identity *identity, const char *directory, int64_t wall_ms)
{
    char old[LIMIT_DAEMON_ID + 1];

    memcpy(old, identity->id, sizeof old);
    enum err err = new_id(identity, wall_ms);
    if (err != OK)
        return err;
    memcpy(identity->previous_id, old, sizeof old);
    return write_file(identity, directory);
}
