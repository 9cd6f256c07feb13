/* What the contract has and the engine of this version has not: plans that use it are read and checked in full, then
 * refused, rather than misread.  Whoever builds a feature removes its line here; nothing else needs to change. */
#include "project/workflow.h"

struct feature {
    /* The raw value that asks for it, or STR_NONE. */
    struct str (*used)(const struct plan_step *step);
    const char *text;
};

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
    {uses_describe, "describe: true is not supported yet"},
};

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
