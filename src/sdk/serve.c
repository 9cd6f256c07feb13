/* The life of an integration: one request after the other, each answered once.  Owns the order setup, execute…, teardown and the streams' places.  Invariant: a
 * request is answered before the next one is read, whatever the callback did. */
#include "sdk/sdk.h"

#include "port.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_MIN 1024

/* Lends the raw id and forgets what the last request left. */
static void begin(struct charter_ctx *ctx, enum sdk_phase phase, struct str id)
{
    ctx->phase = phase;
    ctx->id = id;
    ctx->cancelled = ctx->told = ctx->failed = ctx->has_value = false;
    ctx->file.path[0] = '\0';
    memset(&ctx->error, 0, sizeof ctx->error);
    ctx->writer = charter_writer_on(ctx->integration->answer, ctx->integration->answer_size);
}

static void end(struct charter_ctx *ctx)
{
    ctx->phase = SDK_IDLE;
    memset(&ctx->execute, 0, sizeof ctx->execute);
}

static void call(struct charter_ctx *ctx, int (*function)(struct charter_ctx *ctx),
                 const char *name)
{
    if (ctx->failed || function == NULL)
        return;
    if (function(ctx) == 0 || ctx->failed)
        return;
    if (ctx->cancelled)
        (void)charter_fail(ctx, CHARTER_CANCELLED, "cancelled");
    else
        (void)charter_fail(ctx, CHARTER_INTERNAL_ERROR, "%s failed and did not say why", name);
}

static void answer(struct charter_ctx *ctx)
{
    struct rpc_error error;

    if (!ctx->failed && ctx->has_value && ctx->file.path[0] == '\0' &&
        !charter_writer_is_whole(&ctx->writer))
        (void)charter_fail_for_good(ctx, CHARTER_INTERNAL_ERROR,
                                    "the value is not whole JSON, or is over %zu bytes",
                                    ctx->integration->answer_size);
    if (ctx->failed) {
        sdk_rpc_error(&ctx->error, &error);
        sdk_send_error(ctx, ctx->id, &error);
    } else {
        sdk_send_result(ctx);
    }
}

static void refuse(struct charter_ctx *ctx, struct str id, const struct charter_error *error)
{
    struct rpc_error rpc;
    sdk_rpc_error(error, &rpc);
    sdk_send_error(ctx, id, &rpc);
}

static void fill(struct charter_ctx *ctx, struct str object, bool inputs, bool partial)
{
    const struct charter_integration *of = ctx->integration;
    int rc = 0;

    if (ctx->failed)
        return;
    if (inputs && of->input_fields != NULL)
        rc = sdk_fill(object, of->input_fields, of->input_field_count,
                      (of->flags & CHARTER_OTHER_INPUTS) != 0, partial, "inputs", of->inputs,
                      &ctx->error);
    else if (!inputs && of->config_fields != NULL)
        rc = sdk_fill(object, of->config_fields, of->config_field_count,
                      (of->flags & CHARTER_OTHER_CONFIG) != 0, partial, "config", of->config,
                      &ctx->error);
    ctx->failed = rc != 0;
}

static void on_setup(struct charter_ctx *ctx, struct str id, struct charter_value params)
{
    struct charter_error error;

    if (charter_read_setup(params, &ctx->setup, &error) != 0) {
        refuse(ctx, id, &error);
        return;
    }
    begin(ctx, SDK_SETUP, id);
    fill(ctx, sdk_str(ctx->setup.config), false, true);
    call(ctx, ctx->integration->setup, "setup");
    ctx->set_up = !ctx->failed;
    answer(ctx);
    ctx->setup.config = sdk_value(STR_NONE); /* the text goes */
    end(ctx);
}

static void on_execute(struct charter_ctx *ctx, struct str id, struct charter_value params)
{
    struct charter_error error;

    if (charter_read_execute(params, &ctx->execute, &error) != 0) {
        refuse(ctx, id, &error);
        end(ctx);
        return;
    }
    begin(ctx, SDK_EXECUTE, id);
    fill(ctx, sdk_str(ctx->execute.step.with_config), false, false);
    fill(ctx, sdk_str(ctx->execute.context.inputs), true, false);
    call(ctx, ctx->integration->execute, "execute");
    answer(ctx);
    end(ctx);
}

static void on_teardown(struct charter_ctx *ctx, struct str id, struct charter_value params)
{
    struct charter_error error;

    if (charter_read_teardown(params, &error) != 0) {
        refuse(ctx, id, &error);
        return;
    }
    begin(ctx, SDK_TEARDOWN, id);
    if (ctx->set_up)
        call(ctx, ctx->integration->teardown, "teardown");
    ctx->set_up = false;
    answer(ctx);
    end(ctx);
}

static void on_line(struct charter_ctx *ctx, struct str line)
{
    struct charter_message message;
    struct charter_error error;

    if (charter_read_message(line.p, line.n, &message, &error) != 0) {
        refuse(ctx, sdk_str(message.id), &error);
        return;
    }
    if (message.kind != CHARTER_MESSAGE_REQUEST)
        return; /* a cancel that came too late, or nothing that is known */
    struct str id = sdk_str(message.id);
    ctx->started_ms = port_monotonic_ms();
    bool setup = strcmp(message.method, CHARTER_METHOD_SETUP) == 0;
    bool execute = strcmp(message.method, CHARTER_METHOD_EXECUTE) == 0;
    if (strcmp(message.method, CHARTER_METHOD_TEARDOWN) == 0) {
        on_teardown(ctx, id, message.params);
    } else if (!setup && !execute) {
        sdk_error_set(&error, CHARTER_METHOD_NOT_FOUND, "", "method not found: \"%s\"",
                      message.method);
        refuse(ctx, id, &error);
    } else if (setup == ctx->set_up) {
        sdk_error_set(&error, CHARTER_WRONG_STATE, "", "%s before %s", message.method,
                      setup ? CHARTER_METHOD_TEARDOWN : CHARTER_METHOD_SETUP);
        refuse(ctx, id, &error);
    } else if (setup) {
        on_setup(ctx, id, message.params);
    } else {
        on_execute(ctx, id, message.params);
    }
}

static void refuse_long(struct charter_ctx *ctx, size_t size)
{
    struct rpc_error error;
    struct out data = OUT_ON(error.data);
    struct json_writer w = json_writer(&data);

    rpc_error_set(&error, CHARTER_MESSAGE_TOO_LARGE,
                  "the request is larger than this program takes (%zu bytes)", ctx->reader.cap);
    json_object(&w);
    json_put_u64(&w, "limit", ctx->reader.cap);
    json_put_u64(&w, "size", size);
    json_object_end(&w);
    out_cstr(&data);
    sdk_send_error(ctx, STR_NONE, &error);
}

int sdk_serve(struct charter_ctx *ctx)
{
    enum err err = OK;

    while (!ctx->broken) {
        struct str line;
        size_t size;
        err = sdk_next(ctx, &line, &size);
        if (err == OK)
            on_line(ctx, line);
        else if (err == ERR_TOO_LARGE)
            refuse_long(ctx, size);
        else
            break;
    }
    if (ctx->set_up) {
        begin(ctx, SDK_TEARDOWN, STR_NONE);
        call(ctx, ctx->integration->teardown, "teardown");
        end(ctx);
    }
    return ctx->broken || err != ERR_END ? 1 : 0;
}

/* --- the start ---------------------------------------------------------------------------------------------------------------- */

static int misuse(const struct charter_integration *integration, const char *what,
                  const char *problem)
{
    fprintf(stderr, "%s: %s %s\n",
            integration->name == NULL ? "charter-integration" : integration->name, what, problem);
    return 2;
}

/* Also fills the structs with their defaults, so that these are known to fit. */
static int check(const struct charter_integration *of)
{
    struct charter_error error;
    const char *problem = sdk_table_problem(of->config_fields, of->config_field_count, of->config);

    if (problem != NULL)
        return misuse(of, "config_fields", problem);
    problem = sdk_table_problem(of->input_fields, of->input_field_count, of->inputs);
    if (problem != NULL)
        return misuse(of, "input_fields", problem);
    if (of->name == NULL || of->execute == NULL)
        return misuse(of, "the integration", "needs a name and execute");
    if (of->request == NULL || of->request_size < REQUEST_MIN)
        return misuse(of, "request", "needs a buffer of at least 1024 bytes");
    if (of->answer == NULL || of->answer_size == 0)
        return misuse(of, "answer", "needs a buffer");
    if ((of->config_fields != NULL &&
         sdk_fill(STR("{}"), of->config_fields, of->config_field_count, true, true,
                  "the default of config", of->config, &error) != 0) ||
        (of->input_fields != NULL &&
         sdk_fill(STR("{}"), of->input_fields, of->input_field_count, true, true,
                  "the default of inputs", of->inputs, &error) != 0))
        return misuse(of, error.message, "");
    return 0;
}

static int describe(const struct charter_integration *integration)
{
    struct charter_writer w = charter_writer_on(integration->answer, integration->answer_size);

    sdk_describe(&w, integration);
    if (!charter_writer_is_whole(&w))
        return misuse(integration, "answer", "is too small for what --describe says");
    if (port_pipe_write(1, str_range(w.buffer, w.length)) != OK ||
        port_pipe_write(1, STR("\n")) != OK)
        return 1;
    return 0;
}

int charter_integration_main(int argc, char **argv, const struct charter_integration *integration)
{
    struct charter_ctx ctx = {.integration = integration};
    int rc = check(integration);

    if (rc != 0)
        return rc;
    if (argc == 2 && strcmp(argv[1], "--describe") == 0)
        return describe(integration);
    if (argc > 1)
        return misuse(integration, "usage: the daemon starts this program, without arguments;",
                      "by hand: --describe");
    if (port_pipe_take(&ctx.in, &ctx.out) != OK)
        return misuse(integration, "stdin and stdout", "are not open") - 1;
    ctx.reader = line_reader_on(integration->request, integration->request_size - SDK_RESERVE);
    return sdk_serve(&ctx);
}
