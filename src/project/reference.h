/* What templates name: roots, inputs, steps that surely ended before, secrets (contract §3).  Checks; resolves nothing. */
#ifndef PROJECT_REFERENCE_H
#define PROJECT_REFERENCE_H

#include "project/plan.h"

/* Where a template stands, and what it may see from there. */
struct reference_scope {
    const struct reader *reader;   /* of the source that the template stands in */
    const struct plan *plan;       /* NULL: inputs and steps are not known yet; their names pass */
    struct str declarations;       /* the manifest's inputs, raw; STR_NONE for none */
    bool inputs_unknown;           /* the manifest could not be read: names of inputs pass */
    const struct plan_set *before; /* steps that may be named; NULL: all */
    bool sees_error;               /* run.error */
    bool sees_secrets;
    struct str secrets; /* charter.yml's, raw; STR_NONE for none */
};

/* Every template in the string values of a raw value of the reader's source. */
bool reference_check(const struct reference_scope *scope, struct str raw);
/* An `if`: a raw boolean or string. Its text is decoded into the workspace's scratch. */
bool reference_check_condition(const struct reference_scope *scope,
                               struct project_workspace *workspace, struct str raw);

/* All templates and conditions of a plan: its steps, their integrations' config and env (as resolve.c found them; those of
 * charter.yml with `config` as their reader), its outputs.  `scope` gives what is the same for all. */
bool reference_check_plan(const struct reference_scope *scope, const struct reader *config,
                          struct project_workspace *workspace);

#endif
