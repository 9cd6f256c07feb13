/* The request reader: what is a request, what is refused and with which status, and that any split of the bytes gives
 * the same answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/http_request.h"

#include <string.h>

static enum err read_whole(const char *text, struct http_request *request)
{
    size_t searched = 0;
    return http_request_read(str_of(text), &searched, request);
}

static void assert_text(struct str text, const char *expected)
{
    if (!str_is(text, expected))
        fail_msg("read \"%.*s\", not \"%s\"", STR_ARG(text), expected);
}

static void request_line_and_headers_are_read(void **state)
{
    (void)state;
    struct http_request request;
    const char *text =
        "GET /v1/runs/r%2D1/events?after=5&limit=2 HTTP/1.1\r\nHost: example\r\n"
        "Accept: text/html, text/event-stream;q=0.5\r\nX-Empty:\r\nX-Blank: \t a b \t\r\n\r\nrest";

    assert_int_equal(read_whole(text, &request), OK);
    assert_int_equal(request.method, HTTP_GET);
    assert_text(request.path, "/v1/runs/r%2D1/events");
    assert_text(request.query, "after=5&limit=2");
    assert_int_equal(request.minor, 1);
    assert_true(request.keep_alive);
    assert_int_equal(request.content_length, 0);
    assert_int_equal(request.head_bytes, strlen(text) - 4);
    assert_text(http_request_header(&request, "HOST"), "example");
    assert_text(http_request_header(&request, "x-empty"), "");
    assert_text(http_request_header(&request, "x-blank"), "a b");
    assert_int_equal(http_request_header(&request, "none").n, 0);
    assert_true(http_request_lists(&request, "accept", "text/event-stream"));
    assert_false(http_request_lists(&request, "accept", "text"));
}

static void any_split_gives_the_same_answer(void **state)
{
    (void)state;
    const char *text = "\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    struct str whole = str_of(text);
    struct http_request request;
    size_t searched = 0;

    for (size_t n = 1; n < whole.n - 3; n++)
        assert_int_equal(http_request_read(str_head(whole, n), &searched, &request), ERR_AGAIN);
    assert_int_equal(http_request_read(whole, &searched, &request), OK);
    assert_int_equal(request.head_bytes, whole.n - 3);
    assert_int_equal(request.content_length, 3);
    assert_int_equal(request.method, HTTP_POST);
}

static void connections_are_kept_or_closed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.9\r\nHost: x\r\n\r\n", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request request;
        assert_int_equal(read_whole(cases[i].text, &request), OK);
        assert_int_equal(request.keep_alive, cases[i].keep);
    }
}

static void what_others_might_read_differently_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"\x16\x03\x01", 400},
        {" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400},
        {"GET / http/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nName : y\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nName: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nName: a\nB: c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nName: \x01\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: more\r\n\r\n", 417},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request request;
        if (read_whole(cases[i].text, &request) != ERR_INVALID ||
            request.status != cases[i].status || request.reason[0] == '\0')
            fail_msg("case %zu: status %u, not %u", i, request.status, cases[i].status);
    }
}

static void a_nul_is_refused(void **state)
{
    (void)state;
    static const char text[] = "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n";
    struct http_request request;
    size_t searched = 0;

    assert_int_equal(http_request_read(str_range(text, sizeof text - 1), &searched, &request),
                     ERR_INVALID);
}

static void heads_are_bounded(void **state)
{
    (void)state;
    static char text[GATEWAY_HEAD + 16];
    struct out out = OUT_ON(text);
    struct http_request request;
    size_t searched = 0;

    out_text(&out, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
    while (out.n < GATEWAY_HEAD - 1)
        out_byte(&out, 'a');
    assert_int_equal(http_request_read(out_view(&out), &searched, &request), ERR_AGAIN);
    out_byte(&out, 'a');
    assert_int_equal(http_request_read(out_view(&out), &searched, &request), ERR_INVALID);
    assert_int_equal(request.status, 431);
    out_reset(&out);
    out_text(&out, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < GATEWAY_HEADERS; i++)
        out_text(&out, "A: b\r\n");
    out_text(&out, "\r\n");
    searched = 0;
    assert_int_equal(http_request_read(out_view(&out), &searched, &request), ERR_INVALID);
    assert_int_equal(request.status, 431);
}

static void expect_continue_is_seen(void **state)
{
    (void)state;
    struct http_request request;

    assert_int_equal(
        read_whole(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n",
            &request),
        OK);
    assert_true(request.expects_continue);
    assert_int_equal(
        read_whole("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
                   &request),
        OK);
    assert_false(request.expects_continue);
}

static void paths_and_queries_are_decoded(void **state)
{
    (void)state;
    struct str path = STR("/v1//a%2Fb"), segment;
    char text[8];

    assert_true(http_path_next(&path, &segment));
    assert_text(segment, "v1");
    assert_true(http_path_next(&path, &segment));
    assert_text(segment, "");
    assert_true(http_path_next(&path, &segment));
    assert_true(http_decode(segment, text, sizeof text));
    assert_string_equal(text, "a/b");
    assert_false(http_path_next(&path, &segment));
    assert_false(http_decode(STR("%4"), text, sizeof text));
    assert_false(http_decode(STR("%zz"), text, sizeof text));
    assert_false(http_decode(STR("%00"), text, sizeof text));
    assert_false(http_decode(STR("12345678"), text, sizeof text));
    assert_true(http_decode(STR("%41"), text, sizeof text));
    assert_string_equal(text, "A");

    assert_int_equal(http_query(STR("a=1&b=x+y%21&c"), "b", text, sizeof text), OK);
    assert_string_equal(text, "x y!");
    assert_int_equal(http_query(STR("a=1&c"), "c", text, sizeof text), OK);
    assert_string_equal(text, "");
    assert_int_equal(http_query(STR("a=1"), "b", text, sizeof text), ERR_NOT_FOUND);
    assert_int_equal(http_query(STR(""), "b", text, sizeof text), ERR_NOT_FOUND);
    assert_int_equal(http_query(STR("a=1&a=2"), "a", text, sizeof text), ERR_INVALID);
    assert_int_equal(http_query(STR("a=%"), "a", text, sizeof text), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_line_and_headers_are_read),
        cmocka_unit_test(any_split_gives_the_same_answer),
        cmocka_unit_test(connections_are_kept_or_closed),
        cmocka_unit_test(what_others_might_read_differently_is_refused),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(expect_continue_is_seen),
        cmocka_unit_test(paths_and_queries_are_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
