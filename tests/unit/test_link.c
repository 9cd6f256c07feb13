/* The pure parts of the link: URLs, HTTP heads, the opening handshake, backoff, the state machine, the outgoing queue. */
#include "base/websocket.h"
#include "link/backoff.h"
#include "link/http.h"
#include "link/queue.h"
#include "link/state.h"
#include "link/upgrade.h"
#include "link/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- URLs ----------------------------------------------------------------------------------------------------------- */

static void assert_url(const char *text, bool secure, const char *name, unsigned port,
                       const char *path)
{
    struct url url;
    const char *reason;
    if (url_read(str_of(text), &url, &reason) != OK)
        fail_msg("%s: %s", text, reason);
    assert_int_equal(url.secure, secure);
    assert_string_equal(url.host, name);
    assert_int_equal(url.port, port);
    assert_string_equal(url.path, path);
}

static void url_forms_of_the_contract_are_read(void **state)
{
    (void)state;
    assert_url("http://gw.example", false, "gw.example", 80, "/v1/daemon");
    assert_url("ws://gw.example/", false, "gw.example", 80, "/v1/daemon");
    assert_url("WSS://gw.example:444/a/b//", true, "gw.example", 444, "/a/b/v1/daemon");
    assert_url("https://10.0.0.1/x%20y", true, "10.0.0.1", 443, "/x%20y/v1/daemon");
    assert_url("http://[::1]:8765", false, "::1", 8765, "/v1/daemon");
    assert_url("http://[fe80::1%eth0]/p", false, "fe80::1%eth0", 80, "/p/v1/daemon");
}

static void url_that_could_do_harm_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "gw.example",
                                      "ftp://gw.example",
                                      "http:/gw.example",
                                      "http://",
                                      "http://:80",
                                      "http://user:secret@gw.example",
                                      "http://gw.example:0",
                                      "http://gw.example:65536",
                                      "http://gw.example:",
                                      "http://gw.example:8o",
                                      "http://gw.example/?token=x",
                                      "http://gw.example?x",
                                      "http://gw.example#x",
                                      "http://gw.example/a b",
                                      "http://gw.example/\r\nX: y",
                                      "http://gw\r\n",
                                      "http://g\xC3\xA4teway",
                                      "http://[::1",
                                      "http://[::1]x",
                                      "http://[]",
                                      "http://[::1/]"};
    struct url url;
    const char *reason;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (url_read(str_of(bad[i]), &url, &reason) == OK)
            fail_msg("taken: %s", bad[i]);
    char text[LIMIT_URL + 64];
    memset(text, 'a', sizeof text);
    memcpy(text, "http://h/", 9);
    assert_int_equal(url_read(str_range(text, sizeof text), &url, &reason), ERR_SYNTAX);
    assert_int_equal(url_read(str_range(text, LIMIT_URL - 1), &url, &reason), OK);
}

/* --- the opening handshake ------------------------------------------------------------------------------------------ */

#define GOOD                                                                                       \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: charter.v1\r\n"

static struct upgrade upgrade;
static char head[ANSWER_HEAD_MAX];
static char request[8192];

static void begin(const char *url_text, const char *token)
{
    static const unsigned char key[16] = "the sample nonce";
    struct out out = OUT_ON(request);
    struct url url;
    const char *reason;
    assert_int_equal(url_read(str_of(url_text), &url, &reason), OK);
    upgrade_start(&upgrade, head, sizeof head, 1000, key, &url, UPGRADE_PROTOCOL, str_of(token),
                  &out);
    out_cstr(&out);
}

/* The verdict over an answer, the same in every split; "%s" in it stands for the right accept. */
static enum err answer(const char *format)
{
    char text[16384];
    enum err verdict = OK;
    size_t taken;

    for (size_t chunk = 1; chunk < 8192; chunk = chunk < 4 ? chunk + 1 : chunk * 7) {
        begin("http://gw", "");
        int n = snprintf(text, sizeof text, format, upgrade.accept, upgrade.accept);
        struct str rest = str_range(text, (size_t)n);
        enum err err = ERR_AGAIN;
        while (err == ERR_AGAIN && rest.n > 0) {
            err = upgrade_feed(&upgrade, str_head(rest, chunk), &taken);
            rest = str_from(rest, taken);
        }
        if (err == OK && rest.n > 0)
            assert_true(str_starts_with(rest, STR("\x81")));
        if (err == ERR_AGAIN)
            err = upgrade_end(&upgrade);
        if (chunk > 1)
            assert_int_equal(err, verdict);
        verdict = err;
    }
    return verdict;
}

static void upgrade_request_has_the_rfcs_form(void **state)
{
    char accept[WEBSOCKET_ACCEPT_LENGTH + 1];
    (void)state;
    websocket_accept(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455 §1.3 */
    begin("http://[::1]:8080/p", "s3cret");
    assert_string_equal(upgrade.accept, accept);
    assert_string_equal(
        request,
        "GET /p/v1/daemon HTTP/1.1\r\nHost: [::1]:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: charter.v1\r\nUser-Agent: charter-daemon/" CHARTER_VERSION
        "\r\nAuthorization: Bearer s3cret\r\n\r\n");
    begin("http://gw:80", "");
    assert_non_null(strstr(request, "\r\nHost: gw\r\n"));
    assert_null(strstr(request, "Authorization"));
}

static void upgrade_takes_a_right_answer(void **state)
{
    (void)state;
    assert_int_equal(answer("HTTP/1.1 101 Switching Protocols\r\n" GOOD "\r\n\x81\x01x"), OK);
    assert_int_equal(answer("HTTP/1.1 101\r\n" GOOD "\r\n"), OK);
    assert_int_equal(
        answer(
            "HTTP/1.1 101 x\r\nSERVER:  x \r\nupgrade: WebSocket\r\nconnection: keep-alive\r\n"
            "connection: foo ,  UPGRADE\r\nsec-websocket-accept:%s\r\nsec-websocket-protocol:charter.v1\t\r\n"
            "Sec-WebSocket-Extensions:\r\n\r\n"),
        OK);
}

static void upgrade_refuses_a_wrong_answer(void **state)
{
#define HEAD "HTTP/1.1 101 x\r\n"
#define UP "Upgrade: websocket\r\n"
#define CONN "Connection: Upgrade\r\n"
#define ACC "Sec-WebSocket-Accept: %s\r\n"
#define PROTO "Sec-WebSocket-Protocol: charter.v1\r\n"
    static const char *const bad[] = {
        HEAD CONN ACC PROTO "\r\n",
        HEAD UP ACC PROTO "\r\n",
        HEAD UP CONN PROTO "\r\n",
        HEAD UP CONN ACC "\r\n",
        HEAD UP CONN ACC "Sec-WebSocket-Protocol: charter.v2\r\n\r\n",
        HEAD UP CONN ACC "Sec-WebSocket-Protocol: charter.v1, x\r\n\r\n",
        HEAD UP CONN ACC "Sec-WebSocket-Protocol: Charter.v1\r\n\r\n",
        HEAD UP CONN ACC PROTO PROTO "\r\n",
        HEAD UP UP CONN ACC PROTO "\r\n",
        HEAD UP CONN ACC ACC PROTO "\r\n",
        HEAD UP CONN PROTO "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xO0=\r\n\r\n",
        HEAD UP CONN ACC PROTO "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        HEAD "Upgrade: h2c\r\n" CONN ACC PROTO "\r\n",
        HEAD UP "Connection: upgraded\r\n" ACC PROTO "\r\n",
        HEAD UP CONN ACC PROTO "no colon\r\n\r\n",
        HEAD UP CONN ACC PROTO ": no name\r\n\r\n",
        HEAD UP CONN ACC PROTO "Bad Name: x\r\n\r\n",
        HEAD UP CONN ACC PROTO "X : x\r\n\r\n",
        HEAD UP CONN ACC PROTO "X: a\r\n folded\r\n\r\n",
        HEAD UP CONN ACC PROTO "X: a\n\r\n",
        HEAD UP CONN ACC PROTO "X: a\rb\r\n\r\n",
        HEAD UP CONN ACC PROTO "\n",
        HEAD UP CONN ACC PROTO,
        "HTTP/1.1 101 x\n" UP CONN ACC PROTO "\r\n",
        "\r\n" HEAD UP CONN ACC PROTO "\r\n",
        " " HEAD UP CONN ACC PROTO "\r\n",
        "HTTP/2 101 x\r\n" UP CONN ACC PROTO "\r\n",
        "HTTP/1.1 1O1 x\r\n" UP CONN ACC PROTO "\r\n",
        "HTTP/1.1 1010 x\r\n" UP CONN ACC PROTO "\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (answer(bad[i]) != ERR_SYNTAX)
            fail_msg("not refused: %s", bad[i]);
    /* a NUL, which no format can hold */
    size_t taken;
    begin("http://gw", "");
    assert_int_equal(upgrade_feed(&upgrade, STR("HTTP/1.1 101 x\r\nX: \0\r\n\r\n"), &taken),
                     ERR_SYNTAX);
}

static void upgrade_bounds_the_head(void **state)
{
    enum err err = ERR_AGAIN;
    size_t taken, all = 0;
    (void)state;
    begin("http://gw", "");
    err = upgrade_feed(&upgrade, STR("HTTP/1.1 101 x\r\n"), &taken);
    while (err == ERR_AGAIN && all < 1000000) {
        err = upgrade_feed(&upgrade, STR("X-Filler: more and more\r\n"), &taken);
        all += taken;
    }
    assert_int_equal(err, ERR_TOO_LARGE);
    assert_in_range(all, ANSWER_HEAD_MAX - 100, ANSWER_HEAD_MAX + 100);
}

static void upgrade_reads_why_it_was_refused(void **state)
{
    (void)state;
    assert_int_equal(
        answer(
            "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 30\r\n\r\n\r\ncome back\x1b later\nx\nxxxxxxx"),
        ERR_REFUSED);
    assert_int_equal(upgrade.answer.status, 503);
    assert_string_equal(upgrade.answer.phrase, "Busy");
    assert_string_equal(upgrade.answer.line, "come back? later");
    assert_int_equal(upgrade.answer.retry_after_ms, 7000);
    assert_int_equal(
        answer("HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n"),
        ERR_REFUSED);
    assert_string_equal(upgrade.answer.line, "wrong");
    assert_int_equal(answer("HTTP/1.1 404\r\n\r\ncut"), ERR_REFUSED);
    assert_string_equal(upgrade.answer.line, "cut");
    assert_int_equal(answer("HTTP/1.0 500 x\r\nContent-Length: 0\r\n\r\n"), ERR_REFUSED);
    assert_string_equal(upgrade.answer.line, "");
}

static void http_retry_after_has_two_forms(void **state)
{
    int64_t wait;
    (void)state;
    assert_true(http_retry_after(STR("120"), 0, &wait));
    assert_int_equal(wait, 120000);
    assert_true(http_retry_after(STR("Sun, 06 Nov 1994 08:49:37 GMT"), INT64_C(784111777000) - 5000,
                                 &wait));
    assert_int_equal(wait, 5000);
    assert_true(
        http_retry_after(STR("Thu, 29 Feb 2024 00:00:00 GMT"), INT64_C(1709164800000) - 1, &wait));
    assert_int_equal(wait, 1);
    assert_true(
        http_retry_after(STR("Sun, 06 Nov 1994 08:49:37 GMT"), INT64_C(999999999999), &wait));
    assert_int_equal(wait, 0);
    assert_false(http_retry_after(STR("-1"), 0, &wait));
    assert_false(http_retry_after(STR("soon"), 0, &wait));
    assert_false(http_retry_after(STR("Sun, 06 Nox 1994 08:49:37 GMT"), 0, &wait));
    assert_false(http_retry_after(STR("Sun, 66 Nov 1994 08:49:37 GMT"), 0, &wait));
}

/* --- backoff -------------------------------------------------------------------------------------------------------- */

static void backoff_doubles_to_its_cap(void **state)
{
    struct backoff backoff = {.initial_ms = BACKOFF_INITIAL_MS, .max_ms = BACKOFF_MAX_MS};
    static const int64_t windows[] = {1000,  2000,   4000,   8000,   16000, 32000,
                                      64000, 128000, 256000, 300000, 300000};
    (void)state;
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        assert_int_equal(backoff_window_ms(&backoff), windows[i]);
        struct backoff copy = backoff;
        assert_int_equal(backoff_next_ms(&copy, 0, 0), 0);
        copy = backoff;
        assert_int_equal(backoff_next_ms(&copy, 0, UINT32_MAX / 2 + 1), (windows[i] + 1) / 2);
        assert_int_equal(backoff_next_ms(&backoff, 0, UINT32_MAX), windows[i]);
    }
    for (int i = 0; i < 1000; i++)
        (void)backoff_next_ms(&backoff, 0, 1);
    assert_int_equal(backoff_window_ms(&backoff), 300000);
    backoff_worked(&backoff, BACKOFF_STABLE_MS - 1);
    assert_int_equal(backoff_window_ms(&backoff), 300000);
    backoff_worked(&backoff, BACKOFF_STABLE_MS);
    assert_int_equal(backoff_window_ms(&backoff), 1000);
}

static void backoff_minimum_and_slowest_pace(void **state)
{
    struct backoff backoff = {.initial_ms = BACKOFF_INITIAL_MS, .max_ms = BACKOFF_MAX_MS};
    (void)state;
    assert_int_equal(backoff_slowest_ms(&backoff, 0, 0), 150000);
    assert_int_equal(backoff_slowest_ms(&backoff, 0, UINT32_MAX), 300000);
    assert_true(backoff_slowest_ms(&backoff, 500000, 0) >= 500000);
    assert_int_equal(backoff_next_ms(&backoff, 5000, 0), 5000);
    assert_int_equal(backoff_next_ms(&backoff, INT64_MAX, 0), BACKOFF_RETRY_AFTER_MAX_MS);
    assert_int_equal(backoff_next_ms(&backoff, -5, 0), 0);
}

/* A fleet that has lost its gateway `failures` times in a row; CHARTER_TEST_SEED repeats a run of it. */
static void backoff_spreads_a_fleet_over_its_window(void **state)
{
    enum { FLEET = 200, BINS = 10 };
    const char *given = getenv("CHARTER_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20260131, x = seed * 2 + 1;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (unsigned failures = 0; failures < 12; failures++) {
        unsigned bins[BINS] = {0}, slow[BINS] = {0};
        for (int i = 0; i < FLEET; i++) {
            struct backoff backoff = {
                .failures = failures, .initial_ms = BACKOFF_INITIAL_MS, .max_ms = BACKOFF_MAX_MS};
            int64_t window = backoff_window_ms(&backoff);
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            int64_t wait = backoff_next_ms(&backoff, 0, (uint32_t)(x >> 16));
            assert_in_range(wait, 0, window);
            bins[wait * BINS / (window + 1)]++;
            wait = backoff_slowest_ms(&backoff, 0, (uint32_t)(x >> 8)) - BACKOFF_MAX_MS / 2;
            assert_in_range(wait, 0, BACKOFF_MAX_MS / 2);
            slow[wait * BINS / (BACKOFF_MAX_MS / 2 + 1)]++;
        }
        for (int bin = 0; bin < BINS; bin++) {
            assert_in_range(bins[bin], 1, 2 * FLEET / BINS);
            assert_in_range(slow[bin], 1, 2 * FLEET / BINS);
        }
    }
}

/* --- states --------------------------------------------------------------------------------------------------------- */

static void link_states_cover_the_whole_product(void **state)
{
    /* Rows are states, columns events; '.' stays. O W R C P I U H X K S T: off, waiting, resolving, connecting, tunnelling,
     * securing, upgrading, hello, connected, closing, superseded, retired.
     * The events: configured, due, resolved, tunnel, secure, opened, redirected, upgraded, welcome, close, lost, ended,
     * superseded, retired. */
    static const char letters[] = "OWRCPIUHXKST";
    static const char *const table[LINK_STATES] = {
        [LINK_OFF] = "W...........ST",        [LINK_WAITING] = ".R.........OST",
        [LINK_RESOLVING] = "..C.......WOST",  [LINK_CONNECTING] = "...PIU....WOST",
        [LINK_TUNNELLING] = "....IU....WOST", [LINK_SECURING] = ".....U....WOST",
        [LINK_UPGRADING] = "......RH..WOST",  [LINK_HELLO] = "........XKWOST",
        [LINK_CONNECTED] = ".........KWOST",  [LINK_CLOSING] = "..........WOST",
        [LINK_SUPERSEDED] = "..............", [LINK_RETIRED] = "..............",
    };
    (void)state;
    for (unsigned from = 0; from < LINK_STATES; from++)
        for (unsigned event = 0; event < LINK_EVENTS; event++) {
            char wanted = table[from][event] == '.' ? letters[from] : table[from][event];
            enum link_state to = link_next_state((enum link_state)from, (enum link_event)event);
            if (letters[to] != wanted)
                fail_msg("%s with event %u: to %s, wanted %c",
                         link_state_name((enum link_state)from), event, link_state_name(to),
                         wanted);
        }
}

/* --- the queue ------------------------------------------------------------------------------------------------------ */

static struct queue queue;

static void put(size_t n, char c, bool own)
{
    struct out *out = queue_begin(&queue, LIMIT_MESSAGE, own);
    for (size_t i = 0; i < n; i++)
        out_byte(out, c);
    queue_end(&queue, true);
}

static void queue_gives_messages_in_order(void **state)
{
    (void)state;
    queue_clear(&queue);
    assert_true(queue_is_empty(&queue));
    assert_true(queue_has_room(&queue, LIMIT_SUBMISSIONS));
    assert_false(queue_has_room(&queue, LIMIT_SUBMISSIONS + 1));
    for (int round = 0; round < 100; round++) {
        put(LIMIT_MESSAGE, 'a', false);
        put(1, 'b', true);
        assert_true(queue.own);
        assert_true(queue_has_room(&queue, 2));
        struct out *out = queue_begin(&queue, LIMIT_MESSAGE, false);
        out_text(out, "taken back");
        queue_end(&queue, false);
        put(LIMIT_MESSAGE, 'c', false);
        assert_int_equal(queue_front(&queue).n, LIMIT_MESSAGE);
        assert_int_equal(queue_front(&queue).p[0], 'a');
        queue_drop(&queue);
        assert_true(str_is(queue_front(&queue), "b"));
        queue_drop(&queue);
        assert_false(queue.own);
        assert_int_equal(queue_front(&queue).p[LIMIT_MESSAGE - 1], 'c');
        queue_drop(&queue);
        assert_true(queue_is_empty(&queue));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url_forms_of_the_contract_are_read),
        cmocka_unit_test(url_that_could_do_harm_is_refused),
        cmocka_unit_test(upgrade_request_has_the_rfcs_form),
        cmocka_unit_test(upgrade_takes_a_right_answer),
        cmocka_unit_test(upgrade_refuses_a_wrong_answer),
        cmocka_unit_test(upgrade_bounds_the_head),
        cmocka_unit_test(upgrade_reads_why_it_was_refused),
        cmocka_unit_test(http_retry_after_has_two_forms),
        cmocka_unit_test(backoff_doubles_to_its_cap),
        cmocka_unit_test(backoff_minimum_and_slowest_pace),
        cmocka_unit_test(backoff_spreads_a_fleet_over_its_window),
        cmocka_unit_test(link_states_cover_the_whole_product),
        cmocka_unit_test(queue_gives_messages_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
