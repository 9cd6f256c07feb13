/* What integrations say, read into structs: for programs that stand where the daemon does.  The rules are rpc/exchange.c's, which the daemon reads with
 * too.  A file of its own, so that an integration is not linked with it. */
#include "sdk/sdk.h"

#include "rpc/exchange.h"

#include <string.h>

static struct str or_empty(struct str raw)
{
    return raw.n > 0 ? raw : STR("{}");
}

static int refused(enum err err, const struct json_field_error *problem, const char *what,
                   struct charter_error *error)
{
    if (err == OK)
        return 0;
    sdk_error_set(error, err == ERR_EXISTS ? CHARTER_INVALID_REQUEST : CHARTER_INVALID_PARAMS,
                  problem->path, "%s: %s%s%s", what, problem->path,
                  problem->path[0] == '\0' ? "" : " ", problem->reason);
    return -1;
}

int charter_read_log(struct charter_value params, struct charter_log_params *log,
                     struct charter_error *error)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct json_field_error problem;
    struct exchange_log read;

    enum err err = exchange_read_log(or_empty(sdk_str(params)), &read, &problem);
    log->level = CHARTER_LOG_INFO;
    for (int i = 0; err == OK && i < 4; i++)
        if (strcmp(read.level, names[i]) == 0)
            log->level = (enum charter_log_level)i;
    log->message = sdk_value(read.message);
    return refused(err, &problem, "log", error);
}

int charter_read_progress(struct charter_value params, struct charter_progress_params *progress,
                          struct charter_error *error)
{
    struct json_field_error problem;
    struct exchange_progress read;

    enum err err = exchange_read_progress(or_empty(sdk_str(params)), &read, &problem);
    progress->current = sdk_value(read.current);
    progress->total = sdk_value(read.total);
    progress->message = sdk_value(read.message);
    return refused(err, &problem, "progress", error);
}

int charter_read_ok(struct charter_value result, struct charter_error *error)
{
    if (exchange_setup_is_ok(sdk_str(result)))
        return 0;
    sdk_error_set(error, CHARTER_INTERNAL_ERROR, "ok", "it answered that it is not ok");
    return -1;
}

int charter_read_execute_result(struct charter_value result, enum charter_output_type type,
                                struct charter_execute_result *to, struct charter_error *error)
{
    struct exchange_artifact artifact;
    struct json_field_error problem;
    struct str value = STR_NONE, file = STR_NONE;
    bool has_value = json_member(sdk_str(result), "value", &value);
    bool has_file = json_member(sdk_str(result), "artifact", &file);
    const char *name = charter_output_type_name(type);
    const char *why = exchange_result_problem(has_value, has_file);

    memset(to, 0, sizeof *to);
    if (why != NULL) {
        sdk_error_set(error, CHARTER_INVALID_REQUEST, "result", "%s", why);
        return -1;
    }
    if (has_file && refused(exchange_read_artifact(file, &artifact, &problem), &problem, "artifact",
                            error) != 0)
        return -1;
    if (has_file ? !exchange_artifact_fits(name) : !exchange_value_fits(name, value.p[0])) {
        sdk_error_set(error, CHARTER_INVALID_REQUEST, "result",
                      "output_type is %s, the value is %s", name,
                      has_file ? "an artifact" : sdk_type_name(value));
        return -1;
    }
    if (has_file) {
        memcpy(to->path, artifact.path, sizeof artifact.path);
        memcpy(to->media_type, artifact.media_type, sizeof artifact.media_type);
    } else {
        to->value = sdk_value(value);
    }
    return 0;
}

int charter_read_error(struct charter_value value, struct charter_error *to,
                       struct charter_error *error)
{
    struct json_field_error problem;
    struct exchange_error read;
    struct str path;

    enum err err = exchange_read_error(sdk_str(value), &read, &problem);
    if (err != OK)
        return refused(err, &problem, "error", error);
    struct out out = OUT_ON(to->message);
    memset(to, 0, sizeof *to);
    to->code = read.code;
    to->no_retry = read.no_retry;
    if (json_member(read.data, "path", &path))
        (void)json_string_copy(path, to->path, sizeof to->path);
    if (!json_string_decode(read.message, &out))
        out_text(&out, read.message.n == 0 ? "" : "(a message too long to show)");
    out_cstr(&out);
    return 0;
}
