/* A submission, from the outside's workflow id and inputs to a plan.json on disk and the answer that says so.  Owns the
 * order of what is checked: workflow, plan, inputs, what integrations say of themselves,
 * and only then the disk.  Invariant: the answer is {"ok"} exactly when
 * plan.json is durable. */
#include "project/project.h"

#include "json/check.h"
#include "port.h"
#include "project/convert.h"
#include "project/declare.h"
#include "project/describe.h"
#include "project/python.h"
#include "project/workflow.h"

/* Opens the inputs as a source: normalised, so that problems have paths and the digest has one form to work on. */
static bool open_inputs(struct project_workspace *workspace, const char *above, struct str given,
                        struct project_problem *problem)
{
    struct project_source *source = &workspace->inputs;
    *source = (struct project_source){
        .above = above, .json = OUT_ON(workspace->inputs_json), .token_max = SIZE_MAX};
    struct reader r = {source, problem, CHARTER_INVALID_INPUT};
    struct str again;
    if (json_check(given, LIMIT_JSON_DEPTH, NULL) != OK)
        return reader_fail(&r, STR_NONE, "no JSON");
    if (!normal_convert(workspace, source, given, problem)) {
        problem->code = CHARTER_INVALID_INPUT;
        return false;
    }
    if (source->json.overflow)
        return reader_fail(&r, STR_NONE, "longer than %d bytes", LIMIT_INPUTS);
    if (!reader_is(&r, source_root(source), READER_OBJECT))
        return false;
    return !source_duplicate(workspace, source_root(source), &again) ||
           reader_fail(&r, again, "stands here twice");
}

/* Steps in Python need the bridge where their command says it is. */
static bool put_bridge(const char *root, const struct plan *plan, struct project_problem *problem)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].python.n == 0)
            continue;
        enum err err = python_put_bridge(root);
        if (err == OK)
            return true;
        problem_set(problem,
                    err == ERR_NO_SPACE || err == ERR_READ_ONLY ? CHARTER_JOURNAL_FULL
                                                                : CHARTER_INTERNAL_ERROR,
                    ".charter/bridge.py cannot be written: %s; the run was not accepted",
                    port_last_error());
        return false;
    }
    return true;
}

static bool accept(struct project_workspace *workspace, const struct project *project,
                   const struct project_submission *submission, struct str given,
                   struct json_writer *w, struct project_problem *problem)
{
    struct manifest manifest;
    struct project_source config;
    struct reader inputs = {&workspace->inputs, problem, CHARTER_INVALID_INPUT};
    char inputs_sha256[65], plan_sha256[65];
    config_borrow(&config, str_range(project->config, project->config_size));
    if (!workflow_manifest(workspace, project->root, submission->workflow_id, &manifest, problem) ||
        !workflow_plan(workspace, project->root, submission->workflow_id, &manifest, &config,
                       problem))
        return false;
    json_object(w);
    json_key(w, "inputs");
    size_t before = w->out->n;
    w->after_key = false;
    if (!declare_values(&inputs, workspace, manifest.inputs, given, w->out))
        return false;
    if (w->out->overflow || w->out->n - before > LIMIT_INPUTS)
        return reader_fail(&inputs, STR_NONE, "longer than %d bytes with their defaults",
                           LIMIT_INPUTS);
    canonical_digest(workspace, source_root(&workspace->inputs), inputs_sha256);
    if (!put_bridge(project->root, &workspace->checked, problem) ||
        !conform_check(workspace, project->root, &config, false, problem))
        return false;
    if (!store_plan(workspace, project->root, submission->workflow_id, submission->run_id,
                    &manifest, plan_sha256, problem))
        return false;
    json_put_text(w, "inputs_sha256", inputs_sha256);
    json_put_text(w, "plan_sha256", plan_sha256);
    json_put_raw(w, "name", manifest.name);
    json_put_u64(w, "steps", workspace->checked.count);
    json_put_i64(w, "concurrency", manifest.concurrency);
    json_put_i64(w, "max_parallel", workspace->checked.max_parallel);
    json_put_i64(w, "timeout_ms", workspace->checked.timeout_ms);
    json_object_end(w);
    return true;
}

static void digest_alone(struct project_workspace *workspace, struct json_writer *w)
{
    char hex[65];
    canonical_digest(workspace, source_root(&workspace->inputs), hex);
    json_object(w);
    json_put_text(w, "inputs_sha256", hex);
    json_object_end(w);
}

/* It becomes the name of a folder. */
static bool check_run_id(const struct project_submission *submission,
                         struct project_problem *problem)
{
    if (submission->digest_only || project_is_id(submission->run_id))
        return true;
    problem_set(problem, CHARTER_INVALID_PARAMS,
                "run_id must be a letter or digit, then letters, digits, '.', '_', '-', at most %d",
                LIMIT_NAME);
    return false;
}

void project_submit(struct project_workspace *workspace, const struct project *project,
                    const struct project_submission *submission, struct out *answer)
{
    struct str given = submission->inputs.n == 0 ? STR("{}") : submission->inputs;
    struct project_problem problem = {0};
    struct json_writer w = json_writer(answer);
    bool taken =
        check_run_id(submission, &problem) && open_inputs(workspace, "inputs", given, &problem);
    json_object(&w);
    json_key(&w, "ok");
    if (taken && submission->digest_only)
        digest_alone(workspace, &w);
    else if (taken)
        taken = accept(workspace, project, submission, given, &w, &problem);
    if (!taken) {
        project_answer_problem(answer, &problem);
        return;
    }
    json_object_end(&w);
}

void project_answers(struct project_workspace *workspace, struct str fields, struct str answers,
                     struct out *answer)
{
    struct project_problem problem = {0};
    struct reader r = {&workspace->inputs, &problem, CHARTER_INVALID_INPUT};
    struct json_writer w = json_writer(answer);

    json_object(&w);
    json_key(&w, "ok");
    json_object(&w);
    json_key(&w, "answers");
    size_t before = w.out->n;
    bool taken = open_inputs(workspace, "answers", answers, &problem);
    w.after_key = false;
    taken = taken && declare_values(&r, workspace, fields, answers, w.out);
    if (taken && (w.out->overflow || w.out->n - before > LIMIT_INPUTS))
        taken = reader_fail(&r, STR_NONE, "longer than %d bytes with their defaults", LIMIT_INPUTS);
    if (!taken) {
        project_answer_problem(answer, &problem);
        return;
    }
    json_object_end(&w);
    json_object_end(&w);
}
