/* What is known of a run that is being followed, from its events alone: its steps, which of them
 * run or wait, and how it ended.  The screen is somebody else's. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/event.h"

enum cli_step_state { CLI_STEP_RUNNING, CLI_STEP_WAITING, CLI_STEP_RETRYING, CLI_STEP_ENDED };

struct cli_step {
    char id[LIMIT_NAME + 1];
    char message[128]; /* of the last progress; cut */
    enum cli_step_state state;
    int64_t started_ms; /* wall clock of its first attempt */
    int64_t shown_ms;   /* wall clock of the last progress that was printed as a line */
    int64_t attempt;
    struct {
        int64_t current, total; /* total 0: unknown */
        bool known;
    } progress;
};

enum cli_outcome {
    CLI_RUN_OPEN,
    CLI_RUN_SUCCEEDED,
    CLI_RUN_FAILED,
    CLI_RUN_CANCELLED,
    CLI_RUN_DENIED
};

struct cli_progress {
    struct cli_step steps[LIMIT_STEPS];
    size_t count;
    enum cli_outcome outcome;
    bool created;
    int64_t started_ms, ended_ms; /* wall clock; 0: not yet */
};

void cli_progress_start(struct cli_progress *progress);
/* Takes one event in; the step that it concerns, or NULL. */
struct cli_step *cli_progress_apply(struct cli_progress *progress, const struct cli_event *event);
/* A step that some event told of; NULL: none did. */
const struct cli_step *cli_progress_step(const struct cli_progress *progress, const char *id);
/* Whether some step waits for a decision or an answer and no other one executes. */
bool cli_progress_waits(const struct cli_progress *progress);
/* Of run.status; CLI_RUN_OPEN for everything that has not ended. */
enum cli_outcome cli_outcome_of(struct str status);
const char *cli_outcome_text(enum cli_outcome outcome);

#endif
