/* What goes out on stdout: whole lines, written at once as far as they fit a chunk.  Owns the first failure of stdout.  Never called while another
 * line is being written. */
#include "sdk/sdk.h"

#include "port.h"

#include <string.h>

void sdk_line_start(struct sdk_line *line, struct charter_ctx *ctx)
{
    line->ctx = ctx;
    line->n = 0;
}

static void flush(struct sdk_line *line, struct str bytes)
{
    if (!line->ctx->broken && port_pipe_write(line->ctx->out, bytes) != OK)
        line->ctx->broken = true;
}

void sdk_line_add(struct sdk_line *line, struct str bytes)
{
    if (bytes.n > sizeof line->chunk - line->n) {
        flush(line, str_range(line->chunk, line->n));
        line->n = 0;
    }
    if (bytes.n > sizeof line->chunk) {
        flush(line, bytes);
    } else if (bytes.n > 0) {
        memcpy(line->chunk + line->n, bytes.p, bytes.n);
        line->n += bytes.n;
    }
}

void sdk_line_end(struct sdk_line *line)
{
    sdk_line_add(line, STR("\n"));
    flush(line, str_range(line->chunk, line->n));
}

void sdk_send_error(struct charter_ctx *ctx, struct str id, const struct rpc_error *error)
{
    /* Each byte of the message may become six. */
    char text[6 * sizeof error->message + sizeof error->data + 6 * LIMIT_ID + 128];
    struct out out = OUT_ON(text);
    struct sdk_line line;

    rpc_write_error(&out, id, error);
    sdk_line_start(&line, ctx);
    sdk_line_add(&line, out_view(&out));
    sdk_line_end(&line);
}

/* {"value":…} in front of the value that stands in the answer buffer; everything else is small. */
void sdk_send_result(struct charter_ctx *ctx)
{
    char text[6 * LIMIT_ID + 6 * (CHARTER_ARTIFACT_PATH_MAX + CHARTER_MEDIA_TYPE_MAX) + 128];
    struct out out = OUT_ON(text);
    struct sdk_line line;

    struct json_writer w = rpc_begin_result(&out, ctx->id);
    json_object(&w);
    sdk_line_start(&line, ctx);
    if (ctx->phase != SDK_EXECUTE) {
        json_put_bool(&w, "ok", true);
    } else if (ctx->file.path[0] != '\0') {
        json_key(&w, "artifact");
        json_object(&w);
        json_put_text(&w, "path", ctx->file.path);
        json_put_text(&w, "media_type", ctx->file.media_type);
        json_object_end(&w);
    } else {
        json_key(&w, "value");
        (void)json_raw_begin(&w);
        sdk_line_add(&line, out_view(&out));
        sdk_line_add(&line,
                     ctx->has_value ? sdk_str(charter_writer_value(&ctx->writer)) : STR("null"));
        out_reset(&out);
    }
    json_object_end(&w);
    rpc_end(&w);
    sdk_line_add(&line, out_view(&out));
    sdk_line_end(&line);
}
