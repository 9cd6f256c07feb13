#include "rpc/rpc.h"

#include "base/assert.h"
#include "base/hash.h"
#include "json/read.h"

#include <string.h>

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* A peer whose place has been given to another connection gets nothing of what the old one asked. */
static bool is_gone(const struct rpc_call *call)
{
    return call->peer->generation != call->generation;
}

#define AROUND_RESULT (sizeof "{\"jsonrpc\":\"2.0\",\"id\":,\"result\":}" - 1)

struct json_writer *rpc_answer_begin(struct rpc_call *call, struct json_writer *w)
{
    if (call->id[0] == '\0' || is_gone(call))
        return NULL;
    struct out *out = call->peer->begin(call->peer);
    call->begun = out->n;
    *w = rpc_begin_result(out, str_of(call->id));
    return w;
}

size_t rpc_result_max(const struct rpc_call *call)
{
    return call->peer->message_max - AROUND_RESULT - strlen(call->id);
}

static void too_large(const struct rpc_call *call, size_t size, struct rpc_error *error)
{
    rpc_error_set(error, RPC_MESSAGE_TOO_LARGE, "the answer has %zu bytes, a message may have %zu",
                  size, call->peer->message_max);
    struct out data = OUT_ON(error->data);
    struct json_writer w = json_writer(&data);
    json_object(&w);
    json_put_u64(&w, "limit", call->peer->message_max);
    json_put_u64(&w, "size", size);
    json_object_end(&w);
    out_cstr(&data);
}

void rpc_too_large(const struct rpc_call *call, size_t result, struct rpc_error *error)
{
    too_large(call, result + AROUND_RESULT + strlen(call->id), error);
}

void rpc_answer_end(struct rpc_call *call, struct json_writer *w)
{
    struct rpc_error error;

    rpc_end(w);
    if (!w->out->overflow) {
        call->peer->end(call->peer, true);
        return;
    }
    too_large(call, w->out->n + w->out->lost - call->begun, &error);
    call->peer->end(call->peer, false);
    rpc_answer_error(call, &error);
}

void rpc_answer_error(struct rpc_call *call, const struct rpc_error *error)
{
    if (call->id[0] == '\0' || is_gone(call))
        return;
    struct out *out = call->peer->begin(call->peer);
    rpc_write_error(out, str_of(call->id), error);
    ASSERT(!out->overflow);
    call->peer->end(call->peer, true);
}

void rpc_answer_raw(struct rpc_call *call, struct str result)
{
    struct json_writer writer, *w = rpc_answer_begin(call, &writer);
    if (w == NULL)
        return;
    json_raw(w, result);
    rpc_answer_end(call, w);
}

void rpc_put_off(struct rpc_call *call, struct rpc_call *copy)
{
    *copy = *call;
    if (call->id[0] != '\0' && !is_gone(call))
        call->peer->pending++;
}

void rpc_resume(struct rpc_call *call)
{
    if (call->id[0] != '\0' && !is_gone(call)) {
        ASSERT(call->peer->pending > 0);
        call->peer->pending--;
    }
}

/* --- dispatch ----------------------------------------------------------------------------------------------------- */

static void refuse(struct rpc_call *call, const struct rpc_error *error)
{
    const struct rpc_dispatcher *dispatcher = call->dispatcher;

    if (call->command.present && dispatcher != NULL && dispatcher->on_refusal != NULL)
        dispatcher->on_refusal(dispatcher->context, call, error);
    else
        rpc_answer_error(call, error);
}

void rpc_refuse_params(struct rpc_call *call, const char *path, const char *reason)
{
    struct rpc_error error;
    struct out data = OUT_ON(error.data);
    struct json_writer w;

    rpc_error_set(&error, RPC_INVALID_PARAMS, "invalid params: %s%s%s", path,
                  path[0] == '\0' ? "" : " ", reason);
    w = json_writer(&data);
    json_object(&w);
    json_put_text(&w, "path", path);
    json_put_text(&w, "reason", reason);
    json_object_end(&w);
    if (data.overflow)
        out_reset(&data);
    out_cstr(&data);
    refuse(call, &error);
}

/* `inside` leads to the object that is read: "", or "command.". */
static bool read_params(struct rpc_call *call, const char *inside, struct str params,
                        const struct json_field *fields, size_t count, void *into)
{
    struct json_field_error problem;
    struct rpc_error error;
    char path[sizeof problem.path + 16];
    struct out out = OUT_ON(path);

    enum err err = json_read(params, fields, count, into, &problem);
    if (err == OK)
        return true;
    out_text(&out, inside);
    out_text(&out, problem.path);
    out_cstr(&out);
    if (err == ERR_EXISTS) {
        rpc_error_set(&error, RPC_INVALID_REQUEST, "invalid request: params.%s is given twice",
                      path);
        refuse(call, &error);
    } else {
        rpc_refuse_params(call, path, problem.reason);
    }
    return false;
}

bool rpc_params(struct rpc_call *call, struct str params, const struct json_field *fields,
                size_t count, void *into)
{
    return read_params(call, "", params, fields, count, into);
}

/* The digest covers the params without `command`, byte for byte: the members' texts in their order, each closed by a line feed, which
 * cannot stand in JSON text unescaped but as white space between tokens. */
static void digest_command(const struct rpc_method *method, struct str params,
                           unsigned char digest[32])
{
    struct sha256 sha;
    struct json_walk walk = json_walk(params);
    struct str name, value;

    sha256_start(&sha);
    sha256_add(&sha, str_of(method->name));
    while (json_walk_next(&walk, &name, &value)) {
        if (json_string_is(name, "command"))
            continue;
        sha256_add(&sha, STR("\n"));
        sha256_add(&sha, name);
        sha256_add(&sha, STR(":"));
        sha256_add(&sha, value);
    }
    sha256_end(&sha, digest);
}

struct command_params {
    struct str command;
    int64_t seq;
    char key[LIMIT_KEY + 1];
};

static bool read_command(struct rpc_call *call, const struct rpc_method *method, struct str params)
{
    static const struct json_field outer[] = {
        {"command", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct command_params, command), 0,
         0, 0},
    };
    static const struct json_field inner[] = {
        {"seq", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct command_params, seq), 0, 1,
         INT64_MAX},
        {"key", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct command_params, key), LIMIT_KEY + 1,
         0, 0},
    };
    struct command_params read = {.seq = 0};

    if (!rpc_params(call, params, outer, 1, &read) ||
        !read_params(call, "command.", read.command, inner, 2, &read))
        return false;
    if (read.key[0] == '\0') {
        rpc_refuse_params(call, "command.key", "must not be empty");
        return false;
    }
    call->command.present = true;
    call->command.seq = (uint64_t)read.seq;
    memcpy(call->command.key, read.key, sizeof call->command.key);
    digest_command(method, params, call->command.digest);
    return true;
}

static const struct rpc_method *find_method(const struct rpc_dispatcher *dispatcher,
                                            const char *name)
{
    for (size_t i = 0; i < dispatcher->count; i++)
        if (strcmp(dispatcher->methods[i].name, name) == 0)
            return &dispatcher->methods[i];
    return NULL;
}

enum err rpc_dispatch(const struct rpc_dispatcher *dispatcher, struct rpc_peer *peer,
                      const struct rpc_envelope *envelope)
{
    struct rpc_call call = {.peer = peer, .generation = peer->generation, .dispatcher = dispatcher};
    const struct rpc_method *method = find_method(dispatcher, envelope->method);
    struct str params = envelope->params.n > 0 ? envelope->params : STR("{}");
    struct rpc_error error;

    if (envelope->kind == RPC_RESPONSE)
        return OK;
    if (envelope->kind == RPC_REQUEST)
        (void)str_copy(envelope->id, call.id, sizeof call.id);
    if (method == NULL ||
        (peer->channel == RPC_GATEWAY && (method->flags & RPC_METHOD_LOCAL_ONLY) != 0)) {
        rpc_error_set(&error, RPC_METHOD_NOT_FOUND, "method not found: \"%s\"%s", envelope->method,
                      method == NULL ? "" : " is served on the control socket only");
        rpc_answer_error(&call, &error);
        return OK;
    }
    if (peer->channel == RPC_GATEWAY && (method->flags & RPC_METHOD_CHANGES) != 0) {
        /* Without an id nobody could learn the outcome of a command, and without its key nothing could tell it from
         * its repetition. */
        if (envelope->kind == RPC_NOTIFICATION || !read_command(&call, method, params))
            return OK;
        if (dispatcher->on_command != NULL &&
            dispatcher->on_command(dispatcher->context, &call, method, params))
            return call.again ? ERR_AGAIN : OK;
    }
    method->handle(dispatcher->context, &call, params);
    return call.again ? ERR_AGAIN : OK;
}
