/* The server's side of a WebSocket: rules and limits, and that any split of the bytes gives the same messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/ws_server.h"

#include <string.h>

#define MESSAGE_MAX 1000

struct rig {
    struct buffer in, out;
    struct ws_server ws;
};

static struct rig *open_rig(struct rig *rig)
{
    *rig = (struct rig){.in = {.p = NULL}};
    assert_int_equal(ws_server_open(&rig->ws, &rig->in, &rig->out, MESSAGE_MAX), OK);
    return rig;
}

static void close_rig(struct rig *rig)
{
    ws_server_free(&rig->ws);
    buffer_free(&rig->in);
    buffer_free(&rig->out);
}

/* A client's frame, masked. */
static void put_frame(struct buffer *to, unsigned first, struct str payload)
{
    static const unsigned char key[4] = {1, 2, 3, 4};
    char head[8];
    struct out out = OUT_ON(head);

    out_byte(&out, (char)first);
    if (payload.n < 126) {
        out_byte(&out, (char)(0x80 | payload.n));
    } else {
        out_byte(&out, (char)(0x80 | 126));
        out_byte(&out, (char)(payload.n >> 8));
        out_byte(&out, (char)(payload.n & 0xff));
    }
    out_str(&out, str_range((const char *)key, 4));
    assert_true(buffer_put(to, out_view(&out)));
    for (size_t i = 0; i < payload.n; i++) {
        char c = (char)(payload.p[i] ^ (char)key[i % 4]);
        assert_true(buffer_put(to, str_range(&c, 1)));
    }
}

/* The code of the close frame at the end of the output; 0 when there is none. */
static unsigned close_sent(const struct rig *rig)
{
    struct str out = buffer_view(&rig->out);

    for (size_t i = 0; i + 1 < out.n;) {
        size_t n = (unsigned char)out.p[i + 1] & 0x7fu;
        assert_true(n < 126);
        if ((unsigned char)out.p[i] == 0x88)
            return n < 2 ? WS_NO_STATUS
                         : (unsigned)(unsigned char)out.p[i + 2] << 8 | (unsigned char)out.p[i + 3];
        i += 2 + n;
    }
    return 0;
}

static void any_split_gives_the_same_messages(void **state)
{
    (void)state;
    struct buffer all = {.p = NULL};
    struct rig rig;
    size_t count = 0;
    char big[300];

    memset(big, 'x', sizeof big);
    put_frame(&all, 0x81, STR("one"));
    put_frame(&all, 0x01, STR("tw\xc3"));
    put_frame(&all, 0x89, STR("ping"));
    put_frame(&all, 0x00, STR(""));
    put_frame(&all, 0x80, STR("\xb6"));
    put_frame(&all, 0x81, STR(""));
    put_frame(&all, 0x81, str_range(big, sizeof big));
    struct str bytes = buffer_view(&all);
    const struct str expected[] = {STR("one"), STR("tw\xc3\xb6"), STR(""),
                                   str_range(big, sizeof big)};

    for (size_t step = 1; step <= bytes.n; step++) {
        open_rig(&rig);
        count = 0;
        for (size_t at = 0; at < bytes.n; at += step) {
            struct str message;
            const char *reason = "";
            enum err err;
            assert_true(buffer_put(&rig.in, str_head(str_from(bytes, at), step)));
            while ((err = ws_server_next(&rig.ws, &message, &reason)) == OK) {
                assert_true(count < 4 && str_equal(message, expected[count]));
                count++;
            }
            assert_int_equal(err, ERR_AGAIN);
        }
        assert_int_equal(count, 4);
        assert_true(str_equal(buffer_view(&rig.out), STR("\x8a\x04ping")));
        close_rig(&rig);
    }
    buffer_free(&all);
}

static void rules_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct str bytes;
        unsigned code;
    } cases[] = {
        {"unmasked", {"\x81\x00", 2}, WS_PROTOCOL},
        {"reserved bit", {"\xc1\x80", 2}, WS_PROTOCOL},
        {"unknown opcode", {"\x83\x80", 2}, WS_PROTOCOL},
        {"unknown control opcode", {"\x8b\x80", 2}, WS_PROTOCOL},
        {"binary", {"\x82\x80", 2}, WS_UNSUPPORTED},
        {"continuation of nothing", {"\x80\x80", 2}, WS_PROTOCOL},
        {"text within a text", {"\x01\x80\0\0\0\0\x81\x80", 8}, WS_PROTOCOL},
        {"fragmented ping", {"\x09\x80", 2}, WS_PROTOCOL},
        {"long pong", {"\x8a\xfe", 2}, WS_PROTOCOL},
        {"16 bits for a short length", {"\x81\xfe\x00\x7d", 4}, WS_PROTOCOL},
        {"64 bits for a short length", {"\x81\xff\0\0\0\0\0\0\xff\xff", 10}, WS_PROTOCOL},
        {"64 bits, the highest set", {"\x81\xff\x80\0\0\0\0\0\0\0", 10}, WS_PROTOCOL},
        {"too large, by its header", {"\x81\xfe\x03\xe9", 4}, WS_TOO_LARGE},
        {"bad UTF-8 at its byte, before the frame's end", {"\x81\x85\0\0\0\0\xff", 7}, WS_BAD_DATA},
        {"a character cut off", {"\x81\x81\0\0\0\0\xc3", 7}, WS_BAD_DATA},
        {"close of one byte", {"\x88\x81\0\0\0\0\x03", 7}, WS_PROTOCOL},
        {"close with 1005", {"\x88\x82\0\0\0\0\x03\xed", 8}, WS_PROTOCOL},
        {"close with 999", {"\x88\x82\0\0\0\0\x03\xe7", 8}, WS_PROTOCOL},
        {"close with a bad reason", {"\x88\x83\0\0\0\0\x03\xe8\xff", 9}, WS_BAD_DATA},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        struct str message;
        const char *reason = "";
        open_rig(&rig);
        assert_true(buffer_put(&rig.in, cases[i].bytes));
        if (ws_server_next(&rig.ws, &message, &reason) != ERR_INVALID ||
            close_sent(&rig) != cases[i].code || reason[0] == '\0')
            fail_msg("%s: closed with %u, not %u", cases[i].name, close_sent(&rig), cases[i].code);
        close_rig(&rig);
    }
}

static void fragments_count_together(void **state)
{
    (void)state;
    struct rig rig;
    struct str message;
    const char *reason = "";
    char half[600];

    memset(half, 'x', sizeof half);
    open_rig(&rig);
    put_frame(&rig.in, 0x01, str_range(half, 600));
    put_frame(&rig.in, 0x80, str_range(half, 400));
    assert_int_equal(ws_server_next(&rig.ws, &message, &reason), OK);
    assert_int_equal(message.n, MESSAGE_MAX);
    put_frame(&rig.in, 0x01, str_range(half, 600));
    put_frame(&rig.in, 0x80, str_range(half, 401));
    assert_int_equal(ws_server_next(&rig.ws, &message, &reason), ERR_INVALID);
    assert_int_equal(close_sent(&rig), WS_TOO_LARGE);
    close_rig(&rig);
}

static void close_is_answered_and_ends_sending(void **state)
{
    (void)state;
    struct rig rig;
    struct str message;
    const char *reason = "";

    open_rig(&rig);
    put_frame(&rig.in, 0x88,
              STR("\x0f\xa0"
                  "bye"));
    put_frame(&rig.in, 0x81, STR("late"));
    assert_int_equal(ws_server_next(&rig.ws, &message, &reason), ERR_END);
    assert_int_equal(rig.ws.close_code, 4000);
    assert_int_equal(close_sent(&rig), 4000);
    assert_false(ws_server_send(&rig.ws, STR("no more")));
    assert_false(ws_server_ping(&rig.ws));
    close_rig(&rig);

    open_rig(&rig);
    assert_true(ws_server_close(&rig.ws, 4409, STR("gone")));
    put_frame(&rig.in, 0x81, STR("still coming"));
    put_frame(&rig.in, 0x89, STR("ping"));
    put_frame(&rig.in, 0x88, STR(""));
    assert_int_equal(ws_server_next(&rig.ws, &message, &reason), OK);
    assert_int_equal(ws_server_next(&rig.ws, &message, &reason), ERR_END);
    assert_int_equal(rig.ws.close_code, WS_NO_STATUS);
    assert_true(str_equal(buffer_view(&rig.out), STR("\x88\x06\x11\x39gone")));
    close_rig(&rig);
}

static void long_reasons_are_cut_between_characters(void **state)
{
    (void)state;
    struct rig rig;
    char reason[200];

    memset(reason, 'a', sizeof reason);
    memcpy(reason + WEBSOCKET_REASON_MAX - 1, "\xc3\xa9",
           2); /* the limit falls between its two bytes */
    open_rig(&rig);
    assert_true(ws_server_close(&rig.ws, 4400, str_range(reason, sizeof reason)));
    assert_int_equal(buffer_view(&rig.out).n, 2 + 2 + WEBSOCKET_REASON_MAX - 1);
    close_rig(&rig);
}

static void frames_of_all_lengths_are_sent(void **state)
{
    (void)state;
    static char text[70000];
    static const struct {
        size_t n, head;
    } cases[] = {{0, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {70000, 10}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        open_rig(&rig);
        assert_true(ws_server_send(&rig.ws, str_range(text, cases[i].n)));
        assert_int_equal(buffer_view(&rig.out).n, cases[i].head + cases[i].n);
        assert_int_equal((unsigned char)buffer_view(&rig.out).p[0], 0x81);
        close_rig(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_messages),
        cmocka_unit_test(rules_are_kept),
        cmocka_unit_test(fragments_count_together),
        cmocka_unit_test(close_is_answered_and_ends_sending),
        cmocka_unit_test(long_reasons_are_cut_between_characters),
        cmocka_unit_test(frames_of_all_lengths_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
