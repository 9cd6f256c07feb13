/* Templates' paths against a run: where a name leads, as raw JSON.  A value is never copied but into the shared scratch. */
#include "run/engine.h"

#include "base/time.h"
#include "json/read.h"
#include "port.h"
#include "project/template.h"

#include <string.h>

static enum err missing(const struct scope *scope, struct str path, const char *why)
{
    struct out reason = out_on(scope->reason, LIMIT_TEXT);
    out_text(&reason, "${{ ");
    out_str(&reason, str_head(path, 256));
    out_text(&reason, " }}: ");
    out_text(&reason, why);
    out_cstr(&reason);
    return ERR_NOT_FOUND;
}

/* --- values of steps ------------------------------------------------------------------------------------------------ */

/* Of a gate, {"decision","actor","comment"}; of an input step, the answers: from the event that decided. */
static enum err value_of_decision(const struct scope *scope, struct str data,
                                  struct resolved *resolved)
{
    static const char *const members[] = {"decision", "actor", "comment"};
    struct out out = OUT_ON(scope->engine->scratch.value);
    struct json_writer w = json_writer(&out);
    struct str raw;

    if (json_member(data, "answers", &resolved->raw))
        return OK;
    json_object(&w);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        json_put_raw(&w, members[i], json_member(data, members[i], &raw) ? raw : STR_NONE);
    json_object_end(&w);
    resolved->raw = out_view(&out);
    return OK;
}

enum err resolve_step(const struct scope *scope, unsigned index, struct resolved *resolved)
{
    const struct step *step = &table_steps(&scope->engine->table, scope->run)[index];
    struct str data;

    *resolved = (struct resolved){.raw = STR("null")};
    if (step->state != STEP_COMPLETED)
        return OK; /* skipped, or failed and gone past: nothing there */
    enum err err = source_data(scope->engine, step->ended, &data);
    if (err != OK)
        return err;
    if (json_member(data, "value", &resolved->raw))
        return OK;
    if (step->decided)
        return value_of_decision(scope, data, resolved);
    resolved->artifact = json_member(data, "artifact", &resolved->raw);
    return resolved->artifact ? OK : ERR_DAMAGED;
}

static bool is_named(const struct scope *scope, unsigned index, bool by_id, struct str name)
{
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    return source_names(scope->engine, scope->run, index, id, output) == OK &&
           str_is(name, by_id ? id : output);
}

static enum err value_of_name(const struct scope *scope, bool by_id, struct str name,
                              struct str path, struct resolved *resolved)
{
    /* One that was never begun, because another had failed, is null as one that was skipped. */
    for (unsigned i = scope->run->step_count; i-- > 0;)
        if (i != scope->step && is_named(scope, i, by_id, name))
            return resolve_step(scope, i, resolved);
    return missing(scope, path, "no other step has this name");
}

/* --- the other roots ------------------------------------------------------------------------------------------------- */

static enum err resolve_inputs(const struct scope *scope, struct resolved *resolved)
{
    struct str data;
    enum err err = source_data(scope->engine, scope->run->created, &data);
    if (err == OK && !json_member(data, "inputs", &resolved->raw))
        err = ERR_DAMAGED;
    return err;
}

static enum err resolve_run(const struct scope *scope, struct template_path *path, struct str whole,
                            struct resolved *resolved)
{
    struct out out = OUT_ON(scope->engine->scratch.value);
    struct json_writer w = json_writer(&out);
    struct template_step step;
    struct str data;
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];

    if (template_path_next(path, &step) != OK || step.is_index)
        return missing(scope, whole, "`run` has id, workflow_id, started_at and error");
    if (str_is(step.name, "id")) {
        json_text(&w, scope->run->id);
    } else if (str_is(step.name, "workflow_id")) {
        json_text(&w, scope->run->workflow_id);
    } else if (str_is(step.name, "started_at")) {
        json_time(&w, scope->run->started_ms);
    } else if (str_is(step.name, "error")) {
        if (scope->run->timed_out) {
            json_object(&w);
            json_put_text(&w, "kind", failure_kind_name(FAILURE_TIMEOUT));
            json_put_text(&w, "message", "the run's timeout has passed");
            json_put_null(&w, "step_id");
            json_object_end(&w);
        } else if (scope->run->failed_step == LIMIT_STEPS) {
            json_null(&w);
        } else {
            struct str error = STR_NONE, kind = STR_NONE, message = STR_NONE;
            (void)source_names(scope->engine, scope->run, scope->run->failed_step, id, output);
            enum err err = source_data(scope->engine, scope->run->failed, &data);
            if (err != OK)
                return err;
            if (json_member(data, "error", &error)) {
                (void)json_member(error, "kind", &kind);
                (void)json_member(error, "message", &message);
            }
            json_object(&w);
            json_put_raw(&w, "kind", kind);
            json_put_raw(&w, "message", message);
            json_put_text(&w, "step_id", id);
            json_object_end(&w);
        }
    } else {
        return missing(scope, whole, "`run` has id, workflow_id, started_at and error");
    }
    resolved->raw = out_view(&out);
    return OK;
}

/* The value of a secret, read now, and known to the mask before anybody else sees it. */
static enum err resolve_secret(const struct scope *scope, struct template_path *path,
                               struct str whole, struct resolved *resolved)
{
    struct engine *engine = scope->engine;
    struct str config = str_range(engine->project->config, engine->project->config_size), secrets,
               secret;
    struct template_step step;
    char *text = engine->scratch.secret;
    struct str value;

    if (!scope->secrets)
        return missing(scope, whole, "secrets can be named in `config` and `env` alone");
    if (template_path_next(path, &step) != OK || step.is_index ||
        !json_member(config, "secrets", &secrets) ||
        !json_member_named(secrets, step.name, &secret))
        return missing(scope, whole, "charter.yml declares no such secret");
    enum err err = engine_secret(engine, secret, text, LIMIT_TOKEN, &value, scope->reason);
    if (err != OK)
        return err;
    struct out out = OUT_ON(engine->scratch.value);
    struct json_writer w = json_writer(&out);
    json_string(&w, value);
    port_wipe(text, LIMIT_TOKEN);
    resolved->raw = out_view(&out);
    return out.overflow ? ERR_FULL : OK;
}

static enum err resolve_root(const struct scope *scope, struct template_path *path,
                             struct str whole, struct resolved *resolved)
{
    struct template_step root, step;

    if (template_path_next(path, &root) != OK || root.is_index)
        return missing(scope, whole, "not a path");
    if (str_is(root.name, "inputs"))
        return resolve_inputs(scope, resolved);
    if (str_is(root.name, "run"))
        return resolve_run(scope, path, whole, resolved);
    if (str_is(root.name, "secrets"))
        return resolve_secret(scope, path, whole, resolved);
    bool named = str_is(root.name, "named_outputs");
    if (!named && !str_is(root.name, "outputs"))
        return missing(scope, whole,
                       "a path begins with inputs, outputs, named_outputs, run or secrets");
    if (template_path_next(path, &step) != OK || step.is_index)
        return missing(scope, whole,
                       named ? "an output's name is missing" : "a step's id is missing");
    return value_of_name(scope, !named, step.name, whole, resolved);
}

/* A JSON artifact that fits the scratch is looked into like any value. */
static enum err load_artifact(const struct scope *scope, struct str whole,
                              struct resolved *resolved)
{
    struct engine *engine = scope->engine;
    struct artifact artifact;
    size_t got;

    if (!artifact_read(resolved->raw, &artifact))
        return ERR_DAMAGED;
    if (strcmp(artifact.media_type, "application/json") != 0)
        return missing(scope, whole, "only JSON artifacts can be descended into");
    char path[2 * LIMIT_PATH];
    struct out out = OUT_ON(path);
    out_format(&out, "%s/%s", engine->project->root, artifact.path);
    if (artifact.bytes > (int64_t)sizeof engine->scratch.value)
        return missing(
            scope, whole,
            "this artifact is too large to be descended into; name it whole in `inputs`");
    enum err err = port_read_regular_file(out_cstr(&out), engine->scratch.value,
                                          sizeof engine->scratch.value, &got);
    if (err != OK)
        return missing(scope, whole, "its artifact cannot be read");
    resolved->raw = str_trim(str_range(engine->scratch.value, got));
    resolved->artifact = false;
    return OK;
}

static enum err no_such_part(const struct scope *scope, struct str whole,
                             const struct template_step *step)
{
    char text[LIMIT_NAME + 64];
    struct out why = OUT_ON(text);

    out_text(&why, step->is_index ? "there is no element " : "there is no member ");
    if (step->is_index)
        out_u64(&why, step->index);
    else
        out_str(&why, step->name);
    return missing(scope, whole, out_cstr(&why));
}

enum err resolve_path(const struct scope *scope, struct str text, struct resolved *resolved)
{
    struct template_path path = template_path(text);
    struct template_step step;
    struct str next;

    *resolved = (struct resolved){.raw = STR_NONE};
    enum err err = resolve_root(scope, &path, text, resolved);
    while (err == OK && (err = template_path_next(&path, &step)) == OK) {
        if (resolved->artifact)
            err = load_artifact(scope, text, resolved);
        if (err != OK)
            return err;
        if (json_type(resolved->raw) == JSON_NULL)
            continue; /* descending into a skipped step's null gives null */
        if (step.is_index ? !json_element(resolved->raw, (size_t)step.index, &next)
                          : !json_member_named(resolved->raw, step.name, &next))
            return no_such_part(scope, text, &step);
        resolved->raw = next;
    }
    return err == ERR_END ? OK : err == ERR_SYNTAX ? missing(scope, text, "not a path") : err;
}
