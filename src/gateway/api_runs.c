/* Owns the answers about runs: lists, one run, its events. */
#include "gateway/api_internal.h"
#include "gateway/gateway.h"
#include "json/read.h"
#include "json/write.h"

#include <string.h>

/* --- query parameters ----------------------------------------------------------------------- */

/* An integer parameter; `value` keeps its default where it is absent.  False: refused. */
static bool read_integer(struct connection *connection, const struct http_request *request,
                         const char *name, int64_t minimum, int64_t *value)
{
    char text[24];
    enum err err = http_query(request->query, name, text, sizeof text);

    if (err == ERR_NOT_FOUND)
        return true;
    if (err == OK && str_to_i64(str_of(text), value) && *value >= minimum)
        return true;
    api_refuse(connection, 400, RPC_INVALID_PARAMS, "%s must be an integer from %d on", name,
               (int)minimum);
    return false;
}

/* A limit: what is over the maximum counts as the maximum. */
static bool read_limit(struct connection *connection, const struct http_request *request,
                       int64_t maximum, int64_t *limit)
{
    if (!read_integer(connection, request, "limit", 1, limit))
        return false;
    if (*limit > maximum)
        *limit = maximum;
    return true;
}

/* ?daemon=ID; *key 0 where it is absent. */
static bool read_daemon(struct connection *connection, const struct http_request *request,
                        int64_t *key)
{
    char id[LIMIT_DAEMON_ID + 1];
    struct store_daemon daemon;
    enum err err = http_query(request->query, "daemon", id, sizeof id);

    *key = 0;
    if (err == ERR_NOT_FOUND)
        return true;
    if (err == OK)
        err = store_daemon_find(connection->gateway->store, id, &daemon);
    else
        err = ERR_NOT_FOUND;
    if (err == OK)
        *key = daemon.key;
    else if (err == ERR_NOT_FOUND)
        api_refuse(connection, 404, RPC_NOT_FOUND, "no such daemon");
    else
        api_refuse_store(connection);
    return err == OK;
}

/* --- runs ----------------------------------------------------------------------------------- */

struct list {
    struct gateway *gateway;
    struct json_writer w;
    size_t whole; /* length of the body up to the last entry that fitted */
    int64_t wanted, count;
    int64_t last_key; /* of the last run that was written */
    bool more;
};

static void put_optional(struct json_writer *w, const char *key, struct str text)
{
    if (text.n == 0)
        json_put_null(w, key);
    else
        json_put_str(w, key, text);
}

static void put_waiting_for(struct json_writer *w, const struct store_run *run)
{
    struct str what;

    if (str_is(run->status, "waiting") && run->waiting.n > 0 &&
        json_member(run->waiting, "for", &what))
        json_put_raw(w, "waiting_for", what);
    else
        json_put_null(w, "waiting_for");
}

/* The members that a run has in lists too. */
static void put_run(struct json_writer *w, const struct store_run *run)
{
    json_put_str(w, "run_id", run->run_id);
    json_put_str(w, "daemon", run->daemon_id);
    put_optional(w, "workflow_id", run->workflow_id);
    json_put_str(w, "status", run->status);
    put_waiting_for(w, run);
    json_put_raw(w, "error", run->error);
    json_put_raw(w, "labels", run->labels.n > 0 ? run->labels : STR("{}"));
    put_optional(w, "created_at", run->created_at);
    put_optional(w, "started_at", run->started_at);
    put_optional(w, "ended_at", run->ended_at);
}

static bool write_run(void *context, const struct store_run *run)
{
    struct list *list = context;
    struct out *out = list->w.out;
    struct json_writer before = list->w;

    if (list->count == list->wanted) { /* one more was asked for than is shown */
        list->more = true;
        return false;
    }
    json_object(&list->w);
    put_run(&list->w, run);
    json_object_end(&list->w);
    /* Fewer rows rather than an answer too long; what closes the body needs some room. */
    if (out_room(out) < 256) {
        out_truncate(out, list->whole);
        list->w = before;
        list->more = true;
        return false;
    }
    list->whole = out->n;
    list->count++;
    list->last_key = run->key;
    return true;
}

static bool is_status(const char *text)
{
    static const char *const known[] = {"queued", "running",   "waiting", "succeeded",
                                        "failed", "cancelled", "denied"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(text, known[i]) == 0)
            return true;
    return false;
}

void api_get_runs(struct connection *connection, const struct http_request *request, const char *id)
{
    struct gateway *gateway = connection->gateway;
    struct out body = api_start_body(connection);
    struct list list = {
        .gateway = gateway, .w = json_writer(&body), .wanted = GATEWAY_RUNS_DEFAULT};
    struct store_run_filter filter = {.before = 0};
    char status[16] = "";

    (void)id;
    if (!read_limit(connection, request, GATEWAY_RUNS_MAX, &list.wanted) ||
        !read_integer(connection, request, "cursor", 1, &filter.before) ||
        !read_daemon(connection, request, &filter.daemon_key))
        return;
    enum err err = http_query(request->query, "status", status, sizeof status);
    if (err == ERR_INVALID || (err == OK && !is_status(status))) {
        api_refuse(connection, 400, RPC_INVALID_PARAMS,
                   "status must be one of queued, running, waiting, "
                   "succeeded, failed, cancelled, denied");
        return;
    }
    filter.status = str_of(status);
    json_object(&list.w);
    json_key(&list.w, "runs");
    json_array(&list.w);
    list.whole = body.n;
    err = store_runs(gateway->store, &filter, list.wanted + 1, write_run, &list);
    json_array_end(&list.w);
    json_key(&list.w, "next_cursor");
    if (list.more) {
        json_string_begin(&list.w);
        out_i64(&body, list.last_key);
        json_string_end(&list.w);
    } else {
        json_null(&list.w);
    }
    json_object_end(&list.w);
    if (err != OK)
        api_refuse_store(connection);
    else
        api_answer(connection, 200, out_view(&body));
}

/* Finds a run by its id and ?daemon=. */
static bool find_run(struct connection *connection, const struct http_request *request,
                     const char *run_id, int64_t *run_key)
{
    int64_t daemon_key;

    if (!read_daemon(connection, request, &daemon_key))
        return false;
    switch (store_run_find(connection->gateway->store, run_id, daemon_key, run_key)) {
    case OK:
        return true;
    case ERR_NOT_FOUND:
        api_refuse(connection, 404, RPC_NOT_FOUND, "no such run");
        return false;
    case ERR_EXISTS:
        api_refuse(connection, 409, RPC_INVALID_PARAMS,
                   "several daemons have a run of this id; say which with ?daemon=ID");
        return false;
    default:
        api_refuse_store(connection);
        return false;
    }
}

static bool write_step(void *context, const struct store_step *step)
{
    struct json_writer *w = context;

    json_object(w);
    json_put_str(w, "id", step->step_id);
    json_put_str(w, "status", step->status);
    json_put_i64(w, "attempt", step->attempt);
    put_optional(w, "started_at", step->started_at);
    put_optional(w, "ended_at", step->ended_at);
    json_put_raw(w, "error", step->error);
    json_object_end(w);
    return true;
}

static void put_waiting(struct json_writer *w, const struct store_run *run)
{
    static const char *const names[] = {"message", "fields", "deadline"};
    struct str value;

    json_key(w, "waiting");
    if (run->waiting_step.n == 0 || !str_is(run->status, "waiting")) {
        json_null(w);
        return;
    }
    json_object(w);
    json_put_str(w, "step_id", run->waiting_step);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        json_put_raw(w, names[i], json_member(run->waiting, names[i], &value) ? value : STR_NONE);
    json_object_end(w);
}

static bool write_whole_run(void *context, const struct store_run *run)
{
    struct list *list = context;
    struct json_writer *w = &list->w;

    json_object(w);
    put_run(w, run);
    put_waiting(w, run);
    json_put_raw(w, "outputs", run->outputs);
    json_key(w, "steps");
    json_array(w);
    list->more = store_run_steps(list->gateway->store, run->key, write_step, w) != OK;
    json_array_end(w);
    json_object_end(w);
    return true;
}

void api_get_run(struct connection *connection, const struct http_request *request,
                 const char *run_id)
{
    struct gateway *gateway = connection->gateway;
    struct out body = api_start_body(connection);
    struct list list = {.gateway = gateway, .w = json_writer(&body)};
    int64_t run_key;

    if (!find_run(connection, request, run_id, &run_key))
        return;
    if (store_run_get(gateway->store, run_key, write_whole_run, &list) != OK || list.more)
        api_refuse_store(connection);
    else if (body.overflow)
        api_refuse(connection, 500, RPC_MESSAGE_TOO_LARGE, "the run is too large for one answer");
    else
        api_answer(connection, 200, out_view(&body));
}

static bool write_event(void *context, int64_t n, struct str type, struct str raw)
{
    struct list *list = context;

    (void)n;
    (void)type;
    if (out_room(list->w.out) < raw.n + 256)
        return false;
    json_raw(&list->w, raw);
    return true;
}

void api_get_events(struct connection *connection, const struct http_request *request,
                    const char *run_id)
{
    struct gateway *gateway = connection->gateway;
    int64_t run_key, after = 0, limit = GATEWAY_EVENTS_DEFAULT;

    if (!read_limit(connection, request, GATEWAY_EVENTS_MAX, &limit) ||
        !read_integer(connection, request, "after", 0, &after) ||
        !find_run(connection, request, run_id, &run_key))
        return;
    if (http_request_lists(request, "accept", "text/event-stream")) {
        /* What a client has seen already is better known by the client than by the URL it began with. */
        (void)str_to_i64(http_request_header(request, "last-event-id"), &after);
        api_follow(connection, run_key, after < 0 ? 0 : after);
        return;
    }
    struct out body = api_start_body(connection);
    struct list list = {.gateway = gateway, .w = json_writer(&body)};
    json_object(&list.w);
    json_key(&list.w, "events");
    json_array(&list.w);
    enum err err = store_run_events(gateway->store, run_key, after, limit, write_event, &list);
    json_array_end(&list.w);
    json_object_end(&list.w);
    if (err != OK)
        api_refuse_store(connection);
    else
        api_answer(connection, 200, out_view(&body));
}
