/* Owns reading runs, their steps and their events. */
#include "gateway/store_internal.h"

static void read_run(sqlite3_stmt *statement, struct store_run *run)
{
    *run = (struct store_run){.key = sqlite3_column_int64(statement, 0),
                              .daemon_key = sqlite3_column_int64(statement, 1),
                              .daemon_id = store_column(statement, 2),
                              .run_id = store_column(statement, 3),
                              .workflow_id = store_column(statement, 4),
                              .status = store_column(statement, 5),
                              .created_at = store_column(statement, 6),
                              .started_at = store_column(statement, 7),
                              .ended_at = store_column(statement, 8),
                              .labels = store_column(statement, 9),
                              .outputs = store_column(statement, 10),
                              .error = store_column(statement, 11),
                              .waiting_step = store_column(statement, 12),
                              .waiting = store_column(statement, 13)};
}

static enum err walk_runs(struct store *store, sqlite3_stmt *statement,
                          bool (*each)(void *context, const struct store_run *), void *context,
                          size_t *count)
{
    enum err err;

    *count = 0;
    while ((err = store_step(store, statement)) == OK) {
        struct store_run run;
        read_run(statement, &run);
        ++*count;
        if (!each(context, &run)) {
            store_done(statement);
            return OK;
        }
    }
    return err == ERR_END ? OK : err;
}

enum err store_runs(struct store *store, const struct store_run_filter *filter, int64_t limit,
                    bool (*each)(void *context, const struct store_run *), void *context)
{
    int64_t before = filter->before > 0 ? filter->before : INT64_MAX;
    sqlite3_stmt *statement;
    enum err err;
    size_t count;

    if (filter->status.n > 0)
        err = store_bind(store, SQL_RUNS_BY_STATUS, &statement, "iisi", before, limit,
                         filter->status, filter->daemon_key);
    else if (filter->daemon_key != 0)
        err = store_bind(store, SQL_RUNS_BY_DAEMON, &statement, "iii", before, limit,
                         filter->daemon_key);
    else
        err = store_bind(store, SQL_RUNS, &statement, "ii", before, limit);
    return err != OK ? err : walk_runs(store, statement, each, context, &count);
}

enum err store_run_find(struct store *store, const char *run_id, int64_t daemon_key,
                        int64_t *run_key)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_RUN_FIND, &statement, "ti", run_id, daemon_key);

    if (err == OK)
        err = store_step(store, statement);
    if (err != OK)
        return err == ERR_END ? ERR_NOT_FOUND : err;
    *run_key = sqlite3_column_int64(statement, 0);
    err = store_step(store, statement);
    if (err == OK) {
        store_done(statement);
        return ERR_EXISTS;
    }
    return err == ERR_END ? OK : err;
}

enum err store_run_get(struct store *store, int64_t run_key,
                       bool (*each)(void *context, const struct store_run *), void *context)
{
    sqlite3_stmt *statement;
    size_t count;
    enum err err = store_bind(store, SQL_RUN_GET, &statement, "i", run_key);

    if (err == OK)
        err = walk_runs(store, statement, each, context, &count);
    return err == OK && count == 0 ? ERR_NOT_FOUND : err;
}

enum err store_run_steps(struct store *store, int64_t run_key,
                         bool (*each)(void *context, const struct store_step *), void *context)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_RUN_STEPS, &statement, "i", run_key);

    if (err != OK)
        return err;
    while ((err = store_step(store, statement)) == OK) {
        struct store_step step = {.step_id = store_column(statement, 0),
                                  .status = store_column(statement, 1),
                                  .started_at = store_column(statement, 2),
                                  .ended_at = store_column(statement, 3),
                                  .error = store_column(statement, 4),
                                  .attempt = sqlite3_column_int64(statement, 5)};
        if (!each(context, &step)) {
            store_done(statement);
            return OK;
        }
    }
    return err == ERR_END ? OK : err;
}

enum err store_run_events(struct store *store, int64_t run_key, int64_t after, int64_t limit,
                          bool (*each)(void *context, int64_t n, struct str type, struct str raw),
                          void *context)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_RUN_EVENTS, &statement, "iii", run_key, after, limit);

    if (err != OK)
        return err;
    while ((err = store_step(store, statement)) == OK)
        if (!each(context, sqlite3_column_int64(statement, 0), store_column(statement, 1),
                  store_column(statement, 2))) {
            store_done(statement);
            return OK;
        }
    return err == ERR_END ? OK : err;
}

enum err store_run_end(struct store *store, int64_t run_key, bool *ended, int64_t *n)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_RUN_END, &statement, "i", run_key);

    *ended = false;
    *n = 0;
    if (err == OK)
        err = store_step(store, statement);
    if (err != OK)
        return err == ERR_END ? ERR_NOT_FOUND : err;
    *ended = sqlite3_column_type(statement, 0) != SQLITE_NULL;
    *n = sqlite3_column_int64(statement, 0);
    store_done(statement);
    return OK;
}

enum err store_run_announce(struct store *store, int64_t daemon_key, const char *run_id)
{
    return store_execute(store, SQL_RUN_ANNOUNCE, "ti", run_id, daemon_key);
}
