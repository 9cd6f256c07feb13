/* Integrations by name.  Owns the form of their entries, the order in which `uses` is looked up, and the overlay; never
 * starts one.  Invariant: after integration_resolve() every step with `uses` has a command. */
#include "project/integration.h"

#include "port.h"
#include "project/project.h"
#include "project/python.h"
#include "project/template.h"

#include <string.h>

#define ARGUMENTS_MAX 64
#define WRITABLE_MAX 16
#define OWNER_BYTES 128
#define PYTHON_BYTES 512 /* of the raw target */
#define DROPPED_IN ".charter/integrations/"

struct entry {
    struct str command, python, config, env, limits, describe, description, user, group, sandbox;
};

static const struct reader_field entry_fields[] = {
    {"command", READER_ARRAY, false, offsetof(struct entry, command)},
    {"python", READER_STRING, false, offsetof(struct entry, python)},
    {"config", READER_OBJECT, false, offsetof(struct entry, config)},
    {"env", READER_OBJECT, false, offsetof(struct entry, env)},
    {"limits", READER_OBJECT, false, offsetof(struct entry, limits)},
    {"describe", READER_BOOLEAN, false, offsetof(struct entry, describe)},
    {"description", READER_STRING, false, offsetof(struct entry, description)},
    {"user", READER_STRING | READER_NUMBER, false, offsetof(struct entry, user)},
    {"group", READER_STRING | READER_NUMBER, false, offsetof(struct entry, group)},
    {"sandbox", READER_BOOLEAN | READER_OBJECT, false, offsetof(struct entry, sandbox)},
};

struct sandbox {
    struct str write;
};

static const struct reader_field sandbox_fields[] = {
    {"write", READER_ARRAY, false, offsetof(struct sandbox, write)},
};

struct limits {
    struct str memory, cpu, files, processes, nice, oom_score;
};

static const struct reader_field limits_fields[] = {
    {"memory_mb", READER_NUMBER, false, offsetof(struct limits, memory)},
    {"cpu_s", READER_NUMBER, false, offsetof(struct limits, cpu)},
    {"open_files", READER_NUMBER, false, offsetof(struct limits, files)},
    {"processes", READER_NUMBER, false, offsetof(struct limits, processes)},
    {"nice", READER_NUMBER, false, offsetof(struct limits, nice)},
    {"oom_score", READER_NUMBER, false, offsetof(struct limits, oom_score)},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* --- entries ------------------------------------------------------------------------------------------------------- */

/* Letters, digits, '_', '-' and, not in front, '.': also the name of a file in .charter/integrations. */
static bool is_integration_name(struct str name)
{
    if (name.n == 0 || name.n > LIMIT_NAME || name.p[0] == '.')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] != '.' && !project_is_name(str_range(name.p + i, 1)))
            return false;
    }
    return true;
}

static bool check_name(const struct reader *r, struct str raw)
{
    if (is_integration_name(plan_text(raw)))
        return true;
    return reader_fail(
        r, raw, "the name of an integration consists of 1 to %d letters, digits, '_', '-' and '.'",
        LIMIT_NAME);
}

static bool has_nul(struct str raw)
{
    for (size_t i = 0; i + 6 <= raw.n; i++) {
        if (memcmp(raw.p + i, "\\u0000", 6) == 0)
            return true;
    }
    return false;
}

static bool check_command(const struct reader *r, struct str command)
{
    struct json_walk walk = json_walk(command);
    struct str name, argument;
    size_t count = 0;
    while (json_walk_next(&walk, &name, &argument)) {
        if (!reader_is(r, argument, READER_STRING))
            return false;
        if (count++ == ARGUMENTS_MAX)
            return reader_fail(r, argument, "more than %d arguments", ARGUMENTS_MAX);
        if (count == 1 && argument.n == 2)
            return reader_fail(r, argument, "must name a program");
        if (has_nul(argument))
            return reader_fail(r, argument, "must not hold U+0000");
        if (template_in(argument))
            return reader_fail(r, argument,
                               "templates are resolved in config and env, not in command");
    }
    return count > 0 ? true : reader_fail(r, command, "must name a program");
}

static bool is_environment_name(struct str name)
{
    if (name.n == 0 || name.n > 255 || (name.p[0] >= '0' && name.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '-' || !project_is_name(str_range(name.p + i, 1)))
            return false;
    }
    return true;
}

static bool check_env(const struct reader *r, struct str env)
{
    static const char *const taken[] = {"CHARTER_RUN_ID", "CHARTER_STEP_ID", "CHARTER_DAEMON_ID",
                                        "CHARTER_PROJECT"};
    struct json_walk walk = json_walk(env);
    struct str name, value;
    while (json_walk_next(&walk, &name, &value)) {
        if (!is_environment_name(plan_text(name)))
            return reader_fail(
                r, name, "the name of an environment variable consists of letters, digits and '_'");
        for (size_t i = 0; i < COUNT_OF(taken); i++) {
            if (json_string_is(name, taken[i]))
                return reader_fail(r, name, "the daemon sets %s itself", taken[i]);
        }
        if (json_type(value) != JSON_STRING)
            return reader_fail(r, value, "must be a string; quote it");
        if (has_nul(value))
            return reader_fail(r, value, "must not hold U+0000");
    }
    return true;
}

static bool check_limits(const struct reader *r, struct str raw)
{
    struct limits limits = {0};
    int64_t value;
    return raw.n == 0 || (reader_object(r, raw, limits_fields, COUNT_OF(limits_fields), &limits) &&
                          reader_integer(r, limits.memory, 1, 1 << 24, &value) &&
                          reader_integer(r, limits.cpu, 1, INT32_MAX, &value) &&
                          reader_integer(r, limits.files, 4, 1 << 20, &value) &&
                          reader_integer(r, limits.processes, 1, 1 << 20, &value) &&
                          reader_integer(r, limits.nice, 0, 19, &value) &&
                          reader_integer(r, limits.oom_score, 0, 1000, &value));
}

static bool check_sandbox(const struct reader *r, struct str raw)
{
    struct sandbox sandbox = {0};
    struct str name, path;
    size_t count = 0;
    if (raw.n == 0 || json_type(raw) != JSON_OBJECT)
        return true;
    if (!reader_object(r, raw, sandbox_fields, COUNT_OF(sandbox_fields), &sandbox))
        return false;
    struct json_walk walk = json_walk(sandbox.write);
    while (json_walk_next(&walk, &name, &path)) {
        if (!reader_is(r, path, READER_STRING))
            return false;
        if (path.n == 2 || has_nul(path) || template_in(path))
            return reader_fail(r, path, "must be the path of a folder or file");
        if (count++ == WRITABLE_MAX)
            return reader_fail(r, path, "more than %d paths", WRITABLE_MAX);
    }
    return true;
}

/* A name, or a number of its own or as text. */
static bool check_owner(const struct reader *r, struct str raw)
{
    char name[OWNER_BYTES];
    int64_t number = 0;
    if (raw.n == 0)
        return true;
    if (json_type(raw) == JSON_NUMBER)
        return reader_integer(r, raw, 0, UINT32_MAX - 1, &number);
    return (raw.n > 2 && json_string_copy(raw, name, sizeof name)) ||
           reader_fail(r, raw, "must be the name or the number of a user or group");
}

static bool check_entry(const struct reader *r, struct str raw)
{
    struct entry entry = {0};
    if (!reader_object(r, raw, entry_fields, COUNT_OF(entry_fields), &entry))
        return false;
    if (entry.command.n > 0 && entry.python.n > 0)
        return reader_fail(r, raw, "has either 'command' or 'python', not both");
    if (entry.python.n == 2 || entry.python.n > PYTHON_BYTES || has_nul(entry.python))
        return reader_fail(r, entry.python,
                           "must be the name of an entry point, or ./FILE.py:CLASS");
    return (entry.command.n == 0 || check_command(r, entry.command)) && check_env(r, entry.env) &&
           check_limits(r, entry.limits) && check_owner(r, entry.user) &&
           check_owner(r, entry.group) && check_sandbox(r, entry.sandbox);
}

bool integration_check_all(const struct reader *r, struct str entries)
{
    struct json_walk walk = json_walk(entries);
    struct str name, raw;
    while (json_walk_next(&walk, &name, &raw)) {
        if (!check_name(r, name) || !check_entry(r, raw))
            return false;
    }
    return true;
}

/* --- uses ---------------------------------------------------------------------------------------------------------- */

static bool is_executable(const char *root, struct str name)
{
    char path[LIMIT_PATH + LIMIT_NAME + sizeof DROPPED_IN + 1];
    struct out to = OUT_ON(path);
    struct port_stat stat;
    out_format(&to, "%s/" DROPPED_IN "%.*s", root, STR_ARG(name));
    return !to.overflow && port_stat(out_cstr(&to), &stat) == OK && stat.kind == PORT_FILE &&
           stat.executable;
}

static bool unresolved(const struct reader *r, struct str uses, struct str name, const char *why)
{
    struct reader own = *r;
    own.code = CHARTER_UNRESOLVED_INTEGRATION;
    reader_fail(&own, uses, "no integration '%.*s': %s", STR_ARG(name), why);
    str_copy(name, r->problem->name, sizeof r->problem->name);
    return false;
}

/* What an entry names as its program; false where it names none. */
static bool find_program(struct str entry, struct plan_step *step)
{
    struct str program;
    if (json_member(entry, "command", &program) && json_type(program) == JSON_ARRAY)
        return true;
    if (json_member(entry, "python", &program) && json_type(program) == JSON_STRING) {
        step->python = program;
        return true;
    }
    return false;
}

/* The target of a step whose integration is Python, decoded. */
static struct str python_target(const struct plan_step *step, char *bytes, size_t size)
{
    struct out to = out_on(bytes, size);
    return json_string_decode(step->python, &to) ? out_view(&to) : STR_NONE;
}

static bool check_python(const struct reader *r, const char *root, const struct plan_step *step)
{
    char text[PYTHON_BYTES], words[512];
    struct str target = python_target(step, text, sizeof text), name = plan_text(step->uses);
    struct out why = OUT_ON(words);
    if (python_can_start(root, target, &why))
        return true;
    return unresolved(r, step->uses, name, out_cstr(&why));
}

static bool resolve(const struct reader *r, const char *root, struct str plan_entries,
                    struct str project_entries, struct plan_step *step)
{
    struct str name = plan_text(step->uses);
    if (!check_name(r, step->uses))
        return false;
    if (!json_member_named(plan_entries, name, &step->plan_entry))
        step->plan_entry = STR_NONE;
    if (!json_member_named(project_entries, name, &step->project_entry))
        step->project_entry = STR_NONE;
    step->python = STR_NONE;
    if (find_program(step->plan_entry, step) || find_program(step->project_entry, step))
        return step->python.n == 0 || check_python(r, root, step);
    step->is_dropped_in = is_executable(root, name);
    if (step->is_dropped_in)
        return true;
    if (python_has_entry_point(root, name)) {
        step->python = step->uses;
        return check_python(r, root, step);
    }
    return unresolved(
        r, step->uses, name,
        "neither in the plan's integrations, nor in charter.yml's with a command, nor "
        "an executable in .charter/integrations, nor an entry point in .charter/.venv");
}

/* A member of the plan's entry, or of charter.yml's. */
static struct str chosen(const struct plan_step *step, const char *name)
{
    struct str value;
    return (json_member(step->plan_entry, name, &value) && json_type(value) != JSON_NULL) ||
                   (json_member(step->project_entry, name, &value) && json_type(value) != JSON_NULL)
               ? value
               : STR_NONE;
}

static bool owner_text(struct str raw, char *to, size_t size)
{
    return json_type(raw) == JSON_STRING ? json_string_copy(raw, to, size)
                                         : str_copy(raw, to, size);
}

/* Names of users and groups become numbers here, where asking for them may block. */
static bool resolve_owner(const struct reader *r, struct plan_step *step)
{
    struct str user = chosen(step, "user"), group = chosen(step, "group"), name;
    char text[OWNER_BYTES];
    enum err err = OK;
    step->uid = step->gid = -1;
    if (user.n == 0 && group.n == 0)
        return true;
    name = plan_text(step->uses);
    if (user.n == 0)
        return reader_fail(r, step->uses, "integration '%.*s' has a 'group' and no 'user'",
                           STR_ARG(name));
    if (owner_text(user, text, sizeof text))
        err = port_find_user(text, &step->uid, &step->gid);
    if (err == OK && group.n > 0 && owner_text(group, text, sizeof text))
        err = port_find_group(text, &step->gid);
    if (err != OK)
        return reader_fail(r, step->uses, "integration '%.*s': '%s': %s", STR_ARG(name), text,
                           port_last_error());
    return true;
}

bool integration_resolve(const struct reader *r, const char *root, struct str project_entries,
                         struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_step *step = &plan->steps[i];
        if (step->kind == PLAN_USES &&
            (!resolve(r, root, plan->integrations, project_entries, step) ||
             !resolve_owner(r, step)))
            return false;
    }
    return true;
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

/* Names of entries may have escapes, so the raw name is copied. */
static void copy_member(struct json_writer *w, struct str raw_name, struct str value)
{
    json_raw(w, raw_name);
    out_byte(w->out, ':');
    w->after_key = true;
    json_raw(w, value);
}

/* Members of `below` that `above` does not have, then those of `above`. */
static void write_overlay(struct json_writer *w, const char *key, struct str below,
                          struct str above)
{
    struct json_walk walk = json_walk(below);
    struct str name, value, other;
    json_key(w, key);
    json_object(w);
    while (json_walk_next(&walk, &name, &value)) {
        bool replaced = false;
        struct json_walk others = json_walk(above);
        struct str other_name;
        while (!replaced && json_walk_next(&others, &other_name, &other))
            replaced = json_string_equal(name, other_name);
        if (!replaced)
            copy_member(w, name, value);
    }
    walk = json_walk(above);
    while (json_walk_next(&walk, &name, &value))
        copy_member(w, name, value);
    json_object_end(w);
}

static struct str member(struct str entry, const char *name)
{
    struct str value;
    return json_member(entry, name, &value) && json_type(value) != JSON_NULL ? value : STR_NONE;
}

bool integration_describes(const struct plan_step *step)
{
    struct str entries[] = {step->plan_entry, step->project_entry}, value;
    for (size_t i = 0; step->kind == PLAN_USES && i < sizeof entries / sizeof entries[0]; i++) {
        if (json_member(entries[i], "describe", &value) && json_type(value) == JSON_BOOLEAN)
            return json_is_true(value);
    }
    return false;
}

void integration_write(const struct plan_step *step, struct json_writer *w)
{
    static const char *const overlays[] = {"config", "env", "limits"};
    struct str command = member(step->plan_entry, "command");
    if (command.n == 0)
        command = member(step->project_entry, "command");
    json_object(w);
    json_key(w, "command");
    if (step->python.n > 0) {
        char text[PYTHON_BYTES];
        python_write_command(w, python_target(step, text, sizeof text));
    } else if (command.n > 0) {
        json_raw(w, command);
    } else {
        json_array(w);
        json_string_begin(w);
        json_string_add(w, STR("./" DROPPED_IN));
        json_string_add(w, plan_text(step->uses));
        json_string_end(w);
        json_array_end(w);
    }
    for (size_t i = 0; i < COUNT_OF(overlays); i++)
        write_overlay(w, overlays[i], member(step->project_entry, overlays[i]),
                      member(step->plan_entry, overlays[i]));
    if (step->uid >= 0) {
        json_put_i64(w, "uid", step->uid);
        json_put_i64(w, "gid", step->gid);
    }
    if (chosen(step, "sandbox").n > 0)
        json_put_raw(w, "sandbox", chosen(step, "sandbox"));
    json_object_end(w);
}
