/* A followed run on the screen: a lasting line for what has happened, and on a terminal one live
 * line for each step that is on its way. */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "cli/cli.h"

/* Says what the event says; `step` is the one that it concerns, or NULL. */
void cli_live_event(struct cli *cli, const struct cli_event *event, struct cli_step *step);
/* Draws the live lines anew; for terminals alone. */
void cli_live_draw(struct cli *cli);
/* Says for whom the run waits, and how to answer. */
void cli_live_left_waiting(struct cli *cli, bool for_decision, const char *run_id);

#endif
