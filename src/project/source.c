/* Loads a file of the project and knows the places of its values.  Owns the choice between .yml, .yaml and .json and the
 * map from JSON to lines; never knows what the values mean.  Invariant: a loaded source's JSON is compact, has passed
 * the strict check's rules, and no object in it has two members of one name. */
#include "project/source.h"

#include "json/check.h"
#include "json/read.h"
#include "port.h"
#include "project/convert.h"
#include "project/workspace.h"

#include <string.h>

#ifdef CONFIG_YAML
#define HAS_YAML true
#else
#define HAS_YAML false
#define yaml_convert(workspace, source, text, problem) false
#endif

void workspace_open(struct project_workspace *workspace, struct project_source *source,
                    struct project_buffer *buffer)
{
    (void)workspace;
    *source = (struct project_source){.above = "",
                                      .json = OUT_ON(buffer->json),
                                      .positions = buffer->positions,
                                      .position_max = LIMIT_PROJECT_TOKENS,
                                      .token_max = LIMIT_PROJECT_TOKENS};
}

struct str source_root(const struct project_source *source)
{
    return out_view(&source->json);
}

/* --- places ---------------------------------------------------------------------------------------------------- */

bool source_note(struct project_source *source, unsigned line, unsigned column)
{
    if (source->tokens++ >= source->token_max)
        return false;
    if (source->position_count < source->position_max)
        source->positions[source->position_count++] =
            (struct source_position){(uint32_t)source->json.n, line, column};
    return true;
}

bool source_place(const struct project_source *source, struct str raw, unsigned *line,
                  unsigned *column)
{
    if (source->position_count == 0 || raw.p < source->json.p ||
        raw.p > source->json.p + source->json.n)
        return false;
    size_t offset = (size_t)(raw.p - source->json.p), low = 0, high = source->position_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (source->positions[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    *line = source->positions[low].line;
    *column = source->positions[low].column;
    return true;
}

/* The member or element of `at` that `raw` stands in; false when it is `at` itself. */
static bool step_down(struct str *at, struct str raw, struct out *path)
{
    struct json_walk walk = json_walk(*at);
    struct str name, value;
    for (size_t index = 0; json_walk_next(&walk, &name, &value); index++) {
        bool in_name = name.n > 0 && raw.p >= name.p && raw.p < name.p + name.n;
        bool in_value = raw.p >= value.p && raw.p < value.p + value.n;
        if (!in_name && !in_value)
            continue;
        if (name.n == 0) {
            out_byte(path, '[');
            out_u64(path, index);
            out_byte(path, ']');
        } else {
            if (path->n > 0)
                out_byte(path, '.');
            size_t before = path->n;
            if (!json_string_decode(name, path)) {
                out_truncate(path, before);
                out_text(path, "…");
            }
        }
        *at = in_value ? value : STR_NONE;
        return true;
    }
    return false;
}

void source_path(const struct project_source *source, struct str raw, struct out *path)
{
    out_text(path, source->above);
    struct str at = source_root(source);
    while (at.n > 0 && raw.p != at.p && step_down(&at, raw, path))
        ;
}

/* --- problems -------------------------------------------------------------------------------------------------- */

bool source_fail(const struct project_source *source, struct project_problem *problem,
                 unsigned line, unsigned column, const char *format, ...)
{
    problem_clear(problem);
    problem->code = CHARTER_INVALID_PLAN;
    str_copy(str_of(source->file), problem->file, sizeof problem->file);
    problem->line = line;
    problem->column = column;
    va_list args;
    va_start(args, format);
    problem_vreason(problem, format, args);
    va_end(args);
    return false;
}

bool source_vproblem(const struct project_source *source, struct project_problem *problem, int code,
                     struct str raw, const char *format, va_list args)
{
    problem_clear(problem);
    problem->code = code;
    str_copy(str_of(source->file), problem->file, sizeof problem->file);
    if (!source_place(source, raw, &problem->line, &problem->column))
        problem->line = problem->column = 0;
    struct out path = OUT_ON(problem->path);
    source_path(source, raw, &path);
    out_cstr(&path);
    problem_vreason(problem, format, args);
    return false;
}

bool source_problem(const struct project_source *source, struct project_problem *problem, int code,
                    struct str raw, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    source_vproblem(source, problem, code, raw, format, args);
    va_end(args);
    return false;
}

/* --- loading --------------------------------------------------------------------------------------------------- */

bool source_duplicate(struct project_workspace *workspace, struct str object, struct str *again)
{
    struct json_walk walk = json_walk(object);
    struct str name, value;
    size_t count = 0;
    while (json_walk_next(&walk, &name, &value)) {
        for (size_t i = 0; i < count; i++) {
            /* Minimal escapes: names are equal exactly when their bytes are. */
            if (str_equal(workspace->names[i], name)) {
                *again = name;
                return true;
            }
        }
        if (count < LIMIT_PROJECT_TOKENS)
            workspace->names[count++] = name;
    }
    return false;
}

static bool check_duplicates(struct project_workspace *workspace,
                             const struct project_source *source, struct project_problem *problem)
{
    struct str rest = source_root(source), again;
    bool in_string = false;
    for (; rest.n > 0; rest = str_from(rest, 1)) {
        if (in_string && rest.p[0] == '\\') {
            rest = str_from(rest, 1);
        } else if (rest.p[0] == '"') {
            in_string = !in_string;
        } else if (!in_string && rest.p[0] == '{' && source_duplicate(workspace, rest, &again)) {
            struct str inside = str_range(again.p + 1, again.n - 2);
            return source_problem(source, problem, CHARTER_INVALID_PLAN, again,
                                  "the key '%.*s' stands here twice",
                                  inside.n > 64 ? 64 : (int)inside.n, inside.p);
        }
    }
    return true;
}

static void place_of_offset(struct str text, size_t offset, unsigned *line, unsigned *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < offset && i < text.n; i++) {
        if (text.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text.p[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

bool source_convert(struct project_workspace *workspace, struct project_source *source,
                    struct str text, struct project_problem *problem)
{
    if (str_starts_with(text, STR("\xEF\xBB\xBF")))
        text = str_from(text, 3);
    struct json_problem json = {0};
    bool is_json_file = ends_with(source->file, ".json"), done;
    if (json_check(text, LIMIT_JSON_DEPTH, &json) == OK) {
        done = normal_convert(workspace, source, text, problem);
    } else if (HAS_YAML && !is_json_file) {
        done = yaml_convert(workspace, source, text, problem);
    } else {
        unsigned line, column;
        place_of_offset(text, json.offset, &line, &column);
        return source_fail(source, problem, line, column, "%s%s",
                           json.reason == NULL ? "not JSON" : json.reason,
                           is_json_file ? "" : " (this build reads project files as JSON only)");
    }
    if (!done)
        return false;
    if (source->json.overflow)
        return source_fail(source, problem, 0, 0, "longer than %d bytes as JSON",
                           LIMIT_PROJECT_FILE);
    return check_duplicates(workspace, source, problem);
}

static bool read_failed(const struct project_source *source, struct project_problem *problem,
                        enum err err)
{
    if (err == ERR_TOO_LARGE)
        return source_fail(source, problem, 0, 0, "longer than %d bytes", LIMIT_PROJECT_FILE);
    return source_fail(source, problem, 0, 0, "cannot be read: %s",
                       err == ERR_IO || err == ERR_DENIED ? port_last_error() : err_text(err));
}

bool source_load(struct project_workspace *workspace, struct project_source *source,
                 const char *root, const char *directory, const char *base,
                 struct project_problem *problem)
{
    static const char *const endings[] = {".yml", ".yaml", ".json"};
    char path[LIMIT_PATH + sizeof source->file];
    const char *found = NULL;
    size_t size = 0;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        struct out file = OUT_ON(source->file), whole = OUT_ON(path);
        struct port_stat stat;
        out_format(&file, "%s%s%s%s", directory, directory[0] == '\0' ? "" : "/", base, endings[i]);
        out_format(&whole, "%s/%s", root, out_cstr(&file));
        enum err err = port_stat(out_cstr(&whole), &stat);
        if (err == ERR_NOT_FOUND)
            continue;
        if (found != NULL)
            return source_fail(source, problem, 0, 0,
                               "stands beside %s%s: only one of them may be there", base, found);
        found = endings[i];
        if (err == OK && stat.kind != PORT_FILE)
            return source_fail(source, problem, 0, 0, "is no file");
        if (err == OK)
            err = port_read_file(path, workspace->text, LIMIT_PROJECT_FILE, &size);
        if (err != OK)
            return read_failed(source, problem, err);
    }
    struct out file = OUT_ON(source->file);
    out_format(&file, "%s%s%s%s", directory, directory[0] == '\0' ? "" : "/", base,
               found == NULL ? ".yml" : found);
    out_cstr(&file);
    if (found == NULL) {
        source_fail(source, problem, 0, 0, "is missing");
        problem->code = CHARTER_NOT_FOUND;
        return false;
    }
    return source_convert(workspace, source, str_range(workspace->text, size), problem);
}
