/* Writes plan.json: what a run keeps of what it was accepted with (contract §3).  Owns its form, one line a part so that the
 * daemon finds a step by counting line feeds.  Never leaves a half: it is made under another name, synced and renamed, and
 * its directories are synced.  Invariant: a plan.json that exists is whole. */
#include "project/workflow.h"

#include "base/hash.h"
#include "port.h"
#include "project/integration.h"

/* The file that is being written. */
struct sink {
    struct out line;
    struct sha256 sha;
    int64_t offset;
    int fd;
    enum err err; /* sticky */
};

/* Ends a line: it goes to the file and into the digest. */
static void end_line(struct sink *sink)
{
    size_t put;
    out_byte(&sink->line, '\n');
    if (sink->err == OK && sink->line.overflow)
        sink->err = ERR_TOO_LARGE;
    if (sink->err == OK) {
        sha256_add(&sink->sha, out_view(&sink->line));
        sink->err = port_write_at(sink->fd, out_view(&sink->line), sink->offset, &put);
        sink->offset += (int64_t)sink->line.n;
    }
    out_reset(&sink->line);
}

static void put_or_null(struct json_writer *w, const char *key, struct str raw)
{
    json_put_raw(w, key, raw);
}

static void write_retry(struct json_writer *w, const struct plan_step *step)
{
    json_key(w, "retry");
    if (step->retry.n == 0) {
        json_null(w);
        return;
    }
    json_object(w);
    json_put_i64(w, "max_attempts", step->max_attempts);
    json_put_i64(w, "initial_ms", step->initial_ms);
    json_put_i64(w, "multiplier_milli", step->multiplier_milli);
    json_put_i64(w, "max_ms", step->max_ms);
    json_object_end(w);
}

static void write_needs(struct json_writer *w, const struct plan *plan,
                        const struct plan_step *step)
{
    json_key(w, "needs");
    if (step->needs.n == 0) {
        json_null(w);
        return;
    }
    json_array(w);
    for (size_t i = 0; i < plan->count; i++) {
        if (plan_has(&step->needed, i))
            json_u64(w, i);
    }
    json_array_end(w);
}

static void write_waiting(struct json_writer *w, const struct plan_step *step, const char *key,
                          bool is_this)
{
    json_key(w, key);
    if (!is_this) {
        json_null(w);
        return;
    }
    json_object(w);
    put_or_null(w, "message", step->message);
    json_put_i64(w, "timeout_ms", step->timeout_ms);
    json_put_text(w, "on_timeout", step->on_timeout);
    if (step->kind == PLAN_INPUT)
        json_put_raw(w, "fields", step->fields);
    json_object_end(w);
}

static void write_step(struct json_writer *w, const struct plan *plan, const struct plan_step *step)
{
    static const char *const kinds[] = {
        [PLAN_USES] = "uses", [PLAN_GATE] = "gate", [PLAN_INPUT] = "input"};
    static const char *const whens[] = {
        [PLAN_SUCCESS] = "success", [PLAN_FAILURE] = "failure", [PLAN_ALWAYS] = "always"};
    json_object(w);
    /* Names come first: the daemon reads them alone, from the head of the line. */
    json_put_raw(w, "id", step->id);
    put_or_null(w, "output", step->output);
    json_put_text(w, "kind", kinds[step->kind]);
    put_or_null(w, "uses", step->uses);
    json_put_raw(w, "with", step->with.n == 0 ? STR("{}") : step->with);
    json_put_raw(w, "inputs", step->inputs.n == 0 ? STR("{}") : step->inputs);
    json_put_raw(w, "output_type", step->output_type.n == 0 ? STR("\"json\"") : step->output_type);
    json_put_i64(w, "timeout_ms", step->timeout_ms);
    put_or_null(w, "if", step->condition);
    json_put_text(w, "when", whens[step->when]);
    json_put_bool(w, "continue_on_error", step->continue_on_error);
    json_put_text(w, "on_interrupt", step->fail_on_interrupt ? "fail" : "retry");
    write_retry(w, step);
    write_needs(w, plan, step);
    write_waiting(w, step, "gate", step->kind == PLAN_GATE);
    write_waiting(w, step, "input", step->kind == PLAN_INPUT);
    json_object_end(w);
}

static void write_head(struct json_writer *w, struct str workflow_id,
                       const struct manifest *manifest, const struct plan *plan)
{
    json_object(w);
    json_put_i64(w, "format", 1);
    json_put_str(w, "workflow_id", workflow_id);
    json_put_raw(w, "name", manifest->name);
    json_put_u64(w, "steps", plan->count);
    json_put_i64(w, "max_parallel", plan->max_parallel);
    json_put_i64(w, "timeout_ms", plan->timeout_ms);
    json_put_i64(w, "concurrency", manifest->concurrency);
    json_object_end(w);
}

/* Those that steps use, each once. */
static void write_integrations(struct json_writer *w, const struct plan *plan)
{
    json_object(w);
    for (size_t i = 0; i < plan->count; i++) {
        bool is_first = plan->steps[i].kind == PLAN_USES;
        for (size_t j = 0; is_first && j < i; j++)
            is_first = !str_equal(plan->steps[j].uses, plan->steps[i].uses);
        if (is_first) {
            json_key_str(w, plan_text(plan->steps[i].uses));
            integration_write(&plan->steps[i], w);
        }
    }
    json_object_end(w);
}

static void write_all(struct sink *sink, const struct project_workspace *workspace,
                      struct str workflow_id, const struct manifest *manifest)
{
    const struct plan *plan = &workspace->checked;
    out_byte(&sink->line, '{');
    end_line(sink);
    /* Each line has a writer of its own, as if it held one value. */
    const struct {
        const char *head;
        int part;
    } parts[] = {{"\"head\":", 0}, {"\"outputs\":", 1}, {"\"integrations\":", 2}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct json_writer w = json_writer(&sink->line);
        out_text(&sink->line, parts[i].head);
        if (parts[i].part == 0)
            write_head(&w, workflow_id, manifest, plan);
        else if (parts[i].part == 1)
            json_raw(&w, plan->outputs);
        else
            write_integrations(&w, plan);
        out_byte(&sink->line, ',');
        end_line(sink);
    }
    out_text(&sink->line, "\"steps\":[");
    end_line(sink);
    for (size_t i = 0; i < plan->count; i++) {
        struct json_writer w = json_writer(&sink->line);
        write_step(&w, plan, &plan->steps[i]);
        if (i + 1 < plan->count)
            out_byte(&sink->line, ',');
        end_line(sink);
    }
    out_text(&sink->line, "],");
    end_line(sink);
    out_text(&sink->line, "\"manifest\":");
    out_str(&sink->line, source_root(&workspace->manifest));
    out_byte(&sink->line, ',');
    end_line(sink);
    out_text(&sink->line, "\"plan\":");
    out_str(&sink->line, source_root(&workspace->plan));
    end_line(sink);
    out_byte(&sink->line, '}');
    end_line(sink);
}

static bool failed(struct project_problem *problem, const char *what, enum err err)
{
    bool no_room = err == ERR_NO_SPACE || err == ERR_READ_ONLY;
    problem_set(problem, no_room ? CHARTER_JOURNAL_FULL : CHARTER_INTERNAL_ERROR,
                "%s cannot be written: %s; the run was not accepted%s", what,
                err == ERR_TOO_LARGE ? err_text(err) : port_last_error(),
                no_room ? ", make room on the disk first" : "");
    return false;
}

/* ROOT/.charter/runs/RUN_ID, made where missing; names in it and above are synced once plan.json is there.  `*is_fresh` says that more than the
 * last had to be made: mostly the daemon has made and synced them at its start. */
static enum err make_directories(const char *root, struct str run_id, char *path, size_t size,
                                 bool *is_fresh)
{
    static const char *const above[] = {".charter", ".charter/runs"};
    enum err err = OK;
    *is_fresh = false;
    for (size_t i = 0; i < sizeof above / sizeof above[0]; i++) {
        struct out to = out_on(path, size);
        out_format(&to, "%s/%s", root, above[i]);
        err = port_make_directory(out_cstr(&to), 0700);
        if (err != OK && err != ERR_EXISTS)
            return err;
        *is_fresh = *is_fresh || err == OK;
    }
    struct out to = out_on(path, size);
    out_format(&to, "%s/.charter/runs/%.*s", root, STR_ARG(run_id));
    if (to.overflow)
        return ERR_TOO_LARGE;
    err = port_make_directory(out_cstr(&to), 0700);
    return err == ERR_EXISTS ? OK : err;
}

static enum err sync_directories(const char *root, const char *directory, bool is_fresh)
{
    static const char *const above[] = {".charter/runs", ".charter"};
    char path[LIMIT_PATH + 32];
    enum err err = port_sync_directory(directory);
    for (size_t i = 0; err == OK && i < (is_fresh ? 2U : 1U); i++) {
        struct out to = OUT_ON(path);
        out_format(&to, "%s/%s", root, above[i]);
        err = port_sync_directory(out_cstr(&to));
    }
    return err;
}

bool store_plan(struct project_workspace *workspace, const char *root, struct str workflow_id,
                struct str run_id, const struct manifest *manifest, char plan_sha256[65],
                struct project_problem *problem)
{
    char directory[LIMIT_PATH + 128], fresh[sizeof directory + 16], final[sizeof directory + 16];
    struct sink sink = {.line = OUT_ON(workspace->line), .fd = -1};
    struct out fresh_to = OUT_ON(fresh), final_to = OUT_ON(final), hex = out_on(plan_sha256, 65);
    unsigned char digest[32];
    bool is_fresh;
    enum err err = make_directories(root, run_id, directory, sizeof directory, &is_fresh);
    if (err != OK)
        return failed(problem, "the run's folder", err);
    out_format(&fresh_to, "%s/plan.json.new", directory);
    out_format(&final_to, "%s/plan.json", directory);
    out_cstr(&final_to);
    err = port_open(out_cstr(&fresh_to), PORT_TRUNCATE, &sink.fd);
    if (err != OK)
        return failed(problem, "plan.json", err);
    sha256_start(&sink.sha);
    write_all(&sink, workspace, workflow_id, manifest);
    sha256_end(&sink.sha, digest);
    if (sink.err == OK)
        sink.err = port_sync(sink.fd);
    bool written = sink.err == OK || failed(problem, "plan.json", sink.err);
    port_close(sink.fd);
    if (written && (err = port_rename(fresh, final)) != OK)
        written = failed(problem, "plan.json", err);
    if (written && (err = sync_directories(root, directory, is_fresh)) != OK)
        written = failed(problem, "the run's folder", err);
    if (!written)
        port_unlink(fresh);
    out_hex(&hex, digest, sizeof digest);
    out_cstr(&hex);
    return written;
}
