/* In the place of describe.c and conform.c where integrations do not describe themselves: what would go unchecked is refused. */
#include "project/describe.h"
#include "project/integration.h"

void describe_abandon(int64_t helper_pid)
{
    (void)helper_pid;
}

bool conform_check(struct project_workspace *workspace, const char *root,
                   const struct project_source *config, bool fresh, struct project_problem *problem)
{
    const struct plan *plan = &workspace->checked;
    struct reader r = {&workspace->plan, problem, CHARTER_UNRESOLVED_INTEGRATION};
    (void)root;
    (void)config;
    (void)fresh;

    for (size_t i = 0; i < plan->count; i++) {
        struct str name = plan_text(plan->steps[i].uses);
        if (!integration_describes(&plan->steps[i]))
            continue;
        (void)reader_fail(&r, plan->steps[i].uses,
                          "integration '%.*s': this build has no config models (DESCRIBE)",
                          STR_ARG(name));
        (void)str_copy(name, problem->name, sizeof problem->name);
        return false;
    }
    return true;
}
