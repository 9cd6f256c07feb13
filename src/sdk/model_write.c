/* The messages of the protocol, written from structs: the other direction of model.c.  Owns the form of each; values that are not JSON make the writer fail
 * rather than break the message. */
#include "sdk/sdk.h"

static void begin(struct charter_writer *w)
{
    charter_write_object(w);
    charter_put_string(w, "jsonrpc", "2.0");
}

static void begin_request(struct charter_writer *w, const char *id, const char *method)
{
    begin(w);
    charter_put_string(w, "id", id);
    charter_put_string(w, "method", method);
    charter_write_key(w, "params");
    charter_write_object(w);
}

static void begin_notification(struct charter_writer *w, const char *method)
{
    begin(w);
    charter_put_string(w, "method", method);
    charter_write_key(w, "params");
    charter_write_object(w);
}

static void begin_answer(struct charter_writer *w, struct charter_value id, const char *what)
{
    begin(w);
    charter_put_value(w, "id", id);
    charter_write_key(w, what);
    charter_write_object(w);
}

static void end(struct charter_writer *w)
{
    charter_write_object_end(w);
    charter_write_object_end(w);
}

static void put_object(struct charter_writer *w, const char *key, struct charter_value value)
{
    struct charter_value empty = {"{}", 2};
    charter_put_value(w, key, value.length > 0 ? value : empty);
}

void charter_write_setup(struct charter_writer *w, const char *id,
                         const struct charter_setup *setup)
{
    begin_request(w, id, CHARTER_METHOD_SETUP);
    charter_put_string(w, "run_id", setup->run_id);
    charter_put_string(w, "integration", setup->integration);
    put_object(w, "config", setup->config);
    end(w);
}

void charter_write_execute(struct charter_writer *w, const char *id,
                           const struct charter_execute *execute)
{
    const struct charter_step *step = &execute->step;
    const struct charter_context *context = &execute->context;

    begin_request(w, id, CHARTER_METHOD_EXECUTE);
    charter_write_key(w, "step");
    charter_write_object(w);
    charter_put_string(w, "id", step->id);
    charter_put_string(w, "uses", step->uses);
    put_object(w, "with_config", step->with_config);
    charter_put_string(w, "output", step->output[0] == '\0' ? NULL : step->output);
    charter_put_string(w, "output_type", charter_output_type_name(step->output_type));
    charter_write_object_end(w);
    charter_write_key(w, "context");
    charter_write_object(w);
    charter_put_string(w, "run_id", context->run_id);
    charter_put_string(w, "workflow_id", context->workflow_id);
    charter_put_integer(w, "attempt", context->attempt);
    charter_put_string(w, "idempotency_key", context->idempotency_key);
    if (context->deadline_ms < 0)
        charter_put_null(w, "deadline_ms");
    else
        charter_put_integer(w, "deadline_ms", context->deadline_ms);
    charter_put_string(w, "artifacts_dir", context->artifacts_dir);
    put_object(w, "inputs", context->inputs);
    put_object(w, "outputs", context->outputs);
    put_object(w, "named_outputs", context->named_outputs);
    charter_write_object_end(w);
    end(w);
}

void charter_write_teardown(struct charter_writer *w, const char *id)
{
    begin_request(w, id, CHARTER_METHOD_TEARDOWN);
    end(w);
}

void charter_write_cancel(struct charter_writer *w, const char *id)
{
    begin_notification(w, CHARTER_METHOD_CANCEL);
    charter_put_string(w, "id", id);
    end(w);
}

void charter_write_ok(struct charter_writer *w, struct charter_value id)
{
    begin_answer(w, id, "result");
    charter_put_boolean(w, "ok", true);
    end(w);
}

void charter_write_execute_result(struct charter_writer *w, struct charter_value id,
                                  const struct charter_execute_result *result)
{
    if ((result->value.length > 0) == (result->path[0] != '\0'))
        w->failed = true; /* exactly one of both */
    begin_answer(w, id, "result");
    if (result->path[0] == '\0') {
        charter_put_value(w, "value", result->value);
    } else {
        charter_write_key(w, "artifact");
        charter_write_object(w);
        charter_put_string(w, "path", result->path);
        if (result->media_type[0] != '\0')
            charter_put_string(w, "media_type", result->media_type);
        charter_write_object_end(w);
    }
    end(w);
}

void charter_write_error(struct charter_writer *w, struct charter_value id,
                         const struct charter_error *error)
{
    struct rpc_error rpc;
    struct charter_value data;

    sdk_rpc_error(error, &rpc);
    begin_answer(w, id, "error");
    charter_put_integer(w, "code", error->code);
    charter_put_string(w, "message", error->message);
    data = sdk_value(str_of(rpc.data));
    if (data.length > 0)
        charter_put_value(w, "data", data);
    end(w);
}

void charter_write_log(struct charter_writer *w, enum charter_log_level level, const char *message)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    begin_notification(w, CHARTER_METHOD_LOG);
    charter_put_string(w, "level", names[level]);
    charter_put_string(w, "message", message == NULL ? "" : message);
    end(w);
}

void charter_write_progress(struct charter_writer *w, int64_t current, int64_t total,
                            const char *message)
{
    begin_notification(w, CHARTER_METHOD_PROGRESS);
    charter_put_integer(w, "current", current);
    if (total < 0)
        charter_put_null(w, "total");
    else
        charter_put_integer(w, "total", total);
    charter_put_string(w, "message", message);
    end(w);
}
