/* Artifacts of a run: their list, and the bytes of one on standard output.  The file is read where the daemon says that it
 * is, below the project, and its SHA-256 is compared while it goes by.  Invariant: exit code 0 means that every byte was
 * written and that they were the right ones. */
#include "base/hash.h"
#include "base/time.h"
#include "cli/cli.h"
#include "json/read.h"
#include "port.h"

#include <string.h>

struct found {
    char step_id[LIMIT_NAME + 1], output[LIMIT_NAME + 1], sha256[65], path[LIMIT_PATH],
        media_type[128];
    int64_t bytes;
};

static bool read_artifact(struct str raw, struct found *found)
{
    static const struct json_field fields[] = {
        {"step_id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct found, step_id), LIMIT_NAME + 1,
         0, 0},
        {"output", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct found, output), LIMIT_NAME + 1,
         0, 0},
        {"sha256", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct found, sha256), 65, 0, 0},
        {"bytes", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct found, bytes), 0, 0,
         INT64_MAX},
        {"path", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct found, path), LIMIT_PATH, 0, 0},
        {"media_type", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct found, media_type), 128, 0,
         0},
    };
    struct json_field_error problem;

    *found = (struct found){.bytes = 0};
    return json_read(raw, fields, sizeof fields / sizeof fields[0], found, &problem) == OK;
}

/* Asks for the list; the walk goes over it. */
static int ask(struct cli *cli, struct str *result, struct json_walk *walk)
{
    struct str list = STR_NONE;

    json_put_text(cli_request(cli, "artifacts.list"), "run_id", cli->options.arguments[0]);
    int code = cli_call(cli, result);
    if (code == CLI_OK)
        (void)json_member(*result, "artifacts", &list);
    *walk = json_walk(list);
    return code;
}

int cli_artifacts(struct cli *cli)
{
    struct str result, name, value;
    struct json_walk walk;
    struct found found;
    int code = ask(cli, &result, &walk);

    if (code != CLI_OK)
        return code;
    if (cli->options.json) {
        cli_print_json(cli, result);
        return CLI_OK;
    }
    bool any = false;
    for (; json_walk_next(&walk, &name, &value); any = true) {
        if (!read_artifact(value, &found))
            continue;
        cli_screen_column(&cli->screen,
                          str_of(found.output[0] != '\0' ? found.output : found.step_id), 20);
        cli_screen_format(&cli->screen, "%12lld  %.12s  ", (long long)found.bytes, found.sha256);
        cli_screen_column(&cli->screen, str_of(found.media_type), 24);
        cli_screen_text(&cli->screen, str_of(found.path));
        cli_screen_put(&cli->screen, "\n");
    }
    if (!any)
        cli_screen_put(&cli->screen, "no artifacts\n");
    return CLI_OK;
}

/* By the name of an output, else by that of a step, else by the beginning of its hash. */
static bool matches(const struct found *found, const char *name, int round)
{
    size_t n = strlen(name);
    return round == 0   ? strcmp(found->output, name) == 0
           : round == 1 ? strcmp(found->step_id, name) == 0
                        : n >= 8 && strncmp(found->sha256, name, n) == 0;
}

static bool find(struct json_walk list, const char *wanted, struct found *found)
{
    struct str name, value;

    for (int round = 0; round < 3; round++) {
        struct json_walk walk = list;
        while (json_walk_next(&walk, &name, &value))
            if (read_artifact(value, found) && matches(found, wanted, round))
                return true;
    }
    return false;
}

/* True: all of it went out, and it was what the daemon had stored. */
static bool copy(int fd, const struct found *found)
{
    char bytes[16384], hex[65];
    unsigned char digest[32];
    struct out out = OUT_ON(hex);
    struct sha256 sha;
    int64_t at = 0;
    size_t got;

    sha256_start(&sha);
    do {
        if (port_read_at(fd, bytes, sizeof bytes, at, &got) != OK) {
            cli_error("%s cannot be read: %s", found->path, port_last_error());
            return false;
        }
        sha256_add(&sha, str_range(bytes, got));
        if (port_stdout(str_range(bytes, got)) != OK) {
            cli_error("standard output takes no more: %s; %lld of %lld bytes were written",
                      port_last_error(), (long long)at, (long long)found->bytes);
            return false;
        }
        at += (int64_t)got;
    } while (got > 0);
    sha256_end(&sha, digest);
    out_hex(&out, digest, sizeof digest);
    if (strcmp(out_cstr(&out), found->sha256) == 0)
        return true;
    cli_error("%s is not what was stored: its SHA-256 is %s; what was written is not to be trusted",
              found->path, hex);
    return false;
}

static bool is_text(const char *media_type)
{
    return strncmp(media_type, "text/", 5) == 0 || strcmp(media_type, "application/json") == 0;
}

int cli_artifact_get(struct cli *cli)
{
    char path[2 * LIMIT_PATH];
    struct out out = OUT_ON(path);
    struct json_walk walk;
    struct found found;
    struct str result;
    int fd, code = ask(cli, &result, &walk);

    if (code != CLI_OK)
        return code;
    if (!find(walk, cli->options.arguments[1], &found)) {
        cli_error("run %s has no artifact \"%s\"; `charter artifacts %s` lists what it has",
                  cli->options.arguments[0], cli->options.arguments[1], cli->options.arguments[0]);
        return CLI_FAILED;
    }
    if (cli->screen.is_terminal && !is_text(found.media_type)) {
        cli_error(
            "this is %s of %lld bytes, nothing for a terminal: write it to a file with > FILE",
            found.media_type, (long long)found.bytes);
        return CLI_USAGE;
    }
    out_format(&out, "%s/%s", cli->project, found.path);
    if (port_open(out_cstr(&out), PORT_READ, &fd) != OK) {
        cli_error("%s cannot be opened: %s", path, port_last_error());
        return CLI_FAILED;
    }
    cli_screen_flush(&cli->screen);
    bool whole = copy(fd, &found);
    port_close(fd);
    return whole ? CLI_OK : CLI_FAILED;
}
