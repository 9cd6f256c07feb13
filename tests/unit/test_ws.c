/* The WebSocket layer: our client against bytes as a server might send them, in one piece and byte by byte; and client and
 * server ends against each other. RFC 6455 sections 5 and 7. */
#include "link/ws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT 1000

/* A transport out of memory: gives `chunk` bytes a call, takes `room` bytes in all. */
struct memory {
    struct transport transport;
    char in[8192], out[110000];
    size_t in_at, in_n, out_n, chunk, room;
    struct str offered; /* of the last send */
    bool eof;
};

static enum err memory_recv(struct transport *transport, void *to, size_t n, size_t *got)
{
    struct memory *m = transport->context;
    size_t have = m->in_n - m->in_at;
    if (have == 0)
        return m->eof ? ERR_END : ERR_AGAIN;
    n = have < n ? have : n;
    n = m->chunk < n ? m->chunk : n;
    memcpy(to, m->in + m->in_at, n);
    m->in_at += n;
    *got = n;
    return OK;
}

static enum err memory_send(struct transport *transport, struct str bytes, size_t *put)
{
    struct memory *m = transport->context;
    size_t n = bytes.n < m->room ? bytes.n : m->room;
    m->offered = bytes;
    n = n < m->chunk ? n : m->chunk;
    if (n == 0)
        return ERR_AGAIN;
    memcpy(m->out + m->out_n, bytes.p, n);
    m->out_n += n;
    m->room -= n;
    *put = n;
    return OK;
}

static struct memory m;
static struct ws ws;
static char buffer[LIMIT];

static void begin(size_t chunk)
{
    memset(&m, 0, sizeof m);
    m.transport = (struct transport){.recv = memory_recv, .send = memory_send, .context = &m};
    m.chunk = chunk;
    m.room = sizeof m.out;
    ws_reset(&ws, &m.transport, buffer, sizeof buffer);
}

static void feed(const void *bytes, size_t n)
{
    assert_true(m.in_n + n <= sizeof m.in);
    memcpy(m.in + m.in_n, bytes, n);
    m.in_n += n;
}

#define FEED(literal) feed("" literal, sizeof(literal) - 1)

static int setup(void **state)
{
    (void)state;
    return ws_open(&ws, WS_CLIENT) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ws_free(&ws);
    return 0;
}

/* One call reads a bounded amount; this goes on until all has been read. */
static enum err receive(struct str *message, bool *is_text)
{
    enum err err;
    do
        err = ws_receive(&ws, message, is_text);
    while (err == ERR_AGAIN && m.in_at < m.in_n);
    return err;
}

static const size_t chunks[] = {1, 2, 3, 7, 4096};

/* Each of the bytes is given in all chunk sizes; the verdict must be the same. */
static void assert_fault(const void *bytes, size_t n, unsigned code)
{
    struct str message;
    bool is_text;

    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        begin(chunks[i]);
        feed(bytes, n);
        enum err err;
        while ((err = receive(&message, &is_text)) == OK)
            ;
        if (err != ERR_SYNTAX || ws.fault_code != code)
            fail_msg("wanted a fault %u, got error %d, fault %u (%s)", code, (int)err,
                     ws.fault_code, ws.fault == NULL ? "" : ws.fault);
        /* and it stays so */
        assert_int_equal(receive(&message, &is_text), ERR_SYNTAX);
    }
}

#define FAULT(code, literal) assert_fault("" literal, sizeof(literal) - 1, code)

static void assert_message(const char *wanted, bool text)
{
    struct str message;
    bool is_text;
    enum err err = receive(&message, &is_text);
    assert_int_equal(err, OK);
    if (!str_is(message, wanted) || is_text != text)
        fail_msg("got \"%.*s\"", STR_ARG(message));
}

static void assert_nothing(void)
{
    struct str message;
    bool is_text;
    assert_int_equal(receive(&message, &is_text), ERR_AGAIN);
}

/* --- receiving ------------------------------------------------------------------------------------------------------ */

static void ws_takes_messages_in_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        begin(chunks[i]);
        FEED("\x81\x05hello\x82\x01\x00\x81\x00"
             "\x01\x03"
             "a\xC3\xA4"
             "\x89\x02pi\x00\x01\xC3\x8A\x00\x80\x01\xA4");
        assert_message("hello", true);
        struct str message;
        bool is_text;
        assert_int_equal(receive(&message, &is_text), OK);
        assert_false(is_text);
        assert_int_equal(message.n, 1);
        assert_message("", true);
        assert_message("a\xC3\xA4\xC3\xA4", true);
        assert_nothing();
        assert_int_equal(ws.pings_in, 1);
        assert_int_equal(ws.pongs_in, 1);
    }
}

static void ws_takes_a_message_of_the_limit_and_not_more(void **state)
{
    char frame[4 + LIMIT + 1];
    struct str message;
    bool is_text;
    (void)state;
    memset(frame, 'x', sizeof frame);
    memcpy(frame, "\x81\x7E\x03\xE8", 4);
    begin(4096);
    feed(frame, 4 + LIMIT);
    assert_int_equal(receive(&message, &is_text), OK);
    assert_int_equal(message.n, LIMIT);
    /* The header alone is enough, whatever it promises. */
    FAULT(1009, "\x81\x7E\x03\xE9");
    FAULT(1009, "\x82\x7F\x00\x00\x00\x01\x00\x00\x00\x00");
    FAULT(1009, "\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    FAULT(1009, "\x01\x01"
                "a\x80\x7E\x03\xE8");
}

static void ws_refuses_what_the_rfc_forbids(void **state)
{
    (void)state;
    FAULT(1002, "\xC1\x00"); /* reserved bits */
    FAULT(1002, "\xA1\x00");
    FAULT(1002, "\x91\x00");
    FAULT(1002, "\x83\x00"); /* reserved opcodes */
    FAULT(1002, "\x87\x00");
    FAULT(1002, "\x8B\x00");
    FAULT(1002, "\x8F\x00");
    FAULT(1002, "\x81\x80\x01\x02\x03\x04"); /* a mask from a server */
    FAULT(1002, "\x81\x7E\x00\x7D");         /* lengths that are not minimal */
    FAULT(1002, "\x81\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF");
    FAULT(1002, "\x81\x7F\x80\x00\x00\x00\x00\x00\x00\x00"); /* the highest bit */
    FAULT(1002, "\x09\x00");                                 /* control frames: whole, and short */
    FAULT(1002, "\x08\x00");
    FAULT(1002, "\x89\x7E\x00\x7E");
    FAULT(1002, "\x89\x7E"); /* before the rest of the header has come */
    FAULT(1002, "\x83\x7F");
    FAULT(1002, "\x81\xFF");
    FAULT(1002, "\x80\x00"); /* fragments out of order */
    FAULT(1002, "\x00\x00");
    FAULT(1002, "\x01\x01"
                "a\x81\x01"
                "b");
    FAULT(1002, "\x01\x01"
                "a\x02\x01"
                "b");
    FAULT(1002, "\x81\x01"
                "a\x80\x00");
}

static void ws_refuses_text_that_is_not_utf8(void **state)
{
    (void)state;
    FAULT(1007, "\x81\x01\xFF");
    FAULT(1007, "\x81\x02\xC0\x80");
    FAULT(1007, "\x81\x03\xED\xA0\x80");
    FAULT(1007, "\x81\x04\xF4\x90\x80\x80");
    FAULT(1007, "\x81\x01\xC3"); /* ends inside a character */
    FAULT(1007, "\x01\x01\xC3\x80\x00");
    FAULT(1007, "\x01\x01\xC3\x80\x01"
                "a");
    FAULT(1007, "\x01\x7E\x01\x00\xF8"); /* at the bad byte, long before the end */
}

static void ws_takes_the_close_frame(void **state)
{
    static const struct {
        const char *frame;
        size_t n;
        unsigned code;
    } good[] = {{"\x88\x00", 2, WS_NO_STATUS},   {"\x88\x02\x03\xE8", 4, 1000},
                {"\x88\x04\x11\x30ok", 6, 4400}, {"\x88\x02\x0B\xB8", 4, 3000},
                {"\x88\x02\x13\x87", 4, 4999},   {"\x88\x02\x03\xF6", 4, 1014}};
    struct str message;
    bool is_text;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        begin(3);
        feed(good[i].frame, good[i].n);
        FEED("\x81\x01z"); /* nothing counts after it */
        assert_int_equal(receive(&message, &is_text), ERR_END);
        assert_true(ws.close_received);
        assert_int_equal(ws.peer_code, good[i].code);
        assert_string_equal(ws.peer_reason, good[i].n > 4 ? "ok" : "");
        assert_int_equal(receive(&message, &is_text), ERR_END);
        assert_int_equal(ws_flush(&ws), OK);
        assert_true(ws_close_is_sent(&ws));
        assert_int_equal((unsigned char)m.out[0], 0x88);
        assert_int_equal(m.out_n, 2 + 4 + 2);
    }
    FAULT(1002, "\x88\x01\x03");
    FAULT(1002, "\x88\x02\x00\x00");
    FAULT(1002, "\x88\x02\x03\xE7"); /* 999 */
    FAULT(1002, "\x88\x02\x03\xEC"); /* 1004 */
    FAULT(1002, "\x88\x02\x03\xED"); /* 1005 */
    FAULT(1002, "\x88\x02\x03\xEE"); /* 1006 */
    FAULT(1002, "\x88\x02\x03\xF7"); /* 1015 */
    FAULT(1002, "\x88\x02\x0B\xB7"); /* 2999 */
    FAULT(1002, "\x88\x02\x13\x88"); /* 5000 */
    FAULT(1007, "\x88\x03\x03\xE8\xFF");
    FAULT(1007, "\x88\x03\x03\xE8\xC3");
}

static void ws_tells_an_end_without_close(void **state)
{
    struct str message;
    bool is_text;
    (void)state;
    begin(4096);
    FEED("\x81\x05hel");
    m.eof = true;
    assert_int_equal(receive(&message, &is_text), ERR_END);
    assert_false(ws.close_received);
}

/* --- sending -------------------------------------------------------------------------------------------------------- */

/* Unmasks the frame at `at` in m.out; its payload. */
static struct str sent_frame(size_t *at, unsigned char *first)
{
    unsigned char *p = (unsigned char *)m.out + *at;
    size_t n = p[1] & 0x7F, header = 2;
    assert_true((p[1] & 0x80) != 0);
    if (n == 126) {
        n = (size_t)p[2] << 8 | p[3];
        header = 4;
    } else if (n == 127) {
        n = (size_t)p[7] << 16 | (size_t)p[8] << 8 | p[9];
        header = 10;
    }
    *first = p[0];
    for (size_t i = 0; i < n; i++)
        p[header + 4 + i] ^= p[header + i % 4];
    *at += header + 4 + n;
    assert_true(*at <= m.out_n);
    return str_range((const char *)p + header + 4, n);
}

static enum err send_whole(struct str message, bool is_text)
{
    enum err err = ws_send(&ws, message, is_text);
    return err == OK ? ws_flush(&ws) : err;
}

static void ws_masks_with_keys_that_differ(void **state)
{
    enum { FRAMES = 3 * WS_KEYS };
    static uint32_t keys[FRAMES];
    unsigned char first;
    (void)state;
    begin(4096);
    for (size_t i = 0; i < FRAMES; i++) {
        size_t at = m.out_n;
        assert_int_equal(send_whole(STR("hello"), true), OK);
        memcpy(&keys[i], m.out + at + 2, 4);
        assert_true(str_is(sent_frame(&at, &first), "hello"));
        assert_int_equal(first, 0x81);
        assert_int_equal(at, m.out_n);
    }
    /* Two of 96 are the same by chance once in a million runs; a generator that repeats is seen at once. */
    for (size_t i = 0; i < FRAMES; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(keys[i] != keys[k]);
    /* Nor does the next connection begin with keys of the last. */
    begin(4096);
    assert_int_equal(send_whole(STR("hello"), true), OK);
    for (size_t i = 0; i < FRAMES; i++)
        assert_true(memcmp(&keys[i], m.out + 2, 4) != 0);
}

static void ws_sends_short_messages_in_one_piece(void **state)
{
    static const char *const words[] = {"one", "", "three"};
    unsigned char first;
    size_t at = 0;
    (void)state;
    begin(4096);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ws_send(&ws, str_of(words[i]), i != 2), OK);
    assert_int_equal(m.out_n, 0);
    assert_true(ws_has_output(&ws));
    assert_int_equal(ws_flush(&ws), OK);
    assert_false(ws_has_output(&ws));
    for (int i = 0; i < 3; i++) {
        assert_true(str_is(sent_frame(&at, &first), words[i]));
        assert_int_equal(first, i == 2 ? 0x82 : 0x81);
    }
    assert_int_equal(at, m.out_n);
}

/* The lengths around everything that changes a header, behind others that leave little room. */
static void ws_sends_every_length(void **state)
{
    static const size_t lengths[] = {0,
                                     1,
                                     125,
                                     126,
                                     127,
                                     4096,
                                     WS_OUTPUT - 14,
                                     WS_OUTPUT - 9,
                                     WS_OUTPUT - 8,
                                     WS_OUTPUT - 7,
                                     WS_OUTPUT,
                                     2 * WS_OUTPUT - 17,
                                     2 * WS_OUTPUT - 16,
                                     2 * WS_OUTPUT - 15,
                                     60000,
                                     65535,
                                     65536};
    static char text[65536], got[65536];
    unsigned char first = 0;
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t before = 0; before < 20; before++) {
            size_t at = 0, n = 0, frames = 0;
            begin(before % 2 == 0 ? 4096 : 1000);
            assert_int_equal(ws_send(&ws, str_range(text, before * (WS_OUTPUT / 19)), true), OK);
            assert_int_equal(send_whole(str_range(text, lengths[i]), false), OK);
            while (n < before * (WS_OUTPUT / 19) || frames == 0) {
                n += sent_frame(&at, &first).n;
                assert_int_equal(first, (frames++ == 0 ? 1 : 0) |
                                            (n == before * (WS_OUTPUT / 19) ? 0x80 : 0));
            }
            n = frames = 0;
            do {
                struct str piece = sent_frame(&at, &first);
                memcpy(got + n, piece.p, piece.n);
                n += piece.n;
                assert_int_equal(first, (frames++ == 0 ? 2 : 0) | (n == lengths[i] ? 0x80 : 0));
                assert_true(piece.n > 0 || lengths[i] == 0);
            } while ((first & 0x80) == 0);
            assert_int_equal(n, lengths[i]);
            assert_memory_equal(got, text, n);
            assert_int_equal(at, m.out_n);
        }
}

static void ws_answers_the_latest_ping_inside_a_message(void **state)
{
    static char text[60000];
    unsigned char first;
    size_t at = 0, n = 0, pong_at = 0, refused;
    (void)state;
    memset(text, 'x', sizeof text);
    begin(4096);
    m.room = refused = 10000;
    assert_int_equal(ws_send(&ws, str_range(text, sizeof text), true), ERR_AGAIN);
    for (int i = 0; i < 100; i++)
        FEED("\x89\x03one");
    FEED("\x89\x03two");
    assert_nothing();
    ws_ping(&ws);
    m.room = sizeof m.out - m.out_n;
    assert_int_equal(ws_send(&ws, str_range(text, sizeof text), true), OK);
    assert_int_equal(ws_flush(&ws), OK);
    do {
        struct str payload = sent_frame(&at, &first);
        if ((first & 0x08) == 0) {
            assert_int_equal(first & 0x7F, n == 0 ? 1 : 0);
            n += payload.n;
        } else if (first == 0x8A) {
            assert_int_equal(pong_at, 0);
            assert_true(str_is(payload, "two"));
            pong_at = at;
        } else {
            assert_int_equal(first, 0x89);
        }
    } while (first != 0x80);
    assert_int_equal(n, sizeof text);
    assert_int_equal(at, m.out_n);
    /* What was framed already goes first, and no more than that. */
    assert_in_range(pong_at, refused, refused + WS_OUTPUT + WEBSOCKET_CONTROL_MAX);
    assert_false(ws_has_output(&ws));
}

static void ws_closes_inside_a_message(void **state)
{
    static char text[60000];
    unsigned char first;
    size_t at = 0;
    (void)state;
    begin(4096);
    m.room = 10000;
    assert_int_equal(ws_send(&ws, str_range(text, sizeof text), true), ERR_AGAIN);
    ws_close(&ws, 1001, "enough");
    m.room = sizeof m.out - m.out_n;
    assert_int_equal(ws_flush(&ws), OK);
    assert_true(ws_close_is_sent(&ws));
    do
        (void)sent_frame(&at, &first);
    while ((first & 0x08) == 0);
    assert_int_equal(first, 0x88);
    assert_int_equal(at, m.out_n);
    assert_true(at < 10000 + 2 * WS_OUTPUT);
    assert_int_equal(send_whole(STR("late"), true), ERR_END);
    assert_int_equal(at, m.out_n);
}

/* A TLS transport that could not send must be offered the same bytes again. */
static void ws_changes_nothing_that_was_offered(void **state)
{
    (void)state;
    begin(4096);
    m.room = 3;
    assert_int_equal(send_whole(STR("one"), true), ERR_AGAIN);
    assert_int_equal(m.offered.n, 9 - 3);
    ws_ping(&ws);
    assert_int_equal(ws_send(&ws, STR("two"), true), ERR_AGAIN);
    assert_int_equal(m.offered.n, 9 - 3);
    assert_int_equal(ws_flush(&ws), ERR_AGAIN);
    assert_int_equal(m.offered.n, 9 - 3);
    m.room = 100;
    assert_int_equal(send_whole(STR("two"), true), OK);
    assert_int_equal(m.out_n, 9 + 13 + 9);
}

static void ws_drops_what_comes_after_a_fault(void **state)
{
    struct str message;
    bool is_text;
    (void)state;
    begin(4096);
    FEED("\x83\x00\x81\x02ok");
    m.eof = true;
    assert_int_equal(receive(&message, &is_text), ERR_SYNTAX);
    for (int i = 0; i < 100; i++)
        FEED("\x81\x03"
             "more");
    enum err err;
    while ((err = ws_discard(&ws)) == ERR_AGAIN)
        ;
    assert_int_equal(err, ERR_END);
    assert_int_equal(m.in_at, m.in_n);
}

static void ws_sends_nothing_after_its_close(void **state)
{
    unsigned char first;
    size_t at = 0, n;
    (void)state;
    begin(4096);
    ws_close(&ws, 1001, "so long");
    ws_close(&ws, 4400, "twice");
    assert_int_equal(ws_send(&ws, STR("late"), true), ERR_END);
    n = m.out_n;
    FEED("\x89\x01x");
    assert_nothing();
    ws_ping(&ws);
    assert_int_equal(ws_flush(&ws), OK);
    assert_int_equal(m.out_n, n);
    struct str payload = sent_frame(&at, &first);
    assert_int_equal(first, 0x88);
    assert_true(str_equal(payload, STR("\x03\xE9so long")));
}

static void ws_cuts_a_long_reason_between_characters(void **state)
{
    char reason[200] = {0};
    unsigned char first;
    size_t at = 0;
    (void)state;
    memset(reason, 'r', 122);
    strcat(reason, "\xC3\xA4 and more");
    begin(4096);
    ws_close(&ws, 1000, reason);
    assert_int_equal(ws_flush(&ws), OK);
    assert_int_equal(sent_frame(&at, &first).n, 2 + 122);
}

/* --- one context for many connections ----------------------------------------------------------------------------------- */

static void ws_starts_anew_wherever_it_was_cut(void **state)
{
    static char text[WS_OUTPUT + 10000];
    struct str message;
    bool is_text;
    size_t at;
    unsigned char first;
    static const char frames[] = "\x01\x05hello\x89\x03pin\x80\x7E\x00\x80";
    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t cut = 0; cut < sizeof frames; cut++) {
        begin(1);
        feed(frames, cut);
        assert_int_equal(receive(&message, &is_text), ERR_AGAIN);
        m.room = 5000 + cut;
        assert_int_equal(ws_send(&ws, str_range(text, sizeof text), true), ERR_AGAIN);
        begin(4096);
        FEED("\x81\x02ok");
        assert_message("ok", true);
        assert_int_equal(send_whole(STR("fine"), true), OK);
        at = 0;
        assert_true(str_is(sent_frame(&at, &first), "fine"));
    }
    /* and after frames that were refused */
    FAULT(1009, "\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    FAULT(1007, "\x81\x7E\x01\x00\xFF");
    begin(4096);
    FEED("\x81\x02ok");
    assert_message("ok", true);
}

static void ws_server_wants_masks(void **state)
{
    struct ws server;
    struct str message;
    bool is_text;
    (void)state;
    assert_int_equal(ws_open(&server, WS_SERVER), OK);
    begin(4096);
    assert_int_equal(send_whole(STR("masked"), true), OK);
    feed(m.out, m.out_n);
    FEED("\x81\x01x");
    ws_reset(&server, &m.transport, buffer, sizeof buffer);
    assert_int_equal(ws_receive(&server, &message, &is_text), OK);
    assert_true(str_is(message, "masked"));
    assert_int_equal(ws_receive(&server, &message, &is_text), ERR_SYNTAX);
    assert_int_equal(server.fault_code, 1002);
    ws_free(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_takes_messages_in_any_split),
        cmocka_unit_test(ws_takes_a_message_of_the_limit_and_not_more),
        cmocka_unit_test(ws_refuses_what_the_rfc_forbids),
        cmocka_unit_test(ws_refuses_text_that_is_not_utf8),
        cmocka_unit_test(ws_takes_the_close_frame),
        cmocka_unit_test(ws_tells_an_end_without_close),
        cmocka_unit_test(ws_masks_with_keys_that_differ),
        cmocka_unit_test(ws_sends_short_messages_in_one_piece),
        cmocka_unit_test(ws_sends_every_length),
        cmocka_unit_test(ws_answers_the_latest_ping_inside_a_message),
        cmocka_unit_test(ws_closes_inside_a_message),
        cmocka_unit_test(ws_changes_nothing_that_was_offered),
        cmocka_unit_test(ws_drops_what_comes_after_a_fault),
        cmocka_unit_test(ws_sends_nothing_after_its_close),
        cmocka_unit_test(ws_cuts_a_long_reason_between_characters),
        cmocka_unit_test(ws_starts_anew_wherever_it_was_cut),
        cmocka_unit_test(ws_server_wants_masks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
