/* Arbitrary bytes as a plan, and as a manifest whose inputs are then given their own defaults: nothing is left unchecked,
 * nothing ends the process, and what is accepted holds together. */
#include "json/check.h"
#include "project/declare.h"
#include "project/integration.h"
#include "project/reference.h"
#include "project/workflow.h"

#include <stdint.h>
#include <stdlib.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing ends before itself, and what ends before a step has its own before it, too. */
static void check_order(const struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        MUST(!plan_has(&plan->steps[i].before, i));
        for (size_t j = 0; j < plan->count; j++) {
            MUST(!plan_has(&plan->steps[i].needed, j) || plan_has(&plan->steps[i].before, j));
            for (size_t k = 0; plan_has(&plan->steps[i].before, j) && k < plan->count; k++)
                MUST(!plan_has(&plan->steps[j].before, k) || plan_has(&plan->steps[i].before, k));
        }
    }
}

static void read_plan(struct project_workspace *workspace, const struct reader *r)
{
    static const char config_text[] =
        "{\"secrets\":{\"T\":{\"env\":\"T\"}},\"integrations\":{\"x\":{\"command\":[\"x\"]}}}";
    struct project_source config;
    struct plan *plan = &workspace->checked;
    config_borrow(&config, str_range(config_text, sizeof config_text - 1));
    struct reader of_config = {&config, r->problem, CHARTER_INVALID_PLAN};
    struct reference_scope scope = {.reader = r,
                                    .plan = plan,
                                    .declarations = STR("{\"a\":{\"type\":\"string\"}}"),
                                    .secrets = config_member(&config, "secrets")};
    if (!plan_read(r, workspace, plan)) {
        MUST(r->problem->code == CHARTER_INVALID_PLAN && r->problem->reason[0] != '\0');
        return;
    }
    check_order(plan);
    if (!integration_check_all(r, plan->integrations) ||
        !integration_resolve(r, "/nonexistent", config_member(&config, "integrations"), plan) ||
        !reference_check_plan(&scope, &of_config, workspace)) {
        MUST(r->problem->code != 0 && r->problem->reason[0] != '\0');
        return;
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct out line = OUT_ON(workspace->line);
        struct json_writer w = json_writer(&line);
        integration_write(&plan->steps[i], &w);
        MUST(line.overflow || json_check(out_view(&line), 64, NULL) == OK);
    }
}

static void read_declarations(struct project_workspace *workspace, const struct reader *r,
                              struct str root)
{
    static char values[LIMIT_PROJECT_FILE * 2];
    struct out to = OUT_ON(values);
    struct str inputs;
    struct project_problem problem = {0};
    struct reader of_values = {&workspace->inputs, &problem, CHARTER_INVALID_INPUT};
    if (!json_member(root, "inputs", &inputs) || json_type(inputs) != JSON_OBJECT ||
        !declare_check(r, workspace, inputs))
        return;
    config_borrow(&workspace->inputs, STR("{}"));
    if (!declare_values(&of_values, workspace, inputs, STR("{}"), &to)) {
        MUST(problem.code == CHARTER_INVALID_INPUT);
        return;
    }
    MUST(json_check(out_view(&to), 64, NULL) == OK);
    /* Defaults are values that their declarations take. */
    static char again[sizeof values];
    struct out twice = OUT_ON(again);
    config_borrow(&workspace->inputs, out_view(&to));
    MUST(declare_values(&of_values, workspace, inputs, out_view(&to), &twice));
    MUST(str_equal(out_view(&to), out_view(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct project_workspace workspace;
    struct project_problem problem = {0};
    struct reader r = {&workspace.plan, &problem, CHARTER_INVALID_PLAN};
    if (size > 8192)
        return 0;
    workspace_open(&workspace, &workspace.plan, &workspace.buffers[0]);
    if (!source_convert(&workspace, &workspace.plan, str_range((const char *)data, size), &problem))
        return 0;
    read_plan(&workspace, &r);
    read_declarations(&workspace, &r, source_root(&workspace.plan));
    return 0;
}
