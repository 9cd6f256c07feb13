/* What the contract has and the engine of this version has not: plans that use it are read and checked in full, then
 * refused, rather than misread.  Whoever builds a feature removes its line here; nothing else needs to change. */
#include "project/workflow.h"

struct feature {
    /* The raw value that asks for it, or STR_NONE. */
    struct str (*used)(const struct plan_step *step);
    const char *text;
};

static struct str uses_gate(const struct plan_step *step)
{
    return step->gate;
}

static struct str uses_input(const struct plan_step *step)
{
    return step->input;
}

static struct str uses_needs(const struct plan_step *step)
{
    return step->needs;
}

static struct str member_of(const struct plan_step *step, const char *name, bool asks)
{
    struct str value;
    return asks && json_member(step->raw, name, &value) ? value : STR_NONE;
}

static struct str uses_when(const struct plan_step *step)
{
    return member_of(step, "when", step->when != PLAN_SUCCESS);
}

static struct str uses_continue(const struct plan_step *step)
{
    return member_of(step, "continue_on_error", step->continue_on_error);
}

static struct str uses_retry(const struct plan_step *step)
{
    return step->max_attempts > 1 ? step->retry : STR_NONE;
}

static struct str uses_describe(const struct plan_step *step)
{
    struct str entries[] = {step->plan_entry, step->project_entry}, value;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (json_member(entries[i], "describe", &value) && json_type(value) == JSON_BOOLEAN)
            return json_is_true(value) ? step->uses : STR_NONE;
    }
    return STR_NONE;
}

static const struct feature features[] = {
    {uses_gate, "gates are not supported yet"},
    {uses_input, "input steps are not supported yet"},
    {uses_needs, "needs is not supported yet: without it steps run in order"},
    {uses_when, "when: failure and when: always are not supported yet"},
    {uses_continue, "continue_on_error is not supported yet"},
    {uses_retry, "retry is not supported yet"},
    {uses_describe, "describe: true is not supported yet"},
};

/* Remove this one, and its check in manifests, with the feature. */
static const char concurrency_text[] = "concurrency is not supported yet";

bool unsupported_check(const struct reader *r, const struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_step *step = &plan->steps[i];
        for (size_t f = 0; f < sizeof features / sizeof features[0]; f++) {
            struct str used = features[f].used(step);
            if (used.n > 0)
                return reader_fail(r, used, "step '%.*s': %s", STR_ARG(plan_text(step->id)),
                                   features[f].text);
        }
    }
    return true;
}

bool unsupported_check_manifest(const struct reader *r, struct str concurrency)
{
    return concurrency.n == 0 || reader_fail(r, concurrency, "%s", concurrency_text);
}
