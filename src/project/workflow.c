/* Loads and checks one workflow.  Owns the form of the manifest and the order of the checks; each check is a file of its
 * own.  Invariant: what passed can be run as it stands, given inputs. */
#include "project/workflow.h"

#include "port.h"
#include "project/declare.h"
#include "project/integration.h"
#include "project/project.h"
#include "project/reference.h"

#define CONCURRENCY_MAX 1000000
#define NAME_MAX_BYTES 512 /* of the raw string: it is part of the answer to a submission */

struct manifest_members {
    struct str id, name, description, concurrency, inputs;
};

static const struct reader_field manifest_fields[] = {
    {"id", READER_STRING, true, offsetof(struct manifest_members, id)},
    {"name", READER_STRING, false, offsetof(struct manifest_members, name)},
    {"description", READER_STRING, false, offsetof(struct manifest_members, description)},
    {"concurrency", READER_NUMBER, false, offsetof(struct manifest_members, concurrency)},
    {"inputs", READER_OBJECT, false, offsetof(struct manifest_members, inputs)},
};

static bool not_found(struct str id, struct project_problem *problem)
{
    struct str shown = str_head(id, LIMIT_NAME);
    problem_set(problem, CHARTER_NOT_FOUND, "no workflow '%.*s'", STR_ARG(shown));
    str_copy(STR("workflow"), problem->what, sizeof problem->what);
    str_copy(shown, problem->name, sizeof problem->name);
    return false;
}

static const char *folder(struct str id, struct out *to)
{
    out_format(to, "workflows/%.*s", STR_ARG(id));
    return out_cstr(to);
}

static bool exists(const char *root, const char *directory)
{
    char path[LIMIT_PATH + 128];
    struct out to = OUT_ON(path);
    struct port_stat stat;
    out_format(&to, "%s/%s", root, directory);
    return !to.overflow && port_stat(out_cstr(&to), &stat) == OK && stat.kind == PORT_DIRECTORY;
}

static bool read_manifest(const struct reader *r, struct project_workspace *workspace,
                          struct str id, struct manifest *manifest)
{
    struct manifest_members members = {0};
    *manifest = (struct manifest){0};
    if (!reader_object(r, source_root(r->source), manifest_fields,
                       sizeof manifest_fields / sizeof manifest_fields[0], &members))
        return false;
    if (!str_equal(plan_text(members.id), id))
        return reader_fail(r, members.id, "must be the name of the folder, '%.*s'", STR_ARG(id));
    if (members.name.n > NAME_MAX_BYTES)
        return reader_fail(r, members.name, "longer than %d bytes", NAME_MAX_BYTES);
    manifest->name = members.name.n > 2 ? members.name : members.id;
    manifest->inputs = members.inputs;
    return reader_integer(r, members.concurrency, 1, CONCURRENCY_MAX, &manifest->concurrency) &&
           declare_check(r, workspace, members.inputs);
}

bool workflow_manifest(struct project_workspace *workspace, const char *root, struct str id,
                       struct manifest *manifest, struct project_problem *problem)
{
    char name[LIMIT_NAME + 16];
    struct out to = OUT_ON(name);
    if (!project_is_id(id))
        return not_found(id, problem);
    const char *directory = folder(id, &to);
    if (!exists(root, directory))
        return not_found(id, problem);
    workspace_open(workspace, &workspace->manifest, &workspace->buffers[1]);
    struct reader r = {&workspace->manifest, problem, CHARTER_INVALID_PLAN};
    if (!source_load(workspace, &workspace->manifest, root, directory, "manifest", problem)) {
        problem->code = CHARTER_INVALID_PLAN;
        return false;
    }
    return read_manifest(&r, workspace, id, manifest);
}

bool workflow_plan(struct project_workspace *workspace, const char *root, struct str id,
                   const struct manifest *manifest, const struct project_source *config,
                   struct project_problem *problem)
{
    char name[LIMIT_NAME + 16];
    struct out to = OUT_ON(name);
    struct plan *plan = &workspace->checked;
    struct reader r = {&workspace->plan, problem, CHARTER_INVALID_PLAN},
                  of_config = {config, problem, CHARTER_INVALID_PLAN};
    workspace_open(workspace, &workspace->plan, &workspace->buffers[2]);
    if (!source_load(workspace, &workspace->plan, root, folder(id, &to), "plan", problem)) {
        problem->code = CHARTER_INVALID_PLAN;
        return false;
    }
    struct reference_scope scope = {.reader = &r,
                                    .plan = plan,
                                    .declarations = manifest == NULL ? STR_NONE : manifest->inputs,
                                    .inputs_unknown = manifest == NULL,
                                    .secrets = config_member(config, "secrets")};
    return plan_read(&r, workspace, plan) && integration_check_all(&r, plan->integrations) &&
           integration_resolve(&r, root, config_member(config, "integrations"), plan) &&
           reference_check_plan(&scope, &of_config, workspace);
}
