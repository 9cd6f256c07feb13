/* One turn of the loop.  The order is the daemon's one safety rule: what handlers and the engine append is synced by the commit, and
 * only behind it do processes start and bytes leave. */
#include "daemon/daemon.h"

#include "base/built.h"
#include "base/log.h"
#include "link/state.h"
#include "port.h"

#include <string.h>

/* How long the loop may sleep: timers of fds and processes are its own; these are the tables' deadlines. */
static int64_t longest_wait(const struct daemon *daemon)
{
    int64_t next = loop_earlier(engine_next_ms(&daemon->engine), control_next_ms(&daemon->control));

    next = loop_earlier(next, journal_due_ms(&daemon->journal));
    next = loop_earlier(next, notify_next_ms(&daemon->notify));
    next = loop_earlier(next, rest_next_ms(daemon));
    if (daemon->phase == DAEMON_DRAINING || daemon->phase == DAEMON_ENDING)
        next = loop_earlier(next, daemon->stop_at_ms);
    if (next < 0)
        return -1;
    return next > daemon->loop.now_ms ? next - daemon->loop.now_ms : 0;
}

static bool is_marked(const struct daemon *daemon, int64_t pid)
{
    char mark[LIMIT_DAEMON_ID + 32];
    struct out out = OUT_ON(mark);

    out_format(&out, "CHARTER_DAEMON_ID=%s", daemon->identity.id);
    return port_is_marked(pid, out_cstr(&out));
}

/* What an integration leaves behind when it dies becomes ours, whatever session or environment it has gone into: as long as its program
 * lives, its orphans go there (port_become_subreaper).  So a child that nobody here has started has nobody left. */
static void kill_stray(void *context, int64_t pid)
{
    struct daemon *daemon = context;

    if (helper_knows(&daemon->loop, pid) || engine_knows(&daemon->engine, pid))
        return;
    if (daemon->has_foreign_children && !is_marked(daemon, pid))
        return;
    port_kill(pid, PORT_KILL);
    daemon->has_strays = true;
}

static void reap_children(struct daemon *daemon)
{
    int exit_code, signal;
    bool died = false;
    int64_t pid;

    /* Unknown ones are orphans that this subreaper inherited, or helpers that were given up. */
    while (port_reap(&pid, &exit_code, &signal) == OK) {
        died = true;
        if (!helper_reaped(&daemon->loop, pid, exit_code, signal))
            (void)engine_reaped(&daemon->engine, pid, exit_code, signal);
    }
    if (!died)
        return;
    /* The death of a stray brings its own children here, and us again. */
    daemon->has_strays = false;
    (void)port_children(kill_stray, daemon);
}

static void storage_failed(struct daemon *daemon)
{
    log_error("journal",
              "it cannot be written: %s; the daemon ends, a restart replays what is on disk",
              port_last_error());
    daemon->exit_code = EXIT_STORAGE;
    daemon->phase = DAEMON_DONE;
}

static void tell_manager(struct daemon *daemon, int64_t now_ms)
{
    const struct run_table *table = &daemon->engine.table;

    daemon->notify.status =
        (struct notify_status){.executing = table->in_flight,
                               .waiting = table->count - table->in_flight,
                               .waits_for_space = daemon->waits_for_space,
                               .gateway = daemon->link.options.url_count == 0
                                              ? NULL
                                              : link_state_name(link_state(&daemon->link))};
    notify_tell(&daemon->notify, now_ms);
}

#define HOLD_MS 1000

bool daemon_wait_for_space(void *context)
{
    struct daemon *daemon = context;
    struct port_signals signals = {.terminate = 0};

    if (!daemon->waits_for_space)
        log_error("journal", "it cannot be written: %s; everything waits until it can",
                  port_last_error());
    daemon->waits_for_space = true;
    /* It is not dead while it waits: no manager must kill it for that. */
    int64_t now_ms = port_monotonic_ms();
    tell_manager(daemon, now_ms);
    int64_t next_ms = loop_earlier(now_ms + HOLD_MS, notify_next_ms(&daemon->notify));
    (void)port_wait(NULL, 0, next_ms > now_ms ? next_ms - now_ms : 0, &signals);
    return signals.terminate == 0;
}

/* Writes and syncs.  A disk that is full or read-only is waited for: nothing has been lost, and until the records are on disk nothing may be
 * told or started, so there is nothing else to do.  False: storage has failed, or a signal ends the wait. */
static bool commit(struct daemon *daemon)
{
    enum err err;

    while ((err = journal_commit(&daemon->journal, daemon->loop.now_ms)) == ERR_NO_SPACE ||
           err == ERR_READ_ONLY) {
        daemon_retain(daemon);
        if (!daemon_wait_for_space(daemon))
            return false;
    }
    if (daemon->waits_for_space && err == OK)
        log_info("journal", "it can be written again");
    daemon->waits_for_space = false;
    return err == OK;
}

/* --- stopping ---------------------------------------------------------------------------------------------------------------- */

void daemon_begin_stop(struct daemon *daemon, const char *reason, int64_t grace_ms)
{
    if (daemon->phase != DAEMON_RUNNING) {
        /* Asked again: sooner, never later. */
        int64_t at_ms = daemon->loop.now_ms + grace_ms;
        bool waits = daemon->phase == DAEMON_DRAINING || daemon->phase == DAEMON_ENDING;
        if (waits && grace_ms >= 0 && (daemon->stop_at_ms < 0 || at_ms < daemon->stop_at_ms))
            daemon->stop_at_ms = at_ms;
        return;
    }
    log_info("daemon", "stopping: %s%s", reason,
             engine_is_executing(&daemon->engine) ? "; executing steps have their grace time" : "");
    (void)str_copy(str_of(reason), daemon->stop_reason, sizeof daemon->stop_reason);
    daemon->phase = DAEMON_DRAINING;
    daemon->notify.phase = NOTIFY_STOPPING;
    daemon->stop_at_ms = grace_ms < 0 ? -1 : daemon->loop.now_ms + grace_ms;
    engine_stop(&daemon->engine, false);
    loop_wake(&daemon->loop);
}

static void take_signals(struct daemon *daemon, const struct port_signals *signals)
{
    if (signals->reload > 0)
        daemon_reload(daemon);
    if (signals->terminate == 0)
        return;
    /* The first has the grace time, also where a stop without a bound was under way; the second stops at once. */
    for (unsigned i = 0; i < signals->terminate; i++)
        daemon_begin_stop(daemon, "signal", daemon->stop_signals++ == 0 ? LIMIT_GRACE_MS : 0);
}

static void go_on_stopping(struct daemon *daemon)
{
    bool late = daemon->stop_at_ms >= 0 && daemon->loop.now_ms >= daemon->stop_at_ms;

    if (daemon->phase == DAEMON_DRAINING && (late || !engine_is_executing(&daemon->engine))) {
        daemon->phase = DAEMON_ENDING;
        daemon->stop_at_ms = daemon->loop.now_ms + (daemon->stop_signals > 1 ? 0 : LIMIT_GRACE_MS);
        /* What executes is interrupted; where nothing does, the rest has time for its teardown. */
        engine_stop(&daemon->engine, late);
    } else if (daemon->phase == DAEMON_ENDING && late && !engine_is_quiet(&daemon->engine)) {
        engine_stop(&daemon->engine, true); /* SIGTERM became SIGKILL */
        daemon->stop_at_ms = daemon->loop.now_ms + 500;
    }
    if (daemon->phase == DAEMON_ENDING && engine_is_quiet(&daemon->engine) &&
        (!daemon->has_strays || late)) {
        daemon_say_stopped(daemon);
        daemon->phase = DAEMON_SAID;
    }
}

static void close_when_said(struct daemon *daemon)
{
    if (daemon->phase != DAEMON_SAID)
        return;
    link_stop(&daemon->link);
    if (!link_is_closed(&daemon->link))
        return;
    control_stop(&daemon->control);
    log_info("daemon", "stopped");
    daemon->phase = DAEMON_DONE;
}

/* --- the turn ------------------------------------------------------------------------------------------------------------------ */

void daemon_turn(struct daemon *daemon)
{
    struct port_signals signals;

    if (loop_wait(&daemon->loop, longest_wait(daemon), &signals) != OK)
        log_error("daemon", "waiting failed: %s", port_last_error());
    reap_children(daemon);
    take_signals(daemon, &signals);
    control_retry(&daemon->control);
    if (daemon->engine.job_ended)
        link_retry(&daemon->link);
    daemon->engine.job_ended = false;
    engine_advance(&daemon->engine);
    go_on_stopping(daemon);

    if (daemon->engine.fatal != OK || !commit(daemon)) {
        storage_failed(daemon);
        return;
    }

    link_after_commit(&daemon->link);
    control_after_commit(&daemon->control);
    engine_act(&daemon->engine); /* last, as it waits for every exec: nobody's answer should */
    daemon_retain(daemon);
    close_when_said(daemon);
    tell_manager(daemon, daemon->loop.now_ms);
    if (daemon->journal.urgent)
        loop_wake(
            &daemon->loop); /* acting has appended something: it has a commit of its own coming */
    if (BUILT_IN(CONFIG_METRICS))
        wear_account(daemon);
    rest_if_idle(daemon);
}
