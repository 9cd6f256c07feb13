/* Which project a command is about.  Owns the search upwards from the working directory; never
 * reads what stands in a project.  Invariant: cli->project is absolute and without links once
 * CLI_OK was returned. */
#include "cli/cli.h"

#include <string.h>

static const char *const config_names[] = {"charter.yml", "charter.yaml", "charter.json"};

static bool holds_project(const char *directory)
{
    char path[LIMIT_PATH + 16];
    struct port_stat stat;

    for (size_t i = 0; i < sizeof config_names / sizeof *config_names; i++) {
        struct out out = OUT_ON(path);
        out_text(&out, directory);
        out_byte(&out, '/');
        out_text(&out, config_names[i]);
        if (!out.overflow && port_stat(out_cstr(&out), &stat) == OK)
            return true;
    }
    return false;
}

/* Cuts the last part of an absolute path; false at the root. */
static bool to_parent(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL || path[1] == '\0')
        return false;
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

static int find_named(struct cli *cli, const char *named)
{
    struct port_stat stat;
    enum err err = port_real_path(named, cli->project, sizeof cli->project);

    if (err == OK)
        err = port_stat(cli->project, &stat);
    if (err == OK && stat.kind == PORT_DIRECTORY)
        return CLI_OK;
    cli_error("project path %s: %s; name the directory that holds charter.yml", named,
              err == OK ? "is no directory" : port_last_error());
    return CLI_USAGE;
}

int cli_project_find(struct cli *cli)
{
    const char *named = cli->options.project_path;

    if (named == NULL)
        named = port_environment("CHARTER_PROJECT_PATH");
    if (named != NULL && *named != '\0')
        return find_named(cli, named);
    if (port_current_directory(cli->project, sizeof cli->project) != OK) {
        cli_error("the working directory cannot be read: %s; name the project with --project-path",
                  port_last_error());
        return CLI_USAGE;
    }
    do {
        if (holds_project(cli->project))
            return CLI_OK;
    } while (to_parent(cli->project));
    cli_error("no charter.yml here or in a parent directory; name a project with --project-path, "
              "or make one with "
              "`charter init`");
    return CLI_USAGE;
}
