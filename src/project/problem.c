/* Words for what is wrong with a project.  Owns the form of its messages and of the error object's data; decides
 * nothing.  Invariant: data is valid JSON below LIMIT_ERROR_DATA bytes, whatever the reason holds. */
#include "project/problem.h"

#include "base/limits.h"
#include "json/utf8.h"

#include <string.h>

void problem_clear(struct project_problem *problem)
{
    memset(problem, 0, sizeof *problem);
}

void problem_set(struct project_problem *problem, int code, const char *format, ...)
{
    problem_clear(problem);
    problem->code = code;
    va_list args;
    va_start(args, format);
    problem_vreason(problem, format, args);
    va_end(args);
}

void problem_vreason(struct project_problem *problem, const char *format, va_list args)
{
    struct out out = OUT_ON(problem->reason);

    out_vformat_cut(&out, format, args);
    out.n = utf8_cut(out_view(&out));
    out_cstr(&out);
}

void problem_text(const struct project_problem *problem, struct out *to)
{
    if (problem->file[0] != '\0') {
        out_text(to, problem->file);
        if (problem->line > 0)
            out_format(to, ":%u:%u", problem->line, problem->column);
        out_text(to, ": ");
    }
    if (problem->path[0] != '\0') {
        out_text(to, problem->path);
        out_text(to, ": ");
    }
    out_text(to, problem->reason);
}

static void write_data(const struct project_problem *problem, struct str reason,
                       struct json_writer *w)
{
    json_object(w);
    if (problem->code == CHARTER_NOT_FOUND && problem->what[0] != '\0') {
        json_put_text(w, "what", problem->what);
        json_put_text(w, "id", problem->name);
    } else if (problem->code == CHARTER_UNRESOLVED_INTEGRATION) {
        json_put_text(w, "name", problem->name);
    } else {
        json_put_text(w, "path", problem->path);
        json_put_str(w, "reason", reason);
        if (problem->file[0] != '\0')
            json_put_text(w, "file", problem->file);
        if (problem->line > 0) {
            json_put_u64(w, "line", problem->line);
            json_put_u64(w, "column", problem->column);
        }
    }
    json_object_end(w);
}

void problem_write(const struct project_problem *problem, struct json_writer *w)
{
    char message[sizeof *problem + 64], data[LIMIT_ERROR_DATA];
    struct out text = OUT_ON(message), piece;
    problem_text(problem, &text);
    struct str cut = str_head(out_view(&text), PROBLEM_MESSAGE - 1);
    struct str reason = str_of(problem->reason);
    for (;; reason = str_head(reason, utf8_cut(str_head(reason, reason.n * 3 / 4)))) {
        piece = OUT_ON(data);
        struct json_writer d = json_writer(&piece);
        write_data(problem, reason, &d);
        if (!piece.overflow || reason.n == 0)
            break;
    }
    json_object(w);
    json_put_i64(w, "code", problem->code);
    json_put_str(w, "message", str_head(cut, utf8_cut(cut)));
    if (!piece.overflow)
        json_put_raw(w, "data", out_view(&piece));
    json_object_end(w);
}
