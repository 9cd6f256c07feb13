/* The `charter` command.  Owns the one struct of the program; every command returns its exit
 * code here. */
#include "cli/cli.h"

static int run_command(struct cli *cli, int argc, char **argv)
{
    struct cli_parsed parsed = {0};
    struct cli_problem problem = {0};

    if (!cli_options_read(cli_commands, cli_command_count, argc, argv, &cli->options, &parsed,
                          &problem)) {
        cli_error("%s", problem.text);
        return CLI_USAGE;
    }
    cli->command = parsed.command;
    if (cli->options.version) {
        cli_screen_put(&cli->screen, "charter " CHARTER_VERSION "\n");
        return CLI_OK;
    }
    if (cli->options.help) {
        if (parsed.command != NULL)
            cli_help_on(cli, parsed.command);
        else if (parsed.group != NULL)
            cli_help_group(cli, parsed.group);
        else
            cli_help(cli);
        return CLI_OK;
    }
    if (parsed.command->run != cli_init) {
        int code = cli_project_find(cli);
        if (code != CLI_OK)
            return code;
    }
    return parsed.command->run(cli);
}

int main(int argc, char **argv)
{
    static struct cli cli;

    cli_screen_start(&cli.screen);
    int code = run_command(&cli, argc, argv);
    cli_screen_flush(&cli.screen);
    cli_connection_close(&cli.connection);
    return code;
}
