/* `charter run`: starts a run and, unless --detached, follows it.  Owns the request; never
 * checks what the daemon checks anyway. */
#include "cli/cli.h"

#include "json/read.h"

/* The manifest tells the types of --input; without any it is not asked for. */
static int read_inputs(struct cli *cli, struct str *inputs)
{
    struct str result, manifest = STR_NONE;

    if (cli->options.input.count > 0) {
        json_put_text(cli_request(cli, "workflows.show"), "workflow_id", cli->options.arguments[0]);
        int code = cli_call(cli, &result);
        if (code != CLI_OK)
            return code;
        (void)json_member(result, "manifest", &manifest);
    }
    return cli_inputs(cli, manifest, inputs);
}

static void put_labels(struct json_writer *w, const struct cli_list *labels)
{
    struct str name, value;

    if (labels->count == 0)
        return;
    json_key(w, "labels");
    json_object(w);
    for (size_t i = 0; i < labels->count; i++) {
        str_cut(str_of(labels->items[i]), '=', &name, &value);
        json_key_str(w, name);
        json_string(w, value);
    }
    json_object_end(w);
}

int cli_run(struct cli *cli)
{
    const struct cli_options *options = &cli->options;
    struct str inputs, run, field = STR_NONE;
    char run_id[LIMIT_RUN_ID + 1];

    int code = read_inputs(cli, &inputs);
    if (code != CLI_OK)
        return code;
    struct json_writer *w = cli_request(cli, "run.start");
    json_put_text(w, "workflow_id", options->arguments[0]);
    json_put_raw(w, "inputs", inputs);
    if (options->run_id != NULL)
        json_put_text(w, "run_id", options->run_id);
    if (options->actor != NULL)
        json_put_text(w, "actor", options->actor);
    put_labels(w, &options->label);
    code = cli_call(cli, &run);
    if (code != CLI_OK)
        return code;
    (void)json_member(run, "run_id", &field);
    if (!json_string_copy(field, run_id, sizeof run_id))
        return cli_lost(cli, ERR_SYNTAX);
    if (options->json)
        cli_print_json(cli, run);
    if (!options->detached)
        return cli_follow(cli, run_id);
    if (!options->json) {
        cli_screen_text(&cli->screen, str_of(run_id));
        cli_screen_put(&cli->screen, "\n");
    }
    return CLI_OK;
}
