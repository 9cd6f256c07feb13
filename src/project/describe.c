/* Runs COMMAND --describe.  Owns the bounds of that: time, output, what is left of it afterwards, and .charter/describe/, where answers are kept by the
 * identity of the command's files.  Never trusts an answer: it is checked whenever it is read.  Helpers and `check` alone: it blocks. */
#include "project/describe.h"

#include "base/hash.h"
#include "json/check.h"
#include "json/schema.h"
#include "port.h"

#include <string.h>

#define TIMEOUT_MS 5000 /* of one program */
#define ARGUMENTS_MAX 66
#define HEX 64
#define MARK 48

struct command {
    const char *argv[ARGUMENTS_MAX + 1], *env[8];
    char mark[MARK];          /* by which what it leaves behind is found, wherever it went */
    struct port_spawn limits; /* only these members */
    size_t argc, envc;
    struct out text; /* the strings */
    char bytes[16384];
    bool is_free; /* sandbox: false */
};

/* --- the command ------------------------------------------------------------------------------------------------------------ */

static const char *end_text(struct command *command, size_t start)
{
    out_byte(&command->text, '\0');
    return command->text.p + start;
}

static void add_env(struct command *command, const char *name, const char *otherwise)
{
    const char *value = port_environment(name);
    size_t start = command->text.n;
    if (value == NULL)
        value = otherwise;
    if (value == NULL)
        return;
    out_text(&command->text, name);
    out_byte(&command->text, '=');
    out_text(&command->text, value);
    command->env[command->envc++] = end_text(command, start);
}

/* The pid of whoever asks. */
static const char *mark_of(int64_t pid, char mark[MARK])
{
    struct out out = out_on(mark, MARK);
    out_format(&out, "CHARTER_DESCRIBE=%lld", (long long)pid);
    return out_cstr(&out);
}

static int64_t limit_of(struct str limits, const char *name)
{
    struct str raw;
    int64_t value;
    return json_member(limits, name, &raw) && json_integer(raw, &value) ? value : 0;
}

/* The environment of integrations without what belongs to a run, and without `env:`, where secrets may stand. */
static bool make_command(struct command *command, struct str entry)
{
    struct str ignored, value, raw = STR_NONE, limits = STR_NONE;
    (void)json_member(entry, "command", &raw);
    (void)json_member(entry, "limits", &limits);
    command->limits = (struct port_spawn){
        .memory_bytes = limit_of(limits, "memory_mb") * 1024 * 1024,
        .cpu_s = limit_of(limits, "cpu_s"),
        .open_files = limit_of(limits, "open_files"),
        .processes = limit_of(limits, "processes"),
        .nice = (int)limit_of(limits, "nice"),
        .uid = limit_of(entry, "uid"),
        .gid = limit_of(entry, "gid"),
    };
    /* Whoever checks a project without being root looks at it as himself. */
    command->limits.changes_user = json_member(entry, "uid", &value) && port_uid() == 0;
    command->is_free = json_member(entry, "sandbox", &value) && json_type(value) == JSON_BOOLEAN &&
                       !json_is_true(value);
    struct json_walk walk = json_walk(raw);

    command->argc = command->envc = 0;
    command->text = OUT_ON(command->bytes);
    while (json_walk_next(&walk, &ignored, &value)) {
        size_t start = command->text.n;
        if (command->argc + 1 == ARGUMENTS_MAX || !json_string_decode(value, &command->text))
            return false;
        command->argv[command->argc++] = end_text(command, start);
    }
    command->argv[command->argc++] = "--describe";
    command->argv[command->argc] = NULL;
    add_env(command, "PATH", "/usr/local/bin:/usr/bin:/bin");
    add_env(command, "HOME", NULL);
    add_env(command, "LANG", NULL);
    add_env(command, "TZ", NULL);
    command->env[command->envc++] = mark_of(port_pid(), command->mark);
    command->env[command->envc] = NULL;
    return !command->text.overflow;
}

/* --- the program ------------------------------------------------------------------------------------------------------------ */

struct answer {
    struct out *out;
    char last[160]; /* the beginning of the last line on stderr */
    size_t last_n;
    bool line_ended;
};

static void note_err(struct answer *answer, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] == '\n') {
            answer->line_ended = true;
            continue;
        }
        if (answer->line_ended)
            answer->last_n = 0;
        answer->line_ended = false;
        if (answer->last_n + 1 < sizeof answer->last)
            answer->last[answer->last_n++] = bytes.p[i];
    }
}

/* False at the end, or where there is more than fits. */
static bool take(int fd, struct answer *answer, bool is_err)
{
    char bytes[4096];
    size_t got;
    enum err err = port_read(fd, bytes, sizeof bytes, &got);
    if (err == ERR_AGAIN)
        return true;
    if (err != OK)
        return false;
    if (is_err)
        note_err(answer, str_range(bytes, got));
    else
        out_str(answer->out, str_range(bytes, got));
    return !answer->out->overflow;
}

/* Until stdout has ended. */
static enum err listen(const struct port_child *child, int64_t deadline, struct answer *answer)
{
    int err_fd = child->err;
    bool out_ready, err_ready;

    for (;;) {
        int64_t left = deadline - port_monotonic_ms();
        if (left <= 0 || port_pipe_wait(child->out, err_fd, PORT_READABLE, left, &out_ready,
                                        &err_ready) == ERR_AGAIN)
            return ERR_TIMEOUT;
        if (err_ready && !take(err_fd, answer, true))
            err_fd = -1;
        if (out_ready && !take(child->out, answer, false))
            return answer->out->overflow ? ERR_TOO_LARGE : OK;
    }
}

static bool has_ended(int64_t pid, int64_t deadline, int *exit_code, int *signal)
{
    int64_t dead;
    bool ignored, ignored_too;

    for (;;) {
        enum err err = port_reap(&dead, exit_code, signal);
        if (err == OK && dead == pid)
            return true;
        if (err == ERR_END || (err == ERR_AGAIN && port_monotonic_ms() >= deadline))
            return false;
        if (err == ERR_AGAIN)
            (void)port_pipe_wait(-1, -1, 0, 5, &ignored, &ignored_too);
    }
}

static void kill_one(void *context, int64_t pid)
{
    (void)context;
    port_kill(pid, PORT_KILL);
}

void describe_abandon(int64_t helper_pid)
{
    char mark[MARK];
    (void)port_find_marked(mark_of(helper_pid, mark), kill_one, NULL);
}

static bool run(const char *root, const struct command *command, int64_t deadline, struct out *to,
                struct out *why)
{
    const char *writable[] = {root, NULL};
    struct port_spawn spawn = command->limits;
    struct answer answer = {.out = to};
    struct port_child child;
    int exit_code = -1, signal = -1;
    int64_t begun = port_monotonic_ms();

    if (deadline > begun + TIMEOUT_MS)
        deadline = begun + TIMEOUT_MS;

    spawn.argv = command->argv;
    spawn.env = command->env;
    spawn.directory = root;
    if (spawn.changes_user) { /* its program may stand in there; a run opens it as well */
        char path[LIMIT_PATH];
        struct out folder = OUT_ON(path);
        out_format(&folder, "%s/.charter", root);
        (void)port_set_mode(out_cstr(&folder), 0711);
    }
    spawn.writable = command->is_free ? NULL : writable;
    if (port_spawn(&spawn, &child) != OK) {
        out_format(why, "%.100s: %s", command->argv[0], port_last_error());
        return false;
    }
    port_close(child.in);
    enum err err = listen(&child, deadline, &answer);
    bool ended = err == OK && has_ended(child.pid, deadline, &exit_code, &signal);
    for (int i = 0; i < 16; i++) /* what it said last; no more than a pipe holds */
        (void)take(child.err, &answer, true);
    /* What it left behind goes with it, also where it has left the group. */
    port_kill_group(child.pid, PORT_KILL);
    (void)port_find_marked(command->mark, kill_one, NULL);
    if (!ended)
        (void)has_ended(child.pid, port_monotonic_ms() + 1000, &exit_code, &signal);
    port_close(child.out);
    port_close(child.err);
    if (ended && exit_code == 0)
        return true;
    if (err == ERR_TOO_LARGE)
        out_format(why, "--describe printed more than %zu bytes", to->cap);
    else if (!ended)
        out_format(why, "--describe did not end within %lld ms", (long long)(deadline - begun));
    else if (signal > 0)
        out_format(why, "--describe died of %s", port_signal_name(signal));
    else
        out_format(why, "--describe ended with exit code %d", exit_code);
    if (answer.last_n > 0)
        out_format(why, ": %.*s", (int)answer.last_n, answer.last);
    return false;
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

static bool read_schema(struct str raw, const char *name, struct str *schema, struct out *why)
{
    struct json_schema_problem problem;

    *schema = STR("{}");
    if (!json_member(raw, name, schema) || json_schema_is_usable(*schema, &problem))
        return true;
    out_format(why, "--describe printed a %s that is none: %s", name, problem.reason);
    return false;
}

static bool read(struct str text, struct description *description, struct out *why)
{
    struct json_problem problem;

    if (json_check(text, LIMIT_JSON_DEPTH, &problem) != OK) {
        out_format(why, "--describe did not print one JSON object: %s at byte %zu", problem.reason,
                   problem.offset);
        return false;
    }
    text = str_trim(text);
    if (json_type(text) != JSON_OBJECT) {
        out_text(why, "--describe did not print one JSON object");
        return false;
    }
    return read_schema(text, "config_schema", &description->config_schema, why) &&
           read_schema(text, "input_schema", &description->input_schema, why);
}

/* --- what was kept ---------------------------------------------------------------------------------------------------------- */

static void add_number(struct sha256 *sha, uint64_t number)
{
    char digits[24];
    struct out out = OUT_ON(digits);
    out_u64(&out, number);
    out_byte(&out, ' ');
    sha256_add(sha, out_view(&out));
}

static bool add_identity(struct sha256 *sha, const char *path)
{
    struct port_stat stat;
    if (port_stat(path, &stat) != OK || stat.kind != PORT_FILE)
        return false;
    add_number(sha, (uint64_t)stat.mtime_ms);
    add_number(sha, (uint64_t)stat.size);
    add_number(sha, stat.inode);
    add_number(sha, stat.device);
    return true;
}

/* Where a name without '/' is found, as execvp() would. */
static void add_program(struct sha256 *sha, const struct command *command)
{
    struct str folder, rest = str_of(command->env[0] + strlen("PATH="));
    char path[LIMIT_PATH];

    for (bool more = true; more;) {
        struct out to = OUT_ON(path);
        more = str_cut(rest, ':', &folder, &rest);
        out_format(&to, "%.*s/%s", STR_ARG(folder), command->argv[0]);
        if (!to.overflow && add_identity(sha, out_cstr(&to)))
            return;
    }
}

/* Hex of the command's words, under which its answer is kept, and of the same with the identity of every file among them. */
static void identify(const char *root, const struct command *command, char name[HEX + 1],
                     char identity[HEX + 1])
{
    struct sha256 words, files;
    unsigned char digest[32];
    char path[LIMIT_PATH];
    struct out to;

    sha256_start(&words);
    sha256_start(&files);
    for (size_t i = 0; i < command->argc; i++) {
        struct str word = str_range(command->argv[i], strlen(command->argv[i]) + 1);
        sha256_add(&words, word);
        sha256_add(&files, word);
        to = OUT_ON(path);
        out_format(&to, "%s/%s", command->argv[i][0] == '/' ? "" : root, command->argv[i]);
        if (i == 0 && str_find(word, '/') == word.n)
            add_program(&files, command);
        else if (!to.overflow)
            (void)add_identity(&files, out_cstr(&to));
    }
    sha256_end(&words, digest);
    to = out_on(name, HEX + 1);
    out_hex(&to, digest, sizeof digest);
    out_cstr(&to);
    sha256_end(&files, digest);
    to = out_on(identity, HEX + 1);
    out_hex(&to, digest, sizeof digest);
    out_cstr(&to);
}

/* The file begins with the identity; a line feed and the answer follow. */
static bool recall(const char *path, const char *identity, struct out *to)
{
    size_t got = 0;
    if (port_read_regular_file(path, to->p, to->cap, &got) != OK || got <= HEX ||
        !str_equal(str_range(to->p, HEX), str_of(identity)) || to->p[HEX] != '\n')
        return false;
    memmove(to->p, to->p + HEX + 1, got - HEX - 1);
    to->n = got - HEX - 1;
    return true;
}

/* Whole or not at all; that it could not be kept harms nobody. */
static void keep(const char *root, const char *path, const char *identity, struct str text)
{
    char folder[LIMIT_PATH], fresh[LIMIT_PATH];
    struct out to = OUT_ON(folder), new = OUT_ON(fresh);
    size_t put;
    int fd;

    out_format(&to, "%s/.charter", root);
    (void)port_make_directory(out_cstr(&to), 0700);
    out_text(&to, "/describe");
    (void)port_make_directory(out_cstr(&to), 0700);
    out_format(&new, "%s.%lld", path, (long long)port_pid());
    if (to.overflow || new.overflow || port_open(out_cstr(&new), PORT_TRUNCATE, &fd) != OK)
        return;
    bool written = port_write_at(fd, str_of(identity), 0, &put) == OK &&
                   port_write_at(fd, STR("\n"), HEX, &put) == OK &&
                   port_write_at(fd, text, HEX + 1, &put) == OK;
    port_close(fd);
    if (!written || port_rename(fresh, path) != OK)
        (void)port_unlink(fresh);
}

bool describe_ask(const char *root, struct str entry, bool cacheable, bool fresh, int64_t deadline,
                  struct out *to, struct description *description, struct out *why)
{
    char name[HEX + 1], identity[HEX + 1], path[LIMIT_PATH];
    struct command command;
    struct out file = OUT_ON(path), ignored = *why;

    if (!make_command(&command, entry)) {
        out_text(why, "its command is too long");
        return false;
    }
    identify(root, &command, name, identity);
    out_format(&file, "%s/.charter/describe/%s", root, name);
    cacheable = cacheable && !file.overflow;
    out_cstr(&file);
    if (cacheable && !fresh && recall(path, identity, to) &&
        read(out_view(to), description, &ignored))
        return true;
    out_reset(to);
    if (!run(root, &command, deadline, to, why) || !read(out_view(to), description, why))
        return false;
    if (cacheable)
        keep(root, path, identity, out_view(to));
    return true;
}
