/* Reading a step's values by path, with a failure of the step for what is not there or of another type.  Owns the decoded strings.  Invariant: a string that
 * was decoded once is found again, so asking in a loop takes no more room. */
#include "sdk/sdk.h"

#include <string.h>

static const char *const root_names[] = {"config", "inputs", "outputs", "named_outputs"};

const struct charter_step *charter_step_of(const struct charter_ctx *ctx)
{
    return &ctx->execute.step;
}

const struct charter_context *charter_context_of(const struct charter_ctx *ctx)
{
    return &ctx->execute.context;
}

const char *charter_run_id(const struct charter_ctx *ctx)
{
    return ctx->phase == SDK_EXECUTE ? ctx->execute.context.run_id : ctx->setup.run_id;
}

const char *charter_integration_name(const struct charter_ctx *ctx)
{
    return ctx->phase == SDK_EXECUTE ? ctx->execute.step.uses : ctx->setup.integration;
}

void *charter_user(const struct charter_ctx *ctx)
{
    return ctx->integration->user;
}

static struct str lookup(const struct charter_ctx *ctx, enum charter_root root, const char *path)
{
    const struct charter_execute *execute = &ctx->execute;
    struct charter_value from = {NULL, 0};

    switch (root) {
    case CHARTER_ROOT_CONFIG:
        from = ctx->phase == SDK_EXECUTE ? execute->step.with_config : ctx->setup.config;
        break;
    case CHARTER_ROOT_INPUTS:
        from = execute->context.inputs;
        break;
    case CHARTER_ROOT_OUTPUTS:
        from = execute->context.outputs;
        break;
    case CHARTER_ROOT_NAMED_OUTPUTS:
        from = execute->context.named_outputs;
        break;
    }
    return sdk_find(sdk_str(from), path);
}

static void refuse(struct charter_ctx *ctx, enum charter_root root, const char *path,
                   const char *reason, struct str found)
{
    char full[sizeof ctx->error.path];
    struct out out = OUT_ON(full);

    if (ctx->failed)
        return;
    out_text(&out, root_names[root]);
    if (path[0] != '\0' && path[0] != '[')
        out_byte(&out, '.');
    /* A path that is longer than this is cut; its beginning says enough. */
    out_str(&out, str_head(str_of(path), out_room(&out) - 1));
    out_cstr(&out);
    ctx->failed = true;
    if (found.n == 0)
        sdk_error_set(&ctx->error, CHARTER_INVALID_INPUT, full, "%s is missing", full);
    else
        sdk_error_set(&ctx->error, CHARTER_INVALID_INPUT, full, "%s %s, it is %s", full, reason,
                      sdk_type_name(found));
    ctx->error.no_retry = true;
}

/* The value, or nothing where there is none (or null) and none is needed. */
static struct str find(struct charter_ctx *ctx, enum charter_root root, const char *path,
                       bool needed)
{
    struct str raw = lookup(ctx, root, path);
    if (needed && raw.n == 0)
        refuse(ctx, root, path, "", raw);
    return !needed && json_type(raw) == JSON_NULL ? STR_NONE : raw;
}

/* In front of each decoded string: what it was decoded from. */
struct decoded {
    const char *raw;
    size_t size; /* of the whole, this included; whole units */
};

static const char *decode(struct charter_ctx *ctx, struct str raw)
{
    char *end = ctx->reader.p + ctx->integration->request_size;
    struct decoded head;

    for (char *at = ctx->reader.p + ctx->bottom; at < end; at += head.size) {
        memcpy(&head, at, sizeof head);
        if (head.raw == raw.p)
            return at + sizeof head;
    }
    size_t before = ctx->bottom;
    char *at = sdk_room(ctx, sizeof head + raw.n); /* quotes give room for the NUL */
    if (at == NULL || !json_string_copy(raw, at + sizeof head, raw.n)) {
        ctx->bottom = before;
        return NULL;
    }
    head.raw = raw.p;
    head.size = before - ctx->bottom;
    memcpy(at, &head, sizeof head);
    return at + sizeof head;
}

static const char *get_string(struct charter_ctx *ctx, enum charter_root root, const char *path,
                              bool needed, const char *otherwise)
{
    struct str raw = find(ctx, root, path, needed);
    if (raw.n == 0)
        return otherwise;
    if (json_type(raw) != JSON_STRING) {
        refuse(ctx, root, path, "must be a string", raw);
        return otherwise;
    }
    const char *text = decode(ctx, raw);
    if (text == NULL) {
        refuse(ctx, root, path, "must be a string without U+0000 that fits the request buffer",
               raw);
        return otherwise;
    }
    return text;
}

const char *charter_get_string(struct charter_ctx *ctx, enum charter_root root, const char *path)
{
    return get_string(ctx, root, path, true, "");
}

const char *charter_get_string_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                                  const char *otherwise)
{
    return get_string(ctx, root, path, false, otherwise);
}

static int64_t get_integer(struct charter_ctx *ctx, enum charter_root root, const char *path,
                           bool needed, int64_t otherwise)
{
    struct str raw = find(ctx, root, path, needed);
    int64_t value = otherwise;
    if (raw.n > 0 && !charter_to_integer(sdk_value(raw), &value))
        refuse(ctx, root, path, "must be an integer of 64 bits", raw);
    return value;
}

int64_t charter_get_integer(struct charter_ctx *ctx, enum charter_root root, const char *path)
{
    return get_integer(ctx, root, path, true, 0);
}

int64_t charter_get_integer_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                               int64_t otherwise)
{
    return get_integer(ctx, root, path, false, otherwise);
}

static double get_number(struct charter_ctx *ctx, enum charter_root root, const char *path,
                         bool needed, double otherwise)
{
    struct str raw = find(ctx, root, path, needed);
    double value = otherwise;
    if (raw.n > 0 && !charter_to_number(sdk_value(raw), &value))
        refuse(ctx, root, path, "must be a number in the range of a double", raw);
    return value;
}

double charter_get_number(struct charter_ctx *ctx, enum charter_root root, const char *path)
{
    return get_number(ctx, root, path, true, 0);
}

double charter_get_number_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                             double otherwise)
{
    return get_number(ctx, root, path, false, otherwise);
}

static bool get_boolean(struct charter_ctx *ctx, enum charter_root root, const char *path,
                        bool needed, bool otherwise)
{
    struct str raw = find(ctx, root, path, needed);
    bool value = otherwise;
    if (raw.n > 0 && !charter_to_boolean(sdk_value(raw), &value))
        refuse(ctx, root, path, "must be true or false", raw);
    return value;
}

bool charter_get_boolean(struct charter_ctx *ctx, enum charter_root root, const char *path)
{
    return get_boolean(ctx, root, path, true, false);
}

bool charter_get_boolean_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                            bool otherwise)
{
    return get_boolean(ctx, root, path, false, otherwise);
}

struct charter_value charter_get_value(struct charter_ctx *ctx, enum charter_root root,
                                       const char *path)
{
    return sdk_value(find(ctx, root, path, true));
}

bool charter_has(const struct charter_ctx *ctx, enum charter_root root, const char *path)
{
    struct str raw = lookup(ctx, root, path);
    return raw.n > 0 && json_type(raw) != JSON_NULL;
}
