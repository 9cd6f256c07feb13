/* Checks a whole project, for `charter-daemon check`: the first problem of each file.  Owns the order of the files. */
#include "project/project.h"

#include "project/describe.h"
#include "project/workflow.h"

struct report {
    void (*on_problem)(void *context, const struct project_problem *problem);
    void *context;
    unsigned count;
};

static void tell(struct report *report, const struct project_problem *problem)
{
    report->count++;
    report->on_problem(report->context, problem);
}

static void check_workflow(struct project_workspace *workspace, const char *root, struct str id,
                           const struct project_source *config, struct report *report)
{
    struct project_problem problem = {0};
    struct manifest manifest;
    if (!project_is_id(id)) {
        problem_set(&problem, CHARTER_INVALID_PLAN,
                    "the name of a workflow's folder is a letter or digit, then letters, "
                    "digits, '.', '_', '-', at most %d",
                    LIMIT_NAME);
        struct out file = OUT_ON(problem.file);
        out_format(&file, "workflows/%.*s", id.n > 64 ? 64 : (int)id.n, id.p);
        out_cstr(&file);
        tell(report, &problem);
        return;
    }
    bool read = workflow_manifest(workspace, root, id, &manifest, &problem);
    if (!read)
        tell(report, &problem);
    if (!workflow_plan(workspace, root, id, read ? &manifest : NULL, config, &problem) ||
        !conform_check(workspace, root, config, true, &problem))
        tell(report, &problem);
}

unsigned project_check(struct project_workspace *workspace, const char *root,
                       void (*on_problem)(void *context, const struct project_problem *problem),
                       void *context, unsigned *workflows)
{
    struct report report = {on_problem, context, 0};
    struct project_problem problem = {0};
    size_t count;
    *workflows = 0;
    bool read = config_load(workspace, root, &problem);
    if (!read)
        tell(&report, &problem);
    if (!read && problem.code == CHARTER_NOT_FOUND)
        return report.count; /* no project at all */
    if (!browse_workflows(workspace, root, &count, &problem)) {
        tell(&report, &problem);
        return report.count;
    }
    for (size_t i = 0; i < count; i++) {
        struct str id = workspace->folders[i];
        ++*workflows;
        /* Without charter.yml's integrations and secrets, plans would be blamed for what it lacks. */
        if (read) {
            check_workflow(workspace, root, id, &workspace->config, &report);
        } else {
            struct manifest manifest;
            if (project_is_id(id) && !workflow_manifest(workspace, root, id, &manifest, &problem))
                tell(&report, &problem);
        }
    }
    return report.count;
}
