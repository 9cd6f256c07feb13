/* From options to a daemon that is ready, in the order that safety asks for: the lock before anything is touched, the epoch on disk before
 * it is used, the journal replayed and the dead daemon's processes gone before anything is started, the socket last. */
#include "daemon/daemon.h"

#include "base/log.h"
#include "json/read.h"
#include "port.h"
#include "project/python.h"

#include <string.h>

static bool end_with(struct daemon *daemon, enum exit_code code)
{
    daemon->exit_code = code;
    return false;
}

static bool storage_failed(struct daemon *daemon, const char *what, const char *path)
{
    log_error("daemon", "%s %s: %s", what, path, port_last_error());
    return end_with(daemon, EXIT_STORAGE);
}

static void path_in(const struct daemon *daemon, const char *name, char path[LIMIT_PATH])
{
    struct out out = out_on(path, LIMIT_PATH);
    out_format(&out, "%s/%s", daemon->directory, name);
    out_cstr(&out);
}

static bool is_fresh(struct daemon *daemon)
{
    struct out out = OUT_ON(daemon->directory);
    struct port_stat stat;

    out_format(&out, "%s/.charter", daemon->project.root);
    return port_stat(out_cstr(&out), &stat) == ERR_NOT_FOUND;
}

static bool make_directories(struct daemon *daemon)
{
    static const char *const names[] = {"runs", "integrations"};
    char path[LIMIT_PATH];

    enum err err = port_make_directory(daemon->directory, 0700);
    if (err != OK && err != ERR_EXISTS)
        return storage_failed(daemon, "cannot make", daemon->directory);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_in(daemon, names[i], path);
        err = port_make_directory(path, 0700);
        if (err != OK && err != ERR_EXISTS)
            return storage_failed(daemon, "cannot make", path);
    }
    /* Also when it was there: whoever made it may have died before this. */
    if (port_sync_directory(daemon->project.root) != OK)
        return storage_failed(daemon, "cannot sync", daemon->project.root);
    return true;
}

static bool take_lock(struct daemon *daemon)
{
    char path[LIMIT_PATH];
    int64_t holder;

    path_in(daemon, "lock", path);
    if (port_open(path, PORT_CREATE, &daemon->lock_fd) != OK)
        return storage_failed(daemon, "cannot open", path);
    enum err err = port_lock(daemon->lock_fd, &holder);
    if (err == OK)
        return true;
    if (err != ERR_BUSY)
        return storage_failed(daemon, "cannot lock", path);
    if (holder > 0)
        log_error("daemon", "a daemon runs this project already: pid %lld holds %s",
                  (long long)holder, path);
    else
        log_error("daemon", "a daemon runs this project already: it holds %s", path);
    return end_with(daemon, EXIT_RUNNING);
}

static bool take_identity(struct daemon *daemon)
{
    enum err err = identity_start(&daemon->identity, daemon->directory, daemon->loop.wall_ms);

    if (err == ERR_DAMAGED) {
        log_error("daemon",
                  "%s/daemon.json is damaged; restore it, or remove it to go on under a new id",
                  daemon->directory);
        return end_with(daemon, EXIT_DAMAGED);
    }
    if (err != OK)
        return storage_failed(daemon, "cannot write daemon.json in", daemon->directory);
    memcpy(daemon->engine.daemon_id, daemon->identity.id, sizeof daemon->identity.id);
    return true;
}

/* --- replay ------------------------------------------------------------------------------------------------------------------ */

/* The daemon's own events tell how the last one ended; the rest is for the engine. */
static enum err on_record(void *context, const struct journal_record *record)
{
    struct daemon *daemon = context;
    char type[32];
    struct str data;

    if (record->event.n == 0 && json_member(record->memo, "running", &data)) {
        daemon->crashed = true; /* until it says otherwise */
        source_text(record->memo, "running", daemon->last_version, sizeof daemon->last_version);
    } else if (record->event.n > 0) {
        source_text(record->event, "type", type, sizeof type);
        if (strcmp(type, "daemon.started") == 0) {
            daemon->crashed = true;
            if (json_member(record->event, "data", &data))
                source_text(data, "version", daemon->last_version, sizeof daemon->last_version);
        } else if (strcmp(type, "daemon.stopped") == 0) {
            daemon->crashed = false;
        }
    }
    return event_replay(&daemon->engine, record);
}

static bool mask(void *context, char *text, size_t *n)
{
    const struct daemon *daemon = context;
    return mask_event(&daemon->engine.mask, text, n);
}

/* Constant where that is not built in: what it needs is thrown away then. */
static bool is_salvaging(const struct daemon *daemon)
{
    return BUILT_IN(CONFIG_SALVAGE) && daemon->options.salvage;
}

static bool journal_refused(struct daemon *daemon, enum err err, const char *path,
                            const struct journal_report *report)
{
    if (err == ERR_DAMAGED || err == ERR_UNSUPPORTED || err == ERR_FULL) {
        log_error("journal", "%s%s",
                  err == ERR_FULL           ? "it holds more runs than this build has room for"
                  : report->text[0] != '\0' ? report->text
                                            : err_text(err),
                  err != ERR_DAMAGED ? ""
                  : is_salvaging(daemon) || !BUILT_IN(CONFIG_SALVAGE)
                      ? "; nothing was touched"
                      : "; nothing was touched, --salvage goes on without what is lost");
        return end_with(daemon, EXIT_DAMAGED);
    }
    if (report->text[0] != '\0')
        log_error("journal", "%s", report->text); /* with the system's words */
    else
        log_error("journal", "%s: cannot be opened: %s", path, port_last_error());
    return end_with(daemon, EXIT_STORAGE);
}

/* Carries what is good out of the segments up to the damaged one, into a new one, and lets them go: the copy has them. */
static enum err leave_damaged(struct daemon *daemon, uint32_t damaged)
{
    struct engine *engine = &daemon->engine;
    struct journal *journal = &daemon->journal;
    enum engine_carried carried;

    (void)engine_settle_salvage(engine);
    enum err err = journal_turn_over(journal, daemon->loop.now_ms);
    while (err == OK && (carried = engine_carry(engine, damaged)) != CARRY_DONE) {
        if (carried == CARRY_FAILED)
            engine_give_up(engine, damaged);
        err = journal_commit(journal, daemon->loop.now_ms);
    }
    /* The places have changed, and some runs may be lost now: said anew. */
    if (err == OK)
        err = journal_turn_over(journal, daemon->loop.now_ms);
    if (err != OK)
        return err;
    daemon_let_ended_go(daemon, damaged);
    return journal_forget(journal, damaged + 1);
}

static bool open_journal(struct daemon *daemon)
{
    struct journal_report report = {.cut_bytes = 0};
    struct journal *journal = &daemon->journal;
    char path[LIMIT_PATH], copy[LIMIT_PATH];
    uint32_t damaged = 0;
    int64_t limit =
        daemon->options.journal_bytes > 0 ? daemon->options.journal_bytes : LIMIT_JOURNAL;
    struct out name = OUT_ON(copy);
    enum err err;

    path_in(daemon, "journal", path);
    out_format(&name, "%s.damaged-%lld", path, (long long)daemon->identity.epoch);
    err = is_salvaging(daemon)
              ? journal_salvage(journal, path, out_cstr(&name), daemon->identity.id, limit,
                                on_record, daemon, &report, &damaged)
              : journal_open(journal, path, daemon->identity.id, limit, on_record, daemon, &report);
    if (err != OK)
        return journal_refused(daemon, err, path, &report);
    journal->mask = mask;
    journal->mask_context = daemon;
    journal->on_segment = daemon_on_segment;
    journal->on_segment_context = daemon;
    daemon->engine.on_no_space = daemon_wait_for_space;
    daemon->engine.on_no_space_context = daemon;
    /* A checkpoint may name runs that have gone with older segments since. */
    daemon_let_ended_go(daemon, journal->segments[0].number - 1);
    if (!is_salvaging(daemon) || damaged == 0) {
        if (report.cut_bytes > 0)
            log_warning("journal", "%s", report.text);
        if (is_salvaging(daemon))
            log_info("journal", "nothing is damaged: --salvage had nothing to do");
        return true;
    }
    log_warning("journal", "%s; a copy of all is kept in %s", report.text, copy);
    err = leave_damaged(daemon, damaged);
    if (err != OK)
        return storage_failed(daemon, "cannot write the journal in", path);
    log_warning("journal",
                "salvaged: it begins with event %llu, %llu later ones are missing, %u unfinished "
                "runs cannot go on",
                (unsigned long long)journal_first_seq(journal),
                (unsigned long long)daemon->engine.salvage.lost,
                engine_settle_salvage(&daemon->engine));
    return true;
}

/* --- what the dead daemon left ------------------------------------------------------------------------------------------------- */

static void kill_left_over(void *context, int64_t pid)
{
    unsigned *count = context;
    port_kill_group(pid, PORT_KILL);
    port_kill(pid, PORT_KILL);
    ++*count;
}

static void kill_left_overs(struct daemon *daemon)
{
    char mark[LIMIT_DAEMON_ID + 32];
    struct out out = OUT_ON(mark);
    unsigned count = 0;

    out_format(&out, "CHARTER_DAEMON_ID=%s", daemon->identity.id);
    if (port_find_marked(out_cstr(&out), kill_left_over, &count) != OK && daemon->crashed)
        log_warning(
            "daemon",
            "this platform cannot tell processes that the last daemon left behind; none were killed");
    if (count > 0)
        log_warning("daemon", "%u processes that the last daemon had left behind were killed",
                    count);
}

static bool find_run(void *context, const char *run_id, uint64_t *created_seq, bool *has_ended)
{
    struct daemon *daemon = context;
    struct run *run = table_find(&daemon->engine.table, str_of(run_id));
    struct ended_run *ended = table_find_ended(&daemon->engine.table, str_of(run_id));

    if (run == NULL && ended == NULL)
        return false;
    *created_seq = run != NULL ? run->created_seq : ended->created_seq;
    *has_ended = run == NULL;
    return true;
}

static bool listen(struct daemon *daemon)
{
    daemon->dispatcher = (struct rpc_dispatcher){.methods = daemon_methods,
                                                 .count = daemon_method_count,
                                                 .context = daemon,
                                                 .on_command = daemon_on_command,
                                                 .on_refusal = daemon_on_refusal};
    if (control_start(&daemon->control, &daemon->loop, &daemon->journal, daemon->directory,
                      &daemon->dispatcher, find_run, daemon) == OK)
        return true;
    return storage_failed(daemon, "cannot listen at", daemon->control.path);
}

static const char *start_reason(const struct daemon *daemon)
{
    if (daemon->crashed)
        return "crash";
    return daemon->last_version[0] != '\0' && strcmp(daemon->last_version, CHARTER_VERSION) != 0
               ? "upgrade"
               : "start";
}

static void on_child(void *context, int64_t pid)
{
    struct daemon *daemon = context;
    (void)pid;
    daemon->has_foreign_children = true;
}

bool daemon_start(struct daemon *daemon)
{
    daemon->has_foreign_children = port_pid() == 1;
    (void)port_children(on_child, daemon);
    (void)str_copy(str_of(daemon->options.project_path), daemon->project.root,
                   sizeof daemon->project.root);
    daemon->lock_fd = -1;
    daemon->stop_at_ms = -1;
    notify_start(&daemon->notify, port_environment("NOTIFY_SOCKET"),
                 port_environment("WATCHDOG_USEC"), port_environment("WATCHDOG_PID"), port_pid());
    if (BUILT_IN(CONFIG_METRICS))
        port_wear_begin();
    if (port_signals_start() != OK)
        return storage_failed(daemon, "signals", "");
    loop_start(&daemon->loop);
    daemon->started_ms = daemon->loop.now_ms;
    engine_start(&daemon->engine, &daemon->loop, &daemon->journal, &daemon->project,
                 &daemon->workspace);

    /* A folder that is no project stays as it was.  One without .charter has no other daemon either. */
    bool fresh = is_fresh(daemon);
    if (fresh && !daemon_load_project(daemon))
        return end_with(daemon, EXIT_PROJECT);
    if (!make_directories(daemon) || !take_lock(daemon))
        return false;
    if (!fresh && !daemon_load_project(daemon))
        return end_with(daemon, EXIT_PROJECT);
    if (!take_identity(daemon) || !open_journal(daemon))
        return false;
    if (python_put_bridge_if_used(daemon->project.root) != OK)
        log_warning("daemon",
                    ".charter/bridge.py cannot be written: %s; Python integrations may fail",
                    port_last_error());
    /* A stop that was told left nobody, where orphans come to us; and looking at every process of a machine takes longer than all the rest. */
    if (daemon->crashed || daemon->options.salvage || !port_become_subreaper())
        kill_left_overs(daemon);
    lacks_find(daemon);

    const char *reason = start_reason(daemon);
    wear_begin(daemon);
    daemon_say_started(daemon, reason);
    engine_resume(&daemon->engine, daemon->crashed);
    if (daemon->engine.fatal != OK || journal_commit(&daemon->journal, daemon->loop.now_ms) != OK)
        return storage_failed(daemon, "cannot write the journal in", daemon->directory);

    daemon_fill_host(daemon);
    daemon->link_host.start_reason = reason;
    struct link_options options = daemon_link_options(daemon);
    if (!listen(daemon))
        return false;
    if (link_start(&daemon->link, &daemon->loop, &daemon->journal, &daemon->link_host, &options) !=
        OK)
        return storage_failed(daemon, "no memory for the link", "");
    log_info("daemon", "charter-daemon %s is ready: project %s at %s, pid %lld%s", CHARTER_VERSION,
             daemon->project.name, daemon->project.root, (long long)port_pid(),
             options.url_count == 0 ? ", without a gateway" : "");
    daemon->notify.phase = NOTIFY_READY;
    return true;
}
