/* Python integrations.  Owns the places of the virtual environment and of the bridge, and the reading of entry-point
 * metadata; never starts Python.  Invariant: a bridge file that exists is whole. */
#include "project/python.h"

#include "base/limits.h"
#include "port.h"

#include <string.h>

#ifdef CONFIG_PYTHON_BRIDGE
#include "project/bridge_source.h"
#define HAS_BRIDGE true
#else
static const unsigned char bridge_source[] = {0};
#define HAS_BRIDGE false
#endif

#define VENV ".charter/.venv"
#define INTERPRETER VENV "/bin/python"
#define BRIDGE ".charter/bridge.py"
#define GROUP "charter.integrations"
#define METADATA_BYTES 16384 /* of an entry_points.txt; what stands behind is not seen */

/* --- paths --------------------------------------------------------------------------------------------------------- */

static bool join(char path[LIMIT_PATH], const char *folder, const char *name)
{
    struct out to = out_on(path, LIMIT_PATH);
    out_format(&to, "%s/%s", folder, name);
    out_cstr(&to);
    return !to.overflow;
}

static bool is_kind(const char *root, const char *name, enum port_kind kind, bool executable)
{
    char path[LIMIT_PATH];
    struct port_stat stat;
    return join(path, name[0] == '/' ? "" : root, name[0] == '/' ? name + 1 : name) &&
           port_stat(path, &stat) == OK && stat.kind == kind && (!executable || stat.executable);
}

static bool ends_with(struct str text, const char *end)
{
    size_t n = strlen(end);
    return text.n >= n && memcmp(text.p + text.n - n, end, n) == 0;
}

/* Cuts at the last colon. */
static bool split_file(struct str target, struct str *file)
{
    size_t at = target.n;
    while (at > 0 && target.p[at - 1] != ':')
        at--;
    *file = at == 0 ? STR_NONE : str_head(target, at - 1);
    return at > 0 && at < target.n && file->n > 3 && ends_with(*file, ".py");
}

bool python_is_file(struct str target)
{
    struct str file;
    return split_file(target, &file);
}

/* --- entry points -------------------------------------------------------------------------------------------------- */

struct search {
    char folder[LIMIT_PATH];
    void (*each)(void *context, struct str name, struct str object, struct str package);
    void *context;
    bool is_linked; /* the folder was named by a .pth file: its own are not followed */
};

/* The lines of one group of an INI file: NAME = MODULE:ATTRIBUTE [EXTRAS]. */
static void read_metadata(const struct search *search, struct str text, struct str package)
{
    struct str line;
    bool in_group = false;
    while (text.n > 0) {
        struct str name, object, extras;
        str_cut(text, '\n', &line, &text);
        line = str_trim(line);
        if (str_starts_with(line, STR("["))) {
            str_cut(str_from(line, 1), ']', &name, &extras);
            in_group = str_is(str_trim(name), GROUP);
        } else if (in_group && line.n > 0 && line.p[0] != '#' && line.p[0] != ';' &&
                   str_cut(line, '=', &name, &object)) {
            str_cut(object, '[', &object, &extras);
            search->each(search->context, str_trim(name), str_trim(object), package);
        }
    }
}

static bool search_folder(const struct search *outer, const char *folder, bool is_linked);

/* A .pth file names more folders, a line each: how a package is installed in place, for development. */
static void follow_links(const struct search *search, struct str text)
{
    char path[LIMIT_PATH];
    struct str line;
    while (text.n > 0) {
        str_cut(text, '\n', &line, &text);
        line = str_trim(line);
        if (line.n > 0 && line.p[0] == '/' && str_copy(line, path, sizeof path))
            search_folder(search, path, true);
    }
}

static bool on_package(void *context, const char *entry)
{
    const struct search *search = context;
    char path[LIMIT_PATH], text[METADATA_BYTES];
    struct str name = str_of(entry);
    size_t got = 0;
    bool is_link = !search->is_linked && ends_with(name, ".pth");
    struct out to = OUT_ON(path);
    if (!is_link && !ends_with(name, ".dist-info") && !ends_with(name, ".egg-info"))
        return true;
    out_format(&to, "%s/%s%s", search->folder, entry, is_link ? "" : "/entry_points.txt");
    enum err err = to.overflow ? ERR_TOO_LARGE
                               : port_read_regular_file(out_cstr(&to), text, sizeof text, &got);
    if (err != OK && (err != ERR_TOO_LARGE || got == 0))
        return true;
    if (is_link)
        follow_links(search, str_range(text, got));
    else
        read_metadata(search, str_range(text, got), name);
    return true;
}

static bool search_folder(const struct search *outer, const char *folder, bool is_linked)
{
    struct search search = {.each = outer->each, .context = outer->context, .is_linked = is_linked};
    return str_copy(str_of(folder), search.folder, sizeof search.folder) &&
           port_list(search.folder, on_package, &search) == OK;
}

static bool on_version(void *context, const char *entry)
{
    const struct search *search = context;
    char path[LIMIT_PATH];
    struct out to = OUT_ON(path);
    if (!str_starts_with(str_of(entry), STR("python")))
        return true;
    out_format(&to, "%s/%s/site-packages", search->folder, entry);
    if (!to.overflow)
        search_folder(search, out_cstr(&to), false);
    return true;
}

void python_list(const char *root,
                 void (*each)(void *context, struct str name, struct str object,
                              struct str package),
                 void *context)
{
    struct search search = {.each = each, .context = context};
    if (HAS_BRIDGE && join(search.folder, root, VENV "/lib"))
        (void)port_list(search.folder, on_version, &search);
}

struct looked_for {
    struct str name;
    bool found;
};

static void compare(void *context, struct str name, struct str object, struct str package)
{
    struct looked_for *looked_for = context;
    (void)object;
    (void)package;
    looked_for->found = looked_for->found || str_equal(name, looked_for->name);
}

bool python_has_entry_point(const char *root, struct str name)
{
    struct looked_for looked_for = {.name = name};
    python_list(root, compare, &looked_for);
    return looked_for.found;
}

/* An environment that also sees the packages of the system: which those are is for Python to say. */
static bool sees_system(const char *root)
{
    char path[LIMIT_PATH], text[4096];
    struct str rest, line, key, value;
    size_t got = 0;
    if (!join(path, root, VENV "/pyvenv.cfg") ||
        port_read_regular_file(path, text, sizeof text, &got) != OK)
        return false;
    for (rest = str_range(text, got); rest.n > 0;) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, '=', &key, &value) &&
            str_is(str_trim(key), "include-system-site-packages"))
            return str_equal_nocase(str_trim(value), STR("true"));
    }
    return false;
}

bool python_can_start(const char *root, struct str target, struct out *why)
{
    char path[LIMIT_PATH];
    struct str file;
    if (!HAS_BRIDGE) {
        out_text(why, "this build has no bridge for Python (PYTHON_BRIDGE)");
    } else if (!is_kind(root, VENV, PORT_DIRECTORY, false)) {
        out_text(why, "there is no " VENV "; python3 -m venv " VENV " makes one");
    } else if (!is_kind(root, INTERPRETER, PORT_FILE, true)) {
        out_text(why, INTERPRETER " is no program that can be started");
    } else if (split_file(target, &file)) {
        if (str_copy(file, path, sizeof path) && is_kind(root, path, PORT_FILE, false))
            return true;
        file = str_head(file, 128);
        out_format(why, "there is no file %.*s", STR_ARG(file));
    } else if (python_has_entry_point(root, target) || sees_system(root)) {
        return true;
    } else {
        target = str_head(target, 128);
        out_format(why, "no package in " VENV " has an entry point '%.*s' in the group " GROUP,
                   STR_ARG(target));
    }
    return false;
}

/* --- the bridge ---------------------------------------------------------------------------------------------------- */

void python_write_command(struct json_writer *w, struct str target)
{
    json_array(w);
    json_text(w, "./" INTERPRETER);
    json_text(w, BRIDGE);
    json_string(w, target);
    json_array_end(w);
}

static bool is_written(const char *path)
{
    char bytes[4096];
    const char *whole = (const char *)bridge_source;
    struct port_stat stat;
    size_t at = 0, got = 0;
    int fd;
    if (port_stat(path, &stat) != OK || stat.kind != PORT_FILE ||
        stat.size != (int64_t)sizeof bridge_source || port_open(path, PORT_READ, &fd) != OK)
        return false;
    while (at < sizeof bridge_source &&
           port_read_at(fd, bytes, sizeof bytes, (int64_t)at, &got) == OK && got > 0 &&
           got <= sizeof bridge_source - at && memcmp(bytes, whole + at, got) == 0)
        at += got;
    port_close(fd);
    return at == sizeof bridge_source;
}

enum err python_put_bridge(const char *root)
{
    char path[LIMIT_PATH], fresh[LIMIT_PATH + 32];
    struct out to = OUT_ON(fresh);
    size_t put;
    int fd;
    if (!HAS_BRIDGE || !join(path, root, ".charter"))
        return ERR_UNSUPPORTED;
    enum err err = port_make_directory(path, 0700);
    if ((err != OK && err != ERR_EXISTS) || !join(path, root, BRIDGE))
        return err == OK || err == ERR_EXISTS ? ERR_TOO_LARGE : err;
    if (is_written(path))
        return OK;
    /* Several helpers may do so at a time. */
    out_format(&to, "%s.%lld", path, (long long)port_pid());
    err = port_open(out_cstr(&to), PORT_TRUNCATE, &fd);
    if (err != OK)
        return err;
    err = port_write_at(fd, str_range((const char *)bridge_source, sizeof bridge_source), 0, &put);
    if (err == OK)
        err = port_sync(fd); /* a machine that loses power must not keep half of it */
    port_close(fd);
    if (err == OK)
        err = port_set_mode(fresh, 0644);
    if (err == OK)
        err = port_rename(fresh, path);
    if (err != OK)
        port_unlink(fresh);
    return err;
}

enum err python_put_bridge_if_used(const char *root)
{
    return HAS_BRIDGE && is_kind(root, INTERPRETER, PORT_FILE, true) ? python_put_bridge(root) : OK;
}
