/* What the sources of the SQLite store tell each other; nobody else includes it. */
#ifndef GATEWAY_STORE_INTERNAL_H
#define GATEWAY_STORE_INTERNAL_H

#include "gateway/store.h"

#include <sqlite3.h>

/* Prepared at the first use; the texts stand in store.c. */
enum store_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_DAEMON_FIND,
    SQL_DAEMON_ADD,
    SQL_DAEMON_UPDATE,
    SQL_DAEMON_SEEN,
    SQL_DAEMON_ACKED,
    SQL_HEAD_ADD,
    SQL_HEAD_FIND,
    SQL_HEAD_CONFLICT,
    SQL_DAEMON_COUNT,
    SQL_DAEMONS,
    SQL_EVENT_ADD,
    SQL_EVENT_TIME,
    SQL_GAP_ADD,
    SQL_RUN_KEY,
    SQL_RUN_ADD,
    SQL_RUN_ANNOUNCE,
    SQL_RUN_FORGET_EVENTS,
    SQL_RUN_FORGET_STEPS,
    SQL_RUN_FORGET,
    SQL_RUN_CREATED,
    SQL_RUN_STARTED,
    SQL_RUN_ENDED,
    SQL_RUN_WAITS,
    SQL_STEP_STARTED,
    SQL_STEP_STATUS,
    SQL_STEP_WAITING,
    SQL_STEP_ENDED,
    SQL_RUNS,
    SQL_RUNS_BY_STATUS,
    SQL_RUNS_BY_DAEMON,
    SQL_RUN_FIND,
    SQL_RUN_GET,
    SQL_RUN_STEPS,
    SQL_RUN_EVENTS,
    SQL_RUN_END,
    SQL_COMMAND_ADD,
    SQL_COMMAND_FIND,
    SQL_COMMANDS_WAITING,
    SQL_COMMAND_ANSWER,
    SQL_COMMAND_FORGET,
    SQL_COMMAND_DEFER,
    SQL_COMMANDS_DUE,
    SQL_COMMAND_RENEW,
    SQL_COMMANDS_DEFERRED,
    SQL_STATEMENTS
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_STATEMENTS];
    /* The run of the last event appended: events of one run tend to come together. */
    int64_t run_daemon, run_key;
    char run_id[LIMIT_RUN_ID + 1];
    char reason[256];
};

/* Takes a statement and binds its parameters in order: 'i' int64_t, 's' struct str (STR_NONE binds NULL), 't' const
 * char *.  *statement is NULL after a failure. */
enum err store_bind(struct store *store, enum store_sql which, sqlite3_stmt **statement,
                    const char *types, ...);
/* Steps a bound statement: OK there is a row, ERR_END no more (the statement is given back), else it failed (the
 * same). */
enum err store_step(struct store *store, sqlite3_stmt *statement);
/* Gives back a statement that has not ended. */
void store_done(sqlite3_stmt *statement);
/* Binds and runs a statement that has no rows. */
enum err store_execute(struct store *store, enum store_sql which, const char *types, ...);
struct str store_column(sqlite3_stmt *statement, int column); /* lives until the next step */
/* Begin and end a transaction; end commits after OK, else rolls back and passes err on. */
enum err store_begin(struct store *store);
enum err store_end(struct store *store, enum err err);

/* store_derive.c: what one event changes in runs and steps, inside the event's transaction. */
enum err store_derive(struct store *store, int64_t run_key, const struct store_event *event);

#endif
