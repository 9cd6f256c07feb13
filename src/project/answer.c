/* The answers of the project's helpers, read in the daemon.  Never touches a file or a workspace. */
#include "project/project.h"

#include "json/check.h"
#include "json/read.h"

void project_answer_problem(struct out *answer, const struct project_problem *problem)
{
    struct json_writer w;
    out_truncate(answer, 0);
    w = json_writer(answer);
    json_object(&w);
    json_key(&w, "error");
    problem_write(problem, &w);
    json_object_end(&w);
}

bool project_answer_read(struct str answer, struct project_answer *read)
{
    struct str error, code, message, data = STR_NONE;
    int64_t number;
    *read = (struct project_answer){.code = CHARTER_INTERNAL_ERROR,
                                    .message = "the project could not be read"};
    if (json_check(answer, 64, NULL) != OK)
        return false;
    read->ok = json_member(answer, "ok", &read->result);
    if (read->ok) {
        read->code = 0;
        read->message[0] = '\0';
        return true;
    }
    if (!json_member(answer, "error", &error) || !json_member(error, "code", &code) ||
        !json_integer(code, &number) || number < INT32_MIN || number > INT32_MAX ||
        !json_member(error, "message", &message))
        return false;
    read->code = (int)number;
    json_string_copy(message, read->message, sizeof read->message);
    if (json_member(error, "data", &data) && !str_copy(data, read->data, sizeof read->data))
        read->data[0] = '\0';
    return true;
}

static const struct json_field accepted_fields[] = {
    {"inputs", JSON_FIELD_OBJECT, 0, offsetof(struct project_accepted, inputs), 0, 0, 0},
    {"inputs_sha256", JSON_FIELD_TEXT, JSON_REQUIRED,
     offsetof(struct project_accepted, inputs_sha256), 65, 0, 0},
    {"plan_sha256", JSON_FIELD_TEXT, 0, offsetof(struct project_accepted, plan_sha256), 65, 0, 0},
    {"steps", JSON_FIELD_INTEGER, 0, offsetof(struct project_accepted, steps), 0, 0, LIMIT_STEPS},
    {"concurrency", JSON_FIELD_INTEGER, 0, offsetof(struct project_accepted, concurrency), 0, 0,
     INT32_MAX},
    {"max_parallel", JSON_FIELD_INTEGER, 0, offsetof(struct project_accepted, max_parallel), 0, 0,
     INT32_MAX},
    {"timeout_ms", JSON_FIELD_INTEGER, 0, offsetof(struct project_accepted, timeout_ms), 0, 0,
     INT64_MAX},
};

bool project_accepted_read(struct str ok, struct project_accepted *accepted)
{
    struct json_field_error error;
    struct str name, rest;
    *accepted = (struct project_accepted){0};
    if (json_read(ok, accepted_fields, sizeof accepted_fields / sizeof accepted_fields[0], accepted,
                  &error) != OK)
        return false;
    if (json_member(ok, "name", &name)) {
        /* For people; a name with escapes or over the limit is shown as far as it goes. */
        rest = str_head(name.n < 2 ? STR_NONE : str_range(name.p + 1, name.n - 2), LIMIT_NAME);
        if (!json_string_copy(name, accepted->name, sizeof accepted->name))
            str_copy(rest, accepted->name, sizeof accepted->name);
    }
    return true;
}
