/* Arbitrary messages of a gateway to the whole link.  The input is lines, each a text message; a line "#N" lets N seconds
 * pass.  The first line is the answer to hello; "." stands for a good one. */
#include "base/assert.h"
#include "base/log.h"
#include "link/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    struct loop loop;
    struct journal journal;
    struct link link;
    char directory[64];
    char frames[LIMIT_MESSAGE + 16];
    size_t at, n;
    unsigned put_off;
    struct rpc_call later[LIMIT_SUBMISSIONS + 1];
} t;

static enum err take(struct transport *transport, void *to, size_t n, size_t *got)
{
    (void)transport;
    if (t.at == t.n)
        return ERR_AGAIN;
    n = n < t.n - t.at ? n : t.n - t.at;
    memcpy(to, t.frames + t.at, n);
    t.at += n;
    *got = n;
    return OK;
}

static enum err give(struct transport *transport, struct str bytes, size_t *put)
{
    (void)transport;
    *put = bytes.n;
    return OK;
}

static void write_hello(void *context, struct json_writer *w)
{
    (void)context;
    json_put_text(w, "project", "fuzz");
}

static void on_nothing(void *context)
{
    (void)context;
}

static void on_paused(void *context, bool paused)
{
    (void)context;
    (void)paused;
}

static void on_final(void *context, enum link_state state)
{
    (void)context;
    (void)state;
}

static void handle_echo(void *context, struct rpc_call *call, struct str params)
{
    (void)context;
    rpc_answer_raw(call, params);
}

static void handle_later(void *context, struct rpc_call *call, struct str params)
{
    (void)context;
    (void)params;
    ASSERT(call->id[0] == '\0' || call->peer->pending < LIMIT_SUBMISSIONS);
    if (t.put_off < LIMIT_SUBMISSIONS + 1)
        rpc_put_off(call, &t.later[t.put_off++]);
    else
        rpc_answer_raw(call, STR("{}"));
}

static enum err on_record(void *context, const struct journal_record *record)
{
    (void)context;
    (void)record;
    return OK;
}

static void remove_all(void)
{
    char path[128];
    journal_close(&t.journal);
    snprintf(path, sizeof path, "%s/0000000001.log", t.directory);
    (void)unlink(path);
    (void)rmdir(t.directory);
}

static void begin(void)
{
    static struct journal_report report;
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .time_ms = 1769860800123};
    struct json_writer *w;

    loop_start(&t.loop);
    snprintf(t.directory, sizeof t.directory, "/tmp/fuzz-session-XXXXXX");
    ASSERT(mkdtemp(t.directory) != NULL);
    ASSERT(journal_open(&t.journal, t.directory, "d-1", LIMIT_JOURNAL, on_record, NULL, &report) ==
           OK);
    for (event.n = 1; event.n <= 5; event.n++) {
        ASSERT(journal_begin(&t.journal, &event, &w) == OK);
        json_put_text(w, "message", event.n == 3 ? "three" : "");
        ASSERT(journal_end(&t.journal, false, NULL, NULL) == OK);
    }
    ASSERT(journal_commit(&t.journal, t.loop.now_ms) == OK);
    (void)atexit(remove_all);
}

/* A turn of the daemon, without its wait. */
static void turn(void)
{
    if (link_has_socket(&t.link) && (t.link.socket.wanted & PORT_READABLE) != 0)
        link_on_ready(&t.link.socket, PORT_READABLE);
    if (loop_timer_is_set(&t.link.again)) {
        loop_timer_clear(&t.loop, &t.link.again);
        link_on_again(&t.link.again);
    }
    if (loop_timer_is_set(&t.link.timer) && t.link.timer.at_ms <= t.loop.now_ms &&
        link_has_socket(&t.link)) {
        loop_timer_clear(&t.loop, &t.link.timer);
        link_on_timer(&t.link.timer);
    }
    while (t.put_off > 0) {
        struct rpc_call *call = &t.later[--t.put_off];
        rpc_resume(call);
        rpc_answer_raw(call, STR("{}"));
    }
    link_after_commit(&t.link);
}

static void say(struct str message)
{
    struct out out = OUT_ON(t.frames);

    out_byte(&out, (char)0x81);
    if (message.n < 126) {
        out_byte(&out, (char)message.n);
    } else {
        out_byte(&out, 126);
        out_byte(&out, (char)(message.n >> 8));
        out_byte(&out, (char)(message.n & 255));
    }
    out_str(&out, message);
    t.at = 0;
    t.n = out.n;
    for (int i = 0; i < 4; i++)
        turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rpc_method methods[] = {{"echo", 0, handle_echo},
                                                {"later", 0, handle_later},
                                                {"change", RPC_METHOD_CHANGES, handle_echo}};
    static const struct rpc_dispatcher dispatcher = {.methods = methods, .count = 3};
    static const struct link_host host = {.write_hello = write_hello,
                                          .on_forked = on_nothing,
                                          .on_paused = on_paused,
                                          .on_final = on_final,
                                          .dispatcher = &dispatcher};
    static const struct proxy_options no_proxy;
    static const struct tls_options no_tls;
    static struct link_options options = {.proxy = &no_proxy, .tls = &no_tls};
    struct transport transport = {
        .recv = take, .send = give, .recv_wants = PORT_READABLE, .send_wants = PORT_WRITABLE};
    struct str rest = str_range((const char *)data, size), line;
    uint64_t seconds;

    if (t.directory[0] == '\0')
        begin();
    options.url_count = 1;
    options.urls[0] = "http://h";
    log_setup(LOG_ERROR, LOG_TEXT);
    t.put_off = 0;
    t.at = t.n = 0;
    ASSERT(link_start(&t.link, &t.loop, &t.journal, &host, &options) == OK);
    ASSERT(port_open("/dev/null", PORT_READ_WRITE, &transport.fd) == OK);
    t.link.state = LINK_UPGRADING;
    t.link.transport = transport;
    ws_reset(&t.link.ws, &t.link.transport, t.link.message, sizeof t.link.message);
    link_attach(&t.link);
    turn();
    while (rest.n > 0 && link_has_socket(&t.link)) {
        (void)str_cut(rest, '\n', &line, &rest);
        if (str_is(line, "."))
            say(STR(
                "{\"jsonrpc\":\"2.0\",\"id\":\"h\",\"result\":{\"protocol\":1,\"gateway\":\"g\",\"events\":{\"acked\":2}}}"));
        else if (line.n > 1 && line.p[0] == '#' && str_to_u64(str_from(line, 1), &seconds) &&
                 seconds < 100)
            t.loop.now_ms += (int64_t)seconds * 1000;
        else
            say(str_head(line, 60000));
        ASSERT(t.link.state != LINK_CONNECTED || t.link.outbox.acked <= t.link.outbox.sent);
        ASSERT(t.link.outbox.sent <= 5 || t.link.outbox.acked >= t.link.outbox.sent);
    }
    link_end(&t.link);
    return 0;
}
