/* Shows a followed run.  Owns the wording of its lines; never asks the daemon anything.
 * Invariant: lasting lines are written only while no live line is on the screen. */
#include "cli/live.h"

#include "cli/text.h"
#include "json/read.h"

#include <string.h>

/* More live lines than a small terminal has rows would scroll away. */
#define LIVE_LINES 12
/* A piped output gets at most one line of progress a second from each step. */
#define PROGRESS_LINE_MS 1000
#define STEP_COLUMNS 12

static void put_duration(struct cli_screen *screen, int64_t ms)
{
    char text[32];
    struct out out = OUT_ON(text);

    cli_text_duration(&out, ms);
    cli_screen_put(screen, out_cstr(&out));
}

/* A raw string decoded, anything else as JSON, on the rest of the line. */
static void put_value(struct cli *cli, struct str raw)
{
    struct out text = OUT_ON(cli->text);

    if (json_string_decode(raw, &text))
        cli_screen_text(&cli->screen, out_view(&text));
    else
        cli_screen_text(&cli->screen, raw);
}

static void begin_step(struct cli *cli, const struct cli_event *event)
{
    cli_screen_put(&cli->screen, "  ");
    cli_screen_column(&cli->screen, str_of(event->step_id), STEP_COLUMNS);
    cli_screen_put(&cli->screen, " ");
}

static void end_line(struct cli *cli)
{
    cli_screen_put(&cli->screen, "\n");
}

static void put_reason(struct cli *cli, const char *before, struct str raw)
{
    if (raw.n == 0)
        return;
    cli_screen_put(&cli->screen, before);
    put_value(cli, raw);
}

/* " by NAME": what the caller said, else what the daemon verified. */
static void put_who(struct cli *cli, const struct cli_event *event)
{
    struct str actor = cli_event_data(event, "actor");

    put_reason(cli, " by ", actor.n > 2 ? actor : cli_event_data(event, "by"));
}

static void on_log(struct cli *cli, const struct cli_event *event)
{
    struct str level = cli_event_data(event, "level"), stream = cli_event_data(event, "stream");

    if (json_string_is(level, "debug"))
        return;
    begin_step(cli, event);
    if (json_string_is(stream, "stderr"))
        cli_screen_put(&cli->screen, "stderr: ");
    else if (!json_string_is(level, "info"))
        put_reason(cli, "", level), cli_screen_put(&cli->screen, ": ");
    put_value(cli, cli_event_data(event, "message"));
    end_line(cli);
}

static void put_progress(struct out *out, const struct cli_step *step)
{
    if (step->progress.known) {
        out_i64(out, step->progress.current);
        if (step->progress.total > 0) {
            out_byte(out, '/');
            out_i64(out, step->progress.total);
        }
        out_byte(out, ' ');
    }
    out_text(out, step->message);
}

static void on_progress(struct cli *cli, const struct cli_event *event, struct cli_step *step)
{
    char text[256];
    struct out out = OUT_ON(text);

    /* On a terminal the live line has it. */
    if (cli->screen.is_terminal || event->time_ms - step->shown_ms < PROGRESS_LINE_MS)
        return;
    step->shown_ms = event->time_ms;
    put_progress(&out, step);
    begin_step(cli, event);
    cli_screen_text(&cli->screen, out_view(&out));
    end_line(cli);
}

static void put_error(struct cli *cli, const struct cli_event *event)
{
    struct str error = cli_event_data(event, "error"), part;

    if (json_member(error, "kind", &part))
        put_reason(cli, ": ", part);
    if (json_member(error, "message", &part))
        put_reason(cli, ": ", part);
}

static void on_step(struct cli *cli, const struct cli_event *event, struct cli_step *step)
{
    const char *what = event->type + strlen("step.");
    struct cli_screen *screen = &cli->screen;

    if (strcmp(what, "log") == 0) {
        on_log(cli, event);
        return;
    }
    if (strcmp(what, "progress") == 0) {
        on_progress(cli, event, step);
        return;
    }
    /* The live line says that it has started. */
    if (strcmp(what, "started") == 0 && screen->is_terminal)
        return;
    begin_step(cli, event);
    cli_screen_text(screen, str_of(what));
    if (strcmp(what, "completed") == 0) {
        cli_screen_put(screen, " in ");
        put_duration(screen, event->time_ms - step->started_ms);
    } else if (strcmp(what, "failed") == 0) {
        cli_screen_put(screen, " after ");
        put_duration(screen, event->time_ms - step->started_ms);
        put_error(cli, event);
    } else if (strcmp(what, "retrying") == 0) {
        struct str delay = cli_event_data(event, "delay_ms");
        int64_t delay_ms = 0;
        if (json_integer(delay, &delay_ms)) {
            cli_screen_put(screen, " in ");
            put_duration(screen, delay_ms);
        }
        put_error(cli, event);
    } else {
        put_reason(cli, ": ", cli_event_data(event, "reason"));
    }
    end_line(cli);
}

static void on_ending(struct cli *cli, const struct cli_event *event)
{
    const struct cli_progress *progress = &cli->progress;
    struct str step = cli_event_data(event, "step_id");

    if (step.n == 0)
        step = str_of(event->step_id);
    cli_screen_put(&cli->screen, "run ");
    cli_screen_text(&cli->screen, str_of(event->run_id));
    cli_screen_format(&cli->screen, " %s", cli_outcome_text(progress->outcome));
    if (progress->started_ms > 0) {
        cli_screen_put(&cli->screen, progress->outcome == CLI_RUN_SUCCEEDED ? " in " : " after ");
        put_duration(&cli->screen, progress->ended_ms - progress->started_ms);
    }
    put_reason(cli, ", step ", step);
    put_error(cli, event);
    put_reason(cli, ": ", cli_event_data(event, "reason"));
    put_who(cli, event);
    put_reason(cli, ": ", cli_event_data(event, "comment"));
    end_line(cli);
    if (progress->outcome == CLI_RUN_SUCCEEDED)
        cli_show_outputs(cli, cli_event_data(event, "outputs"));
}

static void on_run(struct cli *cli, const struct cli_event *event)
{
    const char *what = event->type + strlen("run.");
    struct cli_screen *screen = &cli->screen;

    if (cli_outcome_of(str_of(what)) != CLI_RUN_OPEN) {
        on_ending(cli, event);
    } else if (strcmp(what, "created") == 0) {
        cli_screen_put(screen, "run ");
        cli_screen_text(screen, str_of(event->run_id));
        put_reason(cli, " of ", cli_event_data(event, "workflow_id"));
        end_line(cli);
    } else if (strcmp(what, "waiting") == 0) {
        begin_step(cli, event);
        put_reason(cli, "waits for ", cli_event_data(event, "for"));
        put_reason(cli, ": ", cli_event_data(event, "message"));
        end_line(cli);
    } else if (strcmp(what, "resumed") == 0) {
        begin_step(cli, event);
        put_reason(cli, "decided: ", cli_event_data(event, "decision"));
        put_who(cli, event);
        put_reason(cli, ": ", cli_event_data(event, "comment"));
        end_line(cli);
    } else if (strcmp(what, "input_submitted") == 0) {
        begin_step(cli, event);
        cli_screen_put(screen, "answered");
        put_who(cli, event);
        end_line(cli);
    } else if (strcmp(what, "cancel_requested") == 0) {
        cli_screen_put(screen, "  cancel requested");
        put_who(cli, event);
        put_reason(cli, ": ", cli_event_data(event, "reason"));
        end_line(cli);
    }
}

void cli_live_event(struct cli *cli, const struct cli_event *event, struct cli_step *step)
{
    cli_screen_live_clear(&cli->screen);
    if (str_starts_with(str_of(event->type), STR("step.")) && step != NULL) {
        on_step(cli, event, step);
    } else if (str_starts_with(str_of(event->type), STR("run."))) {
        on_run(cli, event);
    } else if (strcmp(event->type, "events.dropped") == 0) {
        put_reason(cli, "  events dropped under pressure: ", cli_event_data(event, "count"));
        end_line(cli);
    }
}

static void draw_step(struct cli *cli, const struct cli_step *step, int64_t now_ms)
{
    static const char *const states[] = {"running", "waiting", "retrying", "ended"};
    char line[512];
    struct out out = OUT_ON(line);
    size_t width = cli_text_width(str_of(step->id));

    out_text(&out, "  ");
    out_text(&out, step->id);
    do
        out_byte(&out, ' ');
    while (++width < STEP_COLUMNS + 1);
    out_format(&out, "%s ", states[step->state]);
    cli_text_duration(&out, now_ms - step->started_ms);
    if (step->attempt > 1)
        out_format(&out, ", attempt %lld", (long long)step->attempt);
    if (step->progress.known || step->message[0] != '\0') {
        out_text(&out, "  ");
        put_progress(&out, step);
    }
    cli_screen_live_line(&cli->screen, out_view(&out));
}

void cli_live_draw(struct cli *cli)
{
    const struct cli_progress *progress = &cli->progress;
    int64_t now_ms = port_wall_ms();
    size_t drawn = 0, left = 0;

    cli_screen_live_clear(&cli->screen);
    if (progress->created && progress->started_ms == 0 && progress->outcome == CLI_RUN_OPEN)
        cli_screen_live_line(&cli->screen, STR("  queued"));
    for (size_t i = 0; i < progress->count && progress->outcome == CLI_RUN_OPEN; i++) {
        if (progress->steps[i].state == CLI_STEP_ENDED)
            continue;
        if (drawn++ < LIVE_LINES)
            draw_step(cli, &progress->steps[i], now_ms);
        else
            left++;
    }
    if (left > 0) {
        char line[64];
        struct out out = OUT_ON(line);
        out_format(&out, "  and %zu more", left);
        cli_screen_live_line(&cli->screen, out_view(&out));
    }
}

void cli_live_left_waiting(struct cli *cli, bool for_decision, const char *run_id)
{
    cli_screen_live_clear(&cli->screen);
    cli_screen_put(&cli->screen, "run ");
    cli_screen_text(&cli->screen, str_of(run_id));
    if (!for_decision) {
        cli_screen_put(&cli->screen, " is left waiting for answers: charter submit-input ");
        cli_screen_text(&cli->screen, str_of(run_id));
        cli_screen_put(&cli->screen, " --answers JSON\n");
    } else {
        cli_screen_put(&cli->screen, " is left waiting for a decision: charter resume ");
        cli_screen_text(&cli->screen, str_of(run_id));
        cli_screen_put(&cli->screen, " --approve (or --deny)\n");
    }
}
