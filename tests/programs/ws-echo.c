/* A WebSocket client on the daemon's own link code (dialling, proxy, TLS, opening handshake, frames), for fuzzing servers of
 * the Autobahn kind and for other people's servers:
 *
 *     ws-echo [the flags of charter-daemon start that concern the link] ws://HOST[:PORT]/PATH?QUERY
 *
 * It asks for no subprotocol, connects once, sends every message back as it came, answers pings, and ends with the
 * connection: exit 0 after a close handshake, whoever began it (SIGTERM lets us begin it); 1 with words on stderr where
 * anything else happened; 2 for wrong usage. */
#include "daemon/options.h"
#include "link/connect.h"
#include "port.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX ((16 << 20) + 65536) /* the longest that such servers send is 16 MiB */
#define STEPS_A_TURN 256
#define DEADLINE_MS 10000
#define CLOSE_MS 3000

enum echo_state { CONNECTING, OPEN, CLOSING, FAILED, OVER };

/* Two messages, so that pings are read and answered while a long one is being sent back. */
static struct {
    struct loop loop;
    struct connect connect;
    struct ws ws;
    struct transport transport;
    struct loop_fd socket;
    struct loop_timer deadline;
    struct tls tls;
    struct url url;
    struct options options;
    char buffers[2][MESSAGE_MAX];
    struct str echo; /* being sent */
    bool echo_is_text, echoing;
    struct str held; /* received behind it */
    bool held_is_text, holding;
    enum echo_state state;
    int code;
} e;

static void end(int code)
{
    e.state = OVER;
    e.code = code;
}

static void complain(const char *what, const char *why)
{
    fprintf(stderr, "ws-echo: %s%s%s\n", what, why[0] == '\0' ? "" : ": ", why);
}

static void on_deadline(struct loop_timer *timer)
{
    (void)timer;
    if (e.state == FAILED) {
        end(1);
    } else if (ws_close_is_sent(&e.ws) && e.ws.close_received) {
        end(0); /* it does not hang up; we do */
    } else {
        complain("no answer to our close frame", "");
        end(1);
    }
}

static void begin_end(enum echo_state state)
{
    e.state = state;
    if (!loop_timer_is_set(&e.deadline))
        loop_timer_set(&e.loop, &e.deadline, e.loop.now_ms + CLOSE_MS);
}

/* Moves the echo on.  False: the transport has failed. */
static bool send_echo(void)
{
    while (e.echoing) {
        enum err err = ws_send(&e.ws, e.echo, e.echo_is_text);
        if (err == ERR_AGAIN)
            return true;
        if (err != OK && err != ERR_END)
            return false;
        e.echoing = e.holding;
        e.holding = false;
        e.echo = e.held;
        e.echo_is_text = e.held_is_text;
    }
    return true;
}

/* The next message, into the buffer that is not being sent.  OK, or what ended the reading for now. */
static enum err take_message(void)
{
    struct str message;
    bool is_text;

    if (e.holding)
        return ERR_BUSY;
    enum err err = ws_receive(&e.ws, &message, &is_text);
    if (err != OK)
        return err;
    if (e.echoing) {
        e.held = message;
        e.held_is_text = is_text;
        e.holding = true;
    } else {
        e.echo = message;
        e.echo_is_text = is_text;
        e.echoing = true;
        /* Between messages the place of the next one may be chosen. */
        e.ws.message = e.ws.message == e.buffers[0] ? e.buffers[1] : e.buffers[0];
    }
    return OK;
}

static void fail_reading(enum err err)
{
    if (err == ERR_SYNTAX) {
        fprintf(stderr, "ws-echo: the server broke the protocol: %s; closed with %u\n", e.ws.fault,
                e.ws.fault_code);
        ws_close(&e.ws, e.ws.fault_code, e.ws.fault);
        e.echoing = e.holding = false;
        begin_end(FAILED);
    } else if (err == ERR_END && e.ws.close_received) {
        begin_end(CLOSING);
    } else {
        complain(err == ERR_END ? "the connection ended without a close frame"
                                : "the connection failed",
                 err == ERR_END ? "" : transport_error(&e.transport));
        end(1);
    }
}

/* Both sides have said what they had to say: the server hangs up. */
static void drain(void)
{
    enum err err = ws_discard(&e.ws);

    if (err == OK || err == ERR_AGAIN)
        return;
    end(e.state == FAILED ? 1 : 0);
}

static void pump(void)
{
    for (int i = 0; i < STEPS_A_TURN && e.state == OPEN; i++) {
        enum err err = take_message();
        if (err != OK && err != ERR_AGAIN && err != ERR_BUSY)
            fail_reading(err);
        if (e.state == OVER)
            return;
        if (!send_echo()) {
            complain("the connection failed", transport_error(&e.transport));
            end(1);
            return;
        }
        /* A message that moved up makes room for the next. */
        if (e.echoing && !e.holding && e.ws.message == e.echo.p)
            e.ws.message = e.ws.message == e.buffers[0] ? e.buffers[1] : e.buffers[0];
        if (err == ERR_AGAIN && !e.ws.has_more)
            break;
        if (err == ERR_BUSY && e.holding)
            break;
        if (i == STEPS_A_TURN - 1)
            loop_wake(&e.loop);
    }
    enum err err = ws_flush(&e.ws);
    unsigned wanted = e.holding ? 0 : e.transport.recv_wants;
    if (err == ERR_AGAIN || e.echoing)
        wanted |= e.transport.send_wants;
    else if (err != OK && err != ERR_END && e.state == OPEN) {
        complain("the connection failed", transport_error(&e.transport));
        end(1);
        return;
    }
    e.socket.wanted = (unsigned char)wanted;
    if (e.state == FAILED || (e.state == CLOSING && ws_close_is_sent(&e.ws)))
        drain();
}

static void on_ready(struct loop_fd *node, unsigned ready)
{
    (void)node;
    (void)ready; /* pump() is called once a turn in any case */
}

static void on_stage(struct connect *connect, enum connect_stage stage)
{
    (void)connect;
    (void)stage;
}

static void on_done(struct connect *connect, enum err err)
{
    if (err != OK) {
        complain(connect->error, "");
        end(1);
        return;
    }
    e.state = OPEN;
    e.socket =
        (struct loop_fd){.fd = e.transport.fd, .wanted = PORT_READABLE, .on_ready = on_ready};
    if (loop_add(&e.loop, &e.socket) != OK) {
        complain("no room in the loop", "");
        end(1);
    }
    loop_wake(&e.loop);
}

static int run(void)
{
    struct connect_request request = {.url = &e.url,
                                      .token_file = e.options.token_file,
                                      .proxy = &e.options.proxy,
                                      .tls = &e.options.tls,
                                      .deadline_ms = DEADLINE_MS,
                                      .on_stage = on_stage,
                                      .on_done = on_done};
    struct port_signals signals;
    int exit_code, signal;
    int64_t pid;

    connect_start(&e.connect, &request);
    while (e.state != OVER) {
        if (loop_wait(&e.loop, -1, &signals) != OK) {
            complain("the loop failed", port_last_error());
            return 1;
        }
        while (port_reap(&pid, &exit_code, &signal) == OK)
            (void)helper_reaped(&e.loop, pid, exit_code, signal);
        if (signals.terminate > 0 && e.state == CONNECTING) {
            connect_cancel(&e.connect);
            complain("stopped before there was a connection", "");
            end(1);
        } else if (signals.terminate > 0 && e.state == OPEN) {
            ws_close(&e.ws, 1000, "");
            loop_timer_set(&e.loop, &e.deadline, e.loop.now_ms + CLOSE_MS);
        }
        if (e.state != CONNECTING && e.state != OVER)
            pump();
    }
    return e.code;
}

int main(int argc, char **argv)
{
    char *given[64] = {argv[0], "start"};
    const char *reason;

    if (argc < 2 || argc > 62 || strcmp(argv[argc - 1], "--help") == 0) {
        fputs("usage: ws-echo [link flags of charter-daemon] ws://HOST[:PORT]/PATH\n", stderr);
        return 2;
    }
    for (int i = 1; i < argc - 1; i++)
        given[i + 1] = argv[i];
    if (!options_read(&e.options, argc, given))
        return 2;
    if (url_read_any(str_of(argv[argc - 1]), &e.url, &reason) != OK) {
        complain("the URL cannot be used", reason);
        return 2;
    }
    if (port_signals_start() != OK || ws_open(&e.ws, WS_CLIENT) != OK) {
        complain("cannot start", port_last_error());
        return 1;
    }
    loop_start(&e.loop);
    tls_clear(&e.tls);
    e.deadline = (struct loop_timer){.on_due = on_deadline};
    connect_init(&e.connect, &e.loop, &e.ws, &e.transport, &e.tls, e.buffers[0], MESSAGE_MAX);
    e.code = run();
    if (loop_has(&e.socket)) {
        transport_end(&e.transport);
        port_close(e.socket.fd);
    }
    ws_free(&e.ws);
    return e.code;
}
