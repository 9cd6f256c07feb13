/* One workflow: manifest and plan loaded and checked, all but inputs. */
#ifndef PROJECT_WORKFLOW_H
#define PROJECT_WORKFLOW_H

#include "project/workspace.h"

struct manifest {
    struct str name;     /* raw; the id where the manifest gives none */
    struct str inputs;   /* raw object of declarations, or STR_NONE */
    int64_t concurrency; /* 0: no limit */
};

/* Loads workflows/ID/manifest into the workspace.  The folder missing, or no id: CHARTER_NOT_FOUND. */
bool workflow_manifest(struct project_workspace *workspace, const char *root, struct str id,
                       struct manifest *manifest, struct project_problem *problem);
/* Loads workflows/ID/plan and checks it against the manifest (NULL: could not be read, names of inputs pass), against
 * `config` (charter.yml as a source); not against what integrations say of themselves (describe.h).  workspace->checked has the outcome. */
bool workflow_plan(struct project_workspace *workspace, const char *root, struct str id,
                   const struct manifest *manifest, const struct project_source *config,
                   struct project_problem *problem);

/* charter.yml, loaded into workspace->config and checked; missing is CHARTER_NOT_FOUND. (config.c) */
bool config_load(struct project_workspace *workspace, const char *root,
                 struct project_problem *problem);
/* A source on the JSON that the daemon holds, without places. */
void config_borrow(struct project_source *source, struct str json);
/* A member of charter.yml, or STR_NONE. */
struct str config_member(const struct project_source *config, const char *name);

/* The folders under workflows/, in order: workspace->folders, *count of them; their names may be no ids. (browse.c) */
bool browse_workflows(struct project_workspace *workspace, const char *root, size_t *count,
                      struct project_problem *problem);

/* Hex of the SHA-256 of a normalised object: member order and white space do not matter, numbers count by their text.
 * (canonical.c) */
void canonical_digest(struct project_workspace *workspace, struct str json, char hex[65]);

/* Writes .charter/runs/RUN_ID/plan.json durably; false with CHARTER_INTERNAL_ERROR or CHARTER_JOURNAL_FULL. (store.c) */
bool store_plan(struct project_workspace *workspace, const char *root, struct str workflow_id,
                struct str run_id, const struct manifest *manifest, char plan_sha256[65],
                struct project_problem *problem);

#endif
