/* Making an artifact of a value: copied, hashed and synced by a helper, so that the loop never waits for a disk.  The name of the file is its
 * SHA-256, so the same content is stored once. */
#include "run/engine.h"
#include "run/quota.h"

#include "base/hash.h"
#include "json/check.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

#define STORE_TIMEOUT_MS 120000
#define STORE_AGAIN 2 /* exit code: when the runs that the answer names have gone */

/* --- in the helper -------------------------------------------------------------------------------------------------- */

struct store_source {
    const struct process *process;
    int fd;
    int64_t size;
    bool is_json; /* a file that is said to be JSON: nobody has checked it yet */
    struct json_check check;
};

static int say(struct out *answer, const char *kind, const char *message)
{
    struct json_writer w = json_writer(answer);
    json_object(&w);
    json_put_text(&w, "kind", kind);
    json_put_text(&w, "message", message);
    json_object_end(&w);
    return 1;
}

/* The directories that a result's path leads through, and the file itself, must be what they seem: no links, nothing outside. */
static bool is_inside(const char *directory, const char *path)
{
    char real[LIMIT_PATH], root[LIMIT_PATH];
    size_t n;

    if (port_real_path(directory, root, sizeof root) != OK ||
        port_real_path(path, real, sizeof real) != OK)
        return false;
    n = strlen(root);
    return strncmp(real, root, n) == 0 && real[n] == '/';
}

static enum err read_source(const struct store_source *source, int64_t offset, char *to,
                            size_t size, size_t *got)
{
    struct out out = out_on(to, size);
    const struct process *process = source->process;
    int64_t left = source->size - offset;

    if ((int64_t)size > left)
        size = (size_t)left;
    if (source->fd >= 0)
        return port_read_at(source->fd, to, size, offset, got);
    enum err err =
        intake_read(&process->intake, process->store_from + (uint64_t)offset, size, &out);
    *got = out.n;
    return err;
}

static enum err copy_hashing(struct store_source *source, int to, char sha_hex[65])
{
    char bytes[16384];
    unsigned char digest[32];
    struct sha256 sha;
    int64_t offset = 0;
    size_t got, put;

    sha256_start(&sha);
    json_check_start(&source->check, LIMIT_JSON_DEPTH);
    while (offset < source->size) {
        enum err err = read_source(source, offset, bytes, sizeof bytes, &got);
        if (err == OK && got == 0)
            err = ERR_END;
        if (err == OK && source->is_json)
            err = json_check_feed(&source->check, str_range(bytes, got));
        if (err == OK)
            err = port_write_at(to, str_range(bytes, got), offset, &put);
        if (err != OK)
            return err;
        sha256_add(&sha, str_range(bytes, got));
        offset += (int64_t)got;
    }
    if (source->is_json && json_check_end(&source->check) != OK)
        return ERR_SYNTAX;
    sha256_end(&sha, digest);
    struct out hex = out_on(sha_hex, 65);
    out_hex(&hex, digest, sizeof digest);
    out_cstr(&hex);
    return OK;
}

static int store_work(void *context, struct out *answer)
{
    struct process *process = context;
    const struct engine *engine = process->engine;
    struct store_source source = {
        .process = process, .fd = -1, .size = (int64_t)process->store_length};
    char directory[LIMIT_PATH], temporary[LIMIT_PATH];
    struct artifact artifact;
    struct port_stat stat;
    struct out out;
    int fd;

    if (process->intake.spill >= 0)
        process->intake.spill = HELPER_KEPT_FD;
    if (process->store_path[0] != '\0') {
        char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1], files[LIMIT_PATH], path[2 * LIMIT_PATH];
        if (source_names(process->engine, process->run, process->step, id, output) != OK)
            return say(answer, "template", "the run's plan.json cannot be read");
        source_run_path(engine, process->run->id, "files/", files);
        out = (struct out){.p = files, .cap = sizeof files, .n = strlen(files)};
        out_text(&out, id);
        out_cstr(&out);
        out = OUT_ON(path);
        out_format(&out, "%s/%s", files, process->store_path);
        out_cstr(&out);
        if (process->store_path[0] == '/' || !is_inside(files, path))
            return say(answer, "protocol",
                       "result.artifact.path must name a file inside artifacts_dir");
        if (port_open(path, PORT_READ, &source.fd) != OK || port_stat_fd(source.fd, &stat) != OK ||
            stat.kind != PORT_FILE)
            return say(answer, "protocol", "result.artifact.path is no file that can be read");
        source.size = stat.size;
        source.is_json = strcmp(process->store_media, "application/json") == 0;
    }
    if (source.size > LIMIT_ARTIFACT)
        return say(answer, "too_large", "the artifact is larger than an artifact may be");

    char words[QUOTA_WORDS];
    enum quota quota = quota_check(process->engine, source.size, answer, words);
    if (quota == QUOTA_EXCEEDED)
        return say(answer, "too_large", words);
    if (quota == QUOTA_EVICTS)
        return STORE_AGAIN;
    source_run_path(engine, process->run->id, "", directory);
    enum err err = artifact_begin(directory, temporary, &fd);
    if (err == OK) {
        err = copy_hashing(&source, fd, artifact.sha256);
        if (err == OK)
            err = artifact_finish(directory, process->run->id, temporary, fd, &artifact);
        else
            artifact_drop(temporary, fd);
    }
    if (err != OK) {
        out = OUT_ON(words);
        if (err == ERR_SYNTAX)
            out_format(&out,
                       "result.artifact.path is no JSON, as its media_type says: %s at byte %llu",
                       source.check.reason, (unsigned long long)source.check.offset);
        else
            out_format(&out, "the artifact cannot be stored: %s", port_last_error());
        return say(answer, err == ERR_SYNTAX ? "protocol" : "too_large", out_cstr(&out));
    }

    artifact.bytes = source.size;
    (void)str_copy(str_of(process->store_media), artifact.media_type, sizeof artifact.media_type);
    struct json_writer w = json_writer(answer);
    artifact_write(&w, &artifact);
    return 0;
}

/* --- in the daemon ---------------------------------------------------------------------------------------------------- */

static enum failure_kind kind_of(struct str raw)
{
    return json_string_is(raw, "protocol")   ? FAILURE_PROTOCOL
           : json_string_is(raw, "template") ? FAILURE_TEMPLATE
                                             : FAILURE_TOO_LARGE;
}

/* The process is read on: the line that was stored has done its duty. */
static void go_on(struct engine *engine, struct process *process)
{
    intake_next(&process->intake);
    process->out.wanted = engine->held ? 0 : PORT_READABLE;
    engine->act = true;
    loop_wake(engine->loop);
}

static void not_stored(struct engine *engine, struct process *process, enum failure_kind kind,
                       const char *message)
{
    process->storing = process->store_waits = false;
    failure_set(&process->failure, kind, "%s", message);
    engine_step_failed(engine, process);
}

static void on_stored(struct helper *helper, enum err outcome, struct str answer, int exit_code)
{
    struct process *process = helper->owner;
    struct engine *engine = process->engine;
    struct str kind = STR_NONE, message = STR_NONE;
    char text[256];

    engine->store_busy = false;
    process->storing = false;
    if (process->failure.kind != FAILURE_NONE) {
        if (process->state == PROCESS_IDLE) /* cancelled meanwhile: the end of the process tells */
            engine_step_failed(engine, process);
    } else if (outcome != OK) {
        (void)str_copy(str_head(answer, sizeof text - 1), text, sizeof text);
        not_stored(engine, process, FAILURE_TOO_LARGE, text);
    } else if (exit_code == STORE_AGAIN) {
        process->storing = process->store_waits = true;
        quota_evict(engine, answer);
    } else if (exit_code != 0) {
        (void)json_member(answer, "kind", &kind);
        (void)json_member(answer, "message", &message);
        (void)json_string_copy(message, text, sizeof text);
        not_stored(engine, process, kind_of(kind), text);
    } else {
        engine_step_value(engine, process, STR_NONE, answer);
    }
    if (!process->storing)
        go_on(engine, process);
    store_next(engine);
}

static bool begin(struct engine *engine, struct process *process)
{
    struct helper_job job = {
        .work = store_work,
        .context = process,
        .keep_fd = process->intake.spill, /* the line may stand in a file that has no name */
        .timeout_ms = STORE_TIMEOUT_MS,
        .buffer = process->store_answer,
        .size = sizeof process->store_answer,
        .on_done = on_stored,
    };

    char text[LIMIT_TEXT];
    struct out out = OUT_ON(text);

    process->store.owner = process;
    process->store_waits = false;
    engine->store_busy = helper_start(engine->loop, &process->store, &job) == OK;
    if (engine->store_busy)
        return true;
    out_format(&out, "the artifact cannot be stored: %s", port_last_error());
    not_stored(engine, process, FAILURE_TOO_LARGE, out_cstr(&out));
    return false;
}

static bool is_free(const struct engine *engine)
{
    return !engine->store_busy && !helper_running(&engine->remover);
}

/* One at a time: what all hold together is bounded only if nobody else adds to it meanwhile.  Whoever has waited longest is not known,
 * but the search goes on behind the last one, so that each has its turn. */
void store_next(struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_PROCESSES && is_free(engine); i++) {
        size_t at = (engine->store_last + 1 + i) % LIMIT_PROCESSES;
        struct process *process = &engine->processes[at];
        if (process->state == PROCESS_FREE || !process->store_waits)
            continue;
        engine->store_last = at;
        if (!begin(engine, process))
            go_on(engine, process);
    }
}

void store_start(struct engine *engine, struct process *process)
{
    process->storing = process->store_waits = true;
    if (is_free(engine))
        (void)begin(engine, process); /* whoever gave it goes on with the process himself */
}

void store_give_up(struct engine *engine)
{
    for (size_t i = 0; i < LIMIT_PROCESSES; i++) {
        struct process *process = &engine->processes[i];
        if (process->state == PROCESS_FREE || !process->storing)
            continue;
        helper_cancel(&process->store);
        process->storing = process->store_waits = false;
    }
    engine->store_busy = false;
}
