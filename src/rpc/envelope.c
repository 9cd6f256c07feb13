/* Envelopes: reading one message and writing one.  Owns the members that JSON-RPC 2.0 knows; never looks into params, results and errors, which
 * are payload.  Invariant: the checked text is walked once, so that a message of any size costs no more memory than its envelope. */
#include "rpc/envelope.h"

#include "json/check.h"
#include "json/read.h"

#include <stdarg.h>
#include <string.h>

void rpc_error_set(struct rpc_error *error, int code, const char *format, ...)
{
    va_list args;
    struct out message = OUT_ON(error->message);

    va_start(args, format);
    out_vformat_cut(&message, format, args);
    va_end(args);
    out_cstr(&message);
    error->code = code;
    error->data[0] = '\0';
}

/* --- envelopes --------------------------------------------------------------------------------------------------- */

static const char *const member_names[RPC_MEMBERS] = {"jsonrpc", "id",     "method",
                                                      "params",  "result", "error"};

static bool is_integer(struct str raw)
{
    for (size_t i = raw.p[0] == '-' ? 1 : 0; i < raw.n; i++)
        if (raw.p[i] < '0' || raw.p[i] > '9')
            return false;
    return true;
}

static bool is_usable_id(struct str raw)
{
    char decoded[LIMIT_ID];
    struct out to = OUT_ON(decoded);

    switch (json_type(raw)) {
    case JSON_NUMBER:
        return raw.n <= LIMIT_ID && is_integer(raw);
    case JSON_STRING:
        return json_string_decode(raw, &to);
    default:
        return false;
    }
}

static enum err invalid(struct rpc_error *error, const char *what)
{
    rpc_error_set(error, RPC_INVALID_REQUEST, "invalid request: %s", what);
    return ERR_INVALID;
}

/* Each name and each value of the envelope is a token, and the message itself one; what its members hold is payload and does not count. */
static enum err collect_members(struct str message, struct str values[RPC_MEMBERS],
                                struct rpc_error *error)
{
    struct json_walk walk = json_walk(message);
    struct str name, value;
    size_t tokens = 1;
    int twice = -1;

    while (json_walk_next(&walk, &name, &value)) {
        tokens += 2;
        if (tokens > LIMIT_JSON_TOKENS) {
            rpc_error_set(error, RPC_INVALID_REQUEST,
                          "invalid request: an envelope of more than %d names and values",
                          LIMIT_JSON_TOKENS);
            return ERR_INVALID;
        }
        for (int i = 0; i < RPC_MEMBERS; i++)
            if (json_string_is(name, member_names[i])) {
                if (values[i].n > 0)
                    twice = i;
                values[i] = value;
            }
    }
    if (twice < 0)
        return OK;
    rpc_error_set(error, RPC_INVALID_REQUEST, "invalid request: the member \"%s\" is given twice",
                  member_names[twice]);
    return ERR_INVALID;
}

enum err rpc_read_members(const struct str values[RPC_MEMBERS], struct rpc_envelope *envelope,
                          struct rpc_error *error)
{
    struct str id = values[RPC_MEMBER_ID], method = values[RPC_MEMBER_METHOD];
    bool answers = values[RPC_MEMBER_RESULT].n > 0 || values[RPC_MEMBER_ERROR].n > 0;

    memset(envelope, 0, sizeof *envelope);
    if (id.n > 0 && is_usable_id(id))
        envelope->id = id;
    else if (id.n > 0 && !(answers && json_type(id) == JSON_NULL))
        return invalid(error, "id must be an integer or a string of at most 64 bytes");
    if (!json_string_is(values[RPC_MEMBER_JSONRPC], "2.0"))
        return invalid(error, "\"jsonrpc\" must be \"2.0\"");

    if (answers) {
        if (method.n > 0)
            return invalid(error, "a message is either a request or an answer");
        if (values[RPC_MEMBER_RESULT].n > 0 && values[RPC_MEMBER_ERROR].n > 0)
            return invalid(error, "an answer has either a result or an error");
        if (values[RPC_MEMBER_ERROR].n > 0 && json_type(values[RPC_MEMBER_ERROR]) != JSON_OBJECT)
            return invalid(error, "\"error\" must be an object");
        envelope->kind = RPC_RESPONSE;
        envelope->result = values[RPC_MEMBER_RESULT];
        envelope->error = values[RPC_MEMBER_ERROR];
        return OK;
    }
    if (json_type(method) != JSON_STRING)
        return invalid(error, "\"method\" must be a string");
    envelope->kind = id.n > 0 ? RPC_REQUEST : RPC_NOTIFICATION;
    if (!json_string_copy(method, envelope->method, sizeof envelope->method))
        envelope->method[0] = '\0';
    if (values[RPC_MEMBER_PARAMS].n > 0 && json_type(values[RPC_MEMBER_PARAMS]) != JSON_OBJECT) {
        rpc_error_set(error, RPC_INVALID_PARAMS, "invalid params: params must be an object");
        (void)str_copy(STR("{\"path\":\"\",\"reason\":\"must be an object\"}"), error->data,
                       sizeof error->data);
        return ERR_INVALID;
    }
    envelope->params = values[RPC_MEMBER_PARAMS];
    return OK;
}

enum err rpc_read(struct str message, struct rpc_envelope *envelope, struct rpc_error *error)
{
    struct json_problem problem;
    struct str values[RPC_MEMBERS] = {{NULL, 0}};

    memset(envelope, 0, sizeof *envelope);
    if (json_check(message, LIMIT_JSON_DEPTH, &problem) != OK) {
        rpc_error_set(error, RPC_PARSE_ERROR, "parse error: %s at byte %zu", problem.reason,
                      problem.offset);
        return ERR_SYNTAX;
    }
    message = str_trim(message);
    if (json_type(message) == JSON_ARRAY)
        return invalid(error, "batches are not served; send one object a message");
    if (json_type(message) != JSON_OBJECT)
        return invalid(error, "a message is an object");
    if (collect_members(message, values, error) == OK)
        return rpc_read_members(values, envelope, error);
    if (values[RPC_MEMBER_ID].n > 0 && is_usable_id(values[RPC_MEMBER_ID]))
        envelope->id = values[RPC_MEMBER_ID];
    return ERR_INVALID;
}

static struct json_writer begin_message(struct out *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w);
    json_put_text(&w, "jsonrpc", "2.0");
    return w;
}

void rpc_write_error(struct out *out, struct str id, const struct rpc_error *error)
{
    struct json_writer w = begin_message(out);
    json_put_raw(&w, "id", id);
    json_key(&w, "error");
    json_object(&w);
    json_put_i64(&w, "code", error->code);
    json_put_text(&w, "message", error->message);
    if (error->data[0] != '\0')
        json_put_raw(&w, "data", str_of(error->data));
    json_object_end(&w);
    json_object_end(&w);
}

struct json_writer rpc_begin_notification(struct out *out, const char *method)
{
    struct json_writer w = begin_message(out);
    json_put_text(&w, "method", method);
    json_key(&w, "params");
    return w;
}

struct json_writer rpc_begin_request(struct out *out, const char *id, const char *method)
{
    struct json_writer w = begin_message(out);
    json_put_text(&w, "id", id);
    json_put_text(&w, "method", method);
    json_key(&w, "params");
    return w;
}

struct json_writer rpc_begin_result(struct out *out, struct str id)
{
    struct json_writer w = begin_message(out);
    json_put_raw(&w, "id", id);
    json_key(&w, "result");
    return w;
}

void rpc_end(struct json_writer *w)
{
    json_object_end(w);
}
