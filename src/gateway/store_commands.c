/* Owns commands on their way: each key once per daemon, each under a seq that rises. */
#include "gateway/store_internal.h"

static void read_command(sqlite3_stmt *statement, struct store_command *command)
{
    *command = (struct store_command){.seq = sqlite3_column_int64(statement, 0),
                                      .key = store_column(statement, 1),
                                      .method = store_column(statement, 2),
                                      .params = store_column(statement, 3),
                                      .answered = sqlite3_column_int(statement, 4) != 0,
                                      .failed = sqlite3_column_int(statement, 5) != 0,
                                      .answer = store_column(statement, 6)};
}

static enum err next_seq(struct store *store, int64_t daemon_key, int64_t *seq)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_DAEMON_COUNT, &statement, "i", daemon_key);

    if (err == OK)
        err = store_step(store, statement);
    if (err != OK)
        return err == ERR_END ? ERR_NOT_FOUND : err;
    *seq = sqlite3_column_int64(statement, 0);
    store_done(statement);
    return OK;
}

static bool look(void *context, const struct store_command *command)
{
    (void)context;
    (void)command;
    return false;
}

static enum err add(struct store *store, int64_t daemon_key, struct str key, struct str method,
                    struct str params, int64_t *seq)
{
    enum err err = store_command_find(store, daemon_key, key, look, NULL);

    if (err != ERR_NOT_FOUND)
        return err == OK ? ERR_EXISTS : err;
    err = next_seq(store, daemon_key, seq);
    if (err == OK)
        err = store_execute(store, SQL_COMMAND_ADD, "iisss", daemon_key, *seq, key, method, params);
    return err;
}

enum err store_command_add(struct store *store, int64_t daemon_key, struct str key,
                           struct str method, struct str params, int64_t *seq)
{
    enum err err = store_begin(store);

    return err != OK ? err : store_end(store, add(store, daemon_key, key, method, params, seq));
}

static enum err walk(struct store *store, sqlite3_stmt *statement,
                     bool (*each)(void *context, const struct store_command *), void *context)
{
    enum err err;
    bool any = false;

    while ((err = store_step(store, statement)) == OK) {
        struct store_command command;
        read_command(statement, &command);
        any = true;
        if (!each(context, &command)) {
            store_done(statement);
            return OK;
        }
    }
    if (err != ERR_END)
        return err;
    return any ? OK : ERR_NOT_FOUND;
}

enum err store_command_find(struct store *store, int64_t daemon_key, struct str key,
                            bool (*each)(void *context, const struct store_command *),
                            void *context)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_COMMAND_FIND, &statement, "is", daemon_key, key);

    return err != OK ? err : walk(store, statement, each, context);
}

enum err store_commands_waiting(struct store *store, int64_t daemon_key,
                                bool (*each)(void *context, const struct store_command *),
                                void *context)
{
    sqlite3_stmt *statement;
    enum err err = store_bind(store, SQL_COMMANDS_WAITING, &statement, "i", daemon_key);

    if (err == OK)
        err = walk(store, statement, each, context);
    return err == ERR_NOT_FOUND ? OK : err;
}

enum err store_command_answer(struct store *store, int64_t daemon_key, int64_t seq, bool is_failed,
                              struct str answer)
{
    return store_execute(store, SQL_COMMAND_ANSWER, "iiis", daemon_key, seq, (int64_t)is_failed,
                         answer);
}

enum err store_command_forget(struct store *store, int64_t daemon_key, int64_t seq)
{
    return store_execute(store, SQL_COMMAND_FORGET, "ii", daemon_key, seq);
}

enum err store_command_defer(struct store *store, int64_t daemon_key, int64_t seq,
                             int64_t not_before_ms)
{
    return store_execute(store, SQL_COMMAND_DEFER, "iii", daemon_key, seq, not_before_ms);
}

static enum err renew(struct store *store, int64_t daemon_key, int64_t now_ms, int64_t *renewed)
{
    for (;;) {
        sqlite3_stmt *statement;
        int64_t seq, fresh;
        enum err err = store_bind(store, SQL_COMMANDS_DUE, &statement, "ii", daemon_key, now_ms);
        if (err == OK)
            err = store_step(store, statement);
        if (err != OK)
            return err == ERR_END ? OK : err;
        seq = sqlite3_column_int64(statement, 0);
        store_done(statement);
        err = next_seq(store, daemon_key, &fresh);
        if (err == OK)
            err = store_execute(store, SQL_COMMAND_RENEW, "iii", daemon_key, seq, fresh);
        if (err != OK)
            return err;
        ++*renewed;
    }
}

enum err store_commands_renew(struct store *store, int64_t daemon_key, int64_t now_ms,
                              int64_t *renewed, int64_t *left)
{
    sqlite3_stmt *statement;
    enum err err = store_begin(store);

    *renewed = *left = 0;
    if (err == OK)
        err = store_end(store, renew(store, daemon_key, now_ms, renewed));
    if (err == OK)
        err = store_bind(store, SQL_COMMANDS_DEFERRED, &statement, "i", daemon_key);
    if (err == OK)
        err = store_step(store, statement);
    if (err != OK)
        return err;
    *left = sqlite3_column_int64(statement, 0);
    store_done(statement);
    return OK;
}
