/* The control socket over a real socket and a real journal, turn by turn: what is answered, refused, kept waiting, told to
 * followers, and closed. */
#include "control/control.h"

#include "json/read.h"
#include "port_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct loop loop;
static struct journal journal;
static struct journal_report report;
static struct control control;
static int64_t deadline_ms; /* of the test: nothing is waited for beyond it */
static struct {
    int calls;
    bool again, put_off, run_ended;
    struct rpc_call off;
    size_t fill;
} handler;

/* --- the daemon's side --------------------------------------------------------------------------------------------- */

static void on_echo(void *context, struct rpc_call *call, struct str params)
{
    (void)context;
    handler.calls++;
    if (handler.again)
        call->again = true;
    else if (handler.put_off)
        rpc_put_off(call, &handler.off);
    else
        rpc_answer_raw(call, params);
}

/* Answers with a string that makes the whole message handler.fill bytes long. */
static void on_fill(void *context, struct rpc_call *call, struct str params)
{
    static char text[2 * LIMIT_MESSAGE];
    size_t around = strlen("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\"}");
    struct json_writer writer, *w = rpc_answer_begin(call, &writer);
    (void)context;
    (void)params;
    memset(text, 'x', handler.fill - around);
    json_string(w, str_range(text, handler.fill - around));
    rpc_answer_end(call, w);
}

static void on_events(void *context, struct rpc_call *call, struct str params)
{
    (void)context;
    control_on_events(&control, call, params);
}

static const struct rpc_method methods[] = {
    {"echo", 0, on_echo},
    {"fill", 0, on_fill},
    {"run.events", RPC_METHOD_LOCAL_ONLY, on_events},
};
static const struct rpc_dispatcher dispatcher = {.methods = methods, .count = 3};

static bool find_run(void *context, const char *run_id, uint64_t *created_seq, bool *ended)
{
    (void)context;
    *created_seq = strcmp(run_id, "r-2") == 0 ? 2 : 1;
    *ended = handler.run_ended && strcmp(run_id, "r-1") == 0;
    return strcmp(run_id, "r-1") == 0 || strcmp(run_id, "r-2") == 0;
}

static enum err on_record(void *context, const struct journal_record *record)
{
    (void)context;
    (void)record;
    return OK;
}

static bool remove_each(void *context, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    (void)port_unlink(path);
    return true;
}

static int start(void **state)
{
    (void)state;
    memset(&control, 0, sizeof control);
    memset(&handler, 0, sizeof handler);
    memset(&journal, 0, sizeof journal);
    deadline_ms = port_monotonic_ms() + DEADLINE_MS;
    loop_start(&loop);
    (void)port_make_directory(PATH("journal"), 0700);
    if (journal_open(&journal, PATH("journal"), "d-test", LIMIT_JOURNAL, on_record, NULL,
                     &report) != OK)
        return -1;
    return control_start(&control, &loop, &journal, support_folder(), &dispatcher, find_run,
                         NULL) == OK
               ? 0
               : -1;
}

static int end(void **state)
{
    (void)state;
    control_stop(&control);
    journal_close(&journal);
    char *path = (char[128]){0};
    (void)in_folder("journal", path, 128);
    (void)port_list(path, remove_each, path);
    return port_remove_directory(path) == OK ? 0 : -1;
}

/* One turn of the daemon (daemon/turn.c), as far as clients see it. */
static void turn(void)
{
    struct port_signals signals;
    assert_true(port_monotonic_ms() < deadline_ms);
    assert_int_equal(loop_wait(&loop, 1, &signals), OK);
    control_retry(&control);
    assert_int_equal(journal_commit(&journal, loop.now_ms), OK);
    control_after_commit(&control);
}

/* --- the client's side ------------------------------------------------------------------------------------------------- */

/* What was read behind a line, by descriptor. */
static struct {
    size_t at, n;
    char bytes[8192];
} inboxes[2 * LIMIT_CLIENTS + 128];

static int dial(void)
{
    int fd;
    assert_int_equal(port_connect_local(control.path, &fd), OK);
    assert_true((size_t)fd < sizeof inboxes / sizeof inboxes[0]);
    inboxes[fd].at = inboxes[fd].n = 0;
    return fd;
}

/* Sends all bytes, turning the daemon as long as the socket is full. */
static void send_bytes(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        size_t put = 0;
        enum err err = port_write(fd, bytes, &put);
        assert_true(err == OK || err == ERR_AGAIN);
        bytes = str_from(bytes, put);
        if (err == ERR_AGAIN)
            turn();
    }
}

static void send_text(int fd, const char *text)
{
    send_bytes(fd, str_of(text));
}

/* The next line, without its line feed; "" when the connection was closed. */
static const char *next_line(int fd)
{
    static char line[2 * LIMIT_MESSAGE];
    size_t n = 0;
    while (n == 0 || line[n - 1] != '\n') {
        if (inboxes[fd].at < inboxes[fd].n) {
            line[n++] = inboxes[fd].bytes[inboxes[fd].at++];
            assert_true(n < sizeof line);
            continue;
        }
        inboxes[fd].at = inboxes[fd].n = 0;
        enum err err = port_read(fd, inboxes[fd].bytes, sizeof inboxes[fd].bytes, &inboxes[fd].n);
        if (err == ERR_AGAIN) {
            turn();
        } else if (err != OK) {
            assert_int_equal(n, 0);
            return "";
        }
    }
    line[n - 1] = '\0';
    return line;
}

static void expect(int fd, const char *piece)
{
    const char *line = next_line(fd);
    if (strstr(line, piece) == NULL)
        fail_msg("'%s' is not in '%.300s'", piece, line);
}

static void expect_closed(int fd)
{
    assert_string_equal(next_line(fd), "");
    port_close(fd);
}

#define ECHO(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"echo\",\"params\":{\"n\":" id "}}\n"
#define ECHOED(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"n\":" id "}}"

/* --- requests ------------------------------------------------------------------------------------------------------------ */

static void requests_are_answered_in_order(void **state)
{
    int fd = dial();
    (void)state;
    assert_int_equal(mode_of(control.path), 0600);
    send_text(fd, ECHO("1") "\r\n" ECHO("2") ECHO("3"));
    expect(fd, ECHOED("1"));
    expect(fd, ECHOED("2"));
    expect(fd, ECHOED("3"));
    assert_memory_equal(control.clients[0].peer.by, "uid:", 4);
    port_close(fd);
}

static void a_request_in_pieces_is_one(void **state)
{
    static const char text[] = ECHO("1");
    int fd = dial();
    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        send_bytes(fd, str_range(text + i, 1));
        turn();
    }
    expect(fd, ECHOED("1"));
    port_close(fd);
}

static void what_is_no_request_gets_its_error_and_the_client_stays(void **state)
{
    if (LIMIT_CLIENTS < 2)
        skip();
    static const struct {
        struct str line;
        const char *piece;
    } cases[] = {
        {{"{\"jsonrpc\":\n", 12}, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700"},
        {{"\x7f\x45\x4c\x46\x02\xff\n", 7}, "\"code\":-32700"},
        {{"{\"a\":\"\0\"}\n", 10}, "\"code\":-32700"},
        {{"[]\n", 3}, "\"code\":-32600"},
        {{"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"none\"}\n", 41},
         "\"id\":9,\"error\":{\"code\":-32601"},
    };
    int fd = dial(), other = dial();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        send_bytes(fd, cases[i].line);
        send_text(fd, ECHO("5"));
        expect(fd, cases[i].piece);
        expect(fd, ECHOED("5"));
        send_text(other, ECHO("6"));
        expect(other, ECHOED("6"));
    }
    port_close(fd);
    port_close(other);
}

static void an_overlong_line_is_refused_once_and_skipped(void **state)
{
    if (LIMIT_CLIENTS < 2)
        skip();
    static char noise[2 * 1024 * 1024];
    int fd = dial(), other = dial();
    char data[64];
    (void)state;
    memset(noise, 'x', sizeof noise);
    send_bytes(fd, str_range(noise, sizeof noise));
    send_text(other, ECHO("6"));
    expect(other, ECHOED("6"));
    send_text(fd, "\n" ECHO("5"));
    snprintf(data, sizeof data, "\"data\":{\"limit\":%d,\"size\":", LIMIT_MESSAGE);
    const char *line = next_line(fd);
    assert_memory_equal(line, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001", 49);
    assert_non_null(strstr(line, data));
    expect(fd, ECHOED("5"));
    port_close(fd);
    port_close(other);
}

static void a_request_of_exactly_a_message_is_taken(void **state)
{
    static char text[LIMIT_MESSAGE + 2];
    static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"none\",\"x\":\"";
    int fd = dial();
    (void)state;
    for (size_t n = LIMIT_MESSAGE; n <= LIMIT_MESSAGE + 1; n++) {
        memset(text, 'x', n);
        memcpy(text, head, sizeof head - 1);
        memcpy(text + n - 2, "\"}", 2);
        send_bytes(fd, str_range(text, n));
        send_text(fd, "\n");
        expect(fd, n == LIMIT_MESSAGE ? "\"id\":1,\"error\":{\"code\":-32601"
                                      : "\"id\":null,\"error\":{\"code\":-32001");
    }
    port_close(fd);
}

static void answers_of_a_message_pass_and_longer_ones_are_refused(void **state)
{
    int fd = dial();
    (void)state;
    for (size_t n = LIMIT_MESSAGE - 1; n <= LIMIT_MESSAGE + 3; n++) {
        handler.fill = n;
        send_text(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fill\"}\n");
        const char *line = next_line(fd);
        if (n <= LIMIT_MESSAGE)
            assert_int_equal(strlen(line), n);
        else
            assert_non_null(strstr(line, "\"code\":-32001"));
    }
    send_text(fd, ECHO("5"));
    expect(fd, ECHOED("5"));
    port_close(fd);
}

static void without_room_a_request_waits_and_comes_again(void **state)
{
    int fd = dial();
    (void)state;
    handler.again = true;
    send_text(fd, ECHO("1") ECHO("2"));
    for (int i = 0; i < 5; i++)
        turn();
    assert_true(handler.calls > 1);
    handler.again = false;
    expect(fd, ECHOED("1"));
    expect(fd, ECHOED("2"));
    port_close(fd);
}

static void while_a_call_is_worked_on_nothing_else_of_its_client_is(void **state)
{
    if (LIMIT_CLIENTS < 2)
        skip();
    int fd = dial(), other = dial();
    (void)state;
    handler.put_off = true;
    send_text(fd, ECHO("1") ECHO("2"));
    while (handler.calls == 0)
        turn();
    handler.put_off = false;
    send_text(other, ECHO("6"));
    expect(other, ECHOED("6"));
    assert_int_equal(handler.calls, 2);
    rpc_resume(&handler.off);
    rpc_answer_raw(&handler.off, STR("\"late\""));
    expect(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"late\"}");
    expect(fd, ECHOED("2"));
    port_close(fd);
    port_close(other);
}

static void an_answer_for_a_client_that_has_gone_reaches_nobody(void **state)
{
    if (LIMIT_CLIENTS < 2)
        skip();
    int fd = dial(), other;
    (void)state;
    handler.put_off = true;
    send_text(fd, ECHO("1"));
    while (handler.calls == 0)
        turn();
    handler.put_off = false;
    port_close(fd);
    /* It is noticed at the latest when the answer is written. */
    turn();
    rpc_resume(&handler.off);
    rpc_answer_raw(&handler.off, STR("\"late\""));
    while (control.count > 0)
        turn();
    assert_int_equal(control.count, 0);
    other = dial();
    send_text(other, ECHO("6"));
    expect(other, ECHOED("6"));
    rpc_resume(&handler.off);
    rpc_answer_raw(&handler.off, STR("\"later\""));
    send_text(other, ECHO("7"));
    expect(other, ECHOED("7"));
    port_close(other);
}

static void a_client_that_leaves_in_half_a_line_gives_its_place_back(void **state)
{
    int fd = dial();
    (void)state;
    send_text(fd, ECHO("1") ECHO("2"));
    turn();
    expect(fd, ECHOED("1"));
    expect(fd, ECHOED("2"));
    send_text(fd, "half");
    port_close(fd);
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(control.count, 0);
}

static void one_client_too_many_is_told_and_closed(void **state)
{
    int fds[LIMIT_CLIENTS], late;
    (void)state;
    for (int i = 0; i < LIMIT_CLIENTS; i++) {
        fds[i] = dial();
        while (control.count < (unsigned)i + 1)
            turn();
    }
    late = dial();
    expect(late, "\"id\":null,\"error\":{\"code\":-32009");
    expect_closed(late);
    port_close(fds[LIMIT_CLIENTS - 1]);
    while (control.count == LIMIT_CLIENTS)
        turn();
    late = dial();
    send_text(late, ECHO("1"));
    expect(late, ECHOED("1"));
    port_close(late);
    for (int i = 0; i < LIMIT_CLIENTS; i++)
        if (i != LIMIT_CLIENTS - 1)
            port_close(fds[i]);
}

static void half_a_line_has_thirty_seconds(void **state)
{
    if (LIMIT_CLIENTS < 2)
        skip();
    int fd = dial(), other = dial();
    (void)state;
    assert_int_equal(control_next_ms(&control), -1);
    send_text(fd, "{\"jsonrpc\"");
    while (control_next_ms(&control) < 0)
        turn();
    int64_t due = control_next_ms(&control);
    assert_true(due > loop.now_ms + 29000 && due <= loop.now_ms + 30000);
    /* More of it does not move the deadline. */
    send_text(fd, ":");
    turn();
    turn();
    assert_int_equal(control_next_ms(&control), due);
    send_text(other, ECHO("6"));
    expect(other, ECHOED("6"));
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (control.clients[i].partial_since_ms != 0)
            control.clients[i].partial_since_ms -= 30000;
    expect_closed(fd);
    assert_int_equal(control_next_ms(&control), -1);
    port_close(other);
}

/* --- events ----------------------------------------------------------------------------------------------------------------- */

static void append(const char *run_id, const char *type, size_t bytes)
{
    static char text[LIMIT_MESSAGE];
    struct journal_event event = {
        .type = type, .run_id = run_id, .n = journal.next_seq, .time_ms = 1769860800123};
    struct json_writer *w;
    memset(text, 'e', bytes);
    text[bytes] = '\0';
    assert_int_equal(journal_begin(&journal, &event, &w), OK);
    json_put_text(w, "text", text);
    assert_int_equal(journal_end(&journal, false, NULL, NULL), OK);
}

static void expect_event(int fd, uint64_t seq)
{
    char head[128];
    snprintf(head, sizeof head,
             "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":{\"seq\":%llu,",
             (unsigned long long)seq);
    const char *line = next_line(fd);
    if (strncmp(line, head, strlen(head)) != 0)
        fail_msg("'%.200s' does not begin with '%s'", line, head);
    assert_true(strlen(line) <= LIMIT_MESSAGE);
}

#define EVENTS(params)                                                                             \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run.events\",\"params\":" params "}\n"
#define ACCEPTED "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"

static void events_are_told_and_their_end(void **state)
{
    int fd = dial();
    (void)state;
    append("r-1", "run.created", 1);
    append("r-2", "run.created", 1);
    append("r-1", "run.succeeded", 1);
    append("r-2", "run.started", 1);
    send_text(fd, EVENTS("{}"));
    expect(fd, ACCEPTED);
    for (uint64_t seq = 1; seq <= 4; seq++)
        expect_event(fd, seq);
    expect(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"events.end\",\"params\":{\"last\":4}}");

    /* The subscription is over: another may follow on the same connection. */
    send_text(fd, EVENTS("{\"after\":2,\"run_id\":null}"));
    expect(fd, ACCEPTED);
    expect_event(fd, 3);
    expect_event(fd, 4);
    expect(fd, "\"events.end\",\"params\":{\"last\":4}");

    send_text(fd, EVENTS("{\"run_id\":\"r-2\"}"));
    expect(fd, ACCEPTED);
    expect_event(fd, 2);
    expect_event(fd, 4);
    expect(fd, "\"events.end\",\"params\":{\"last\":4}");

    /* An ended run is not told beyond its end. */
    send_text(fd, EVENTS("{\"run_id\":\"r-1\",\"follow\":true}"));
    expect(fd, ACCEPTED);
    expect_event(fd, 1);
    expect_event(fd, 3);
    expect(fd, "\"events.end\",\"params\":{\"last\":3}");

    send_text(fd, EVENTS("{\"after\":4}"));
    expect(fd, ACCEPTED);
    expect(fd, "\"events.end\",\"params\":{\"last\":4}");
    port_close(fd);
}

static void followers_get_events_as_they_are_synced(void **state)
{
    int fd = dial();
    (void)state;
    send_text(fd, EVENTS("{\"run_id\":\"r-1\",\"follow\":true}"));
    expect(fd, ACCEPTED);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        append("r-1", seq == 1 ? "run.created" : "step.log", 10);
        expect_event(fd, seq);
    }
    /* The connection serves requests meanwhile. */
    send_text(fd, ECHO("7"));
    expect(fd, ECHOED("7"));
    append("r-2", "run.created", 10);
    append("r-1", "run.denied", 10);
    expect_event(fd, 5);
    expect(fd, "\"events.end\",\"params\":{\"last\":5}");
    port_close(fd);
}

static void a_run_that_has_ended_is_followed_to_its_end_alone(void **state)
{
    int fd = dial();
    (void)state;
    append("r-1", "run.created", 1);
    append("r-1", "run.succeeded", 1);
    append("r-2", "run.created", 1);
    handler.run_ended = true;
    send_text(fd, EVENTS("{\"run_id\":\"r-1\",\"after\":2,\"follow\":true}"));
    expect(fd, ACCEPTED);
    expect(fd, "\"events.end\"");
    send_text(fd, EVENTS("{\"run_id\":\"r-1\",\"after\":1,\"follow\":true}"));
    expect(fd, ACCEPTED);
    expect_event(fd, 2);
    expect(fd, "\"events.end\",\"params\":{\"last\":2}");
    port_close(fd);
}

static void subscriptions_are_checked(void **state)
{
    int fd = dial();
    (void)state;
    send_text(fd, EVENTS("{\"run_id\":\"r-9\"}"));
    expect(fd, "\"code\":-32005");
    send_text(fd, EVENTS("{\"after\":-1}"));
    expect(fd, "\"code\":-32602");
    send_text(fd, EVENTS("{\"follow\":1}"));
    expect(fd, "\"code\":-32602");
    send_text(fd, EVENTS("{\"follow\":true}"));
    expect(fd, ACCEPTED);
    send_text(fd, EVENTS("{\"follow\":true}"));
    expect(fd, "\"code\":-32011");
    port_close(fd);
}

static void the_longest_events_are_told_to_slow_readers(void **state)
{
    int fd = dial();
    (void)state;
    for (int i = 0; i < 40; i++)
        append("r-1", "step.log", (size_t)(LIMIT_EVENT - 128 - i * 7));
    append("r-1", "run.failed", 1);
    send_text(fd, EVENTS("{\"run_id\":\"r-1\",\"follow\":true}"));
    for (int i = 0; i < 20; i++)
        turn(); /* the socket is full by now */
    expect(fd, ACCEPTED);
    for (uint64_t seq = 1; seq <= 41; seq++)
        expect_event(fd, seq);
    expect(fd, "\"events.end\",\"params\":{\"last\":41}");
    port_close(fd);
}

/* --- the address -------------------------------------------------------------------------------------------------------------- */

static void a_socket_left_behind_is_no_obstacle(void **state)
{
    char path[LIMIT_PATH];
    (void)state;
    memcpy(path, control.path, sizeof path);
    control_stop(&control);
    struct port_stat stat;
    assert_int_equal(port_stat(path, &stat), ERR_NOT_FOUND);
    write_file(path, "left behind");
    memset(&control, 0, sizeof control);
    assert_int_equal(
        control_start(&control, &loop, &journal, support_folder(), &dispatcher, find_run, NULL),
        OK);
    int fd = dial();
    send_text(fd, ECHO("1"));
    expect(fd, ECHOED("1"));
    port_close(fd);
}

static void a_path_too_long_gets_a_short_one_that_the_project_names(void **state)
{
    char directory[256], addr[512], said[LIMIT_PATH];
    size_t got;
    (void)state;
    control_stop(&control);
    memset(&control, 0, sizeof control);
    snprintf(directory, sizeof directory, "%s/%0110d", support_folder(), 7);
    assert_int_equal(port_make_directory(directory, 0700), OK);
    setenv("XDG_RUNTIME_DIR", support_folder(), 1);
    assert_int_equal(
        control_start(&control, &loop, &journal, directory, &dispatcher, find_run, NULL), OK);
    snprintf(addr, sizeof addr, "%s/daemon.addr", directory);
    assert_int_equal(port_read_file(addr, said, sizeof said - 1, &got), OK);
    said[got] = '\0';
    assert_int_equal(said[got - 1], '\n');
    said[got - 1] = '\0';
    assert_string_equal(said, control.path);
    assert_memory_equal(said, support_folder(), strlen(support_folder()));
    assert_int_equal(mode_of(said), 0600);
    int fd = dial();
    send_text(fd, ECHO("1"));
    expect(fd, ECHOED("1"));
    port_close(fd);
    control_stop(&control);
    struct port_stat stat;
    assert_int_equal(port_stat(addr, &stat), ERR_NOT_FOUND);
    assert_int_equal(port_stat(said, &stat), ERR_NOT_FOUND);
    unsetenv("XDG_RUNTIME_DIR");
    assert_int_equal(port_remove_directory(directory), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_are_answered_in_order),
        TEST(a_request_in_pieces_is_one),
        TEST(what_is_no_request_gets_its_error_and_the_client_stays),
        TEST(an_overlong_line_is_refused_once_and_skipped),
        TEST(a_request_of_exactly_a_message_is_taken),
        TEST(answers_of_a_message_pass_and_longer_ones_are_refused),
        TEST(without_room_a_request_waits_and_comes_again),
        TEST(while_a_call_is_worked_on_nothing_else_of_its_client_is),
        TEST(an_answer_for_a_client_that_has_gone_reaches_nobody),
        TEST(a_client_that_leaves_in_half_a_line_gives_its_place_back),
        TEST(one_client_too_many_is_told_and_closed),
        TEST(half_a_line_has_thirty_seconds),
        TEST(events_are_told_and_their_end),
        TEST(followers_get_events_as_they_are_synced),
        TEST(a_run_that_has_ended_is_followed_to_its_end_alone),
        TEST(subscriptions_are_checked),
        TEST(the_longest_events_are_told_to_slow_readers),
        TEST(a_socket_left_behind_is_no_obstacle),
        TEST(a_path_too_long_gets_a_short_one_that_the_project_names),
    };
    return cmocka_run_group_tests(tests, support_start, support_end);
}
