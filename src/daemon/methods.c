/* The method table (contract §5), and the two methods that are the daemon's own. */
#include "daemon/daemon.h"

#include "base/built.h"
#include "run/job.h"

#include "json/read.h"
#include "port.h"

#include <string.h>

static void on_status(void *context, struct rpc_call *call, struct str params)
{
    struct daemon *daemon = context;
    struct json_writer writer, *w = rpc_answer_begin(call, &writer);
    unsigned active = 0, waiting = 0, queued = 0;
    (void)params;

    if (w == NULL)
        return;
    for (size_t i = 0; i < LIMIT_RUNS; i++) {
        enum run_status status = daemon->engine.table.runs[i].status;
        active += status == RUN_RUNNING;
        waiting += status == RUN_WAITING;
        queued += status == RUN_QUEUED;
    }
    json_object(w);
    json_put_text(w, "version", CHARTER_VERSION);
    json_put_i64(w, "pid", port_pid());
    json_put_i64(w, "uptime_s", (daemon->loop.now_ms - daemon->started_ms) / 1000);
    json_put_text(w, "project", daemon->project.name);
    json_put_text(w, "daemon_id", daemon->identity.id);
    json_put_i64(w, "epoch", daemon->identity.epoch);
    json_key(w, "gateway");
    link_write_status(&daemon->link, w);
    json_key(w, "runs");
    json_object(w);
    json_put_u64(w, "active", active);
    json_put_u64(w, "waiting", waiting);
    json_put_u64(w, "queued", queued);
    json_object_end(w);
    json_key(w, "journal");
    json_object(w);
    json_put_i64(w, "bytes", journal_bytes(&daemon->journal));
    json_put_i64(w, "limit", daemon->journal.limit);
    json_put_u64(w, "first_seq", journal_first_seq(&daemon->journal));
    json_put_u64(w, "last_seq", journal_last_seq(&daemon->journal));
    json_put_text(w, "pressure", pressure_name(&daemon->engine));
    if (BUILT_IN(CONFIG_METRICS)) {
        json_put_u64(w, "syncs", daemon->journal.syncs);
        json_put_u64(w, "bytes_written", daemon->journal.bytes_written);
    }
    json_object_end(w);
    if (BUILT_IN(CONFIG_METRICS)) {
        json_put_i64(w, "memory_private_bytes", port_memory_private());
        wear_write(daemon, w);
    }
    json_put_text(w, "sandbox", port_confinement() > 0 ? "landlock" : "none");
    json_key(w, "lacks");
    lacks_write(daemon, w);
    daemon_write_features(w);
    json_object_end(w);
    rpc_answer_end(call, w);
}

struct stop_params {
    bool drain;
    int64_t timeout_s;
};

static void on_stop(void *context, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        {"drain", JSON_FIELD_BOOLEAN, JSON_NULLABLE, offsetof(struct stop_params, drain), 0, 0, 0},
        {"timeout_s", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct stop_params, timeout_s), 0,
         0, 86400 * 365},
    };
    struct stop_params read = {.timeout_s = -1};
    struct daemon *daemon = context;

    if (!rpc_params(call, params, fields, 2, &read))
        return;
    int64_t grace_ms = read.timeout_s >= 0 ? read.timeout_s * 1000
                       : read.drain        ? -1
                                           : LIMIT_GRACE_MS;
    daemon_begin_stop(daemon, "daemon.stop", grace_ms);
    rpc_answer_raw(call, STR("{}"));
}

static void on_events(void *context, struct rpc_call *call, struct str params)
{
    struct daemon *daemon = context;
    control_on_events(&daemon->control, call, params);
}

/* The engine's methods want the engine. */
#define RUN_METHOD(name)                                                                           \
    static void name(void *context, struct rpc_call *call, struct str params)                      \
    {                                                                                              \
        struct daemon *daemon = context;                                                           \
        run_##name(&daemon->engine, call, params);                                                 \
    }
RUN_METHOD(on_start)
RUN_METHOD(on_resume)
RUN_METHOD(on_submit_input)
RUN_METHOD(on_cancel)
RUN_METHOD(on_list)
RUN_METHOD(on_workflows_list)
RUN_METHOD(on_workflows_show)
RUN_METHOD(on_artifacts)

static void on_run_status(void *context, struct rpc_call *call, struct str params)
{
    struct daemon *daemon = context;
    run_on_status(&daemon->engine, call, params);
}

bool daemon_on_command(void *context, struct rpc_call *call, const struct rpc_method *method,
                       struct str params)
{
    struct daemon *daemon = context;
    return run_on_command(&daemon->engine, call, method, params);
}

void daemon_on_refusal(void *context, struct rpc_call *call, const struct rpc_error *error)
{
    struct daemon *daemon = context;
    engine_refuse(&daemon->engine, call, error);
}

const struct rpc_method daemon_methods[] = {
    {"daemon.status", 0, on_status},
    {"daemon.stop", RPC_METHOD_LOCAL_ONLY, on_stop},
    {"workflows.list", 0, on_workflows_list},
    {"workflows.show", 0, on_workflows_show},
    {"run.start", RPC_METHOD_CHANGES, on_start},
    {"run.resume", RPC_METHOD_CHANGES, on_resume},
    {"run.submit_input", RPC_METHOD_CHANGES, on_submit_input},
    {"run.cancel", RPC_METHOD_CHANGES, on_cancel},
    {"run.status", 0, on_run_status},
    {"runs.list", 0, on_list},
    {"artifacts.list", 0, on_artifacts},
    {"run.events", RPC_METHOD_LOCAL_ONLY, on_events},
};
const size_t daemon_method_count = sizeof daemon_methods / sizeof daemon_methods[0];
