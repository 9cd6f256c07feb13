/* Owns the SQLite file: its schema, its statements, its transactions.  What the statements mean stands in the other
 * store_*.c.  WAL with synchronous=FULL: a commit has reached the disk when it returns. */
#include "gateway/store_internal.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define STORE_FORMAT 2               /* PRAGMA user_version */
#define STORE_APPLICATION 0x43684757 /* PRAGMA application_id: "ChGW" */
#define STORE_BUSY_MS 2000           /* for another process that looks at the file */

#define HEAD_TABLES                                                                                \
    "CREATE TABLE heads(daemon INTEGER NOT NULL, seq INTEGER NOT NULL, sha256 TEXT NOT NULL,"      \
    " PRIMARY KEY(daemon, seq)) WITHOUT ROWID;"                                                    \
    "CREATE TABLE head_conflicts(key INTEGER PRIMARY KEY, daemon INTEGER NOT NULL,"                \
    " seq INTEGER NOT NULL, kept TEXT NOT NULL, named TEXT NOT NULL, recorded INTEGER NOT NULL,"   \
    " UNIQUE(daemon, seq, named));"

static const char schema[] =
    "CREATE TABLE daemons(key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, previous_id TEXT NOT NULL,"
    " project TEXT NOT NULL, version TEXT NOT NULL, epoch INTEGER NOT NULL, last_seen INTEGER NOT NULL,"
    " message_bytes INTEGER NOT NULL, acked INTEGER NOT NULL, command_seq INTEGER NOT NULL);"
    "CREATE TABLE runs(key INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, daemon INTEGER NOT NULL,"
    " workflow_id TEXT, status TEXT NOT NULL, labels TEXT, outputs TEXT, error TEXT, created_at TEXT,"
    " started_at TEXT, ended_at TEXT, end_n INTEGER, UNIQUE(run_id, daemon));"
    "CREATE INDEX runs_status ON runs(status);"
    "CREATE INDEX runs_daemon ON runs(daemon);"
    "CREATE TABLE steps(key INTEGER PRIMARY KEY, run INTEGER NOT NULL, step_id TEXT NOT NULL,"
    " status TEXT NOT NULL, attempt INTEGER, started_at TEXT, ended_at TEXT, error TEXT, waiting TEXT,"
    " UNIQUE(run, step_id));"
    "CREATE TABLE events(key INTEGER PRIMARY KEY, daemon INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " run INTEGER, n INTEGER, time TEXT NOT NULL, type TEXT NOT NULL, event TEXT NOT NULL,"
    " UNIQUE(daemon, seq));"
    "CREATE INDEX events_run ON events(run, n) WHERE run IS NOT NULL;"
    "CREATE TABLE gaps(daemon INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT,"
    " recorded INTEGER NOT NULL, PRIMARY KEY(daemon, first)) WITHOUT ROWID;"
    "CREATE TABLE commands(daemon INTEGER NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL,"
    " method TEXT NOT NULL, params TEXT NOT NULL, state TEXT NOT NULL, failed INTEGER NOT NULL DEFAULT 0,"
    " answer TEXT, not_before INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(daemon, seq), UNIQUE(daemon, key));"
    "CREATE INDEX commands_open ON commands(daemon, seq) WHERE state <> 'answered';" HEAD_TABLES;

/* What each format has that the one before had not, from the second on. */
static const char *const upgrades[STORE_FORMAT - 1] = {
    HEAD_TABLES
    "INSERT INTO heads SELECT key, head_seq, head_sha256 FROM daemons WHERE head_sha256 IS NOT NULL;"
    "ALTER TABLE daemons DROP COLUMN head_seq; ALTER TABLE daemons DROP COLUMN head_sha256;",
};

/* A run of that id and daemon whose run.created has been seen. */
#define EARLIER_RUN                                                                                \
    "(SELECT key FROM runs WHERE run_id = ?1 AND daemon = ?2 AND created_at IS NOT NULL)"

#define DAEMON_COLUMNS                                                                             \
    "SELECT d.key, id, previous_id, project, version, epoch, last_seen, message_bytes, acked,"     \
    " command_seq, h.seq, h.sha256, c.seq, c.kept, c.named, c.recorded FROM daemons d"             \
    " LEFT JOIN heads h ON h.daemon = d.key"                                                       \
    " AND h.seq = (SELECT max(seq) FROM heads WHERE daemon = d.key)"                               \
    " LEFT JOIN head_conflicts c ON c.daemon = d.key"                                              \
    " AND c.key = (SELECT min(key) FROM head_conflicts WHERE daemon = d.key)"
#define RUN_COLUMNS                                                                                \
    "SELECT r.key, r.daemon, d.id, r.run_id, r.workflow_id, r.status, r.created_at, r.started_at," \
    " r.ended_at, r.labels, r.outputs, r.error, w.step_id, w.waiting"                              \
    " FROM runs r JOIN daemons d ON d.key = r.daemon LEFT JOIN steps w ON w.key ="                 \
    " (SELECT min(key) FROM steps WHERE run = r.key AND status = 'waiting')"
#define COMMAND_COLUMNS                                                                            \
    "SELECT seq, key, method, params, state = 'answered', failed, answer FROM commands"

static const char *const texts[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_DAEMON_FIND] = DAEMON_COLUMNS " WHERE id = ?",
    [SQL_DAEMON_ADD] = "INSERT INTO daemons(id, previous_id, project, version, epoch, last_seen,"
                       " message_bytes, acked, command_seq) VALUES(?,?,?,?,?,?,?,?,?)",
    [SQL_DAEMON_UPDATE] =
        "UPDATE daemons SET previous_id = CASE WHEN ?2 = '' THEN previous_id ELSE ?2 END,"
        " project = ?3, version = ?4, epoch = ?5, last_seen = ?6, message_bytes = ?7,"
        " command_seq = max(command_seq, ?8) WHERE id = ?1",
    [SQL_DAEMON_SEEN] = "UPDATE daemons SET last_seen = ?2 WHERE key = ?1",
    [SQL_DAEMON_ACKED] = "UPDATE daemons SET acked = ?2, last_seen = ?3 WHERE key = ?1",
    [SQL_HEAD_ADD] = "INSERT OR IGNORE INTO heads(daemon, seq, sha256) VALUES(?, ?, ?)",
    [SQL_HEAD_FIND] = "SELECT sha256 FROM heads WHERE daemon = ? AND seq = ?",
    [SQL_HEAD_CONFLICT] =
        "INSERT OR IGNORE INTO head_conflicts(daemon, seq, kept, named, recorded) VALUES(?,?,?,?,?)",
    [SQL_DAEMON_COUNT] = "UPDATE daemons SET command_seq = command_seq + 1 WHERE key = ?1"
                         " RETURNING command_seq",
    [SQL_DAEMONS] = DAEMON_COLUMNS " ORDER BY d.key",
    [SQL_EVENT_ADD] = "INSERT INTO events(daemon, seq, run, n, time, type, event)"
                      " VALUES(?, ?, nullif(?, 0), nullif(?, 0), ?, ?, ?)",
    [SQL_EVENT_TIME] = "SELECT time FROM events WHERE daemon = ? AND seq = ?",
    [SQL_GAP_ADD] =
        "INSERT OR REPLACE INTO gaps(daemon, first, last, reason, recorded) VALUES(?,?,?,?,?)",
    [SQL_RUN_KEY] = "SELECT key FROM runs WHERE run_id = ? AND daemon = ?",
    [SQL_RUN_ADD] =
        "INSERT INTO runs(run_id, daemon, status) VALUES(?, ?, 'running') RETURNING key",
    [SQL_RUN_ANNOUNCE] =
        "INSERT OR IGNORE INTO runs(run_id, daemon, status) VALUES(?, ?, 'queued')",
    [SQL_RUN_FORGET_EVENTS] = "UPDATE events SET run = NULL, n = NULL WHERE run = " EARLIER_RUN,
    [SQL_RUN_FORGET_STEPS] = "DELETE FROM steps WHERE run = " EARLIER_RUN,
    [SQL_RUN_FORGET] = "DELETE FROM runs WHERE key = " EARLIER_RUN,
    [SQL_RUN_CREATED] = "UPDATE runs SET workflow_id = ?2, labels = ?3, created_at = ?4,"
                        " status = CASE WHEN started_at IS NULL AND ended_at IS NULL THEN 'queued'"
                        " ELSE status END WHERE key = ?1",
    [SQL_RUN_STARTED] =
        "UPDATE runs SET started_at = coalesce(started_at, ?2),"
        " status = CASE status WHEN 'queued' THEN 'running' ELSE status END WHERE key = ?1",
    [SQL_RUN_ENDED] =
        "UPDATE runs SET status = ?2, outputs = ?3, error = ?4, ended_at = ?5, end_n = ?6"
        " WHERE key = ?1",
    [SQL_RUN_WAITS] =
        "UPDATE runs SET status = CASE"
        " WHEN EXISTS(SELECT 1 FROM steps WHERE run = ?1 AND status = 'waiting')"
        " AND NOT EXISTS(SELECT 1 FROM steps WHERE run = ?1 AND status = 'running')"
        " THEN 'waiting' ELSE 'running' END WHERE key = ?1 AND status IN ('running', 'waiting')",
    [SQL_STEP_STARTED] =
        "INSERT INTO steps(run, step_id, status, attempt, started_at)"
        " VALUES(?1, ?2, 'running', ?3, ?4) ON CONFLICT(run, step_id) DO UPDATE SET"
        " status = 'running', attempt = ?3, started_at = coalesce(started_at, ?4),"
        " ended_at = NULL, error = NULL, waiting = NULL",
    [SQL_STEP_STATUS] =
        "INSERT INTO steps(run, step_id, status, attempt, error) VALUES(?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT(run, step_id) DO UPDATE SET status = ?3, attempt = coalesce(nullif(?4, 0), attempt),"
        " error = ?5, waiting = NULL",
    [SQL_STEP_WAITING] = "INSERT INTO steps(run, step_id, status, attempt, waiting)"
                         " VALUES(?1, ?2, 'waiting', 1, ?3) ON CONFLICT(run, step_id) DO UPDATE SET"
                         " status = 'waiting', waiting = ?3",
    [SQL_STEP_ENDED] =
        "INSERT INTO steps(run, step_id, status, attempt, error, ended_at)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(run, step_id) DO UPDATE SET status = ?3,"
        " attempt = coalesce(nullif(?4, 0), attempt), error = ?5, ended_at = ?6, waiting = NULL",
    [SQL_RUNS] = RUN_COLUMNS " WHERE r.key < ?1 ORDER BY r.key DESC LIMIT ?2",
    [SQL_RUNS_BY_STATUS] =
        RUN_COLUMNS " WHERE r.key < ?1 AND r.status = ?3 AND (?4 = 0 OR r.daemon = ?4)"
                    " ORDER BY r.key DESC LIMIT ?2",
    [SQL_RUNS_BY_DAEMON] =
        RUN_COLUMNS " WHERE r.key < ?1 AND r.daemon = ?3 ORDER BY r.key DESC LIMIT ?2",
    [SQL_RUN_FIND] = "SELECT key FROM runs WHERE run_id = ?1 AND (?2 = 0 OR daemon = ?2) LIMIT 2",
    [SQL_RUN_GET] = RUN_COLUMNS " WHERE r.key = ?",
    [SQL_RUN_STEPS] =
        "SELECT step_id, status, started_at, ended_at, error, attempt FROM steps WHERE run = ?"
        " ORDER BY key",
    [SQL_RUN_EVENTS] =
        "SELECT n, type, event FROM events WHERE run = ? AND n > ? ORDER BY n LIMIT ?",
    [SQL_RUN_END] = "SELECT end_n FROM runs WHERE key = ?",
    [SQL_COMMAND_ADD] = "INSERT INTO commands(daemon, seq, key, method, params, state)"
                        " VALUES(?, ?, ?, ?, ?, 'waiting')",
    [SQL_COMMAND_FIND] = COMMAND_COLUMNS " WHERE daemon = ? AND key = ?",
    [SQL_COMMANDS_WAITING] = COMMAND_COLUMNS
    " WHERE daemon = ? AND state <> 'answered' AND state = 'waiting' ORDER BY seq",
    [SQL_COMMAND_ANSWER] = "UPDATE commands SET state = 'answered', failed = ?3, answer = ?4"
                           " WHERE daemon = ?1 AND seq = ?2",
    [SQL_COMMAND_FORGET] = "DELETE FROM commands WHERE daemon = ? AND seq = ?",
    [SQL_COMMAND_DEFER] = "UPDATE commands SET state = 'deferred', not_before = ?3"
                          " WHERE daemon = ?1 AND seq = ?2",
    [SQL_COMMANDS_DUE] = "SELECT seq FROM commands WHERE daemon = ? AND state <> 'answered'"
                         " AND state = 'deferred' AND not_before <= ? ORDER BY seq LIMIT 1",
    [SQL_COMMAND_RENEW] =
        "UPDATE commands SET seq = ?3, state = 'waiting' WHERE daemon = ?1 AND seq = ?2",
    [SQL_COMMANDS_DEFERRED] =
        "SELECT count(*) FROM commands WHERE daemon = ? AND state <> 'answered'"
        " AND state = 'deferred'",
};

static enum err failed(struct store *store)
{
    struct out reason = OUT_ON(store->reason);
    int code = sqlite3_errcode(store->db);

    out_text(&reason, sqlite3_errmsg(store->db));
    (void)out_cstr(&reason);
    return code == SQLITE_FULL ? ERR_NO_SPACE : ERR_IO;
}

const char *store_reason(const struct store *store)
{
    return store->reason;
}

/* --- statements ----------------------------------------------------------------------------- */

static enum err vbind(struct store *store, enum store_sql which, sqlite3_stmt **statement,
                      const char *types, va_list args)
{
    sqlite3_stmt *taken = store->statements[which];

    *statement = NULL;
    if (taken == NULL) {
        if (sqlite3_prepare_v3(store->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &taken,
                               NULL) != SQLITE_OK)
            return failed(store);
        store->statements[which] = taken;
    }
    /* Walks do not nest on one statement: `each` must not start the walk that it is called from. */
    ASSERT(!sqlite3_stmt_busy(taken));
    for (int i = 0; types[i] != '\0'; i++) {
        int code = SQLITE_MISUSE;
        if (types[i] == 'i') {
            code = sqlite3_bind_int64(taken, i + 1, va_arg(args, int64_t));
        } else if (types[i] == 't') {
            code = sqlite3_bind_text(taken, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
        } else {
            struct str text = va_arg(args, struct str);
            code = text.p == NULL ? sqlite3_bind_null(taken, i + 1)
                                  : sqlite3_bind_text64(taken, i + 1, text.p, text.n, SQLITE_STATIC,
                                                        SQLITE_UTF8);
        }
        if (code != SQLITE_OK)
            return failed(store);
    }
    *statement = taken;
    return OK;
}

enum err store_bind(struct store *store, enum store_sql which, sqlite3_stmt **statement,
                    const char *types, ...)
{
    va_list args;

    va_start(args, types);
    enum err err = vbind(store, which, statement, types, args);
    va_end(args);
    return err;
}

enum err store_step(struct store *store, sqlite3_stmt *statement)
{
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        return OK;
    case SQLITE_DONE:
        store_done(statement);
        return ERR_END;
    default: {
        enum err err = failed(store);
        store_done(statement);
        return err;
    }
    }
}

/* Bound texts belong to callers: none may stay behind. */
void store_done(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

enum err store_execute(struct store *store, enum store_sql which, const char *types, ...)
{
    sqlite3_stmt *statement;
    va_list args;

    va_start(args, types);
    enum err err = vbind(store, which, &statement, types, args);
    va_end(args);
    if (err != OK)
        return err;
    err = store_step(store, statement);
    if (err == OK)
        store_done(statement);
    return err == ERR_END ? OK : err;
}

struct str store_column(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text == NULL ? STR_NONE
                        : str_range(text, (size_t)sqlite3_column_bytes(statement, column));
}

enum err store_begin(struct store *store)
{
    return store_execute(store, SQL_BEGIN, "");
}

enum err store_end(struct store *store, enum err err)
{
    if (err == OK)
        err = store_execute(store, SQL_COMMIT, "");
    if (err != OK) {
        char reason[sizeof store->reason];
        memcpy(reason, store->reason, sizeof reason);
        /* SQLite has rolled back by itself after some failures; then there is nothing to do. */
        if (!sqlite3_get_autocommit(store->db))
            (void)store_execute(store, SQL_ROLLBACK, "");
        memcpy(store->reason, reason, sizeof reason);
        store->run_key = 0;
    }
    return err;
}

/* --- opening -------------------------------------------------------------------------------- */

static enum err read_number(struct store *store, const char *sql, int64_t *number)
{
    sqlite3_stmt *statement;

    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return failed(store);
    enum err err = sqlite3_step(statement) == SQLITE_ROW ? OK : failed(store);
    if (err == OK)
        *number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return err;
}

static enum err execute(struct store *store, const char *sql)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? OK : failed(store);
}

/* Puts the tables of this format into a file of `format`, 0 for an empty one, in one transaction. */
static enum err make_schema(struct store *store, int64_t format)
{
    char pragmas[128];
    struct out text = OUT_ON(pragmas);

    out_format(&text, "PRAGMA application_id = %d; PRAGMA user_version = %d", STORE_APPLICATION,
               STORE_FORMAT);
    enum err err = execute(store, "BEGIN IMMEDIATE");
    if (err != OK)
        return err;
    if (format == 0)
        err = execute(store, schema);
    for (; format > 0 && format < STORE_FORMAT && err == OK; format++)
        err = execute(store, upgrades[format - 1]);
    if (err == OK)
        err = execute(store, out_cstr(&text));
    return store_end(store, err);
}

static enum err check_file(struct store *store, struct out *why)
{
    int64_t application = 0, format = 0, tables = 0;
    enum err err = execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");

    if (err == OK)
        err = read_number(store, "PRAGMA application_id", &application);
    if (err == OK)
        err = read_number(store, "PRAGMA user_version", &format);
    if (err == OK)
        err = read_number(store, "SELECT count(*) FROM sqlite_master", &tables);
    if (err != OK)
        return err;
    if (tables == 0 && application == 0)
        return make_schema(store, 0);
    if (application != STORE_APPLICATION) {
        out_text(why, "it is a database of another program; give another file");
        return ERR_INVALID;
    }
    if (format < 1 || format > STORE_FORMAT) {
        out_format(why, "its format is %d, this program reads %d; use the version that wrote it",
                   (int)format, STORE_FORMAT);
        return ERR_UNSUPPORTED;
    }
    return format == STORE_FORMAT ? OK : make_schema(store, format);
}

enum err store_open(const char *path, struct store **store, struct out *why)
{
    struct store *opened = calloc(1, sizeof *opened);

    *store = NULL;
    if (opened == NULL) {
        out_text(why, "no memory");
        return ERR_FULL;
    }
    enum err err = OK;
    if (sqlite3_open_v2(path, &opened->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK)
        err = failed(opened);
    if (err == OK) {
        sqlite3_extended_result_codes(opened->db, 0);
        sqlite3_busy_timeout(opened->db, STORE_BUSY_MS);
        err = check_file(opened, why);
    }
    if (err != OK && why->n == 0)
        out_text(why, opened->reason);
    if (err != OK) {
        store_close(opened);
        return err;
    }
    *store = opened;
    return OK;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < SQL_STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    free(store);
}
