/* Talks to the daemon.  Owns the socket and both line buffers; never looks into params or
 * results.  Invariant: `in` holds at most one message more than was given out, so a message of
 * the limit always fits. */
#include "cli/connection.h"

#include <string.h>

#define SEND_TIMEOUT_MS 30000

static bool is_connected(enum err err, struct cli_connection *connection)
{
    connection->is_open = err == OK;
    return connection->is_open;
}

enum err cli_connection_open(struct cli_connection *connection, const char *project)
{
    char path[LIMIT_PATH + 32];
    struct out out = OUT_ON(path);
    size_t n;
    enum err err = ERR_NOT_FOUND;

    connection->n = connection->taken = 0;
    out_text(&out, project);
    out_text(&out, "/.charter/daemon.sock");
    if (!out.overflow && out.n <= port_local_path_max()) {
        err = port_connect_local(out_cstr(&out), &connection->fd);
        if (is_connected(err, connection))
            return OK;
    }
    out_reset(&out);
    out_text(&out, project);
    out_text(&out, "/.charter/daemon.addr");
    char address[LIMIT_PATH];
    if (out.overflow || port_read_file(out_cstr(&out), address, sizeof address - 1, &n) != OK)
        return err;
    struct str trimmed = str_trim(str_range(address, n));
    if (trimmed.n == 0 || trimmed.n > port_local_path_max() ||
        !str_copy(trimmed, path, sizeof path))
        return err;
    err = port_connect_local(path, &connection->fd);
    is_connected(err, connection);
    return err;
}

void cli_connection_close(struct cli_connection *connection)
{
    if (connection->is_open)
        port_close(connection->fd);
    connection->is_open = false;
}

struct json_writer *cli_connection_request(struct cli_connection *connection, const char *method)
{
    struct out id = OUT_ON(connection->id);

    out_u64(&id, ++connection->requests);
    out_cstr(&id);
    /* One byte stays for the line feed. */
    connection->out = out_on(connection->line, sizeof connection->line - 1);
    connection->writer = rpc_begin_request(&connection->out, connection->id, method);
    json_object(&connection->writer);
    return &connection->writer;
}

enum err cli_connection_send(struct cli_connection *connection)
{
    json_object_end(&connection->writer);
    rpc_end(&connection->writer);
    if (connection->out.overflow)
        return ERR_TOO_LARGE;
    connection->line[connection->out.n] = '\n';

    struct str rest = str_range(connection->line, connection->out.n + 1);
    int64_t deadline_ms = port_monotonic_ms() + SEND_TIMEOUT_MS;
    while (rest.n > 0) {
        size_t put;
        enum err err = port_write(connection->fd, rest, &put);
        if (err == OK) {
            rest = str_from(rest, put);
        } else if (err == ERR_AGAIN) {
            struct port_watch watch = {.fd = connection->fd, .wanted = PORT_WRITABLE};
            struct port_signals signals = {0};
            int64_t left_ms = deadline_ms - port_monotonic_ms();
            if (left_ms <= 0)
                return ERR_TIMEOUT;
            err = port_wait(&watch, 1, left_ms, &signals);
            if (err != OK)
                return err;
        } else {
            return err;
        }
    }
    return OK;
}

static struct str pending(const struct cli_connection *connection)
{
    return str_range(connection->in + connection->taken, connection->n - connection->taken);
}

bool cli_connection_has_message(const struct cli_connection *connection)
{
    struct str held = pending(connection);

    return str_find(held, '\n') < held.n;
}

/* Takes the next line that is not blank out of the buffer. */
static bool take_line(struct cli_connection *connection, struct str *line)
{
    while (cli_connection_has_message(connection)) {
        struct str held = pending(connection);
        size_t length = str_find(held, '\n');
        connection->taken += length + 1;
        *line = str_trim(str_head(held, length));
        if (line->n > 0)
            return true;
    }
    return false;
}

static enum err fill(struct cli_connection *connection)
{
    size_t got;

    if (connection->taken > 0) {
        memmove(connection->in, connection->in + connection->taken,
                connection->n - connection->taken);
        connection->n -= connection->taken;
        connection->taken = 0;
    }
    if (connection->n == sizeof connection->in)
        return ERR_TOO_LARGE;
    enum err err = port_read(connection->fd, connection->in + connection->n,
                             sizeof connection->in - connection->n, &got);
    if (err == OK)
        connection->n += got;
    return err;
}

/* Waits for the socket, and for stdin where `typed` is wanted; ERR_AGAIN when only stdin has
 * something. */
static enum err wait_for(const struct cli_connection *connection, bool typed, int64_t timeout_ms,
                         struct port_signals *signals)
{
    struct port_watch watches[] = {{.fd = connection->fd, .wanted = PORT_READABLE},
                                   {.fd = 0, .wanted = typed ? PORT_READABLE : 0}};
    enum err err = port_wait(watches, 2, timeout_ms, signals);

    if (err != OK)
        return err;
    if (signals->terminate > 0 || signals->reload > 0)
        return ERR_BUSY;
    return typed && watches[0].ready == 0 && watches[1].ready != 0 ? ERR_AGAIN : OK;
}

static enum err receive(struct cli_connection *connection, bool typed, int64_t timeout_ms,
                        struct rpc_envelope *envelope, struct port_signals *signals)
{
    int64_t deadline_ms = port_monotonic_ms() + timeout_ms;
    struct rpc_error error;
    struct str line;

    *signals = (struct port_signals){0};
    for (;;) {
        if (take_line(connection, &line))
            return rpc_read(line, envelope, &error) == OK ? OK : ERR_SYNTAX;
        /* Once for each buffer: a daemon that sends faster than we show must not hide a signal. */
        enum err err = wait_for(connection, false, 0, signals);
        if (err != OK)
            return err;
        err = fill(connection);
        if (err == OK)
            continue;
        if (err != ERR_AGAIN)
            return err;
        int64_t left_ms = -1;
        if (timeout_ms >= 0) {
            left_ms = deadline_ms - port_monotonic_ms();
            if (left_ms < 0)
                return ERR_TIMEOUT;
        }
        err = wait_for(connection, typed, left_ms, signals);
        if (err != OK)
            return err;
    }
}

enum err cli_connection_receive(struct cli_connection *connection, int64_t timeout_ms,
                                struct rpc_envelope *envelope, struct port_signals *signals)
{
    return receive(connection, false, timeout_ms, envelope, signals);
}

enum err cli_connection_receive_or_typed(struct cli_connection *connection,
                                         struct rpc_envelope *envelope,
                                         struct port_signals *signals)
{
    return receive(connection, true, -1, envelope, signals);
}

bool cli_connection_is_answer(const struct cli_connection *connection,
                              const struct rpc_envelope *envelope)
{
    return envelope->kind == RPC_RESPONSE && json_string_is(envelope->id, connection->id);
}
