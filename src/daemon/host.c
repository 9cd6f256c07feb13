/* What the link asks of the daemon and tells it, and the daemon's own events. */
#include "daemon/daemon.h"

#include "base/log.h"

#include <string.h>

void daemon_write_features(struct json_writer *w)
{
    static const struct {
        const char *name;
        bool built_in;
    } features[] = {
        {"link", BUILT_IN(CONFIG_LINK)},
        {"tls", BUILT_IN(CONFIG_TLS)},
        {"tls-1.2", BUILT_IN(CONFIG_TLS_1_2)},
        {"tls-rsa", BUILT_IN(CONFIG_TLS_RSA)},
        {"tls-chacha20", BUILT_IN(CONFIG_TLS_CHACHA20)},
        {"tls-ca", BUILT_IN(CONFIG_TLS_CA)},
        {"tls-crl", BUILT_IN(CONFIG_TLS_CRL)},
        {"tls-client-cert", BUILT_IN(CONFIG_TLS_CLIENT_CERT)},
        {"tls-resume", BUILT_IN(CONFIG_TLS_RESUME)},
        {"yaml", BUILT_IN(CONFIG_YAML)},
        {"chain", BUILT_IN(CONFIG_JOURNAL_CHAIN)},
        {"python", BUILT_IN(CONFIG_PYTHON_BRIDGE)},
        {"landlock", BUILT_IN(CONFIG_LANDLOCK)},
        {"describe", BUILT_IN(CONFIG_DESCRIBE)},
        {"patterns", BUILT_IN(CONFIG_PATTERN)},
        {"user-names", BUILT_IN(CONFIG_USER_NAMES)},
        {"resolve", BUILT_IN(CONFIG_RESOLVE)},
        {"proxy", BUILT_IN(CONFIG_PROXY)},
        {"salvage", BUILT_IN(CONFIG_SALVAGE)},
        {"notify", BUILT_IN(CONFIG_NOTIFY)},
        {"metrics", BUILT_IN(CONFIG_METRICS)},
        {"log-debug", BUILT_IN(CONFIG_LOG_DEBUG)},
        {"log-info", LOG_BUILT >= LOG_INFO},
        {"log-warning", LOG_BUILT >= LOG_WARNING},
    };

    json_key(w, "features");
    json_array(w);
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (features[i].built_in)
            json_text(w, features[i].name);
    json_array_end(w);
}

static void write_hello(void *context, struct json_writer *w)
{
    struct daemon *daemon = context;

    json_key(w, "daemon");
    json_object(w);
    json_put_text(w, "id", daemon->identity.id);
    if (daemon->identity.previous_id[0] != '\0')
        json_put_text(w, "previous_id", daemon->identity.previous_id);
    json_put_i64(w, "epoch", daemon->identity.epoch);
    json_put_text(w, "version", CHARTER_VERSION);
    daemon_write_features(w);
    json_object_end(w);
    json_put_text(w, "project", daemon->project.name);
    json_key(w, "limits");
    json_object(w);
    json_put_i64(w, "message_bytes", LIMIT_MESSAGE);
    json_put_i64(w, "runs", LIMIT_RUNS_IN_FLIGHT);
    json_object_end(w);
    json_put_u64(w, "command_seen", daemon->engine.commands.seen);
    engine_write_hello_runs(&daemon->engine, w);
}

static void on_forked(void *context)
{
    struct daemon *daemon = context;

    if (identity_fork(&daemon->identity, daemon->directory, daemon->loop.wall_ms) != OK) {
        daemon->engine.fatal = ERR_IO;
        return;
    }
    memcpy(daemon->engine.daemon_id, daemon->identity.id, sizeof daemon->identity.id);
    log_warning("daemon",
                "the gateway knows another stream of events under the id %s: going on as %s",
                daemon->identity.previous_id, daemon->identity.id);
    daemon_say_started(daemon, "forked");
}

static void on_paused(void *context, bool paused)
{
    struct daemon *daemon = context;

    daemon->engine.paused = paused;
    log_info("run", paused ? "paused by the gateway: queued runs wait" : "no longer paused");
    for (size_t i = 0; i < LIMIT_RUNS; i++)
        if (daemon->engine.table.runs[i].status == RUN_QUEUED)
            engine_attend(&daemon->engine, &daemon->engine.table.runs[i]);
}

static void on_final(void *context, enum link_state state)
{
    struct daemon *daemon = context;

    if (state != LINK_SUPERSEDED)
        return;
    log_error(
        "daemon",
        "another daemon with the id %s has taken over: local runs are cancelled, no new ones are taken",
        daemon->identity.id);
    daemon->engine.superseded = true;
    engine_cancel_all(&daemon->engine, "superseded by another daemon");
}

void daemon_fill_host(struct daemon *daemon)
{
    daemon->link_host = (struct link_host){.context = daemon,
                                           .write_hello = write_hello,
                                           .on_forked = on_forked,
                                           .on_paused = on_paused,
                                           .on_final = on_final,
                                           .dispatcher = &daemon->dispatcher};
}

static void say(struct daemon *daemon, const char *type, const char *reason)
{
    struct journal_event event = {.type = type, .time_ms = daemon->loop.wall_ms};
    struct json_writer *w;

    if (daemon->engine.fatal != OK)
        return;
    daemon->engine.fatal = journal_begin(&daemon->journal, &event, &w);
    if (daemon->engine.fatal != OK)
        return;
    if (strcmp(type, "daemon.started") == 0) {
        json_put_text(w, "version", CHARTER_VERSION);
        json_put_i64(w, "epoch", daemon->identity.epoch);
    }
    json_put_text(w, "reason", reason);
    daemon->engine.fatal = journal_end(&daemon->journal, false, NULL, NULL);
}

void daemon_say_started(struct daemon *daemon, const char *reason)
{
    say(daemon, "daemon.started", reason);
}

void daemon_say_stopped(struct daemon *daemon)
{
    say(daemon, "daemon.stopped", daemon->stop_reason);
}
