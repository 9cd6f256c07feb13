/* Owns the rules for what integrations say.  Never says what follows from a breach: that is the reader's.  Invariant: nothing here keeps state,
 * so both sides come to the same answer. */
#include "rpc/exchange.h"

#include <string.h>

enum err exchange_read_log(struct str params, struct exchange_log *log,
                           struct json_field_error *problem)
{
    static const struct json_field fields[] = {
        {"level", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct exchange_log, level),
         sizeof log->level, 0, 0},
        {"message", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(struct exchange_log, message), 0, 0,
         0},
    };
    *log = (struct exchange_log){.level = ""};
    return json_read(params, fields, 2, log, problem);
}

static enum err refuse(struct json_field_error *problem, const char *path, const char *reason)
{
    (void)str_copy(str_of(path), problem->path, sizeof problem->path);
    (void)str_copy(str_of(reason), problem->reason, sizeof problem->reason);
    return ERR_INVALID;
}

enum err exchange_read_progress(struct str params, struct exchange_progress *progress,
                                struct json_field_error *problem)
{
    static const struct json_field fields[] = {
        {"current", JSON_FIELD_RAW, JSON_REQUIRED, offsetof(struct exchange_progress, current), 0,
         0, 0},
        {"total", JSON_FIELD_RAW, JSON_NULLABLE, offsetof(struct exchange_progress, total), 0, 0,
         0},
        {"message", JSON_FIELD_STRING, JSON_NULLABLE, offsetof(struct exchange_progress, message),
         0, 0, 0},
    };
    *progress = (struct exchange_progress){.message = STR_NONE};
    enum err err = json_read(params, fields, 3, progress, problem);
    if (err != OK)
        return err;
    if (json_type(progress->current) != JSON_NUMBER)
        return refuse(problem, "current", "must be a number");
    if (progress->total.n > 0 && json_type(progress->total) != JSON_NUMBER)
        return refuse(problem, "total", "must be a number or null");
    return OK;
}

enum err exchange_read_artifact(struct str raw, struct exchange_artifact *artifact,
                                struct json_field_error *problem)
{
    static const struct json_field fields[] = {
        {"path", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct exchange_artifact, path),
         EXCHANGE_PATH, 0, 0},
        {"media_type", JSON_FIELD_TEXT, 0, offsetof(struct exchange_artifact, media_type),
         EXCHANGE_MEDIA, 0, 0},
    };
    *artifact = (struct exchange_artifact){.media_type = "application/octet-stream"};
    enum err err = json_read(raw, fields, 2, artifact, problem);
    if (err == OK && artifact->path[0] == '\0')
        return refuse(problem, "path", "must not be empty");
    return err;
}

enum err exchange_read_error(struct str raw, struct exchange_error *error,
                             struct json_field_error *problem)
{
    static const struct json_field fields[] = {
        {"code", JSON_FIELD_INTEGER, 0, offsetof(struct exchange_error, code), 0, 0, 0},
        {"message", JSON_FIELD_STRING, 0, offsetof(struct exchange_error, message), 0, 0, 0},
        {"data", JSON_FIELD_RAW, 0, offsetof(struct exchange_error, data), 0, 0, 0},
    };
    struct str retry;

    *error = (struct exchange_error){.code = 0};
    enum err err = json_read(raw, fields, 3, error, problem);
    if (err == OK)
        error->no_retry = json_member(error->data, "retry", &retry) &&
                          json_type(retry) == JSON_BOOLEAN && !json_is_true(retry);
    return err;
}

static bool is_one_of(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

bool exchange_level_is_known(const char *level)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    return is_one_of(level, levels, sizeof levels / sizeof levels[0]);
}

bool exchange_setup_is_ok(struct str result)
{
    struct str ok;
    return !json_member(result, "ok", &ok) || json_type(ok) != JSON_BOOLEAN || json_is_true(ok);
}

const char *exchange_result_problem(bool has_value, bool has_artifact)
{
    if (has_value != has_artifact)
        return NULL;
    return has_value ? "a result has exactly one of value and artifact; this one has both"
                     : "a result has exactly one of value and artifact; this one has neither";
}

bool exchange_value_fits(const char *output_type, char first)
{
    enum json_type type = json_type(str_range(&first, 1));

    if (strcmp(output_type, "text") == 0)
        return type == JSON_STRING;
    if (strcmp(output_type, "number") == 0)
        return type == JSON_NUMBER;
    if (strcmp(output_type, "boolean") == 0)
        return type == JSON_BOOLEAN;
    if (strcmp(output_type, "list") == 0)
        return type == JSON_ARRAY;
    if (strcmp(output_type, "object") == 0)
        return type == JSON_OBJECT;
    return true;
}

bool exchange_artifact_fits(const char *output_type)
{
    return strcmp(output_type, "artifact") == 0 || strcmp(output_type, "json") == 0;
}
