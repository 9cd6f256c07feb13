/* The link alone: connects with the daemon's own code and sends so many text messages of one size, each a frame of its own, as the
 * link sends answers (through its queue), then closes.  Prints what the stream cost from the first message to the end of the
 * connection: microseconds of the processor, microseconds on the clock.
 *
 *     link_stream COUNT BYTES URL [link flags of charter-daemon] */
#include "bench.h"
#include "daemon/options.h"
#include "link/connect.h"
#include "link/queue.h"
#include "port.h"

#define AT_ONCE 64 /* messages that stand in the queue together */

static struct {
    struct loop loop;
    struct connect connect;
    struct ws ws;
    struct transport transport;
    struct loop_fd socket;
    struct tls tls;
    struct url url;
    struct options options;
    struct queue queue;
    char buffer[LIMIT_MESSAGE > CONNECT_BUFFER ? LIMIT_MESSAGE : CONNECT_BUFFER];
    char text[LIMIT_MESSAGE];
    size_t left, size;
    bool is_open, is_over;
    double cpu, wall;
} s;

static void stop(const char *what, const char *why)
{
    fprintf(stderr, "link_stream: %s: %s\n", what, why);
    exit(1);
}

static void on_stage(struct connect *connect, enum connect_stage stage)
{
    (void)connect;
    (void)stage;
}

static void on_ready(struct loop_fd *node, unsigned ready)
{
    (void)node;
    (void)ready;
}

static void on_done(struct connect *connect, enum err err)
{
    if (err != OK)
        stop("cannot connect", connect->error);
    s.socket =
        (struct loop_fd){.fd = s.transport.fd, .wanted = PORT_READABLE, .on_ready = on_ready};
    if (loop_add(&s.loop, &s.socket) != OK)
        stop("cannot start", "no room in the loop");
    s.is_open = true;
    s.cpu = cpu_us();
    s.wall = now_us();
    loop_wake(&s.loop);
}

static void fill(void)
{
    for (int i = 0; i < AT_ONCE && s.left > 0 && queue_has_room(&s.queue, 1); i++, s.left--) {
        struct out *out = queue_begin(&s.queue, LIMIT_MESSAGE, false);
        out_str(out, str_range(s.text, s.size));
        queue_end(&s.queue, true);
    }
}

static enum err write_all_there_is(void)
{
    for (;;) {
        if (queue_is_empty(&s.queue))
            fill();
        if (queue_is_empty(&s.queue)) {
            ws_close(&s.ws, 1000, "");
            return ws_flush(&s.ws);
        }
        enum err err = ws_send(&s.ws, queue_front(&s.queue), true);
        if (err != OK)
            return err;
        queue_drop(&s.queue);
    }
}

static void turn(void)
{
    struct str message;
    bool is_text;
    enum err err = write_all_there_is();

    s.socket.wanted = (unsigned char)s.transport.recv_wants;
    if (err == ERR_AGAIN)
        s.socket.wanted = (unsigned char)(s.socket.wanted | s.transport.send_wants);
    else if (err != OK && err != ERR_END)
        stop("cannot send", transport_error(&s.transport));
    err = s.ws.close_received ? ws_discard(&s.ws) : ws_receive(&s.ws, &message, &is_text);
    s.is_over = err == ERR_END && s.left == 0 && ws_close_is_sent(&s.ws);
    if (err != ERR_AGAIN && err != ERR_END)
        stop("cannot receive", transport_error(&s.transport));
}

int main(int argc, char **argv)
{
    struct connect_request request = {.url = &s.url,
                                      .proxy = &s.options.proxy,
                                      .tls = &s.options.tls,
                                      .deadline_ms = 10000,
                                      .on_stage = on_stage,
                                      .on_done = on_done};
    char *given[32] = {argv[0], "start"};
    const char *reason;
    struct port_signals signals;
    int64_t pid;
    int code, signal;

    if (argc < 4 || argc > 30)
        stop("usage", "link_stream COUNT BYTES URL [flags]");
    s.left = (size_t)atol(argv[1]);
    s.size = (size_t)atol(argv[2]);
    for (int i = 4; i < argc; i++)
        given[i - 2] = argv[i];
    if (s.size > LIMIT_MESSAGE || !options_read(&s.options, argc - 2, given) ||
        url_read_any(str_of(argv[3]), &s.url, &reason) != OK)
        stop("usage", "link_stream COUNT BYTES URL [flags]");
    memset(s.text, 'x', s.size);
    if (port_signals_start() != OK || ws_open(&s.ws, WS_CLIENT) != OK)
        stop("cannot start", port_last_error());
    loop_start(&s.loop);
    tls_clear(&s.tls);
    queue_clear(&s.queue);
    connect_init(&s.connect, &s.loop, &s.ws, &s.transport, &s.tls, s.buffer, sizeof s.buffer);
    connect_start(&s.connect, &request);
    while (!s.is_over) {
        if (loop_wait(&s.loop, -1, &signals) != OK)
            stop("the loop failed", port_last_error());
        while (port_reap(&pid, &code, &signal) == OK)
            (void)helper_reaped(&s.loop, pid, code, signal);
        if (s.is_open)
            turn();
    }
    printf("%.0f %.0f\n", cpu_us() - s.cpu, now_us() - s.wall);
    return 0;
}
