/* Help texts, put together from the tables of commands and options: what is not in a table
 * cannot be promised here. */
#include "cli/cli.h"

#define NAME_COLUMNS 34

static void put_command_name(struct out *out, const struct cli_command *command)
{
    out_text(out, command->words[0]);
    if (command->words[1] != NULL) {
        out_byte(out, ' ');
        out_text(out, command->words[1]);
    }
    if (*command->arguments != '\0') {
        out_byte(out, ' ');
        out_text(out, command->arguments);
    }
}

static void list_command(struct cli *cli, const struct cli_command *command)
{
    char text[128];
    struct out out = OUT_ON(text);

    put_command_name(&out, command);
    cli_screen_put(&cli->screen, "  ");
    cli_screen_column(&cli->screen, out_view(&out), NAME_COLUMNS);
    cli_screen_put(&cli->screen, command->summary);
    cli_screen_put(&cli->screen, "\n");
}

static void list_options(struct cli *cli, const struct cli_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[128];
        struct out out = OUT_ON(text);
        out_text(&out, "--");
        out_text(&out, options[i].name);
        if (options[i].value != NULL) {
            out_byte(&out, ' ');
            out_text(&out, options[i].value);
        }
        cli_screen_put(&cli->screen, "  ");
        cli_screen_column(&cli->screen, out_view(&out), NAME_COLUMNS);
        cli_screen_put(&cli->screen, options[i].help);
        cli_screen_put(&cli->screen, "\n");
    }
}

static void list_global_options(struct cli *cli)
{
    cli_screen_put(&cli->screen, "\noptions of every command\n");
    list_options(cli, cli_global_options, cli_global_option_count);
}

void cli_help(struct cli *cli)
{
    cli_screen_put(&cli->screen,
                   "charter: starts and watches the workflows of a project, through its daemon\n\n"
                   "usage: charter COMMAND [OPTIONS]\n\ncommands\n");
    for (size_t i = 0; i < cli_command_count; i++)
        list_command(cli, &cli_commands[i]);
    list_global_options(cli);
    cli_screen_put(
        &cli->screen,
        "\nenvironment\n"
        "  CHARTER_PROJECT_PATH               the project, where --project-path is not given\n"
        "\nexit codes\n"
        "  0 done, run succeeded   1 run failed       2 usage          3 run denied\n"
        "  4 run cancelled         5 left waiting     6 no daemon      7 refused by the daemon\n"
        "  130 interrupted while following: the run goes on\n");
}

void cli_help_on(struct cli *cli, const struct cli_command *command)
{
    char text[128];
    struct out out = OUT_ON(text);

    put_command_name(&out, command);
    cli_screen_put(&cli->screen, "usage: charter ");
    cli_screen_text(&cli->screen, out_view(&out));
    cli_screen_put(&cli->screen, command->option_count > 0 ? " [OPTIONS]\n\n" : "\n\n");
    cli_screen_put(&cli->screen, command->summary);
    cli_screen_put(&cli->screen, "\n");
    if (command->notes != NULL) {
        cli_screen_put(&cli->screen, "\n");
        cli_screen_put(&cli->screen, command->notes);
    }
    if (command->option_count > 0) {
        cli_screen_put(&cli->screen, "\noptions\n");
        list_options(cli, command->options, command->option_count);
    }
    list_global_options(cli);
}

void cli_help_group(struct cli *cli, const char *word)
{
    cli_screen_format(&cli->screen, "usage: charter %s COMMAND [OPTIONS]\n\ncommands\n", word);
    for (size_t i = 0; i < cli_command_count; i++)
        if (str_is(str_of(word), cli_commands[i].words[0]))
            list_command(cli, &cli_commands[i]);
    list_global_options(cli);
}
