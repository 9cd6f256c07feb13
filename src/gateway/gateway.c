#include "gateway/gateway.h"

#include "base/hash.h"

#include <string.h>

#define EXIT_STOPPED 0
#define EXIT_FAILED 1

/* --- what the rest of the room asks --------------------------------------------------------- */

struct connection *gateway_daemon(struct gateway *gateway, int64_t daemon_key)
{
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++) {
        struct connection *connection = &gateway->connections[i];
        if (connection->kind == CONNECTION_DAEMON && connection->session.ready &&
            !connection->dead && !connection->session.ending &&
            connection->session.daemon_key == daemon_key)
            return connection;
    }
    return NULL;
}

bool gateway_ulid(struct gateway *gateway, char text[ULID_LENGTH + 1])
{
    unsigned char fresh[10];

    if (port_random(fresh, sizeof fresh) != OK)
        return false;
    ulid_next(&gateway->ulid, (uint64_t)gateway->loop.wall_ms, fresh, text);
    return true;
}

/* Digests of equal length are compared to their end, so that the time taken says nothing of the token. */
bool gateway_authorizes(const struct gateway *gateway, struct str authorization)
{
    unsigned char digest[32];
    unsigned difference = 0;

    if (!gateway->has_token)
        return true;
    if (!str_equal_nocase(str_head(authorization, 7), STR("Bearer ")))
        return false;
    sha256_of(str_trim(str_from(authorization, 7)), digest);
    for (size_t i = 0; i < sizeof digest; i++)
        difference |= (unsigned)(digest[i] ^ gateway->token_digest[i]);
    return difference == 0;
}

bool gateway_is_stopping(const struct gateway *gateway)
{
    return gateway->stop_at_ms != 0;
}

/* --- start ---------------------------------------------------------------------------------- */

static bool read_token(struct gateway *gateway)
{
    char text[LIMIT_TOKEN + 2];
    const char *path = gateway->options.token_file;
    size_t got = 0;

    if (path[0] == '\0')
        return true;
    enum err err = port_read_file(path, text, sizeof text, &got);
    struct str token = str_trim(str_range(text, err == OK ? got : 0));
    if (err != OK || token.n == 0 || token.n > LIMIT_TOKEN) {
        log_error("gateway", "token file %s: %s", path,
                  err == ERR_TOO_LARGE || token.n > LIMIT_TOKEN ? "it is too long"
                  : err != OK                                   ? port_last_error()
                                                                : "it is empty");
        return false;
    }
    sha256_of(token, gateway->token_digest);
    gateway->has_token = true;
    port_wipe(text, sizeof text);
    return true;
}

static bool open_store(struct gateway *gateway)
{
    const char *path = gateway->options.store;
    char text[256];
    struct out why = OUT_ON(text);
    int fd;

    /* Events hold inputs and outputs: the file is its owner's alone.  SQLite keeps the mode for its side files. */
    if (port_open(path, PORT_CREATE, &fd) != OK) {
        log_error("gateway", "store %s: %s; the gateway does not start", path, port_last_error());
        return false;
    }
    port_close(fd);
    if (store_open(path, &gateway->store, &why) != OK) {
        log_error("gateway", "store %s: %s; the gateway does not start", path, out_cstr(&why));
        return false;
    }
    return true;
}

static bool announce(const struct gateway *gateway, unsigned port)
{
    char text[128];
    struct out line = OUT_ON(text);
    const char *host = gateway->options.host;
    bool is_v6 = strchr(host, ':') != NULL;

    out_format(&line, "listening on %s%s%s:%u\n", is_v6 ? "[" : "", host[0] == '\0' ? "*" : host,
               is_v6 ? "]" : "", port);
    log_info("gateway", "version " CHARTER_VERSION ", store %s, %s", gateway->options.store,
             gateway->has_token ? "with a token"
                                : "without a token: whoever reaches it may do everything");
    return port_stdout(out_view(&line)) == OK;
}

/* --- accepting ------------------------------------------------------------------------------ */

static struct connection *free_place(struct gateway *gateway)
{
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++)
        if (gateway->connections[i].kind == CONNECTION_FREE)
            return &gateway->connections[i];
    return NULL;
}

/* Clients that keep a connection open for later must not keep a daemon out. */
static void close_idle(struct gateway *gateway)
{
    struct connection *oldest = NULL;

    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++) {
        struct connection *connection = &gateway->connections[i];
        if (connection_is_idle(connection) && !connection->dead &&
            (oldest == NULL || connection->session.heard_ms < oldest->session.heard_ms))
            oldest = connection;
    }
    if (oldest != NULL) {
        oldest->dead = true;
        connection_settle(oldest);
    }
}

static void refuse(int fd)
{
    size_t put;

    (void)port_write(
        fd,
        STR("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n"),
        &put);
    port_close(fd);
}

static void on_accept_again(struct loop_timer *timer)
{
    struct gateway *gateway = timer->context;
    gateway->listener.wanted = PORT_READABLE;
}

static void on_connection(struct loop_fd *node, unsigned ready)
{
    struct gateway *gateway = node->context;

    (void)ready;
    for (int i = 0; i < GATEWAY_BACKLOG; i++) {
        int fd;
        enum err err = port_accept(node->fd, &fd);
        if (err != OK) {
            if (err == ERR_AGAIN)
                return;
            /* The connection stays in the queue: looking again at once would only spin. */
            log_warning("gateway", "a connection could not be accepted: %s; next try in %d ms",
                        port_last_error(), GATEWAY_ACCEPT_PAUSE_MS);
            node->wanted = 0;
            loop_timer_set(&gateway->loop, &gateway->accept_again,
                           gateway->loop.now_ms + GATEWAY_ACCEPT_PAUSE_MS);
            return;
        }
        if (free_place(gateway) == NULL)
            close_idle(gateway);
        struct connection *place = free_place(gateway);
        if (place == NULL) {
            log_warning("gateway", "all %d places are taken; a connection is refused with 503",
                        (int)GATEWAY_CONNECTIONS);
            refuse(fd);
            continue;
        }
        connection_open(place, gateway, fd);
    }
}

/* --- the turn ------------------------------------------------------------------------------- */

static void begin_stop(struct gateway *gateway)
{
    log_info("gateway", "stopping: daemons are told to come back later");
    gateway->stop_at_ms = gateway->loop.now_ms + GATEWAY_STOP_MS;
    loop_remove(&gateway->loop, &gateway->listener);
    port_close(gateway->listener.fd);
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++)
        connection_stop(&gateway->connections[i]);
}

static void reload(struct gateway *gateway)
{
    if (gateway->options.token_file[0] == '\0')
        return;
    if (read_token(gateway))
        log_info("gateway", "the token was read again; it holds for new requests");
    else
        log_warning("gateway", "the token stays as it was");
}

static bool is_empty(const struct gateway *gateway)
{
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++)
        if (gateway->connections[i].kind != CONNECTION_FREE)
            return false;
    return true;
}

/* What came in is handled while reading; what may go out goes out at the end of the turn.  Nothing here is answered
 * before the store has it: store calls return when the disk has what they wrote. */
static bool turn(struct gateway *gateway)
{
    struct port_signals signals = {0};
    int64_t left_ms =
        gateway_is_stopping(gateway) ? gateway->stop_at_ms - gateway->loop.now_ms : -1;

    enum err err = loop_wait(&gateway->loop, left_ms, &signals);
    if (err != OK) {
        log_error("gateway", "waiting failed: %s; the gateway ends", port_last_error());
        return false;
    }
    if (signals.reload > 0)
        reload(gateway);
    if (signals.terminate > 0) {
        if (gateway_is_stopping(gateway))
            return false; /* a second signal: at once */
        begin_stop(gateway);
    }
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++)
        connection_advance(&gateway->connections[i]);
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++)
        connection_settle(&gateway->connections[i]);
    return !gateway_is_stopping(gateway) ||
           (!is_empty(gateway) && gateway->loop.now_ms < gateway->stop_at_ms);
}

static void close_all(struct gateway *gateway)
{
    for (size_t i = 0; i < GATEWAY_CONNECTIONS; i++) {
        gateway->connections[i].dead = true;
        connection_settle(&gateway->connections[i]);
    }
    if (!gateway_is_stopping(gateway))
        port_close(gateway->listener.fd);
    store_close(gateway->store);
}

int gateway_run(struct gateway *gateway, const struct gateway_options *options)
{
    unsigned bound;

    memset(gateway, 0, sizeof *gateway);
    gateway->options = *options;
    gateway->listener =
        (struct loop_fd){.wanted = PORT_READABLE, .on_ready = on_connection, .context = gateway};
    gateway->accept_again = (struct loop_timer){.on_due = on_accept_again, .context = gateway};
    loop_start(&gateway->loop);
    gateway->last_rpc_id = (uint64_t)port_wall_ms(); /* beyond those of the gateway's last life */
    if (!read_token(gateway))
        return EXIT_FAILED;
    if (port_signals_start() != OK) {
        log_error("gateway", "signals cannot be handled: %s; the gateway does not start",
                  port_last_error());
        return EXIT_FAILED;
    }
    if (port_listen_tcp(str_of(options->host), options->port, GATEWAY_BACKLOG,
                        &gateway->listener.fd, &bound) != OK) {
        log_error("gateway", "cannot listen on %s port %u: %s; the gateway does not start",
                  options->host[0] == '\0' ? "*" : options->host, options->port, port_last_error());
        return EXIT_FAILED;
    }
    if (!open_store(gateway)) {
        port_close(gateway->listener.fd);
        return EXIT_FAILED;
    }
    (void)loop_add(&gateway->loop, &gateway->listener);
    if (!announce(gateway, bound))
        log_warning("gateway", "the address could not be printed: %s", port_last_error());
    while (turn(gateway))
        ;
    close_all(gateway);
    log_info("gateway", "stopped");
    return EXIT_STOPPED;
}
