/* What a callback says of its request: failures, the value, logs and progress, questions about its end.  Owns the order of these: the first failure
 * counts, the last value does. */
#include "sdk/sdk.h"

#include "json/utf8.h"
#include "port.h"

#include <stdarg.h>

static void set_failure(struct charter_ctx *ctx, int code, bool no_retry, const char *format,
                        va_list args)
{
    struct out out = OUT_ON(ctx->error.message);

    if (ctx->failed)
        return;
    ctx->failed = true;
    ctx->error.code = code;
    ctx->error.no_retry = no_retry;
    ctx->error.path[0] = '\0';
    sdk_vformat_cut(&out, format, args);
    out.n = utf8_cut(out_view(&out));
    out_cstr(&out);
}

int charter_fail(struct charter_ctx *ctx, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_failure(ctx, code, false, format, args);
    va_end(args);
    return -1;
}

int charter_fail_for_good(struct charter_ctx *ctx, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_failure(ctx, code, true, format, args);
    va_end(args);
    return -1;
}

bool charter_has_failed(const struct charter_ctx *ctx)
{
    return ctx->failed;
}

struct charter_writer *charter_result(struct charter_ctx *ctx)
{
    ctx->writer = charter_writer_on(ctx->integration->answer, ctx->integration->answer_size);
    ctx->has_value = true;
    ctx->file.path[0] = '\0';
    return &ctx->writer;
}

static int returned(struct charter_ctx *ctx, const char *problem)
{
    if (charter_writer_is_whole(&ctx->writer))
        return 0;
    return charter_fail_for_good(ctx, CHARTER_INTERNAL_ERROR, "the value %s, or is over %zu bytes",
                                 problem, ctx->integration->answer_size);
}

int charter_return_string(struct charter_ctx *ctx, const char *text)
{
    charter_write_string(charter_result(ctx), text);
    return returned(ctx, "is no text");
}

int charter_return_integer(struct charter_ctx *ctx, int64_t value)
{
    charter_write_integer(charter_result(ctx), value);
    return returned(ctx, "is no integer");
}

int charter_return_number(struct charter_ctx *ctx, double value)
{
    charter_write_number(charter_result(ctx), value);
    return returned(ctx, "is not finite");
}

int charter_return_boolean(struct charter_ctx *ctx, bool value)
{
    charter_write_boolean(charter_result(ctx), value);
    return returned(ctx, "is no boolean");
}

int charter_return_json(struct charter_ctx *ctx, const char *json, size_t length)
{
    struct charter_value value = {json, length > 0 ? length : 1};
    struct charter_writer *w = charter_result(ctx);
    if (length == 0)
        w->failed = true;
    charter_write_value(w, value);
    return returned(ctx, "is not JSON");
}

int charter_return_value(struct charter_ctx *ctx, struct charter_value value)
{
    charter_write_value(charter_result(ctx), value);
    return returned(ctx, "is not JSON");
}

int charter_return_file(struct charter_ctx *ctx, const char *path, const char *media_type)
{
    struct str folder = str_of(ctx->execute.context.artifacts_dir), file = str_of(path);

    if (folder.n > 0 && str_starts_with(file, folder) && file.n > folder.n &&
        file.p[folder.n] == '/')
        file = str_from(file, folder.n + 1);
    (void)charter_result(ctx);
    if (file.n == 0 || file.p[0] == '/' || !str_copy(file, ctx->file.path, sizeof ctx->file.path)) {
        ctx->file.path[0] = '\0';
        return charter_fail_for_good(
            ctx, CHARTER_INTERNAL_ERROR,
            "the file \"%.100s\" is not inside of artifacts_dir, or its path "
            "is over %d bytes",
            path, CHARTER_ARTIFACT_PATH_MAX);
    }
    if (media_type == NULL)
        media_type = "application/octet-stream";
    if (!str_copy(str_of(media_type), ctx->file.media_type, sizeof ctx->file.media_type))
        return charter_fail_for_good(ctx, CHARTER_INTERNAL_ERROR, "the media type is over %d bytes",
                                     CHARTER_MEDIA_TYPE_MAX);
    return 0;
}

/* Bytes of a text that are escaped at a time. */
#define PIECE 64

/* `w` has written up to a string's opening quote into `out`; the text follows, and what stands behind it is the caller's. */
static void send_text(struct sdk_line *line, struct json_writer *w, struct out *out,
                      struct str text)
{
    json_string_begin(w);
    while (text.n > 0) {
        struct str piece = str_head(text, PIECE);
        size_t whole = utf8_cut(piece);
        if (whole > 0 && piece.n < text.n)
            piece.n = whole;
        sdk_line_add(line, out_view(out));
        out_reset(out);
        json_string_add(w, piece);
        text = str_from(text, piece.n);
    }
    json_string_end(w);
}

void charter_log(struct charter_ctx *ctx, enum charter_log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    char text[1024], bytes[8 * PIECE];
    struct out message = OUT_ON(text), out = OUT_ON(bytes);
    struct sdk_line line;
    va_list args;

    va_start(args, format);
    sdk_vformat_cut(&message, format, args);
    va_end(args);
    message.n = utf8_cut(out_view(&message));
    if (ctx->phase == SDK_IDLE)
        return;
    struct json_writer w = rpc_begin_notification(&out, CHARTER_METHOD_LOG);
    json_object(&w);
    json_put_text(&w, "level", names[level]);
    json_key(&w, "message");
    sdk_line_start(&line, ctx);
    send_text(&line, &w, &out, out_view(&message));
    json_object_end(&w);
    rpc_end(&w);
    sdk_line_add(&line, out_view(&out));
    sdk_line_end(&line);
    sdk_look(ctx);
}

void charter_progress(struct charter_ctx *ctx, int64_t current, int64_t total, const char *message)
{
    char bytes[8 * PIECE];
    struct out out = OUT_ON(bytes);
    struct sdk_line line;

    if (ctx->phase == SDK_IDLE)
        return;
    struct json_writer w = rpc_begin_notification(&out, CHARTER_METHOD_PROGRESS);
    json_object(&w);
    json_put_i64(&w, "current", current);
    json_key(&w, "total");
    if (total < 0)
        json_null(&w);
    else
        json_i64(&w, total);
    json_key(&w, "message");
    sdk_line_start(&line, ctx);
    if (message == NULL)
        json_null(&w);
    else
        send_text(&line, &w, &out, str_of(message));
    json_object_end(&w);
    rpc_end(&w);
    sdk_line_add(&line, out_view(&out));
    sdk_line_end(&line);
    sdk_look(ctx);
}

bool charter_is_cancelled(struct charter_ctx *ctx)
{
    sdk_look(ctx);
    return ctx->cancelled || ctx->broken;
}

int64_t charter_deadline_ms(const struct charter_ctx *ctx)
{
    int64_t given = ctx->execute.context.deadline_ms;
    if (ctx->phase != SDK_EXECUTE || given < 0)
        return CHARTER_NO_DEADLINE;
    int64_t passed = port_monotonic_ms() - ctx->started_ms;
    return passed < given ? given - passed : 0;
}

enum charter_wait charter_wait(struct charter_ctx *ctx, int fd, unsigned events, int64_t timeout_ms)
{
    int64_t left = charter_deadline_ms(ctx), now = port_monotonic_ms();
    bool in_ready, fd_ready;

    if (timeout_ms < 0 || (left >= 0 && left < timeout_ms))
        timeout_ms = left;
    int64_t end = timeout_ms < 0 ? -1 : now + timeout_ms;
    for (;;) {
        if (charter_is_cancelled(ctx))
            return CHARTER_WAIT_CANCELLED;
        left = end < 0 ? -1 : end - port_monotonic_ms();
        if (end >= 0 && left < 0)
            left = 0;
        /* Of stdin nothing more can be learnt where it has ended or another request stands in the way. */
        int in = ctx->ended || ctx->behind ? -1 : ctx->in;
        enum err err = port_pipe_wait(in, fd, events, left, &in_ready, &fd_ready);
        if (err == ERR_IO)
            return CHARTER_WAIT_FAILED;
        if (fd_ready)
            return CHARTER_WAIT_READY;
        if (err == ERR_AGAIN || left == 0)
            return CHARTER_WAIT_TIMEOUT;
    }
}
