/* The request buffer: the present request stands at its front, what has come behind it follows, and from its end grow the strings that were decoded for
 * the author.  Owns reading stdin; never writes.  Invariant: the three do not meet, and the present request does not move before the next one is
 * asked for. */
#include "sdk/sdk.h"

#include "port.h"

#include <string.h>

enum err sdk_next(struct charter_ctx *ctx, struct str *line, size_t *size)
{
    ctx->bottom = ctx->integration->request_size;
    ctx->behind = false;
    for (;;) {
        char *to;
        size_t room, got;
        enum err err = line_take(&ctx->reader, line, size);
        if (err != ERR_AGAIN)
            return err;
        if (ctx->ended)
            return ERR_END;
        line_space(&ctx->reader, &to, &room);
        err = port_pipe_read(ctx->in, to, room, &got);
        if (err == ERR_END)
            ctx->ended = true;
        else if (err != OK)
            return err;
        else
            line_added(&ctx->reader, got);
    }
}

/* Takes the whole lines behind the present request, up to the next request. */
static void take_notifications(struct charter_ctx *ctx)
{
    struct rpc_envelope envelope;
    struct charter_error problem;
    struct charter_value id;
    struct rpc_error error;
    struct str line;
    size_t size;

    while (!ctx->behind) {
        struct line_reader before = ctx->reader;
        enum err err = line_take(&ctx->reader, &line, &size);
        if (err == ERR_AGAIN)
            return;
        if (err != OK || rpc_read(line, &envelope, &error) != OK ||
            envelope.kind != RPC_NOTIFICATION) {
            ctx->reader = before; /* it gets its answer after the present one */
            ctx->behind = true;
        } else if (strcmp(envelope.method, CHARTER_METHOD_CANCEL) == 0 &&
                   charter_read_cancel(sdk_value(envelope.params), &id, &problem) == 0) {
            struct str given = sdk_str(id);
            ctx->cancelled =
                ctx->cancelled || str_equal(given, ctx->id) ||
                (json_type(given) == JSON_STRING && json_type(ctx->id) == JSON_STRING &&
                 json_string_equal(given, ctx->id));
        }
    }
}

void sdk_look(struct charter_ctx *ctx)
{
    struct line_reader *reader = &ctx->reader;
    bool in_ready, fd_ready;
    size_t got;

    if (ctx->phase == SDK_IDLE)
        return;
    for (;;) {
        take_notifications(ctx);
        size_t room = ctx->bottom - reader->n, pending = reader->n - reader->start;
        if (room > reader->cap - pending)
            room = reader->cap - pending;
        if (room == 0)
            ctx->behind = true; /* a line too long to be a notification */
        if (ctx->behind || ctx->ended ||
            port_pipe_wait(ctx->in, -1, 0, 0, &in_ready, &fd_ready) != OK || !in_ready)
            break;
        enum err err = port_pipe_read(ctx->in, reader->p + reader->n, room, &got);
        if (err == OK)
            line_added(reader, got);
        else
            ctx->ended = true;
    }
    if (ctx->cancelled && !ctx->told) {
        ctx->told = true;
        if (ctx->integration->cancel != NULL)
            ctx->integration->cancel(ctx);
    }
}

char *sdk_room(struct charter_ctx *ctx, size_t n)
{
    size_t taken = ctx->reader.n + SDK_RESERVE;
    /* Headers in front of the strings are read as they were written. */
    const size_t unit = sizeof(size_t);
    if (n > SIZE_MAX - unit)
        return NULL;
    n = (n + unit - 1) / unit * unit;
    if (taken > ctx->bottom || n > ctx->bottom - taken)
        return NULL;
    ctx->bottom -= n;
    return ctx->reader.p + ctx->bottom;
}
