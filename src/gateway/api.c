#include "gateway/api.h"

#include "gateway/api_internal.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"
#include "json/write.h"

#include <stdarg.h>
#include <string.h>

/* --- answers -------------------------------------------------------------------------------- */

static void answer_with(struct connection *connection, unsigned status, const char *headers,
                        struct str body)
{
    struct http_answer answer = {.status = status,
                                 .type = "application/json",
                                 .headers = headers,
                                 .keep_alive = connection->keep_alive,
                                 .without_body = connection->without_body,
                                 .wall_ms = connection->gateway->loop.wall_ms};

    if (!http_answer(&connection->out, &answer, body))
        connection->dead = true;
}

void api_answer(struct connection *connection, unsigned status, struct str body)
{
    answer_with(connection, status, NULL, body);
}

void api_refuse_with(struct connection *connection, unsigned status, const char *headers, int code,
                     const char *message)
{
    char text[1024];
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);

    json_object(&w);
    json_key(&w, "error");
    json_object(&w);
    json_put_i64(&w, "code", code);
    json_put_text(&w, "message", message);
    json_object_end(&w);
    json_object_end(&w);
    answer_with(connection, status, headers, out.overflow ? STR("{\"error\":{}}") : out_view(&out));
}

void api_refuse(struct connection *connection, unsigned status, int code, const char *format, ...)
{
    char text[384];
    struct out message = OUT_ON(text);
    va_list args;

    va_start(args, format);
    out_vformat(&message, format, args);
    va_end(args);
    api_refuse_with(connection, status, NULL, code, out_cstr(&message));
}

void api_refuse_store(struct connection *connection)
{
    log_error("gateway", "the store failed: %s; a request is answered with 500",
              store_reason(connection->gateway->store));
    api_refuse(connection, 500, RPC_INTERNAL_ERROR, "the store failed");
}

struct out api_start_body(struct connection *connection)
{
    return out_on(connection->gateway->answer, sizeof connection->gateway->answer);
}

/* --- daemons -------------------------------------------------------------------------------- */

struct list {
    struct gateway *gateway;
    struct json_writer w;
};

static void write_heads(struct json_writer *w, const struct store_daemon *daemon)
{
    if (daemon->head.seq == 0) {
        json_put_null(w, "head");
    } else {
        json_key(w, "head");
        json_object(w);
        json_put_i64(w, "seq", daemon->head.seq);
        json_put_text(w, "sha256", daemon->head.sha256);
        json_object_end(w);
    }
    if (daemon->kept.seq == 0) {
        json_put_null(w, "head_conflict");
        return;
    }
    json_key(w, "head_conflict");
    json_object(w);
    json_put_i64(w, "seq", daemon->kept.seq);
    json_put_text(w, "kept", daemon->kept.sha256);
    json_put_text(w, "named", daemon->named.sha256);
    json_put_time(w, "time", daemon->named_ms);
    json_object_end(w);
}

static bool write_daemon(void *context, const struct store_daemon *daemon)
{
    struct list *list = context;
    struct json_writer *w = &list->w;
    struct connection *live = gateway_daemon(list->gateway, daemon->key);
    int64_t silent_ms = live == NULL ? 0 : list->gateway->loop.now_ms - live->session.heard_ms;

    json_object(w);
    json_put_text(w, "id", daemon->id);
    json_put_text(w, "project", daemon->project);
    json_put_bool(w, "connected", live != NULL);
    json_put_i64(w, "epoch", daemon->epoch);
    json_put_text(w, "version", daemon->version);
    json_put_time(w, "last_seen",
                  live == NULL ? daemon->last_seen_ms : list->gateway->loop.wall_ms - silent_ms);
    json_put_i64(w, "acked", daemon->acked);
    write_heads(w, daemon);
    json_object_end(w);
    return !w->out->overflow;
}

static void get_daemons(struct connection *connection, const struct http_request *request,
                        const char *id)
{
    struct gateway *gateway = connection->gateway;
    struct out body = api_start_body(connection);
    struct list list = {.gateway = gateway, .w = json_writer(&body)};

    (void)request;
    (void)id;
    json_object(&list.w);
    json_key(&list.w, "daemons");
    json_array(&list.w);
    enum err err = store_daemons(gateway->store, write_daemon, &list);
    json_array_end(&list.w);
    json_object_end(&list.w);
    if (err != OK)
        api_refuse_store(connection);
    else if (body.overflow)
        api_refuse(connection, 500, RPC_MESSAGE_TOO_LARGE, "the list of daemons is too long");
    else
        api_answer(connection, 200, out_view(&body));
}

static void get_one_daemon(struct connection *connection, const struct http_request *request,
                           const char *id)
{
    struct gateway *gateway = connection->gateway;
    struct out body = api_start_body(connection);
    struct list list = {.gateway = gateway, .w = json_writer(&body)};
    struct store_daemon daemon;

    (void)request;
    enum err err = store_daemon_find(gateway->store, id, &daemon);
    if (err == ERR_NOT_FOUND) {
        api_refuse(connection, 404, RPC_NOT_FOUND, "no daemon of this id has ever been here");
    } else if (err != OK) {
        api_refuse_store(connection);
    } else {
        (void)write_daemon(&list, &daemon);
        api_answer(connection, 200, out_view(&body));
    }
}

static void get_health(struct connection *connection, const struct http_request *request,
                       const char *id)
{
    (void)request;
    (void)id;
    api_answer(connection, 200, STR("{\"status\":\"ok\",\"version\":\"" CHARTER_VERSION "\"}"));
}

/* --- routes --------------------------------------------------------------------------------- */

static void get_daemon(struct connection *connection, const struct http_request *request,
                       const char *id)
{
    (void)id;
    api_upgrade(connection, request);
}

struct route {
    const char *path; /* ':' stands for one segment, the handler's `id` */
    enum http_method method;
    void (*handle)(struct connection *connection, const struct http_request *request,
                   const char *id);
};

static const struct route routes[] = {
    {"/healthz", HTTP_GET, get_health},     {"/v1/daemon", HTTP_GET, get_daemon},
    {"/v1/daemons", HTTP_GET, get_daemons}, {"/v1/daemons/:", HTTP_GET, get_one_daemon},
    {"/v1/daemons/:/rpc", HTTP_POST, NULL}, {"/v1/runs", HTTP_GET, api_get_runs},
    {"/v1/runs/:", HTTP_GET, api_get_run},  {"/v1/runs/:/events", HTTP_GET, api_get_events},
};

static bool matches(const struct route *route, struct str path, char *id, size_t size)
{
    struct str pattern = str_of(route->path), wanted, segment;

    while (http_path_next(&pattern, &wanted)) {
        if (!http_path_next(&path, &segment))
            return false;
        if (str_is(wanted, ":")) {
            if (segment.n == 0 || !http_decode(segment, id, size))
                return false;
        } else if (!str_equal(wanted, segment)) {
            return false;
        }
    }
    return path.n == 0;
}

/* A page in somebody's browser may send requests here, and browsers say so: one from elsewhere must not command daemons
 * just because it runs on a machine that reaches us. */
static bool is_foreign(const struct http_request *request)
{
    struct str origin = http_request_header(request, "origin"), scheme, host;

    if (http_request_count(request, "origin") == 0)
        return false;
    if (http_request_count(request, "origin") > 1 || !str_cut(origin, ':', &scheme, &host) ||
        !str_starts_with(host, STR("//")))
        return true;
    return !str_equal_nocase(str_from(host, 2), http_request_header(request, "host"));
}

void api_handle(struct connection *connection, const struct http_request *request, struct str body)
{
    char id[LIMIT_RUN_ID + LIMIT_DAEMON_ID];

    if (str_starts_with(request->path, STR("/v1")) &&
        !gateway_authorizes(connection->gateway, http_request_header(request, "authorization"))) {
        api_refuse_with(connection, 401, "WWW-Authenticate: Bearer\r\n", RPC_UNAUTHORIZED,
                        "this gateway wants Authorization: Bearer and its token");
        return;
    }
    if (is_foreign(request) &&
        (request->method == HTTP_POST || http_request_count(request, "upgrade") > 0)) {
        api_refuse(connection, 403, RPC_UNAUTHORIZED,
                   "requests of pages from elsewhere are refused");
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *route = &routes[i];
        bool head = request->method == HTTP_HEAD && route->method == HTTP_GET;
        if (!matches(route, request->path, id, sizeof id))
            continue;
        if (request->method != route->method && !head)
            api_refuse_with(connection, 405,
                            route->method == HTTP_GET ? "Allow: GET, HEAD\r\n" : "Allow: POST\r\n",
                            RPC_INVALID_REQUEST, "this path does not take that method");
        else if (route->handle == NULL)
            api_rpc(connection, id, request, body);
        else
            route->handle(connection, request, id);
        return;
    }
    api_refuse(connection, 404, RPC_NOT_FOUND, "no such path");
}
