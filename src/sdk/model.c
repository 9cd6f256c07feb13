/* What the daemon says, read into structs.  Owns what must be there and of which type; what integrations say is model_answer.c's.  Never keeps anything:
 * values are views into the text. */
#include "sdk/sdk.h"

#include <stdarg.h>
#include <string.h>

void sdk_error_set(struct charter_error *error, int64_t code, const char *path, const char *format,
                   ...)
{
    struct out out = OUT_ON(error->message);
    va_list args;

    va_start(args, format);
    out_vformat_cut(&out, format, args);
    va_end(args);
    out_cstr(&out);
    error->code = code;
    error->no_retry = false;
    (void)str_copy(str_head(str_of(path), sizeof error->path - 1), error->path, sizeof error->path);
}

void sdk_rpc_error(const struct charter_error *error, struct rpc_error *to)
{
    struct out data = OUT_ON(to->data);
    struct json_writer w = json_writer(&data);

    rpc_error_set(to, (int)error->code, "%s", error->message);
    if (error->path[0] == '\0' && !error->no_retry)
        return;
    json_object(&w);
    if (error->path[0] != '\0')
        json_put_text(&w, "path", error->path);
    if (error->no_retry)
        json_put_bool(&w, "retry", false);
    json_object_end(&w);
    if (data.overflow)
        out_reset(&data);
    out_cstr(&data);
}

int charter_read_message(const char *line, size_t length, struct charter_message *message,
                         struct charter_error *error)
{
    struct rpc_envelope envelope;
    struct rpc_error problem;

    enum err err = rpc_read(str_range(line, length), &envelope, &problem);
    message->id = sdk_value(envelope.id);
    if (err != OK) {
        sdk_error_set(error, problem.code, "", "%s", problem.message);
        return -1;
    }
    message->kind = envelope.kind == RPC_REQUEST    ? CHARTER_MESSAGE_REQUEST
                    : envelope.kind == RPC_RESPONSE ? CHARTER_MESSAGE_ANSWER
                                                    : CHARTER_MESSAGE_NOTIFICATION;
    memcpy(message->method, envelope.method, sizeof message->method);
    message->params = sdk_value(envelope.params);
    message->result = sdk_value(envelope.result);
    message->error = sdk_value(envelope.error);
    return 0;
}

/* What json_read() says, as the error that answers the request. */
static int read_object(struct str raw, const char *inside, const struct json_field *fields,
                       size_t count, void *into, struct charter_error *error)
{
    struct json_field_error problem;
    char path[sizeof error->path];
    struct out out = OUT_ON(path);

    enum err err = json_read(raw, fields, count, into, &problem);
    if (err == OK)
        return 0;
    out_text(&out, inside);
    if (inside[0] != '\0' && problem.path[0] != '\0')
        out_byte(&out, '.');
    out_text(&out, problem.path);
    out_cstr(&out);
    if (err == ERR_EXISTS)
        sdk_error_set(error, CHARTER_INVALID_REQUEST, path,
                      "invalid request: params.%s is given twice", path);
    else
        sdk_error_set(error, CHARTER_INVALID_PARAMS, path, "invalid params: %s%s%s", path,
                      path[0] == '\0' ? "" : " ", problem.reason);
    return -1;
}

static struct str or_empty(struct str raw)
{
    return raw.n > 0 ? raw : STR("{}");
}

int charter_read_setup(struct charter_value params, struct charter_setup *setup,
                       struct charter_error *error)
{
    struct read {
        char run_id[CHARTER_RUN_ID_MAX + 1], integration[CHARTER_NAME_MAX + 1];
        struct str config;
    } read = {.config = STR("{}")};
    static const struct json_field fields[] = {
        {"run_id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct read, run_id),
         sizeof read.run_id, 0, 0},
        {"integration", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct read, integration),
         sizeof read.integration, 0, 0},
        {"config", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct read, config), 0, 0, 0},
    };

    if (read_object(or_empty(sdk_str(params)), "", fields, 3, &read, error) != 0)
        return -1;
    memcpy(setup->run_id, read.run_id, sizeof read.run_id);
    memcpy(setup->integration, read.integration, sizeof read.integration);
    setup->config = sdk_value(read.config);
    return 0;
}

static int read_step(struct str raw, struct charter_step *step, struct charter_error *error)
{
    struct read {
        char output_type[16];
        struct str with_config;
    } read = {.output_type = "json", .with_config = STR("{}")};
    static const struct json_field names[] = {
        {"id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct charter_step, id), sizeof step->id,
         0, 0},
        {"uses", JSON_FIELD_TEXT, 0, offsetof(struct charter_step, uses), sizeof step->uses, 0, 0},
        {"output", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct charter_step, output),
         sizeof step->output, 0, 0},
    };
    static const struct json_field others[] = {
        {"with_config", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct read, with_config), 0, 0,
         0},
        {"output_type", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct read, output_type),
         sizeof read.output_type, 0, 0},
    };

    if (read_object(raw, "step", names, 3, step, error) != 0 ||
        read_object(raw, "step", others, 2, &read, error) != 0)
        return -1;
    unsigned type = 0;
    while (type <= CHARTER_OUTPUT_ARTIFACT &&
           strcmp(charter_output_type_name((enum charter_output_type)type), read.output_type) != 0)
        type++;
    if (type > CHARTER_OUTPUT_ARTIFACT) {
        sdk_error_set(error, CHARTER_INVALID_PARAMS, "step.output_type",
                      "invalid params: step.output_type \"%s\" is not known", read.output_type);
        return -1;
    }
    step->output_type = (enum charter_output_type)type;
    step->with_config = sdk_value(read.with_config);
    return 0;
}

static int read_context(struct str raw, struct charter_context *context,
                        struct charter_error *error)
{
    struct read {
        struct str inputs, outputs, named_outputs;
    } read = {STR("{}"), STR("{}"), STR("{}")};
    static const struct json_field scalars[] = {
        {"run_id", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct charter_context, run_id),
         sizeof context->run_id, 0, 0},
        {"workflow_id", JSON_FIELD_TEXT, 0, offsetof(struct charter_context, workflow_id),
         sizeof context->workflow_id, 0, 0},
        {"attempt", JSON_FIELD_INTEGER, 0, offsetof(struct charter_context, attempt), 0, 1,
         INT64_MAX},
        {"idempotency_key", JSON_FIELD_TEXT, 0, offsetof(struct charter_context, idempotency_key),
         sizeof context->idempotency_key, 0, 0},
        {"deadline_ms", JSON_FIELD_INTEGER, JSON_NULLABLE,
         offsetof(struct charter_context, deadline_ms), 0, 0, INT64_MAX},
        {"artifacts_dir", JSON_FIELD_TEXT, 0, offsetof(struct charter_context, artifacts_dir),
         sizeof context->artifacts_dir, 0, 0},
    };
    static const struct json_field views[] = {
        {"inputs", JSON_FIELD_OBJECT, 0, offsetof(struct read, inputs), 0, 0, 0},
        {"outputs", JSON_FIELD_OBJECT, 0, offsetof(struct read, outputs), 0, 0, 0},
        {"named_outputs", JSON_FIELD_OBJECT, 0, offsetof(struct read, named_outputs), 0, 0, 0},
    };

    context->attempt = 1;
    context->deadline_ms = CHARTER_NO_DEADLINE;
    if (read_object(raw, "context", scalars, 6, context, error) != 0 ||
        read_object(raw, "context", views, 3, &read, error) != 0)
        return -1;
    context->inputs = sdk_value(read.inputs);
    context->outputs = sdk_value(read.outputs);
    context->named_outputs = sdk_value(read.named_outputs);
    return 0;
}

int charter_read_execute(struct charter_value params, struct charter_execute *execute,
                         struct charter_error *error)
{
    struct read {
        struct str step, context;
    } read = {STR_NONE, STR_NONE};
    static const struct json_field fields[] = {
        {"step", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct read, step), 0, 0, 0},
        {"context", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct read, context), 0, 0, 0},
    };

    memset(execute, 0, sizeof *execute);
    if (read_object(or_empty(sdk_str(params)), "", fields, 2, &read, error) != 0 ||
        read_step(read.step, &execute->step, error) != 0 ||
        read_context(read.context, &execute->context, error) != 0)
        return -1;
    return 0;
}

int charter_read_teardown(struct charter_value params, struct charter_error *error)
{
    return read_object(or_empty(sdk_str(params)), "", NULL, 0, NULL, error);
}

int charter_read_cancel(struct charter_value params, struct charter_value *id,
                        struct charter_error *error)
{
    struct str raw = STR_NONE;
    static const struct json_field fields[] = {
        {"id", JSON_FIELD_RAW, JSON_REQUIRED, 0, 0, 0, 0},
    };

    if (read_object(or_empty(sdk_str(params)), "", fields, 1, &raw, error) != 0)
        return -1;
    *id = sdk_value(raw);
    return 0;
}
