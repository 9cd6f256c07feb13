/* What integrations say of themselves (contract §2, config models), and holding config and inputs against it.  describe_none.c stands in where
 * CONFIG_DESCRIBE is off: there no plan passes in which an integration describes itself. */
#ifndef PROJECT_DESCRIBE_H
#define PROJECT_DESCRIBE_H

#include "project/workspace.h"

/* Raw values inside of the text that was read. */
struct description {
    struct str config_schema, input_schema; /* "{}" where it gave none */
};

/* `entry` is integration_write()'s.  Asks COMMAND --describe, or takes what it said when its files were the same (`fresh`: never).  Blocks for five seconds at most, and not beyond `deadline` (monotonic).  The text goes to
 * `to`; false with words in *why.  (describe.c) */
bool describe_ask(const char *root, struct str entry, bool cacheable, bool fresh, int64_t deadline,
                  struct out *to, struct description *description, struct out *why);

/* Ends what a helper that was killed in describe_ask() had started; by the environment, so where the platform can tell. */
void describe_abandon(int64_t helper_pid);

/* For every integration of the plan that describes itself: config (charter.yml's, overlaid by the plan's and each step's `with`) and each step's inputs
 * against its schemas; strings with templates as far as they can be known.  CHARTER_INVALID_INPUT with file, place and path; CHARTER_UNRESOLVED_INTEGRATION where
 * it does not describe itself properly.  Uses workspace->line; `config` may be borrowed, then charter.yml is read again for the place.  (conform.c) */
bool conform_check(struct project_workspace *workspace, const char *root,
                   const struct project_source *config, bool fresh,
                   struct project_problem *problem);

#endif
