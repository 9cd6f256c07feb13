#include "run_rig.h"

#include "base/hash.h"
#include "port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct engine engine;
struct run *run;
char run_rig_reason[LIMIT_TEXT];

static struct loop loop;
static struct journal journal;
static struct project project;
static struct journal_report report;
static char root[LIMIT_PATH / 2];

static void must(enum err err)
{
    if (err != OK)
        fail_msg("%s: %s", err_text(err), port_last_error());
}

static enum err on_record(void *context, const struct journal_record *record)
{
    return context == NULL ? OK : event_replay(context, record);
}

static void make_directory(const char *name)
{
    char path[LIMIT_PATH];
    snprintf(path, sizeof path, "%s/%s", root, name);
    must(port_make_directory(path, 0700));
}

int run_rig_start(void **state)
{
    char path[LIMIT_PATH];
    const char *base = getenv("TMPDIR");
    (void)state;

    memset(&engine, 0, sizeof engine);
    memset(&journal, 0, sizeof journal);
    memset(&project, 0, sizeof project);
    /* A root with letters of two bytes and longer than any piece that is escaped at a time. */
    snprintf(root, sizeof root, "%s/run-XXXXXX",
             base != NULL && strlen(base) < 200 ? base : "/tmp");
    if (mkdtemp(root) == NULL)
        return -1;
    size_t n = strlen(root);
    root[n++] = '/';
    for (int i = 0; i < 50; i++, n += 2)
        memcpy(root + n, "\xc3\xa4", 3);
    must(port_make_directory(root, 0700));
    make_directory(".charter");
    make_directory(".charter/journal");
    make_directory(".charter/runs");
    make_directory(".charter/runs/r-1");
    make_directory(".charter/runs/r-1/artifacts");
    (void)str_copy(str_of(root), project.root, sizeof project.root);
    run_rig_config("{\"project\":\"p\"}");

    loop_start(&loop);
    loop.wall_ms = 1769860800123;
    snprintf(path, sizeof path, "%s/.charter/journal", root);
    must(journal_open(&journal, path, "d-test", LIMIT_JOURNAL, on_record, NULL, &report));
    engine.loop = &loop;
    engine.journal = &journal;
    engine.project = &project;
    return 0;
}

static bool remove_each(void *context, const char *name)
{
    char path[2 * LIMIT_PATH];
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (port_unlink(path) != OK) {
        (void)port_list(path, remove_each, path);
        (void)port_remove_directory(path);
    }
    return true;
}

int run_rig_end(void **state)
{
    (void)state;
    journal_close(&journal);
    (void)port_list(root, remove_each, root);
    (void)port_remove_directory(root);
    *strrchr(root, '/') = '\0';
    return port_remove_directory(root) == OK ? 0 : -1;
}

void run_rig_file(const char *name, const char *bytes, size_t n)
{
    char path[LIMIT_PATH];
    size_t put;
    int fd;
    snprintf(path, sizeof path, "%s/%s", root, name);
    must(port_open(path, PORT_TRUNCATE, &fd));
    must(port_write_at(fd, str_range(bytes, n), 0, &put));
    port_close(fd);
}

void run_rig_config(const char *config)
{
    assert_true(str_copy(str_of(config), project.config, sizeof project.config));
    project.config_size = strlen(config);
}

void run_rig_plan(const char *outputs, const char *integrations, const char *const *steps,
                  size_t count)
{
    static char text[2 * LIMIT_PROJECT_FILE];
    struct out out = OUT_ON(text);

    out_format(&out,
               "{\n\"head\":{\"format\":1,\"workflow_id\":\"w\",\"name\":\"W\",\"steps\":%zu,"
               "\"max_parallel\":4,\"timeout_ms\":0,\"concurrency\":0},\n\"outputs\":%s,\n"
               "\"integrations\":{%s},\n\"steps\":[\n",
               count, outputs, integrations);
    for (size_t i = 0; i < count; i++) {
        out_text(&out, steps[i]);
        out_text(&out, i + 1 < count ? ",\n" : "\n");
    }
    out_text(&out, "],\n\"manifest\":{},\n\"plan\":{}\n}\n");
    assert_false(out.overflow);
    run_rig_file(".charter/runs/r-1/plan.json", out.p, out.n);
}

static void event(enum run_event type, int step, const char *name, const char *raw)
{
    struct json_writer *w = event_begin(&engine, run, type, step);
    assert_non_null(w);
    if (name != NULL)
        json_put_raw(w, name, str_of(raw));
    assert_true(event_end(&engine, run, type, step));
}

void run_rig_begin(const char *inputs)
{
    unsigned steps;

    (void)memset(&engine.table, 0, sizeof engine.table);
    must(source_count_steps(&engine, "r-1", &steps));
    run = table_add(&engine.table, steps);
    assert_non_null(run);
    (void)str_copy(STR("r-1"), run->id, sizeof run->id);
    (void)str_copy(STR("w"), run->workflow_id, sizeof run->workflow_id);
    struct json_writer *w = event_begin(&engine, run, EVENT_RUN_CREATED, STEP_NONE);
    assert_non_null(w);
    json_put_text(w, "workflow_id", run->workflow_id);
    json_put_raw(w, "inputs", str_of(inputs));
    w = event_memo(&engine);
    json_put_u64(w, "steps", steps);
    json_put_text(w, "inputs_sha256",
                  "0000000000000000000000000000000000000000000000000000000000000000");
    assert_true(event_end(&engine, run, EVENT_RUN_CREATED, STEP_NONE));
    must(source_index_plan(&engine, run));
    event(EVENT_RUN_STARTED, STEP_NONE, NULL, NULL);
}

void run_rig_started(int step)
{
    event(EVENT_STEP_STARTED, step, NULL, NULL);
}

void run_rig_completed(int step, const char *raw_value)
{
    run_rig_started(step);
    event(EVENT_STEP_COMPLETED, step, "value", raw_value);
}

void run_rig_completed_artifact(int step, const char *content, size_t n, const char *media_type)
{
    unsigned char digest[32];
    struct artifact artifact = {.bytes = (int64_t)n};
    struct out hex = OUT_ON(artifact.sha256);
    char raw[1024];
    struct out out = OUT_ON(raw);
    struct json_writer w = json_writer(&out);
    struct sha256 sha;

    sha256_start(&sha);
    sha256_add(&sha, str_range(content, n));
    sha256_end(&sha, digest);
    out_hex(&hex, digest, sizeof digest);
    out_cstr(&hex);
    snprintf(artifact.path, sizeof artifact.path, ".charter/runs/r-1/artifacts/%s",
             artifact.sha256);
    (void)str_copy(str_of(media_type), artifact.media_type, sizeof artifact.media_type);
    run_rig_file(artifact.path, content, n);
    artifact_write(&w, &artifact);
    run_rig_started(step);
    event(EVENT_STEP_COMPLETED, step, "artifact", out_cstr(&out));
}

void run_rig_failed(int step, const char *raw_error)
{
    run_rig_started(step);
    event(EVENT_STEP_FAILED, step, "error", raw_error);
}

void run_rig_skipped(int step)
{
    event(EVENT_STEP_SKIPPED, step, NULL, NULL);
}

void run_rig_event(enum run_event type, int step)
{
    event(type, step, NULL, NULL);
}

enum err run_rig_replay(void)
{
    char path[LIMIT_PATH];
    run_rig_commit();
    must(journal_commit(&journal, loop.now_ms + 2000)); /* lazy records as well */
    journal_close(&journal);
    memset(&engine.table, 0, sizeof engine.table);
    memset(&engine.scratch, 0, sizeof engine.scratch);
    snprintf(path, sizeof path, "%s/.charter/journal", root);
    enum err err =
        journal_open(&journal, path, "d-test", LIMIT_JOURNAL, on_record, &engine, &report);
    run = table_find(&engine.table, STR("r-1"));
    return err;
}

static void on_segment(void *context)
{
    checkpoint_write(context);
}

void run_rig_turn_over(void)
{
    enum engine_carried carried;

    run_rig_commit();
    must(journal_commit(&journal, loop.now_ms + 2000));
    journal.on_segment = on_segment;
    journal.on_segment_context = &engine;
    uint32_t before = journal.segments[journal.segment_count - 1].number;
    journal.switch_at = 0;
    must(journal_commit(&journal, loop.now_ms));
    assert_int_equal(journal.segments[journal.segment_count - 1].number, before + 1);
    while ((carried = engine_carry(&engine, before)) == CARRY_GOES_ON)
        must(journal_commit(&journal, loop.now_ms));
    assert_int_equal(carried, CARRY_DONE);
    journal.urgent = true; /* the checkpoint waits for the next sync */
    must(journal_commit(&journal, loop.now_ms));
    assert_true(journal_can_forget(&journal));
    must(journal_forget(&journal, before + 1));
    assert_int_equal(journal.segment_count, 1);
}

void run_rig_commit(void)
{
    must(journal_commit(&journal, loop.now_ms));
}

struct scope run_rig_scope(int step)
{
    run_rig_reason[0] = '\0';
    return (struct scope){
        .engine = &engine, .run = run, .step = (unsigned)step, .reason = run_rig_reason};
}
