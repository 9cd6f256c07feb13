/* Answers of the daemon for people to read.  Owns the layout; reads every field as optional,
 * because an answer of another version may lack it.  Invariant: all that the daemon passed on
 * goes through the screen's safe writers. */
#include "cli/cli.h"

#include "base/time.h"
#include "cli/text.h"
#include "json/read.h"

#define NAME_COLUMNS 12

/* The member, or STR_NONE where it is absent or null. */
static struct str member(struct str object, const char *name)
{
    struct str value;

    if (json_type(object) != JSON_OBJECT || !json_member(object, name, &value) ||
        json_type(value) == JSON_NULL)
        return STR_NONE;
    return value;
}

/* A raw string decoded (valid until the next call), anything else as it stands. */
static struct str plain(struct cli *cli, struct str raw)
{
    struct out text = OUT_ON(cli->text);

    return json_string_decode(raw, &text) ? out_view(&text) : raw;
}

static void put(struct cli *cli, struct str raw)
{
    cli_screen_text(&cli->screen, plain(cli, raw));
}

/* "name        value", nothing where the value is absent. */
static void line(struct cli *cli, const char *name, struct str raw)
{
    if (raw.n == 0)
        return;
    cli_screen_column(&cli->screen, str_of(name), NAME_COLUMNS);
    put(cli, raw);
    cli_screen_put(&cli->screen, "\n");
}

static bool read_time(struct str raw, int64_t *ms)
{
    char text[40];

    return json_string_copy(raw, text, sizeof text) && time_read(str_of(text), ms);
}

/* " (1.2 s)" between two times that are there. */
static void put_between(struct cli *cli, const char *before, struct str from, struct str to,
                        const char *after)
{
    int64_t from_ms, to_ms;
    char text[32];
    struct out out = OUT_ON(text);

    if (!read_time(from, &from_ms) || !read_time(to, &to_ms))
        return;
    cli_text_duration(&out, to_ms - from_ms);
    cli_screen_format(&cli->screen, "%s%s%s", before, out_cstr(&out), after);
}

/* A value under its name: texts with their lines, artifacts as where they are, the rest as JSON. */
static void put_output(struct cli *cli, struct str name, struct str value)
{
    struct str reference = member(value, "$artifact");
    struct cli_screen *screen = &cli->screen;

    cli_screen_put(screen, "  ");
    put(cli, name);
    cli_screen_put(screen, ":");
    if (json_type(reference) == JSON_OBJECT) {
        cli_screen_put(screen, " ");
        put(cli, member(reference, "path"));
        cli_screen_put(screen, " (");
        put(cli, member(reference, "media_type"));
        cli_screen_put(screen, ", ");
        put(cli, member(reference, "bytes"));
        cli_screen_put(screen, " bytes)\n");
        return;
    }
    struct str text = plain(cli, value);
    if (str_find(text, '\n') < text.n && json_type(value) == JSON_STRING) {
        cli_screen_put(screen, "\n");
        cli_screen_block(screen, "    ", text);
    } else {
        cli_screen_put(screen, " ");
        cli_screen_text(screen, text);
        cli_screen_put(screen, "\n");
    }
}

void cli_show_outputs(struct cli *cli, struct str outputs)
{
    struct json_walk walk = json_walk(outputs);
    struct str name, value;

    if (json_type(outputs) != JSON_OBJECT)
        return;
    if (member(outputs, "$artifact").n > 0) {
        put_output(cli, STR("\"outputs\""), outputs);
        return;
    }
    if (json_count(outputs) > 0)
        cli_screen_put(&cli->screen, "outputs\n");
    while (json_walk_next(&walk, &name, &value))
        put_output(cli, name, value);
}

static void show_error(struct cli *cli, struct str error)
{
    struct str lines = member(error, "stderr"), name, text;
    struct json_walk walk = json_walk(lines);

    if (json_type(lines) == JSON_ARRAY)
        while (json_walk_next(&walk, &name, &text))
            cli_screen_block(&cli->screen, "    | ", plain(cli, text));
    else if (json_type(lines) == JSON_STRING)
        cli_screen_block(&cli->screen, "    | ", plain(cli, lines));
}

static void show_step(struct cli *cli, struct str step)
{
    struct cli_screen *screen = &cli->screen;
    struct str error = member(step, "error"), attempt = member(step, "attempt");
    int64_t count;

    cli_screen_put(screen, "  ");
    cli_screen_column(screen, plain(cli, member(step, "id")), NAME_COLUMNS);
    cli_screen_put(screen, " ");
    put(cli, member(step, "status"));
    put_between(cli, "  ", member(step, "started_at"), member(step, "ended_at"), "");
    if (json_integer(attempt, &count) && count > 1)
        cli_screen_format(screen, ", attempt %lld", (long long)count);
    if (error.n > 0) {
        cli_screen_put(screen, "  ");
        put(cli, member(error, "kind"));
        cli_screen_put(screen, ": ");
        put(cli, member(error, "message"));
    }
    cli_screen_put(screen, "\n");
    show_error(cli, error);
}

static void show_waiting(struct cli *cli, struct str waiting)
{
    if (json_type(waiting) != JSON_OBJECT)
        return;
    line(cli, "  step", member(waiting, "step_id"));
    line(cli, "  message", member(waiting, "message"));
    line(cli, "  fields", member(waiting, "fields"));
    line(cli, "  until", member(waiting, "deadline"));
}

void cli_show_run(struct cli *cli, struct str run)
{
    struct str steps = member(run, "steps"), error = member(run, "error"), name, step;
    struct str labels = member(run, "labels");

    line(cli, "run", member(run, "run_id"));
    line(cli, "workflow", member(run, "workflow_id"));
    line(cli, "status", member(run, "status"));
    line(cli, "waits for", member(run, "waiting_for"));
    show_waiting(cli, member(run, "waiting"));
    if (json_count(labels) > 0)
        line(cli, "labels", labels);
    line(cli, "created", member(run, "created_at"));
    line(cli, "started", member(run, "started_at"));
    line(cli, "ended", member(run, "ended_at"));
    if (error.n > 0) {
        cli_screen_column(&cli->screen, STR("error"), NAME_COLUMNS);
        put(cli, member(error, "kind"));
        cli_screen_put(&cli->screen, ": ");
        put(cli, member(error, "message"));
        cli_screen_put(&cli->screen, "\n");
    }
    if (json_type(steps) == JSON_ARRAY) {
        struct json_walk walk = json_walk(steps);
        cli_screen_put(&cli->screen, "steps\n");
        while (json_walk_next(&walk, &name, &step))
            show_step(cli, step);
    }
    cli_show_outputs(cli, member(run, "outputs"));
}

void cli_show_runs(struct cli *cli, struct str result)
{
    struct str runs = member(result, "runs"), cursor = member(result, "next_cursor"), name, run;
    struct json_walk walk = json_walk(runs);
    struct cli_screen *screen = &cli->screen;

    if (json_count(runs) == 0)
        cli_screen_put(screen, "no runs\n");
    while (json_walk_next(&walk, &name, &run)) {
        cli_screen_column(screen, plain(cli, member(run, "created_at")), 25);
        cli_screen_column(screen, plain(cli, member(run, "run_id")), 29);
        cli_screen_column(screen, plain(cli, member(run, "status")), 10);
        put(cli, member(run, "workflow_id"));
        put_between(cli, "  ", member(run, "started_at"), member(run, "ended_at"), "");
        cli_screen_put(screen, "\n");
    }
    if (cursor.n > 0) {
        cli_screen_put(screen, "older ones: charter runs list --cursor ");
        put(cli, cursor);
        cli_screen_put(screen, "\n");
    }
}

void cli_show_workflows(struct cli *cli, struct str result)
{
    struct str workflows = member(result, "workflows"), name, workflow;
    struct json_walk walk = json_walk(workflows);

    if (json_count(workflows) == 0)
        cli_screen_put(&cli->screen,
                       "no workflows: make one as workflows/ID/manifest.yml and plan.yml\n");
    while (json_walk_next(&walk, &name, &workflow)) {
        struct str title = member(workflow, "name");
        cli_screen_column(&cli->screen, plain(cli, member(workflow, "id")), 24);
        put(cli, title);
        cli_screen_put(&cli->screen, "\n");
    }
}

static void show_input(struct cli *cli, struct str name, struct str input)
{
    static const char *const constraints[] = {"default",    "minimum", "maximum", "min_length",
                                              "max_length", "pattern", "enum",    "items"};
    struct cli_screen *screen = &cli->screen;

    cli_screen_put(screen, "  ");
    cli_screen_column(screen, plain(cli, name), 20);
    cli_screen_put(screen, " ");
    put(cli, member(input, "type"));
    if (json_is_true(member(input, "required")))
        cli_screen_put(screen, ", required");
    for (size_t i = 0; i < sizeof constraints / sizeof *constraints; i++) {
        struct str value = member(input, constraints[i]);
        if (value.n == 0)
            continue;
        cli_screen_format(screen, ", %s ", constraints[i]);
        cli_screen_text(screen, value);
    }
    cli_screen_put(screen, "\n");
    if (member(input, "description").n > 0) {
        cli_screen_put(screen, "      ");
        put(cli, member(input, "description"));
        cli_screen_put(screen, "\n");
    }
}

static void show_plan_step(struct cli *cli, struct str step)
{
    struct cli_screen *screen = &cli->screen;
    struct str uses = member(step, "uses");

    cli_screen_put(screen, "  ");
    cli_screen_column(screen, plain(cli, member(step, "id")), 20);
    cli_screen_put(screen, " ");
    if (uses.n > 0) {
        cli_screen_put(screen, "uses ");
        put(cli, uses);
    } else {
        cli_screen_put(screen,
                       member(step, "gate").n > 0 ? "waits for a decision" : "waits for answers");
    }
    if (member(step, "if").n > 0) {
        cli_screen_put(screen, ", if ");
        put(cli, member(step, "if"));
    }
    cli_screen_put(screen, "\n");
}

void cli_show_workflow(struct cli *cli, struct str result)
{
    struct str manifest = member(result, "manifest"), inputs = member(manifest, "inputs");
    struct str steps = member(member(result, "plan"), "steps"), name, value;
    struct json_walk walk = json_walk(inputs);

    line(cli, "workflow", member(manifest, "id"));
    line(cli, "name", member(manifest, "name"));
    line(cli, "description", member(manifest, "description"));
    if (json_count(inputs) > 0)
        cli_screen_put(&cli->screen, "inputs\n");
    while (json_walk_next(&walk, &name, &value))
        show_input(cli, name, value);
    cli_screen_put(&cli->screen, "steps\n");
    walk = json_walk(steps);
    while (json_walk_next(&walk, &name, &value))
        show_plan_step(cli, value);
}

/* Three members of an object in one sentence. */
static void put_all(struct cli *cli, struct str object, const char *a, const char *after_a,
                    const char *b, const char *after_b, const char *c, const char *after_c)
{
    put(cli, member(object, a));
    cli_screen_put(&cli->screen, after_a);
    put(cli, member(object, b));
    cli_screen_put(&cli->screen, after_b);
    put(cli, member(object, c));
    cli_screen_put(&cli->screen, after_c);
}

static void show_traffic(struct cli *cli, const char *name, struct str messages, struct str bytes)
{
    if (messages.n == 0 || bytes.n == 0)
        return;
    cli_screen_column(&cli->screen, str_of(name), NAME_COLUMNS);
    put(cli, messages);
    cli_screen_put(&cli->screen, " messages, ");
    put(cli, bytes);
    cli_screen_put(&cli->screen, " bytes\n");
}

/* How far the gateway's clock is from the daemon's. */
static void show_clock(struct cli *cli, struct str offset)
{
    int64_t ms;

    if (!json_integer(offset, &ms))
        return;
    cli_screen_column(&cli->screen, STR("  clock"), NAME_COLUMNS);
    if (ms == 0)
        cli_screen_put(&cli->screen, "as ours\n");
    else
        cli_screen_format(&cli->screen, "%lld.%03lld s %s ours\n",
                          (long long)((ms < 0 ? -ms : ms) / 1000),
                          (long long)((ms < 0 ? -ms : ms) % 1000), ms > 0 ? "ahead of" : "behind");
}

static void show_gateway(struct cli *cli, struct str gateway)
{
    if (member(gateway, "url").n == 0) {
        line(cli, "gateway", STR("none"));
        return;
    }
    line(cli, "gateway", member(gateway, "url"));
    line(cli, "  state", member(gateway, "state"));
    line(cli, "  since", member(gateway, "since"));
    line(cli, "  error", member(gateway, "last_error"));
    if (json_type(member(gateway, "next_try_s")) == JSON_NUMBER) {
        cli_screen_column(&cli->screen, STR("  next try"), NAME_COLUMNS);
        cli_screen_put(&cli->screen, "in ");
        put(cli, member(gateway, "next_try_s"));
        cli_screen_put(&cli->screen, " s\n");
    }
    if (json_is_true(member(gateway, "paused")))
        line(cli, "  paused", STR("queued runs wait, as the gateway asked"));
    line(cli, "  stored to", member(gateway, "acked_seq"));
    show_traffic(cli, "  received", member(gateway, "messages_in"), member(gateway, "bytes_in"));
    show_traffic(cli, "  sent", member(gateway, "messages_out"), member(gateway, "bytes_out"));
    if (json_type(member(gateway, "rtt_ms")) == JSON_NUMBER) {
        cli_screen_column(&cli->screen, STR("  round trip"), NAME_COLUMNS);
        put(cli, member(gateway, "rtt_ms"));
        cli_screen_put(&cli->screen, " ms\n");
    }
    show_clock(cli, member(gateway, "clock_offset_ms"));
}

/* What the daemon does about a journal that has little space left. */
static const char *pressure_text(struct str pressure)
{
    return json_string_is(pressure, "logs_dropped")   ? "; logs are dropped"
           : json_string_is(pressure, "runs_refused") ? "; full: logs are dropped, new runs refused"
           : json_string_is(pressure, "no_space")
               ? "; the disk has no space: logs are dropped, new runs refused"
           : json_string_is(pressure, "integrations_wait")
               ? "; full: integrations wait until there is space"
               : "";
}

void cli_show_daemon(struct cli *cli, struct str result)
{
    struct str runs = member(result, "runs"), journal = member(result, "journal"),
               disk = member(result, "disk");
    char text[32];
    struct out out = OUT_ON(text);
    int64_t uptime_s;

    line(cli, "project", member(result, "project"));
    line(cli, "version", member(result, "version"));
    line(cli, "pid", member(result, "pid"));
    if (json_integer(member(result, "uptime_s"), &uptime_s)) {
        cli_text_duration(&out, uptime_s < INT64_MAX / 1000 ? uptime_s * 1000 : 0);
        cli_screen_column(&cli->screen, STR("up"), NAME_COLUMNS);
        cli_screen_format(&cli->screen, "%s\n", out_cstr(&out));
    }
    line(cli, "daemon id", member(result, "daemon_id"));
    line(cli, "epoch", member(result, "epoch"));
    show_gateway(cli, member(result, "gateway"));
    cli_screen_column(&cli->screen, STR("runs"), NAME_COLUMNS);
    put_all(cli, runs, "active", " active, ", "waiting", " waiting, ", "queued", " queued\n");
    cli_screen_column(&cli->screen, STR("journal"), NAME_COLUMNS);
    put_all(cli, journal, "bytes", " of ", "limit", " bytes, events ", "first_seq", " to ");
    put(cli, member(journal, "last_seq"));
    cli_screen_put(&cli->screen, pressure_text(member(journal, "pressure")));
    cli_screen_put(&cli->screen, "\n");
    if (disk.n == 0)
        return; /* a daemon that does not count */
    cli_screen_column(&cli->screen, STR("disk"), NAME_COLUMNS);
    put(cli, member(disk, "bytes_written"));
    cli_screen_put(&cli->screen, " bytes written, ");
    put(cli, member(disk, "syncs"));
    cli_screen_put(&cli->screen, " syncs since its start, by ");
    put(cli, member(disk, "runs_ended"));
    cli_screen_put(&cli->screen, " runs and ");
    put(cli, member(disk, "events"));
    cli_screen_put(&cli->screen, " events; of these ");
    put_all(cli, member(disk, "idle"), "bytes_written", " bytes, ", "syncs", " syncs in ",
            "seconds", " s without a run\n");
}
