#include "run/artifact.h"

#include "json/read.h"
#include "port.h"

bool artifact_read(struct str reference, struct artifact *artifact)
{
    static const struct json_field fields[] = {
        {"sha256", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct artifact, sha256), 65, 0, 0},
        {"bytes", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct artifact, bytes), 0, 0,
         INT64_MAX},
        {"path", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct artifact, path), 256, 0, 0},
        {"media_type", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct artifact, media_type), 128,
         0, 0},
    };
    struct json_field_error problem;
    struct str inner;

    return json_member(reference, "$artifact", &inner) &&
           json_read(inner, fields, sizeof fields / sizeof fields[0], artifact, &problem) == OK;
}

void artifact_write(struct json_writer *w, const struct artifact *artifact)
{
    json_object(w);
    json_key(w, "$artifact");
    json_object(w);
    json_put_text(w, "sha256", artifact->sha256);
    json_put_i64(w, "bytes", artifact->bytes);
    json_put_text(w, "path", artifact->path);
    json_put_text(w, "media_type", artifact->media_type);
    json_object_end(w);
    json_object_end(w);
}

static void path_in(const char *run_directory, const char *name, char path[LIMIT_PATH])
{
    struct out out = out_on(path, LIMIT_PATH);
    out_format(&out, "%s/artifacts%s%s", run_directory, name[0] == '\0' ? "" : "/", name);
    out_cstr(&out);
}

struct total {
    char path[LIMIT_PATH];
    int64_t bytes;
};

static bool add_file(void *context, const char *name)
{
    struct total *total = context;
    char path[LIMIT_PATH];
    struct out out = OUT_ON(path);
    struct port_stat stat;

    out_format(&out, "%s/%s", total->path, name);
    if (port_stat(out_cstr(&out), &stat) == OK && stat.kind == PORT_FILE)
        total->bytes += stat.size;
    return true;
}

int64_t artifact_total_of(const char *run_directory)
{
    struct total total = {.bytes = 0};
    struct out out = OUT_ON(total.path);

    out_format(&out, "%s/artifacts", run_directory);
    (void)port_list(out_cstr(&out), add_file, &total);
    return total.bytes;
}

static bool add_run(void *context, const char *name)
{
    struct total *total = context;
    char path[LIMIT_PATH];
    struct out out = OUT_ON(path);

    out_format(&out, "%s/%s", total->path, name);
    total->bytes += artifact_total_of(out_cstr(&out));
    return true;
}

int64_t artifact_total(const char *runs_directory)
{
    struct total total = {.bytes = 0};

    if (str_copy(str_of(runs_directory), total.path, sizeof total.path))
        (void)port_list(total.path, add_run, &total);
    return total.bytes;
}

enum err artifact_begin(const char *run_directory, char temporary[LIMIT_PATH], int *fd)
{
    char directory[LIMIT_PATH], name[32];
    struct out out = OUT_ON(name);

    path_in(run_directory, "", directory);
    (void)port_make_directory(directory, 0700);
    out_text(&out, ARTIFACT_HALF);
    out_i64(&out, port_pid());
    path_in(run_directory, out_cstr(&out), temporary);
    (void)port_unlink(temporary); /* a daemon that died may have left one of that number */
    return port_open(temporary, PORT_CREATE_NEW, fd);
}

void artifact_drop(const char *temporary, int fd)
{
    port_close(fd);
    (void)port_unlink(temporary);
}

enum err artifact_finish(const char *run_directory, const char *run_id, const char *temporary,
                         int fd, struct artifact *artifact)
{
    char directory[LIMIT_PATH], final[LIMIT_PATH];
    struct out out = OUT_ON(artifact->path);

    out_format(&out, ".charter/runs/%s/artifacts/%s", run_id, artifact->sha256);
    out_cstr(&out);
    path_in(run_directory, "", directory);
    path_in(run_directory, artifact->sha256, final);
    enum err err = port_sync(fd);
    if (err == OK)
        err = port_rename(temporary, final);
    if (err != OK) {
        artifact_drop(temporary, fd);
        return err;
    }
    port_close(fd);
    err = port_sync_directory(directory);
    return err == OK ? port_sync_directory(run_directory) : err;
}
