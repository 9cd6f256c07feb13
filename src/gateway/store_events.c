/* Owns daemons and their streams in the store: each event once, by (daemon, seq), with what follows from it in one
 * transaction. */
#include "gateway/store_internal.h"

#include <string.h>

/* --- daemons -------------------------------------------------------------------------------- */

static void read_daemon(sqlite3_stmt *statement, struct store_daemon *daemon)
{
    *daemon = (struct store_daemon){.key = sqlite3_column_int64(statement, 0),
                                    .epoch = sqlite3_column_int64(statement, 5),
                                    .last_seen_ms = sqlite3_column_int64(statement, 6),
                                    .message_bytes = sqlite3_column_int64(statement, 7),
                                    .acked = sqlite3_column_int64(statement, 8),
                                    .command_seq = sqlite3_column_int64(statement, 9),
                                    .head.seq = sqlite3_column_int64(statement, 10),
                                    .kept.seq = sqlite3_column_int64(statement, 12),
                                    .named.seq = sqlite3_column_int64(statement, 12),
                                    .named_ms = sqlite3_column_int64(statement, 15)};
    (void)str_copy(store_column(statement, 1), daemon->id, sizeof daemon->id);
    (void)str_copy(store_column(statement, 2), daemon->previous_id, sizeof daemon->previous_id);
    (void)str_copy(store_column(statement, 3), daemon->project, sizeof daemon->project);
    (void)str_copy(store_column(statement, 4), daemon->version, sizeof daemon->version);
    (void)str_copy(store_column(statement, 11), daemon->head.sha256, sizeof daemon->head.sha256);
    (void)str_copy(store_column(statement, 13), daemon->kept.sha256, sizeof daemon->kept.sha256);
    (void)str_copy(store_column(statement, 14), daemon->named.sha256, sizeof daemon->named.sha256);
}

enum err store_daemon_find(struct store *store, const char *id, struct store_daemon *daemon)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_DAEMON_FIND, &statement, "t", id);

    if (err == OK)
        err = store_step(store, statement);
    if (err == OK) {
        read_daemon(statement, daemon);
        store_done(statement);
    }
    return err == ERR_END ? ERR_NOT_FOUND : err;
}

static enum err save_hello(struct store *store, struct store_daemon *daemon)
{
    struct store_daemon known;
    enum err err = store_daemon_find(store, daemon->id, &known);

    if (err == ERR_NOT_FOUND)
        err = store_execute(store, SQL_DAEMON_ADD, "ttttiiiii", daemon->id, daemon->previous_id,
                            daemon->project, daemon->version, daemon->epoch, daemon->last_seen_ms,
                            daemon->message_bytes, daemon->acked, daemon->command_seq);
    else if (err == OK)
        err = store_execute(store, SQL_DAEMON_UPDATE, "ttttiiii", daemon->id, daemon->previous_id,
                            daemon->project, daemon->version, daemon->epoch, daemon->last_seen_ms,
                            daemon->message_bytes, daemon->command_seq);
    if (err == OK)
        err = store_daemon_find(store, daemon->id, &known);
    if (err == OK)
        *daemon = known;
    return err;
}

enum err store_daemon_hello(struct store *store, struct store_daemon *daemon)
{
    enum err err = store_begin(store);

    return err != OK ? err : store_end(store, save_hello(store, daemon));
}

enum err store_daemon_seen(struct store *store, int64_t key, int64_t now_ms)
{
    return store_execute(store, SQL_DAEMON_SEEN, "ii", key, now_ms);
}

enum err store_daemons(struct store *store,
                       bool (*each)(void *context, const struct store_daemon *), void *context)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_DAEMONS, &statement, "");

    if (err != OK)
        return err;
    while ((err = store_step(store, statement)) == OK) {
        struct store_daemon daemon;
        read_daemon(statement, &daemon);
        if (!each(context, &daemon)) {
            store_done(statement);
            return OK;
        }
    }
    return err == ERR_END ? OK : err;
}

/* --- events --------------------------------------------------------------------------------- */

/* The run's key; a run whose first events were lost begins with the first that came. */
static enum err find_run(struct store *store, int64_t daemon_key, const char *run_id,
                         int64_t *run_key)
{
    sqlite3_stmt *statement;

    if (store->run_key != 0 && store->run_daemon == daemon_key &&
        strcmp(store->run_id, run_id) == 0) {
        *run_key = store->run_key;
        return OK;
    }
    enum err err = store_bind(store, SQL_RUN_KEY, &statement, "ti", run_id, daemon_key);
    if (err == OK)
        err = store_step(store, statement);
    if (err == ERR_END) {
        err = store_bind(store, SQL_RUN_ADD, &statement, "ti", run_id, daemon_key);
        if (err == OK)
            err = store_step(store, statement);
    }
    if (err != OK)
        return err == ERR_END ? ERR_IO : err;
    *run_key = sqlite3_column_int64(statement, 0);
    store_done(statement);
    store->run_key = *run_key;
    store->run_daemon = daemon_key;
    (void)str_copy(str_of(run_id), store->run_id, sizeof store->run_id);
    return OK;
}

/* A daemon may use the id of a run again that it retains no longer: the newest is the one that is asked for.  The earlier one's events stay in
 * the stream. */
static enum err forget_earlier(struct store *store, int64_t daemon_key, const char *run_id)
{
    enum err err = store_execute(store, SQL_RUN_FORGET_EVENTS, "ti", run_id, daemon_key);

    if (err == OK)
        err = store_execute(store, SQL_RUN_FORGET_STEPS, "ti", run_id, daemon_key);
    if (err == OK)
        err = store_execute(store, SQL_RUN_FORGET, "ti", run_id, daemon_key);
    store->run_key = 0;
    return err;
}

enum err store_append_begin(struct store *store)
{
    return store_begin(store);
}

enum err store_append(struct store *store, int64_t daemon_key, const struct store_event *event)
{
    int64_t run_key = 0;
    enum err err = OK;

    if (event->n == 1 && strcmp(event->type, "run.created") == 0)
        err = forget_earlier(store, daemon_key, event->run_id);
    if (err == OK && event->run_id[0] != '\0' && event->n > 0)
        err = find_run(store, daemon_key, event->run_id, &run_key);
    if (err == OK)
        err = store_execute(store, SQL_EVENT_ADD, "iiiitts", daemon_key, event->seq, run_key,
                            run_key == 0 ? (int64_t)0 : event->n, event->time, event->type,
                            event->raw);
    if (err == OK && run_key != 0)
        err = store_derive(store, run_key, event);
    return err;
}

/* Adds a head, or finds the one that is kept for its event, and records where they differ. */
static enum err keep_head(struct store *store, int64_t daemon_key, int64_t now_ms,
                          const struct store_head *head, struct store_head *conflict)
{
    struct store_head kept = {.seq = head->seq};
    sqlite3_stmt *statement;

    enum err err = store_execute(store, SQL_HEAD_ADD, "iit", daemon_key, head->seq, head->sha256);
    if (err != OK || sqlite3_changes(store->db) > 0)
        return err;
    err = store_bind(store, SQL_HEAD_FIND, &statement, "ii", daemon_key, head->seq);
    if (err == OK)
        err = store_step(store, statement);
    if (err != OK)
        return err == ERR_END ? ERR_IO : err;
    (void)str_copy(store_column(statement, 0), kept.sha256, sizeof kept.sha256);
    store_done(statement);
    if (strcmp(kept.sha256, head->sha256) == 0)
        return OK;
    *conflict = kept;
    return store_execute(store, SQL_HEAD_CONFLICT, "iitti", daemon_key, head->seq, kept.sha256,
                         head->sha256, now_ms);
}

enum err store_append_commit(struct store *store, int64_t daemon_key, int64_t acked, int64_t now_ms,
                             const struct store_head *head, struct store_head *conflict)
{
    enum err err = store_execute(store, SQL_DAEMON_ACKED, "iii", daemon_key, acked, now_ms);

    conflict->seq = 0;
    if (err == OK && head->seq > 0)
        err = keep_head(store, daemon_key, now_ms, head, conflict);
    return store_end(store, err);
}

void store_append_rollback(struct store *store)
{
    (void)store_end(store, ERR_IO);
}

enum err store_gap(struct store *store, int64_t daemon_key, int64_t from, int64_t to,
                   struct str reason, int64_t now_ms)
{
    enum err err = store_begin(store);

    if (err != OK)
        return err;
    err = store_execute(store, SQL_GAP_ADD, "iiisi", daemon_key, from, to, reason, now_ms);
    if (err == OK)
        err = store_execute(store, SQL_DAEMON_ACKED, "iii", daemon_key, to, now_ms);
    return store_end(store, err);
}

enum err store_event_time(struct store *store, int64_t daemon_key, int64_t seq,
                          char time[GATEWAY_TIME + 1])
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_EVENT_TIME, &statement, "ii", daemon_key, seq);

    if (err == OK)
        err = store_step(store, statement);
    if (err == OK) {
        (void)str_copy(store_column(statement, 0), time, GATEWAY_TIME + 1);
        store_done(statement);
    }
    return err == ERR_END ? ERR_NOT_FOUND : err;
}
