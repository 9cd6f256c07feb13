/* Entries of `integrations`, in charter.yml and in plans, and what a step's `uses` comes to (contract §2, §3). */
#ifndef PROJECT_INTEGRATION_H
#define PROJECT_INTEGRATION_H

#include "json/write.h"
#include "project/plan.h"

/* An object of NAME: {command | python, config, env, limits, describe}; an entry without a program lays its config over
 * another of the same name. */
bool integration_check_all(const struct reader *r, struct str entries);

/* Finds for every step with `uses` what it is started by: the plan's integrations, charter.yml's, an executable in
 * .charter/integrations, an entry point in .charter/.venv.  CHARTER_UNRESOLVED_INTEGRATION where there is none, or one that
 * cannot be started as far as can be seen. */
bool integration_resolve(const struct reader *r, const char *root, struct str project_entries,
                         struct plan *plan);

/* Whether the entries of a step that uses an integration say `describe: true`. */
bool integration_describes(const struct plan_step *step);

/* {"command":[…],"config":{…},"env":{…},"limits":{…},"uid":…,"gid":…,"sandbox":…} of a resolved step: charter.yml's entry overlaid by the plan's. */
void integration_write(const struct plan_step *step, struct json_writer *w);

#endif
