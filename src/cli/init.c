/* `charter init`: a small project that runs at once.  Owns the writing of its files; never
 * replaces one that is there: all of them are looked for before the first is written, and each
 * is created only if it is new. */
#include "cli/cli.h"
#include "cli/init_files.h"

#include <string.h>

static const char *const directories[] = {"workflows", "workflows/hello", "integrations"};

struct init {
    struct cli *cli;
    char path[2 * LIMIT_PATH];
};

static const char *join(struct init *init, const char *name)
{
    struct out out = OUT_ON(init->path);

    out_text(&out, init->cli->project);
    out_byte(&out, '/');
    out_text(&out, name);
    return out_cstr(&out);
}

static int failed(const char *what, const char *path)
{
    cli_error("%s cannot be %s: %s; choose another place with `charter init PATH`", path, what,
              port_last_error());
    return CLI_FAILED;
}

static int make_directory(const char *path)
{
    enum err err = port_make_directory(path, 0755);

    return err == OK || err == ERR_EXISTS ? CLI_OK : failed("made", path);
}

static bool is_optional(size_t i)
{
    return i < cli_init_file_count && cli_init_files[i].is_optional;
}

/* The names that the daemon looks for are taken by any of their forms. */
static int refuse_existing(struct init *init)
{
    static const char *const forms[] = {"charter.yaml", "charter.json"};
    struct port_stat stat;

    for (size_t i = 0; i < cli_init_file_count + 2; i++) {
        const char *path = join(init, i < cli_init_file_count ? cli_init_files[i].path
                                                              : forms[i - cli_init_file_count]);
        if (is_optional(i) || port_stat(path, &stat) != OK)
            continue;
        cli_error("%s is there already, nothing was written; choose another place with `charter "
                  "init PATH`",
                  path);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int write_file(struct init *init, const struct cli_init_file *file)
{
    const char *path = join(init, file->path);
    struct out out = OUT_ON(init->cli->text);
    size_t put;
    int fd;

    for (const char *const *line = file->lines; *line != NULL; line++) {
        out_text(&out, *line);
        out_byte(&out, '\n');
    }
    enum err err = port_open(path, PORT_CREATE_NEW, &fd);
    if (err == ERR_EXISTS && file->is_optional)
        return CLI_OK;
    if (err != OK)
        return failed("made", path);
    err = port_write_at(fd, out_view(&out), 0, &put);
    port_close(fd);
    if (err == OK)
        err = port_set_mode(path, file->mode);
    return err == OK ? CLI_OK : failed("written", path);
}

static void say(struct cli *cli)
{
    struct cli_screen *screen = &cli->screen;

    cli_screen_put(screen, "A project is in ");
    cli_screen_text(screen, str_of(cli->project));
    cli_screen_put(screen, ":\n");
    for (size_t i = 0; i < cli_init_file_count; i++) {
        cli_screen_put(screen, "  ");
        cli_screen_put(screen, cli_init_files[i].path);
        cli_screen_put(screen, "\n");
    }
    cli_screen_put(screen, "Next:\n  cd ");
    cli_screen_text(screen, str_of(cli->project));
    cli_screen_put(screen, "\n  charter-daemon start --background 2>daemon.log\n"
                           "  charter run hello --input name=you\n"
                           "  charter daemon stop\n");
}

static void say_json(struct cli *cli)
{
    struct out out = OUT_ON(cli->text);
    struct json_writer w = json_writer(&out);

    json_object(&w);
    json_put_text(&w, "path", cli->project);
    json_key(&w, "files");
    json_array(&w);
    for (size_t i = 0; i < cli_init_file_count; i++)
        json_text(&w, cli_init_files[i].path);
    json_array_end(&w);
    json_object_end(&w);
    cli_print_json(cli, out_view(&out));
}

int cli_init(struct cli *cli)
{
    struct init init = {.cli = cli};
    const char *path =
        cli->options.argument_count > 0 ? cli->options.arguments[0] : cli->options.project_path;

    if (path == NULL)
        path = ".";
    int code = make_directory(path);
    if (code != CLI_OK)
        return code;
    if (port_real_path(path, cli->project, sizeof cli->project) != OK)
        return failed("found", path);
    code = refuse_existing(&init);
    for (size_t i = 0; i < sizeof directories / sizeof *directories && code == CLI_OK; i++)
        code = make_directory(join(&init, directories[i]));
    for (size_t i = 0; i < cli_init_file_count && code == CLI_OK; i++)
        code = write_file(&init, &cli_init_files[i]);
    if (code != CLI_OK)
        return code;
    if (cli->options.json)
        say_json(cli);
    else
        say(cli);
    return CLI_OK;
}
