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

static enum err write_file(const struct identity *identity, const char *directory)
{
    char bytes[512], temporary[LIMIT_PATH], path[LIMIT_PATH];
    struct out out = OUT_ON(bytes);
    struct json_writer w = json_writer(&out);
    size_t put;
    int fd;

    json_object(&w);
    json_put_text(&w, "id", identity->id);
    json_put_i64(&w, "epoch", identity->epoch);
    if (identity->previous_id[0] != '\0')
        json_put_text(&w, "previous_id", identity->previous_id);
    json_object_end(&w);
    out_byte(&out, '\n');

    path_of(directory, "daemon.json.new", temporary);
    path_of(directory, "daemon.json", path);
    enum err err = port_open(temporary, PORT_TRUNCATE, &fd);
    if (err != OK)
        return err;
    err = port_write_at(fd, out_view(&out), 0, &put);
    if (err == OK)
        err = port_sync(fd);
    port_close(fd);
    if (err == OK)
        err = port_rename(temporary, path);
    if (err == OK)
        err = port_sync_directory(directory);
    return err;
}

enum err identity_start(struct identity *identity, const char *directory, int64_t wall_ms)
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
    char bytes[1024], path[LIMIT_PATH];
    size_t got;

    memset(identity, 0, sizeof *identity);
    path_of(directory, "daemon.json", path);
    enum err err = port_read_file(path, bytes, sizeof bytes, &got);
    if (err == ERR_NOT_FOUND) {
        err = new_id(identity, wall_ms);
    } else if (err == OK) {
        struct str text = str_trim(str_range(bytes, got));
        if (json_check(text, LIMIT_JSON_DEPTH, NULL) != OK ||
            json_read(text, fields, 3, identity, &problem) != OK ||
            !project_is_id(str_of(identity->id)))
            return ERR_DAMAGED;
    }
    if (err != OK)
        return err == ERR_TOO_LARGE ? ERR_DAMAGED : err;
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
