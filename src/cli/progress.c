/* Follows a run by its events.  Owns the table of its steps; never prints.  Invariant: a step is
 * in the table once, and its state is what its last event says. */
#include "cli/progress.h"

#include "json/read.h"
#include "json/utf8.h"

#include <string.h>

void cli_progress_start(struct cli_progress *progress)
{
    progress->count = 0;
    progress->outcome = CLI_RUN_OPEN;
    progress->created = false;
    progress->started_ms = progress->ended_ms = 0;
}

static struct cli_step *step_named(struct cli_progress *progress, const char *id, int64_t time_ms)
{
    for (size_t i = 0; i < progress->count; i++)
        if (strcmp(progress->steps[i].id, id) == 0)
            return &progress->steps[i];
    if (*id == '\0' || progress->count == LIMIT_STEPS)
        return NULL;
    struct cli_step *step = &progress->steps[progress->count++];
    *step = (struct cli_step){.started_ms = time_ms, .attempt = 1};
    str_copy(str_of(id), step->id, sizeof step->id);
    return step;
}

const struct cli_step *cli_progress_step(const struct cli_progress *progress, const char *id)
{
    for (size_t i = 0; i < progress->count; i++)
        if (strcmp(progress->steps[i].id, id) == 0)
            return &progress->steps[i];
    return NULL;
}

static void take_progress(struct cli_step *step, const struct cli_event *event)
{
    char text[2 * LIMIT_TEXT];
    struct out out = OUT_ON(text);

    step->progress.known = json_integer(cli_event_data(event, "current"), &step->progress.current);
    if (!json_integer(cli_event_data(event, "total"), &step->progress.total))
        step->progress.total = 0;
    step->message[0] = '\0';
    if (json_string_decode(cli_event_data(event, "message"), &out)) {
        struct str cut = str_head(out_view(&out), sizeof step->message - 1);
        cut.n = utf8_cut(cut);
        str_copy(cut, step->message, sizeof step->message);
    }
}

static void step_event(struct cli_step *step, const struct cli_event *event)
{
    const char *what = event->type + strlen("step.");

    if (event->attempt > 0)
        step->attempt = event->attempt;
    if (strcmp(what, "started") == 0) {
        step->state = CLI_STEP_RUNNING;
        step->progress.known = false;
        step->message[0] = '\0';
    } else if (strcmp(what, "progress") == 0) {
        take_progress(step, event);
    } else if (strcmp(what, "retrying") == 0) {
        step->state = CLI_STEP_RETRYING;
    } else if (strcmp(what, "completed") == 0 || strcmp(what, "failed") == 0 ||
               strcmp(what, "skipped") == 0 || strcmp(what, "interrupted") == 0) {
        step->state = CLI_STEP_ENDED;
    }
}

static void run_event(struct cli_progress *progress, struct cli_step *step,
                      const struct cli_event *event)
{
    const char *what = event->type + strlen("run.");

    if (strcmp(what, "created") == 0)
        progress->created = true;
    else if (strcmp(what, "started") == 0)
        progress->started_ms = event->time_ms;
    else if (strcmp(what, "waiting") == 0 && step != NULL)
        step->state = CLI_STEP_WAITING;
    else if ((strcmp(what, "resumed") == 0 || strcmp(what, "input_submitted") == 0) && step != NULL)
        step->state = CLI_STEP_RUNNING;
    else if (cli_outcome_of(str_of(what)) != CLI_RUN_OPEN) {
        progress->outcome = cli_outcome_of(str_of(what));
        progress->ended_ms = event->time_ms;
    }
}

struct cli_step *cli_progress_apply(struct cli_progress *progress, const struct cli_event *event)
{
    /* The step that an ending names is where the run failed, not one that goes on. */
    bool is_step = str_starts_with(str_of(event->type), STR("step."));
    bool is_run = str_starts_with(str_of(event->type), STR("run."));
    struct cli_step *step =
        is_step || is_run ? step_named(progress, event->step_id, event->time_ms) : NULL;

    if (is_step && step != NULL)
        step_event(step, event);
    if (is_run)
        run_event(progress, step, event);
    return step;
}

bool cli_progress_waits(const struct cli_progress *progress)
{
    size_t waiting = 0;

    for (size_t i = 0; i < progress->count; i++) {
        if (progress->steps[i].state == CLI_STEP_WAITING)
            waiting++;
        else if (progress->steps[i].state != CLI_STEP_ENDED)
            return false;
    }
    return waiting > 0;
}

static const char *const outcomes[] = {"open", "succeeded", "failed", "cancelled", "denied"};

enum cli_outcome cli_outcome_of(struct str status)
{
    for (int i = CLI_RUN_SUCCEEDED; i <= CLI_RUN_DENIED; i++)
        if (str_is(status, outcomes[i]))
            return (enum cli_outcome)i;
    return CLI_RUN_OPEN;
}

const char *cli_outcome_text(enum cli_outcome outcome)
{
    return outcomes[outcome];
}
