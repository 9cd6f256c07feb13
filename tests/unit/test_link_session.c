/* The link against a gateway of the test's own, over loopback, in one loop: hello, events, acks, ceilings, commands, life signs, and what
 * each way of being refused or closed leads to.  The gateway uses the server's end of link/ws.h; one that shares no
 * code stands in tests/e2e/peers. */
#include "journal_rig.h"

#include "json/check.h"
#include "link/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the gateway ---------------------------------------------------------------------------------------------------- */

static struct {
    struct loop loop;
    struct link link;
    bool started;

    struct loop_fd listener, connection;
    unsigned port;
    struct transport transport;
    struct ws ws;
    bool upgraded, deaf;
    unsigned connections, hellos, appends, gaps, answers;
    char request[8192];
    size_t request_n;
    char message[LIMIT_MESSAGE], buffer[LIMIT_MESSAGE];
    char last[LIMIT_MESSAGE + 1];        /* the last message */
    char last_answer[LIMIT_MESSAGE + 1]; /* to a request of ours */
    char last_hello[8192];
    uint64_t first_seq, last_seq; /* of the events of this connection */
    size_t last_batch;            /* events in the last append */
    unsigned oversize;            /* events.oversize that came */
    unsigned close_code;          /* the link's */

    /* what it does */
    char refusal[512]; /* instead of 101 */
    char hello[1024];  /* the answer's tail after "id":… ; "" for silence */
    bool acks;
    /* what the host saw */
    unsigned forked, finals, pauses, sessions;
    bool paused;
    enum link_state final;
    uint64_t acked;
    char daemon_id[32];
    /* put-off calls */
    struct rpc_call kept[8];
    unsigned kept_count;
    unsigned tries; /* of a request that finds no room */
    struct rpc_dispatcher dispatcher;
} t;

#define HELLO(acked, rest)                                                                                    \
    "\"result\":{\"protocol\":1,\"gateway\":\"test\",\"session\":\"s\",\"limits\":{\"message_bytes\":65536}," \
    "\"heartbeat_s\":30,\"events\":{\"acked\":" acked rest                                                    \
    "},\"clock\":{\"time\":\"2026-01-31T12:00:00.000Z\"}}}"

static void gateway_say(const char *text)
{
    while (ws_send(&t.ws, str_of(text), true) == ERR_AGAIN)
        ;
    while (ws_flush(&t.ws) == ERR_AGAIN)
        ;
}

static void gateway_drop(void)
{
    if (loop_has(&t.connection)) {
        loop_remove(&t.loop, &t.connection);
        port_close(t.connection.fd);
    }
    t.upgraded = false;
}

static void gateway_close(unsigned code, const char *reason)
{
    ws_close(&t.ws, code, reason);
    (void)ws_flush(&t.ws);
}

static void take_append(struct str params)
{
    struct str events, event, name, raw;
    int64_t seq;
    char ack[64];

    assert_true(json_member(params, "events", &events));
    struct json_walk walk = json_walk(events);
    t.appends++;
    t.last_batch = 0;
    while (json_walk_next(&walk, &name, &event)) {
        assert_true(json_member(event, "seq", &raw) && json_integer(raw, &seq));
        if (t.first_seq == 0)
            t.first_seq = (uint64_t)seq;
        else
            assert_int_equal(seq, t.last_seq + 1);
        t.last_seq = (uint64_t)seq;
        t.last_batch++;
        if (json_member(event, "type", &raw) && json_string_is(raw, "events.oversize"))
            t.oversize++;
    }
    assert_true(t.last_batch > 0);
    if (t.acks) {
        snprintf(ack, sizeof ack,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"events.ack\",\"params\":{\"acked\":%u}}",
                 (unsigned)t.last_seq);
        gateway_say(ack);
    }
}

static void gateway_take(struct str message)
{
    struct rpc_envelope envelope;
    struct rpc_error error;
    char answer[1200];

    memcpy(t.last, message.p, message.n);
    t.last[message.n] = '\0';
    assert_int_equal(rpc_read(message, &envelope, &error), OK);
    if (strcmp(envelope.method, "daemon.hello") == 0) {
        t.hellos++;
        assert_true(str_copy(message, t.last_hello, sizeof t.last_hello));
        if (t.hello[0] == '\0')
            return;
        snprintf(answer, sizeof answer, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,%s", STR_ARG(envelope.id),
                 t.hello);
        gateway_say(answer);
    } else if (strcmp(envelope.method, "events.append") == 0) {
        take_append(envelope.params);
    } else if (strcmp(envelope.method, "events.gap") == 0) {
        t.gaps++;
        assert_int_equal(t.appends, 0);
    } else {
        assert_int_equal(envelope.kind, RPC_RESPONSE);
        t.answers++;
        memcpy(t.last_answer, t.last, message.n + 1);
    }
}

static void gateway_upgrade(void)
{
    char answer[512], accept[WEBSOCKET_ACCEPT_LENGTH + 1];

    if (strstr(t.request, "\r\n\r\n") == NULL)
        return;
    if (t.refusal[0] != '\0') {
        size_t put;
        assert_int_equal(t.transport.send(&t.transport, str_of(t.refusal), &put), OK);
        gateway_drop();
        return;
    }
    const char *key = strstr(t.request, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    websocket_accept(str_range(key + 19, WEBSOCKET_KEY_LENGTH), accept);
    size_t put;
    int n = snprintf(
        answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: charter.v1\r\n\r\n",
        accept);
    assert_int_equal(t.transport.send(&t.transport, str_range(answer, (size_t)n), &put), OK);
    t.upgraded = true;
}

static void on_connection(struct loop_fd *node, unsigned ready)
{
    struct str message;
    bool is_text;
    (void)ready;

    if (t.deaf) {
        node->wanted = 0;
        return;
    }
    if (!t.upgraded) {
        size_t got;
        if (port_read(node->fd, t.request + t.request_n, sizeof t.request - 1 - t.request_n,
                      &got) != OK) {
            gateway_drop();
            return;
        }
        t.request_n += got;
        t.request[t.request_n] = '\0';
        gateway_upgrade();
        return;
    }
    for (;;) {
        enum err err = ws_receive(&t.ws, &message, &is_text);
        if (err == ERR_AGAIN)
            break;
        if (err == OK) {
            gateway_take(message);
            continue;
        }
        if (err == ERR_END && t.ws.close_received) {
            t.close_code = t.ws.peer_code;
            (void)ws_flush(&t.ws);
        }
        gateway_drop();
        return;
    }
    (void)ws_flush(&t.ws);
}

static void on_listener(struct loop_fd *node, unsigned ready)
{
    int fd;
    (void)ready;

    if (port_accept(node->fd, &fd) != OK)
        return;
    gateway_drop();
    t.connections++;
    t.transport = transport_tcp(fd);
    ws_reset(&t.ws, &t.transport, t.message, sizeof t.message);
    t.request_n = t.last_batch = 0;
    t.first_seq = t.last_seq = t.appends = t.gaps = 0;
    t.connection = (struct loop_fd){.fd = fd, .wanted = PORT_READABLE, .on_ready = on_connection};
    assert_int_equal(loop_add(&t.loop, &t.connection), OK);
}

/* --- the host ------------------------------------------------------------------------------------------------------- */

static void write_hello(void *context, struct json_writer *w)
{
    (void)context;
    json_key(w, "daemon");
    json_object(w);
    json_put_text(w, "id", t.daemon_id);
    json_put_i64(w, "epoch", 1);
    json_object_end(w);
    json_put_text(w, "project", "unit");
    json_key(w, "runs");
    json_array(w);
    json_array_end(w);
}

static void on_session(void *context, const char *gateway)
{
    (void)context;
    assert_string_equal(gateway, "test");
    t.sessions++;
}

static void on_acked(void *context, uint64_t acked)
{
    (void)context;
    t.acked = acked;
}

static void on_forked(void *context)
{
    (void)context;
    t.forked++;
    snprintf(t.daemon_id, sizeof t.daemon_id, "d-%u", t.forked + 1);
    rig_append("forked", false);
}

static void on_paused(void *context, bool paused)
{
    (void)context;
    t.pauses++;
    t.paused = paused;
}

static void on_final(void *context, enum link_state state)
{
    (void)context;
    t.finals++;
    t.final = state;
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
    assert_true(t.kept_count < 8);
    rpc_put_off(call, &t.kept[t.kept_count++]);
}

static void handle_never(void *context, struct rpc_call *call, struct str params)
{
    (void)context;
    (void)params;
    t.tries++;
    call->again = true;
}

/* The longest message that both sides take. */
#define LARGE (LIMIT_MESSAGE < 65536 ? LIMIT_MESSAGE : 65536)

static void handle_large(void *context, struct rpc_call *call, struct str params)
{
    struct json_writer writer, *w = rpc_answer_begin(call, &writer);
    (void)context;
    (void)params;
    if (w == NULL)
        return;
    json_array(w);
    for (int i = 0; i < LARGE / 35; i++) /* nine tenths of a message, and a bit */
        json_text(w, "thirty bytes and a few for good");
    json_array_end(w);
    rpc_answer_end(call, w);
}

static const struct rpc_method methods[] = {
    {"echo", 0, handle_echo},
    {"later", 0, handle_later},
    {"large", 0, handle_large},
    {"never", 0, handle_never},
    {"local", RPC_METHOD_LOCAL_ONLY, handle_echo},
};

/* --- turns ---------------------------------------------------------------------------------------------------------- */

static void turn(int64_t max_ms)
{
    struct port_signals signals;
    int64_t pid;
    int exit_code, signal;

    assert_int_equal(loop_wait(&t.loop, max_ms, &signals), OK);
    while (port_reap(&pid, &exit_code, &signal) == OK)
        (void)helper_reaped(&t.loop, pid, exit_code, signal);
    rig_commit();
    link_after_commit(&t.link);
}

/* Turns the loop until the condition holds; ten seconds without it are a failure. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        int64_t until_end = port_monotonic_ms() + 10000;                                           \
        while (!(condition)) {                                                                     \
            if (port_monotonic_ms() > until_end)                                                   \
                fail_msg("not within 10 s: %s (state %s, last error: %s)", #condition,             \
                         link_state_name(link_state(&t.link)), t.link.last_error);                 \
            turn(20);                                                                              \
        }                                                                                          \
    } while (0)

static bool is_connected(void)
{
    return link_state(&t.link) == LINK_CONNECTED;
}

static bool is_waiting(void)
{
    return link_state(&t.link) == LINK_WAITING;
}

static const struct link_host host = {.write_hello = write_hello,
                                      .on_session = on_session,
                                      .on_acked = on_acked,
                                      .on_forked = on_forked,
                                      .on_paused = on_paused,
                                      .on_final = on_final,
                                      .dispatcher = &t.dispatcher};

static struct link_options options;
static char urls[LINK_URLS + 1][LIMIT_URL], token_file[LIMIT_PATH];

/* A text that the options may name until the test ends. */
static const char *text_of(char *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *text_of(char *to, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(to, LIMIT_URL, format, args);
    va_end(args);
    return to;
}

static void start(void)
{
    options.url_count = 1;
    options.urls[0] = text_of(urls[0], "http://127.0.0.1:%u/pre/", t.port);
    assert_int_equal(link_start(&t.link, &t.loop, &rig.journal, &host, &options), OK);
    t.started = true;
}

static int setup(void **state)
{
    memset(&t, 0, sizeof t);
    static const struct proxy_options no_proxy;
    static const struct tls_options no_tls;

    memset(&options, 0, sizeof options);
    options.proxy = &no_proxy;
    options.tls = &no_tls;
    if (rig_setup(state) != 0)
        return -1;
    assert_int_equal(rig_open(), OK);
    assert_int_equal(port_signals_start(), OK);
    loop_start(&t.loop);
    assert_int_equal(port_listen_tcp(STR("127.0.0.1"), 0, 8, &t.listener.fd, &t.port), OK);
    t.listener.wanted = PORT_READABLE;
    t.listener.on_ready = on_listener;
    assert_int_equal(loop_add(&t.loop, &t.listener), OK);
    assert_int_equal(ws_open(&t.ws, WS_SERVER), OK);
    snprintf(t.daemon_id, sizeof t.daemon_id, "d-1");
    snprintf(t.hello, sizeof t.hello, "%s", HELLO("0", ""));
    t.acks = true;
    t.dispatcher.methods = methods;
    t.dispatcher.count = sizeof methods / sizeof methods[0];
    options.backoff_initial_ms = 10;
    options.backoff_max_ms = 60;
    return 0;
}

static int teardown(void **state)
{
    if (t.started)
        link_end(&t.link);
    gateway_drop();
    port_close(t.listener.fd);
    ws_free(&t.ws);
    rig_close();
    return rig_teardown(state);
}

/* --- hello and events ----------------------------------------------------------------------------------------------- */

static void link_says_hello_and_sends_what_the_gateway_lacks(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        rig_append("x", false);
    rig_commit();
    snprintf(t.hello, sizeof t.hello, "%s", HELLO("2", ""));
    start();
    UNTIL(t.last_seq == 5 && t.acked == 5);
    assert_int_equal(t.first_seq, 3);
    assert_int_equal(t.sessions, 1);
    assert_non_null(strstr(t.request, "GET /pre/v1/daemon HTTP/1.1\r\n"));
    assert_non_null(strstr(t.last_hello, "\"protocol\":[1]"));
    assert_non_null(strstr(t.last_hello, "\"events\":{\"first\":1,\"next\":6}"));
    assert_non_null(strstr(t.last_hello, "\"reason\":\"start\""));
    rig_append("y", false);
    UNTIL(t.acked == 6);
    assert_int_equal(link_acked(&t.link), 6);
}

static void link_never_passes_the_ceiling(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        rig_append("x", false);
    rig_commit();
    snprintf(t.hello, sizeof t.hello, "%s", HELLO("0", ",\"limit\":4"));
    start();
    UNTIL(t.acked == 4);
    for (int i = 0; i < 5; i++)
        turn(5);
    assert_int_equal(t.last_seq, 4);
    gateway_say(
        "{\"jsonrpc\":\"2.0\",\"method\":\"events.ack\",\"params\":{\"acked\":4,\"limit\":7}}");
    UNTIL(t.acked == 7);
    /* it never falls within a session */
    gateway_say(
        "{\"jsonrpc\":\"2.0\",\"method\":\"events.ack\",\"params\":{\"acked\":7,\"limit\":5}}");
    for (int i = 0; i < 5; i++)
        turn(5);
    assert_int_equal(t.last_seq, 7);
    gateway_say(
        "{\"jsonrpc\":\"2.0\",\"method\":\"events.ack\",\"params\":{\"acked\":7,\"limit\":null}}");
    UNTIL(t.acked == 10);
}

static void link_resends_what_was_not_acknowledged(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        rig_append("x", false);
    rig_commit();
    t.acks = false;
    start();
    UNTIL(t.last_seq == 5);
    snprintf(t.hello, sizeof t.hello, "%s", HELLO("3", ""));
    gateway_drop();
    UNTIL(t.connections == 2 && t.last_seq == 5);
    assert_int_equal(t.first_seq, 4);
    assert_non_null(strstr(t.last_hello, "\"reason\":\"reconnect\""));
}

static void link_sends_many_events_in_full_batches(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        rig_append_long(1000);
        if (i % 50 == 49)
            rig_commit();
    }
    start();
    UNTIL(t.acked == 300);
    unsigned least = 300 * 1120 / LARGE;
    assert_in_range(t.appends, least, least + 3);
}

static void link_tells_of_a_gap_before_any_event(void **state)
{
    (void)state;
    while (rig.journal.segment_count < 3) {
        rig_append_long(LIMIT_EVENT / 10 * 3);
        rig_commit();
    }
    rig_append("x", false);
    rig_commit();
    rig.journal.has_checkpoint =
        true; /* there is no state that later records would have to carry forward */
    assert_int_equal(journal_forget(&rig.journal, rig.journal.segments[1].number), OK);
    uint64_t first = journal_first_seq(&rig.journal);
    assert_true(first > 2);
    start();
    UNTIL(t.acked == journal_last_seq(&rig.journal));
    assert_int_equal(t.gaps, 1);
    assert_int_equal(t.first_seq, first);
}

static void link_sends_a_stand_in_for_what_no_message_holds(void **state)
{
    (void)state;
    rig_append("x", false);
    rig_append_long(6000);
    rig_append("y", false);
    rig_commit();
    snprintf(
        t.hello, sizeof t.hello,
        "\"result\":{\"protocol\":1,\"gateway\":\"test\",\"limits\":{\"message_bytes\":4096},\"events\":{\"acked\":0}}}");
    start();
    UNTIL(t.acked == 3);
    assert_int_equal(t.oversize, 1);
}

static void halve_batches(size_t event_bytes)
{
    for (int i = 0; i < 8; i++)
        rig_append_long(event_bytes); /* one message holds them all */
    rig_commit();
    t.acks = false;
    start();
    for (size_t batch = 8; batch > 1;) {
        unsigned connections = t.connections;
        UNTIL(is_connected() && t.last_batch > 0);
        assert_true(t.last_batch < batch || t.connections == 1);
        batch = t.last_batch;
        if (batch == 1)
            break;
        gateway_close(1009, "");
        UNTIL(t.connections > connections);
    }
    /* alone and still too large: a stand-in goes, and the rest follows */
    UNTIL(is_connected() && t.last_batch == 1);
    unsigned connections = t.connections;
    gateway_close(1009, "");
    t.acks = true;
    UNTIL(t.connections > connections && t.acked == 8);
    assert_int_equal(t.oversize, 1);
}

static void link_halves_batches_until_the_gateway_takes_them(void **state)
{
    (void)state;
    halve_batches(LIMIT_MESSAGE / 16 < 3000 ? LIMIT_MESSAGE / 16 : 3000);
}

/* However small they are: what is halved is what was said, not what might have been. */
static void link_halves_small_batches_too(void **state)
{
    (void)state;
    halve_batches(150);
}

static void link_takes_a_new_id_when_streams_have_parted(void **state)
{
    (void)state;
    rig_append("x", false);
    rig_commit();
    snprintf(t.hello, sizeof t.hello, "%s", HELLO("7", ""));
    start();
    UNTIL(t.forked == 1);
    snprintf(t.hello, sizeof t.hello, "%s", HELLO("0", ""));
    UNTIL(is_connected());
    assert_int_equal(t.connections, 1);
    assert_non_null(strstr(t.last_hello, "\"id\":\"h2\""));
    assert_non_null(strstr(t.last_hello, "\"id\":\"d-2\""));
    assert_non_null(strstr(t.last_hello, "\"reason\":\"forked\""));
    assert_non_null(
        strstr(t.last_hello, "\"next\":3")); /* what on_forked appended is synced before */
    UNTIL(t.acked == 2);
}

static void link_takes_a_new_id_when_an_event_has_another_time(void **state)
{
    (void)state;
    rig_append("x", false);
    rig_append("x", false);
    rig_commit();
    snprintf(t.hello, sizeof t.hello, "%s",
             HELLO("1", ",\"acked_time\":\"2001-01-01T00:00:00.000Z\""));
    start();
    UNTIL(t.forked == 1);
    /* whoever says so of the new id as well is not believed */
    UNTIL(is_waiting());
    assert_int_equal(t.forked, 1);
    assert_non_null(strstr(t.link.last_error, "new id"));
    /* and on the next connection the new id still says why there is one */
    snprintf(t.hello, sizeof t.hello, "%s", HELLO("0", ""));
    UNTIL(is_connected());
    assert_non_null(strstr(t.last_hello, "\"reason\":\"forked\""));
    gateway_drop();
    UNTIL(t.connections == 3 && is_connected());
    assert_non_null(strstr(t.last_hello, "\"reason\":\"reconnect\""));
}

/* --- commands ------------------------------------------------------------------------------------------------------- */

static void link_answers_requests_through_the_dispatcher(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"echo\",\"params\":{\"a\":1}}");
    UNTIL(t.answers == 1);
    assert_string_equal(t.last_answer, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1}}");
    assert_string_equal(t.link.peer.by, "test");
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"local\"}");
    UNTIL(t.answers == 2);
    assert_non_null(strstr(t.last_answer, "-32601"));
    gateway_say("{\"jsonrpc\":");
    UNTIL(t.answers == 3);
    assert_non_null(strstr(t.last_answer, "\"id\":null"));
    gateway_say("{\"jsonrpc\":\"2.0\",\"method\":\"nobody.knows\"}");
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"large\"}");
    UNTIL(t.answers == 4);
    assert_non_null(strstr(t.last_answer, "\"id\":9"));
    assert_true(is_connected());
}

static void link_reads_no_more_than_it_can_answer(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    for (int i = 0; i < 7; i++)
        gateway_say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}");
    for (int i = 0; i < 10; i++)
        turn(5);
    assert_int_equal(t.kept_count, LIMIT_SUBMISSIONS);
    /* each full answer that has gone makes room for one more */
    for (unsigned done = 0; done < 7; done++) {
        UNTIL(t.kept_count > done);
        rpc_resume(&t.kept[done]);
        handle_large(NULL, &t.kept[done], STR_NONE);
        UNTIL(t.answers == done + 1);
        assert_true(strlen(t.last_answer) > LARGE / 10 * 9);
    }
    assert_int_equal(t.link.peer.pending, 0);
}

static void link_forgets_the_answers_of_a_lost_session(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}");
    UNTIL(t.kept_count == 1);
    gateway_drop();
    UNTIL(t.connections == 2 && is_connected());
    rpc_resume(&t.kept[0]);
    handle_echo(NULL, &t.kept[0], STR("{}"));
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}");
    UNTIL(t.answers == 1);
    assert_non_null(strstr(t.last_answer, "\"id\":2"));
}

static void link_pause_ends_with_the_session(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    gateway_say("{\"jsonrpc\":\"2.0\",\"method\":\"daemon.pause\"}");
    UNTIL(t.paused);
    gateway_say("{\"jsonrpc\":\"2.0\",\"method\":\"daemon.unpause\"}");
    UNTIL(!t.paused);
    gateway_say("{\"jsonrpc\":\"2.0\",\"method\":\"daemon.pause\",\"params\":{}}");
    UNTIL(t.paused);
    gateway_drop();
    UNTIL(!t.paused);
    assert_int_equal(t.pauses, 4);
}

static void link_drains_and_comes_back_then(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    int64_t before = port_monotonic_ms();
    gateway_say(
        "{\"jsonrpc\":\"2.0\",\"method\":\"gateway.drain\",\"params\":{\"reconnect_after_ms\":300}}");
    UNTIL(t.connections == 2);
    assert_int_equal(t.close_code, 1001);
    assert_in_range(port_monotonic_ms() - before, 295, 10000);
}

/* Circles: the waits grow from the fourth short session on, whatever the gateway asks for. */
static void link_does_not_run_in_circles_of_drains(void **state)
{
    (void)state;
    options.backoff_initial_ms = 100;
    options.backoff_max_ms = 1000;
    start();
    int64_t longest = 0;
    for (unsigned i = 1; i <= 6; i++) {
        UNTIL(t.connections == i && is_connected());
        gateway_say(
            "{\"jsonrpc\":\"2.0\",\"method\":\"gateway.drain\",\"params\":{\"reconnect_after_ms\":0}}");
        UNTIL(is_waiting() || t.connections > i);
        int64_t wait = t.link.next_try_ms - t.link.state_at_ms;
        if (i <= 3 && is_waiting())
            assert_int_equal(wait, 0);
        else if (is_waiting())
            longest = wait > longest ? wait : longest;
        assert_int_equal(t.link.drains, i);
    }
    assert_true(longest > 0 && longest <= 400);
}

/* --- ways to be refused --------------------------------------------------------------------------------------------- */

struct verdict {
    unsigned code;
    bool slow;
    enum link_state state;
};

static void assert_pace(const struct verdict *verdict)
{
    int64_t wait = t.link.next_try_ms - t.link.state_at_ms;

    if (verdict->state != LINK_WAITING)
        return;
    if (verdict->slow ? wait < 30000 || wait > 60000 : wait > 1000)
        fail_msg("%u: comes back after %d ms", verdict->code, (int)wait);
}

static void link_obeys_every_close_code(void **state)
{
    static const struct verdict verdicts[] = {
        {1000, false, LINK_WAITING},   {1001, false, LINK_WAITING}, {1002, false, LINK_WAITING},
        {1009, false, LINK_WAITING},   {1012, false, LINK_WAITING}, {1013, false, LINK_WAITING},
        {4400, true, LINK_WAITING},    {4401, true, LINK_WAITING},  {4403, true, LINK_WAITING},
        {4409, true, LINK_SUPERSEDED}, {4410, true, LINK_RETIRED},  {4426, true, LINK_WAITING},
        {4999, false, LINK_WAITING},   {3000, false, LINK_WAITING},
    };
    (void)state;
    options.backoff_initial_ms = 1000;
    options.backoff_max_ms = 60000;
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        start();
        UNTIL(is_connected());
        gateway_close(verdicts[i].code, "because");
        UNTIL(link_state(&t.link) == verdicts[i].state);
        assert_pace(&verdicts[i]);
        assert_non_null(strstr(t.link.last_error, "because"));
        UNTIL(t.close_code == verdicts[i].code); /* echoed */
        assert_int_equal(t.finals, verdicts[i].state == LINK_WAITING ? 0 : 1);
        t.finals = 0;
        link_end(&t.link);
        t.started = false;
    }
}

static void link_obeys_every_status(void **state)
{
    static const struct verdict verdicts[] = {
        {401, true, LINK_WAITING},  {403, true, LINK_WAITING},  {404, false, LINK_WAITING},
        {410, true, LINK_RETIRED},  {429, false, LINK_WAITING}, {500, false, LINK_WAITING},
        {301, false, LINK_WAITING}, {200, false, LINK_WAITING}};
    (void)state;
    options.backoff_initial_ms = 1000;
    options.backoff_max_ms = 60000;
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        snprintf(t.refusal, sizeof t.refusal,
                 "HTTP/1.1 %u Nope\r\nContent-Length: 12\r\n\r\nfirst\nsecond", verdicts[i].code);
        t.connections = 0;
        start();
        UNTIL(t.connections == 1 && link_state(&t.link) == verdicts[i].state);
        assert_pace(&verdicts[i]);
        assert_non_null(strstr(t.link.last_error, "Nope: first"));
        assert_null(strstr(t.link.last_error, "second"));
        link_end(&t.link);
        t.started = false;
    }
}

static void link_obeys_retry_after(void **state)
{
    (void)state;
    snprintf(t.refusal, sizeof t.refusal,
             "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n");
    start();
    UNTIL(t.connections == 1 && is_waiting());
    assert_in_range(t.link.next_try_ms - t.link.state_at_ms, 120000, 120010);
}

static void link_obeys_the_errors_of_hello(void **state)
{
    static const int codes[] = {-32003, -32004, -32600};
    (void)state;
    options.backoff_max_ms = 60000;
    for (size_t i = 0; i < 3; i++) {
        snprintf(t.hello, sizeof t.hello, "\"error\":{\"code\":%d,\"message\":\"no \\u0041\"}}",
                 codes[i]);
        start();
        UNTIL(t.hellos == i + 1 && is_waiting());
        assert_pace(&(struct verdict){(unsigned)-codes[i], true, LINK_WAITING});
        assert_non_null(strstr(t.link.last_error, "no A"));
        assert_int_equal(t.link.watched != NULL, codes[i] == -32004);
        link_end(&t.link);
        t.started = false;
    }
}

static void link_refuses_what_is_no_answer_to_hello(void **state)
{
    static const char *const answers[] = {
        "\"result\":{\"protocol\":2,\"gateway\":\"test\",\"events\":{\"acked\":0}}}",
        "\"result\":{\"protocol\":1,\"gateway\":\"test\"}}",
        "\"result\":{\"protocol\":1,\"gateway\":\"test\",\"events\":{\"acked\":-1}}}",
        "\"result\":{\"protocol\":1,\"events\":{\"acked\":0}}}",
        "\"result\":{\"protocol\":1,\"gateway\":\"test\",\"limits\":{\"message_bytes\":100},\"events\":{\"acked\":0}}}",
        "\"result\":7}",
        "\"method\":\"echo\"}",
        "\"result\":",
    };
    (void)state;
    options.backoff_max_ms = 60000;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        snprintf(t.hello, sizeof t.hello, "%s", answers[i]);
        t.close_code = 0;
        start();
        UNTIL(t.hellos == i + 1 && is_waiting());
        assert_pace(&(struct verdict){(unsigned)i, true, LINK_WAITING});
        UNTIL(t.close_code == (i == 0 ? 4426 : 4400));
        assert_int_equal(t.sessions, 0);
        link_end(&t.link);
        t.started = false;
    }
}

static void link_refuses_an_ack_of_what_was_not_sent(void **state)
{
    (void)state;
    options.backoff_max_ms = 60000;
    rig_append("x", false);
    rig_commit();
    start();
    UNTIL(t.acked == 1);
    gateway_say(
        "{\"jsonrpc\":\"2.0\",\"method\":\"events.ack\",\"params\":{\"acked\":0}}"); /* behind: ignored */
    gateway_say("{\"jsonrpc\":\"2.0\",\"method\":\"events.ack\",\"params\":{\"acked\":2}}");
    UNTIL(t.close_code == 4400 && is_waiting());
    assert_int_equal(t.acked, 1);
    assert_pace(&(struct verdict){4400, true, LINK_WAITING});
}

static void link_tries_again_when_the_token_changes(void **state)
{
    (void)state;
    options.backoff_max_ms = 600000;
    options.token_file = text_of(token_file, "%s/token", rig.directory);
    FILE *file = fopen(options.token_file, "w");
    assert_non_null(file);
    fputs("first-token\n", file);
    fclose(file);
    snprintf(t.refusal, sizeof t.refusal, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    start();
    UNTIL(t.connections == 1 && is_waiting());
    assert_non_null(strstr(t.request, "\r\nAuthorization: Bearer first-token\r\n"));
    assert_null(strstr(t.link.last_error, "first-token"));
    file = fopen(options.token_file, "w");
    fputs("the-second-token", file);
    fclose(file);
    t.refusal[0] = '\0';
    UNTIL(is_connected());
    assert_non_null(strstr(t.request, "\r\nAuthorization: Bearer the-second-token\r\n"));
    unlink(options.token_file);
}

static void link_says_what_is_wrong_with_a_url(void **state)
{
    (void)state;
    options.url_count = 1;
    options.urls[0] = text_of(urls[0], TLS_IS_BUILT ? "ftp://127.0.0.1:1" : "wss://127.0.0.1:1");
    assert_int_equal(link_start(&t.link, &t.loop, &rig.journal, &host, &options), OK);
    t.started = true;
    UNTIL(t.link.last_error[0] != '\0');
    assert_non_null(
        strstr(t.link.last_error, TLS_IS_BUILT ? "must begin with http" : "this build has no TLS"));
}

static void link_goes_to_the_next_url_at_each_failure(void **state)
{
    unsigned dead;
    int fd;
    (void)state;
    assert_int_equal(port_listen_tcp(STR("127.0.0.1"), 0, 1, &fd, &dead), OK);
    port_close(fd);
    options.url_count = 2;
    options.urls[0] = text_of(urls[0], "http://127.0.0.1:%u", dead);
    options.urls[1] = text_of(urls[1], "ws://localhost:%u", t.port);
    assert_int_equal(link_start(&t.link, &t.loop, &rig.journal, &host, &options), OK);
    t.started = true;
    UNTIL(is_connected());
    assert_non_null(strstr(t.link.last_error, "cannot connect to 127.0.0.1"));
    assert_non_null(strstr(t.request, "GET /v1/daemon HTTP/1.1\r\nHost: localhost:"));
}

/* --- life signs, ends ----------------------------------------------------------------------------------------------- */

/* A second: half of it between pings. */
static void start_with_short_heartbeat(void)
{
    snprintf(
        t.hello, sizeof t.hello,
        "\"result\":{\"protocol\":1,\"gateway\":\"test\",\"heartbeat_s\":1,\"events\":{\"acked\":0}}}");
    start();
    UNTIL(is_connected());
}

static void link_pings_in_silence_and_gives_up_on_the_dead(void **state)
{
    (void)state;
    start_with_short_heartbeat();
    UNTIL(t.ws.pings_in >= 3); /* answered: it lives */
    assert_int_equal(t.connections, 1);
    t.deaf = true;
    int64_t before = port_monotonic_ms();
    UNTIL(!is_connected());
    assert_in_range(port_monotonic_ms() - before, 900, 10000);
    assert_non_null(strstr(t.link.last_error, "nothing heard for 1.5 s"));
    t.deaf = false;
    UNTIL(t.connections == 2 && is_connected());
}

static void link_does_not_call_dead_whom_it_does_not_read(void **state)
{
    (void)state;
    start_with_short_heartbeat();
    for (int i = 0; i <= LIMIT_SUBMISSIONS; i++)
        gateway_say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}");
    UNTIL(t.link.is_held);
    int64_t until = port_monotonic_ms() + 2000;
    UNTIL(port_monotonic_ms() > until);
    assert_true(is_connected());
    rpc_resume(&t.kept[0]);
    handle_echo(NULL, &t.kept[0], STR("{}"));
    UNTIL(t.kept_count == LIMIT_SUBMISSIONS + 1);
    assert_int_equal(t.connections, 1);
}

/* The gateway's pings have no answer meanwhile: ours tell that we live. */
static void link_pings_while_a_request_waits(void **state)
{
    (void)state;
    start_with_short_heartbeat();
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"never\"}");
    UNTIL(t.tries > 1);
    uint64_t before = t.ws.pings_in;
    UNTIL(t.ws.pings_in >= before + 4); /* two seconds: longer than silence is borne */
    assert_true(t.link.is_held);
    assert_true(is_connected());
    assert_int_equal(t.connections, 1);
}

static void link_gives_up_on_a_gateway_that_takes_nothing(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    t.deaf = true;
    t.acks = false;
    for (int i = 0; i < 400 && t.link.write_since_ms == 0; i++) {
        rig_append_long(LARGE / 10 * 9);
        for (int j = 0; j < 3; j++)
            turn(1);
    }
    assert_true(t.link.write_since_ms != 0);
    t.link.write_since_ms -= LINK_WRITE_MS;
    link_schedule(&t.link);
    t.deaf = false;
    UNTIL(!is_connected());
    assert_non_null(strstr(t.link.last_error, "took no byte"));
}

static void link_does_not_wait_for_ever_for_words(void **state)
{
    (void)state;
    t.hello[0] = '\0';
    start();
    UNTIL(t.hellos == 1);
    t.link.state_at_ms -= LINK_DEADLINE_MS;
    UNTIL(t.close_code == 4400);
    assert_non_null(strstr(t.link.last_error, "did not answer hello"));
    t.deaf = true;
    UNTIL(link_state(&t.link) == LINK_UPGRADING);
    t.link.state_at_ms -= LINK_DEADLINE_MS;
    UNTIL(strstr(t.link.last_error, "opening handshake") != NULL);
}

static void link_stop_sends_what_is_left_and_closes(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    rig_append("last words", false);
    link_stop(&t.link);
    UNTIL(link_is_closed(&t.link));
    UNTIL(t.close_code == 1001);
    assert_int_equal(t.last_seq, 1);
    assert_int_equal(link_state(&t.link), LINK_OFF);
    for (int i = 0; i < 5; i++)
        turn(20);
    assert_int_equal(t.connections, 1);
}

/* Asked again in every turn, as the daemon does. */
static void link_stop_sends_all_that_is_left(void **state)
{
    uint64_t last = 0;
    (void)state;
    start();
    UNTIL(is_connected());
    for (int i = 0; i < 60; i++)
        last = rig_append_long(LIMIT_MESSAGE < 65536 ? LIMIT_MESSAGE / 2 : 32768);
    do {
        link_stop(&t.link);
        turn(20);
    } while (!link_is_closed(&t.link));
    UNTIL(t.close_code == 1001);
    assert_int_equal(t.last_seq, last);
}

/* A request that waits for room is given up: what is read next is the gateway's close. */
static void link_stop_does_not_wait_for_a_request(void **state)
{
    unsigned turns = 0;
    (void)state;
    start();
    UNTIL(is_connected());
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"never\"}");
    gateway_say("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}");
    UNTIL(t.tries > 1);
    assert_true(t.link.is_held);
    rig_append("last words", false);
    link_stop(&t.link);
    for (; !link_is_closed(&t.link); turns++)
        turn(20);
    assert_in_range(turns, 1, 100); /* and does not spin meanwhile */
    UNTIL(t.close_code == 1001);
    assert_int_equal(t.last_seq, 1);
    assert_int_equal(t.answers, 0);
}

static void link_stop_does_not_wait_for_the_deaf(void **state)
{
    (void)state;
    start();
    UNTIL(is_connected());
    t.deaf = true;
    int64_t before = port_monotonic_ms();
    link_stop(&t.link);
    UNTIL(link_is_closed(&t.link));
    assert_in_range(port_monotonic_ms() - before, 0, 10000);
}

static void link_follows_a_changed_url(void **state)
{
    struct link_options changed;
    (void)state;
    start();
    UNTIL(is_connected());
    changed = options;
    link_reconfigure(&t.link, &changed); /* the same: nothing happens */
    turn(5);
    assert_true(is_connected());
    changed.urls[0] = text_of(urls[LINK_URLS], "ws://127.0.0.1:%u/other", t.port);
    link_reconfigure(&t.link, &changed);
    UNTIL(t.connections == 2 && is_connected());
    assert_int_equal(t.close_code, 1001);
    assert_non_null(strstr(t.request, "GET /other/v1/daemon "));
    changed.url_count = 0;
    link_reconfigure(&t.link, &changed);
    UNTIL(link_state(&t.link) == LINK_OFF);
    link_reconfigure(&t.link, &options);
    UNTIL(t.connections == 3 && is_connected());
}

static void link_status_tells_state_and_next_try(void **state)
{
    char text[2048];
    struct out out = OUT_ON(text);
    struct json_writer w = json_writer(&out);
    (void)state;
    options.backoff_max_ms = 60000;
    start();
    UNTIL(is_connected());
    gateway_close(4403, "not \"you\"");
    UNTIL(is_waiting());
    link_write_status(&t.link, &w);
    out_cstr(&out);
    assert_int_equal(json_check(out_view(&out), 8, NULL), OK);
    assert_non_null(strstr(text, "\"state\":\"waiting\""));
    assert_non_null(strstr(text, "4403: not \\\"you\\\""));
    assert_null(strstr(text, "\"next_try_s\":null"));
    assert_non_null(strstr(text, "\"acked_seq\":0"));
}

static void link_without_a_gateway_stays_off(void **state)
{
    (void)state;
    assert_int_equal(link_start(&t.link, &t.loop, &rig.journal, &host, &options), OK);
    t.started = true;
    for (int i = 0; i < 5; i++)
        turn(1);
    assert_true(link_is_closed(&t.link));
    link_stop(&t.link);
    assert_true(link_is_closed(&t.link));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(link_says_hello_and_sends_what_the_gateway_lacks),
        TEST(link_never_passes_the_ceiling),
        TEST(link_resends_what_was_not_acknowledged),
        TEST(link_sends_many_events_in_full_batches),
        TEST(link_tells_of_a_gap_before_any_event),
        TEST(link_sends_a_stand_in_for_what_no_message_holds),
        TEST(link_halves_batches_until_the_gateway_takes_them),
        TEST(link_halves_small_batches_too),
        TEST(link_takes_a_new_id_when_streams_have_parted),
        TEST(link_takes_a_new_id_when_an_event_has_another_time),
        TEST(link_answers_requests_through_the_dispatcher),
        TEST(link_reads_no_more_than_it_can_answer),
        TEST(link_forgets_the_answers_of_a_lost_session),
        TEST(link_pause_ends_with_the_session),
        TEST(link_drains_and_comes_back_then),
        TEST(link_does_not_run_in_circles_of_drains),
        TEST(link_obeys_every_close_code),
        TEST(link_obeys_every_status),
        TEST(link_obeys_retry_after),
        TEST(link_obeys_the_errors_of_hello),
        TEST(link_refuses_what_is_no_answer_to_hello),
        TEST(link_refuses_an_ack_of_what_was_not_sent),
        TEST(link_tries_again_when_the_token_changes),
        TEST(link_says_what_is_wrong_with_a_url),
        TEST(link_goes_to_the_next_url_at_each_failure),
        TEST(link_pings_in_silence_and_gives_up_on_the_dead),
        TEST(link_does_not_call_dead_whom_it_does_not_read),
        TEST(link_pings_while_a_request_waits),
        TEST(link_gives_up_on_a_gateway_that_takes_nothing),
        TEST(link_does_not_wait_for_ever_for_words),
        TEST(link_stop_sends_what_is_left_and_closes),
        TEST(link_stop_sends_all_that_is_left),
        TEST(link_stop_does_not_wait_for_a_request),
        TEST(link_stop_does_not_wait_for_the_deaf),
        TEST(link_follows_a_changed_url),
        TEST(link_status_tells_state_and_next_try),
        TEST(link_without_a_gateway_stays_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
