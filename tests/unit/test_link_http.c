/* What the link says and takes in HTTP before there is a WebSocket: strict heads in every split, dates, redirects, proxies and
 * who goes around them. */
#include "link/proxy.h"
#include "link/redirect.h"
#include "link/upgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- heads ---------------------------------------------------------------------------------------------------------- */

static struct upgrade upgrade;
static char head[ANSWER_HEAD_MAX];

static enum err feed_in_two(struct str text, size_t cut)
{
    static const unsigned char key[16] = "the sample nonce";
    static const struct url url = {.host = "h", .port = 80, .path = "/"};
    static char request[2048];
    struct out out = OUT_ON(request);
    struct str parts[2] = {str_head(text, cut), str_from(text, cut)};
    enum err err = ERR_AGAIN;
    size_t taken;

    upgrade_start(&upgrade, head, sizeof head, 0, key, &url, UPGRADE_PROTOCOL, STR_NONE, &out);
    for (int i = 0; i < 2; i++)
        while (err == ERR_AGAIN && parts[i].n > 0) {
            err = upgrade_feed(&upgrade, parts[i], &taken);
            assert_true(taken > 0);
            parts[i] = str_from(parts[i], taken);
        }
    return err == ERR_AGAIN ? upgrade_end(&upgrade) : err;
}

#define START "HTTP/1.1 101 Switching Protocols\r\n"
#define GOOD                                                                                       \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define FOUR                                                                                       \
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nRetry-After: 9\r\n\r\n"   \
    "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
#define EIGHT FOUR FOUR
#define PROTO "Sec-WebSocket-Protocol: charter.v1\r\n"

static void an_answer_may_be_cut_anywhere(void **state)
{
    static const char *const answers[] = {START GOOD PROTO "\r\n",
                                          START "Server: a b\tc \r\nX-Empty:\r\n" GOOD PROTO "\r\n",
                                          EIGHT START GOOD PROTO "\r\n"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct str text = str_of(answers[i]);
        for (size_t cut = 0; cut <= text.n; cut++)
            assert_int_equal(feed_in_two(text, cut), OK);
        for (size_t n = 0; n < text.n; n++)
            assert_int_equal(feed_in_two(str_head(text, n), n / 2), ERR_SYNTAX);
    }
}

static void a_refusal_names_the_header(void **state)
{
    static const struct {
        const char *answer, *words;
    } cases[] = {
        {START GOOD PROTO "X-Long: a\r\n folded\r\n\r\n", "a line folded in the header \"X-Long\""},
        {START GOOD PROTO "X-Tab: a\r\n\tfolded\r\n\r\n", "a line folded in the header \"X-Tab\""},
        {START " Upgrade: websocket\r\n\r\n", "a line folded in its first line"},
        {START GOOD PROTO "X-Blank : a\r\n\r\n",
         "a blank before the colon in the header \"X-Blank \""},
        {START GOOD PROTO "X-Feed: a\n\r\n", "a bare LF in the header \"X-Feed\""},
        {START GOOD PROTO "X-Return: a\rb\r\n\r\n", "a bare CR in the header \"X-Return\""},
        {START GOOD PROTO "X-Bell: a\ab\r\n\r\n", "a control byte in the header \"X-Bell\""},
        {START GOOD PROTO "X-None\r\n\r\n", "no colon in the header \"X-None"},
        {START GOOD PROTO ": a\r\n\r\n", "no name in the header \"\""},
        {START GOOD PROTO "X(: a\r\n\r\n", "a byte that no name may have in the header \"X(\""},
        {"HTTP/1.1 101 a\nUpgrade", "a bare LF in its first line"},
        {"HTTP/1.0 101 a\r\n" GOOD PROTO "\r\n", "HTTP/1.0 cannot switch"},
        {EIGHT EIGHT START GOOD PROTO "\r\n", "more than 8 answers of HTTP 100"},
        {EIGHT "HTTP/1.1 103 Early Hints\nLink: x\r\n\r\n", "a bare LF in its first line"},
        {EIGHT "HTTP/1.0 101 a\r\n" GOOD PROTO "\r\n", "HTTP/1.0 cannot switch"},
        {START GOOD GOOD PROTO "\r\n", "Sec-WebSocket-Accept is given twice"},
        {START GOOD "Upgrade: websocket\r\n" PROTO "\r\n", "Upgrade is given twice"},
        {START GOOD PROTO PROTO "\r\n", "Sec-WebSocket-Protocol is given twice"},
        {START "Connection: upgrade\r\n" PROTO "\r\n", "\"Upgrade: websocket\" is missing"},
        {START "Upgrade: h2c\r\nConnection: upgrade\r\n" PROTO "\r\n",
         "Upgrade is not \"websocket\""},
        {START "Upgrade: websocket\r\nConnection: upgrade\r\n" PROTO "\r\n",
         "Sec-WebSocket-Accept is missing"},
        {START GOOD PROTO "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
         "Sec-WebSocket-Extensions selects"},
        {START GOOD "\r\n", "subprotocol charter.v1"},
        {"ICY 200 OK\r\n\r\n", "no HTTP/1.1 status line"},
        {"HTTP/1.1 99 x\r\n\r\n", "no HTTP/1.1 status line"},
        {"HTTP/1.1 700 x\r\n\r\n", "no HTTP/1.1 status line"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str text = str_of(cases[i].answer);
        for (size_t cut = 0; cut <= text.n; cut++) {
            enum err err = feed_in_two(text, cut);
            if (err != ERR_SYNTAX || strstr(upgrade.answer.reason, cases[i].words) == NULL)
                fail_msg("case %zu cut at %zu: %d \"%s\", wanted \"%s\"", i, cut, err,
                         upgrade.answer.reason, cases[i].words);
        }
    }
    struct str nul = STR(START "X-Nul: \0\r\n\r\n");
    assert_int_equal(feed_in_two(nul, 5), ERR_SYNTAX);
    assert_non_null(strstr(upgrade.answer.reason, "a NUL in the header \"X-Nul\""));
    struct str high = STR(START "X\xFF\x01: a\r\n\r\n");
    assert_int_equal(feed_in_two(high, 5), ERR_SYNTAX);
    for (const char *p = upgrade.answer.reason; *p != '\0'; p++)
        assert_in_range(*p, ' ', '~');
}

static void without_a_subprotocol_none_may_be_selected(void **state)
{
    static const unsigned char key[16] = "the sample nonce";
    static const struct url url = {.host = "h", .port = 80, .path = "/"};
    char request[1024];
    size_t taken;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct out out = OUT_ON(request);
        upgrade_start(&upgrade, head, sizeof head, 0, key, &url, NULL, STR_NONE, &out);
        assert_null(strstr(out_cstr(&out), "Protocol"));
        assert_int_equal(
            upgrade_feed(&upgrade, i == 0 ? STR(START GOOD "\r\n") : STR(START GOOD PROTO "\r\n"),
                         &taken),
            i == 0 ? OK : ERR_SYNTAX);
    }
}

/* The first line of a body, whatever its framing is, in every split. */
static void a_refusals_first_line_is_read_in_any_framing(void **state)
{
    static const struct {
        const char *answer, *line;
    } cases[] = {
        {"HTTP/1.1 500 x\r\n\r\nthe line\nmore", "the line"},
        {"HTTP/1.1 500 x\r\nContent-Length: 8\r\n\r\nthe linemore", "the line"},
        {"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nthe\r\n5\r\n line\r\n0\r\n\r\n",
         "the line"},
        {"HTTP/1.1 500 x\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n8;name=abc\r\nthe line\r\n0\r\n\r\n",
         "the line"},
        {"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
        {"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nthe line\r\n", ""},
        {"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nthe line\r\n",
         "the line"},
        {"HTTP/1.1 500 x\r\nContent-Length: 99999999999999999999\r\n\r\nthe line\r\n", "the line"},
        {"HTTP/1.1 500 x\r\nContent-Length: nonsense\r\n\r\n\r\n\nthe line\r\n", "the line"},
        {"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", ""},
        {"HTTP/1.0 500 x\r\n\r\na\x1B[2Jb\xC3\xA4", "a?[2Jb??"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str text = str_of(cases[i].answer);
        for (size_t cut = 0; cut <= text.n; cut++) {
            assert_int_equal(feed_in_two(text, cut), ERR_REFUSED);
            assert_string_equal(upgrade.answer.line, cases[i].line);
        }
    }
}

static void a_refusals_body_is_read_up_to_a_limit(void **state)
{
    static char text[100000];
    size_t n = (size_t)snprintf(text, sizeof text, "HTTP/1.1 500 x\r\n\r\n"), taken = 0;
    struct str rest = str_range(text, sizeof text);
    (void)state;
    memset(text + n, 'x', sizeof text - n);
    (void)feed_in_two(str_head(rest, n), 1);
    assert_int_equal(upgrade_feed(&upgrade, str_from(rest, n), &taken), ERR_REFUSED);
    assert_in_range(taken, 1, ANSWER_BODY_MAX);
    assert_int_equal(strlen(upgrade.answer.line), ANSWER_LINE - 1);
}

/* --- dates ---------------------------------------------------------------------------------------------------------- */

static void all_three_forms_of_dates_are_read(void **state)
{
    static const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                       "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994"};
    static const char *const bad[] = {"",
                                      "Sun",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 CET",
                                      "Sun, 06 Nox 1994 08:49:37 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 94 08:49:37 GMT",
                                      "06-Nov-94 08:49:37 GMT",
                                      "Sun Nov 6 08:49:37 1994",
                                      "Sun Nov  6 08:49:37 94",
                                      "1994-11-06T08:49:37Z"};
    int64_t at;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(http_date(str_of(same[i]), INT64_C(1769860800000), &at));
        assert_int_equal(at, INT64_C(784111777000));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (http_date(str_of(bad[i]), 0, &at))
            fail_msg("taken: %s", bad[i]);
    /* two digits are of this century, unless that is more than fifty years ahead */
    assert_true(http_date(STR("Saturday, 31-Jan-26 12:00:00 GMT"), INT64_C(1769860800000), &at));
    assert_int_equal(at, INT64_C(1769860800000));
    assert_true(http_date(STR("Thursday, 29-Feb-24 00:00:00 GMT"), INT64_C(1769860800000), &at));
    assert_int_equal(at, INT64_C(1709164800000));
}

static void retry_after_follows_the_clock_of_who_wrote_it(void **state)
{
    (void)state;
    struct str text =
        STR("HTTP/1.1 503 x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 "
            "Nov 1994 08:50:07 GMT\r\nContent-Length: 0\r\n\r\n");
    for (size_t cut = 0; cut < text.n; cut++) {
        assert_int_equal(feed_in_two(text, cut), ERR_REFUSED);
        assert_int_equal(upgrade.answer.retry_after_ms, 30000); /* our clock stands in 1970 */
    }
    int64_t wait;
    assert_true(http_retry_after(STR("99999999999999999999999"), 0, &wait));
    assert_int_equal(wait, 86400000);
    assert_true(http_retry_after(STR("0"), 0, &wait));
    assert_int_equal(wait, 0);
    assert_false(http_retry_after(STR("1.5"), 0, &wait));
    assert_false(http_retry_after(STR(""), 0, &wait));
}

/* --- redirects ------------------------------------------------------------------------------------------------------ */

static void redirects_resolve_and_stay_home_or_go_to_tls(void **state)
{
    static const struct {
        const char *from, *location, *origin, *path; /* origin NULL: not followed */
    } cases[] = {
        {"http://gw:81/a/b?q", "/c", "http://gw:81", "/c"},
        {"http://gw:81/a/b?q", "c", "http://gw:81", "/a/c"},
        {"http://gw:81/a/b?q", "./c/", "http://gw:81", "/a/c/"},
        {"http://gw:81/a/b?q", "../c", "http://gw:81", "/c"},
        {"http://gw:81/a/b?q", "../../../../c", "http://gw:81", "/c"},
        {"http://gw:81/a/b?q", "..", "http://gw:81", "/"},
        {"http://gw:81/a/b?q", ".", "http://gw:81", "/a/"},
        {"http://gw:81/a/b?q", "?new=1", "http://gw:81", "/a/b?new=1"},
        {"http://gw:81/a/b?q", "#top", "http://gw:81", "/a/b?q"},
        {"http://gw:81/a/b", "c?d=/../e#f", "http://gw:81", "/a/c?d=/../e"},
        {"http://gw:81/a", "http://gw:81/x", "http://gw:81", "/x"},
        {"http://gw:81/a", "ws://GW:81/x/../y", "http://GW:81", "/y"},
        {"http://gw:81/a", "HTTP://gw:81", "http://gw:81", "/"},
        {"http://gw/a", "//gw/x", "http://gw", "/x"},
        {"http://gw/a", "http://gw:80/x", "http://gw", "/x"},
        {"http://gw/a", "https://other/x", "https://other", "/x"},
        {"http://gw/a", "wss://other:444/x", "https://other:444", "/x"},
        {"http://gw/a", "https://gw/x", "https://gw", "/x"},
        {"https://gw/a", "https://other/x", "https://other", "/x"},
        {"https://gw/a", "//other/x", "https://other", "/x"},
        {"http://[::1]:81/a", "b", "http://[::1]:81", "/b"},
        {"http://gw:81/a", "http://gw:82/x", NULL, NULL},
        {"http://gw:81/a", "http://gw/x", NULL, NULL},
        {"http://gw:81/a", "http://other:81/x", NULL, NULL},
        {"http://gw:81/a", "//other:81/x", NULL, NULL},
        {"http://gw:81/a", "http://gw.:81/x", NULL, NULL},
        {"https://gw/a", "http://gw/x", NULL, NULL},
        {"https://gw/a", "http://gw:443/x", NULL, NULL},
        {"http://gw:81/a", "", NULL, NULL},
        {"http://gw:81/a", "ftp://gw:81/", NULL, NULL},
        {"http://gw:81/a", "javascript:alert(1)", NULL, NULL},
        {"http://gw:81/a", "mailto:a@b", NULL, NULL},
        {"http://gw:81/a", "http://user:pw@gw:81/x", NULL, NULL},
        {"http://gw:81/a", "https://gw@other/x", NULL, NULL},
        {"http://gw:81/a", "/x y", NULL, NULL},
        {"http://gw:81/a", "/\xC3\xA4", NULL, NULL},
        {"http://gw:81/a", "https://", NULL, NULL},
        {"http://gw:81/a", "https://other:0/", NULL, NULL},
        {"http://gw:81/a", "http:///x", NULL, NULL},
    };
    struct url from, to;
    const char *reason;
    char text[300];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct out out = OUT_ON(text);
        assert_int_equal(url_read_any(str_of(cases[i].from), &from, &reason), OK);
        enum err err = redirect_read(&from, str_of(cases[i].location), &to, &reason);
        if ((err == OK) != (cases[i].origin != NULL))
            fail_msg("%s to \"%s\": %d %s", cases[i].from, cases[i].location, err, reason);
        if (err != OK)
            continue;
        url_write_origin(&out, &to);
        assert_string_equal(out_cstr(&out), cases[i].origin);
        assert_string_equal(to.path, cases[i].path);
    }
    /* too long, as a whole and after merging */
    char location[2 * LIMIT_URL];
    memset(location, 'a', sizeof location);
    assert_int_equal(redirect_read(&from, str_range(location, sizeof location), &to, &reason),
                     ERR_SYNTAX);
    location[0] = '/';
    assert_int_equal(redirect_read(&from, str_range(location, LIMIT_URL), &to, &reason), OK);
    assert_int_equal(redirect_read(&from, str_range(location, URL_PATH), &to, &reason), ERR_SYNTAX);
}

static void what_counts_as_a_redirect(void **state)
{
    (void)state;
    for (unsigned status = 100; status < 600; status++)
        assert_int_equal(redirect_is(status),
                         status == 301 || status == 302 || status == 307 || status == 308);
}

/* --- URLs ----------------------------------------------------------------------------------------------------------- */

static void any_url_keeps_its_query_and_loses_its_fragment(void **state)
{
    struct url url;
    const char *reason;
    (void)state;
    assert_int_equal(url_read_any(STR("ws://h:9001/runCase?case=1&agent=a%20b#x"), &url, &reason),
                     OK);
    assert_string_equal(url.path, "/runCase?case=1&agent=a%20b");
    assert_int_equal(url_read_any(STR("ws://h?x"), &url, &reason), OK);
    assert_string_equal(url.path, "/?x");
    assert_int_equal(url_read_any(STR("ws://h"), &url, &reason), OK);
    assert_string_equal(url.path, "/");
}

static void literals_must_be_addresses(void **state)
{
    static const char *const good[] = {"http://[::1]", "http://[2001:db8::1]:80/x",
                                       "http://[fe80::1%eth0]", "http://[fe80::1%25eth0.7]",
                                       "http://[::ffff:192.0.2.1]"};
    static const char *const bad[] = {"http://[1.2.3.4]",  "http://[abc]",     "http://[::1::2]",
                                      "http://[::1%]",     "http://[::1%a/b]", "http://[::1%a b]",
                                      "http://[12345::1]", "http://[:]",       "http://::1/"};
    struct url url;
    const char *reason;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (url_read(str_of(good[i]), &url, &reason) != OK)
            fail_msg("%s: %s", good[i], reason);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (url_read(str_of(bad[i]), &url, &reason) == OK)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(url_read(STR("http://[fe80::1%25eth0]:81"), &url, &reason), OK);
    assert_string_equal(url.host, "fe80::1%eth0");
    char text[64];
    struct out out = OUT_ON(text);
    url_write_origin(&out, &url);
    assert_string_equal(out_cstr(&out), "http://[fe80::1]:81");
}

static void secrets_of_urls_are_not_repeated(void **state)
{
    static const char *const cases[][2] = {
        {"http://user:secret@gw/x", "http://***@gw/x"},
        {"user:secret@gw", "***@gw"},
        {"http://user:se@cret@gw/x", "http://***@gw/x"},
        {"http://gw/x", "http://gw/x"},
        {"://", "://"},
        {"", ""},
    };
    char text[100];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct out out = OUT_ON(text);
        url_write_safe(&out, str_of(cases[i][0]));
        assert_string_equal(out_cstr(&out), cases[i][1]);
    }
}

#ifdef CONFIG_PROXY

/* --- proxies -------------------------------------------------------------------------------------------------------- */

static void proxy_urls(void **state)
{
    static const char *const bad[] = {"https://p:1", "socks5://p:1", "http://", "http://p/x",
                                      "http://p?x",  "http://u:p@h", "u:p@h:1", "http://p:0",
                                      "p:x",         "http://p:1:2"};
    struct url url;
    const char *reason;
    (void)state;
    assert_int_equal(url_read_proxy(STR("http://proxy.example:3128/"), &url, &reason), OK);
    assert_string_equal(url.host, "proxy.example");
    assert_int_equal(url.port, 3128);
    assert_int_equal(url_read_proxy(STR("proxy:8080"), &url, &reason), OK);
    assert_int_equal(url.port, 8080);
    assert_int_equal(url_read_proxy(STR("[::1]:8080"), &url, &reason), OK);
    assert_true(url.is_literal);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (url_read_proxy(str_of(bad[i]), &url, &reason) == OK)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(url_read_proxy(STR("http://u:p@h"), &url, &reason), ERR_SYNTAX);
    assert_non_null(strstr(reason, "user name"));
    assert_true(proxy_url_is_good("none", &reason));
    assert_true(proxy_url_is_good("http://p", &reason));
    assert_false(proxy_url_is_good("https://p", &reason));
}

static void who_goes_around_the_proxy(void **state)
{
    static const struct {
        const char *list, *url;
        bool around;
    } cases[] = {
        {"*", "http://gw", true},
        {"", "http://gw", false},
        {" , ,", "http://gw", false},
        {"gw", "http://gw", true},
        {"GW", "https://gw", true},
        {"gw", "http://xgw", false},
        {"gw", "http://gw2", false},
        {"example.org", "http://example.org", true},
        {"example.org", "http://a.b.example.org", true},
        {".example.org", "http://a.example.org", true},
        {".example.org", "http://example.org", true},
        {"*.example.org", "http://a.example.org", true},
        {"example.org", "http://badexample.org", false},
        {"example.org", "http://example.org.evil", false},
        {"example.org.", "http://example.org", true},
        {"example.org", "http://example.org.", true},
        {"a,example.org ,b", "http://x.example.org", true},
        {"a b example.org", "http://x.example.org", true},
        {"example.org:8080", "http://example.org:8080", true},
        {"example.org:8080", "http://example.org:8081", false},
        {"example.org:443", "https://example.org", true},
        {"example.org:x", "http://example.org", false},
        {"10.0.0.1", "http://10.0.0.1", true},
        {"10.0.0.1", "http://10.0.0.10", false},
        {"10.0.0.1:81", "http://10.0.0.1:81", true},
        {"10.0.0.1:81", "http://10.0.0.1", false},
        {"0.1", "http://10.0.0.1", false},
        {"10.0.0.0/8", "http://10.255.3.4", true},
        {"10.0.0.0/8", "http://11.0.0.1", false},
        {"10.0.0.1/8", "http://10.9.9.9", true},
        {"192.168.16.0/20", "http://192.168.31.255", true},
        {"192.168.16.0/20", "http://192.168.32.0", false},
        {"0.0.0.0/0", "http://1.2.3.4", true},
        {"0.0.0.0/0", "http://[::1]", false},
        {"0.0.0.0/0", "http://name", false},
        {"10.0.0.0/33", "http://10.0.0.0", false},
        {"10.0.0.0/x", "http://10.0.0.0", false},
        {"10.0.0.0/", "http://10.0.0.0", false},
        {"1.2.3.4/32", "http://1.2.3.4", true},
        {"::1", "http://[::1]", true},
        {"[::1]", "http://[::1]", true},
        {"[::1]:81", "http://[::1]:81", true},
        {"[::1]:81", "http://[::1]:82", false},
        {"0:0:0:0:0:0:0:1", "http://[::1]", true},
        {"2001:db8::/32", "http://[2001:db8:ffff::1]", true},
        {"2001:db8::/32", "http://[2001:db9::1]", false},
        {"2001:db8::/31", "http://[2001:db9::1]", true},
        {"fe80::/10", "http://[fe80::1%eth0]", true},
        {"::/0", "http://[::1]", true},
        {"::/0", "http://1.2.3.4", false},
        {"::/129", "http://[::1]", false},
        {"[", "http://gw", false},
        {"[]", "http://gw", false},
        {":", "http://gw", false},
        {".", "http://gw", false},
        {"/", "http://1.2.3.4", false},
    };
    struct url url;
    const char *reason;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (url_read(str_of(cases[i].url), &url, &reason) != OK)
            fail_msg("%s: %s", cases[i].url, reason);
        if (proxy_is_bypassed(str_of(cases[i].list), &url) != cases[i].around)
            fail_msg("\"%s\" and %s", cases[i].list, cases[i].url);
    }
}

static void set(const char *name, const char *value)
{
    if (value == NULL)
        unsetenv(name);
    else
        setenv(name, value, 1);
}

static void the_environment_names_a_proxy(void **state)
{
    static const struct {
        const char *flag, *https, *HTTPS, *http, *HTTP, *none, *url, *proxy, *source;
    } cases[] = {
        {"", NULL, NULL, NULL, NULL, NULL, "https://gw", NULL, NULL},
        {"", "http://a", "http://b", "http://c", NULL, NULL, "https://gw", "a", "https_proxy"},
        {"", NULL, "http://b", "http://c", NULL, NULL, "https://gw", "b", "HTTPS_PROXY"},
        {"", "", "b", NULL, NULL, NULL, "wss://gw", "b", "HTTPS_PROXY"},
        {"", "http://a", NULL, NULL, NULL, NULL, "http://gw", NULL, NULL},
        {"", NULL, NULL, "c", NULL, NULL, "http://gw", "c", "http_proxy"},
        {"", NULL, NULL, NULL, "http://d", NULL, "http://gw", NULL, NULL}, /* never in capitals */
        {"http://f", "http://a", NULL, "http://c", NULL, NULL, "http://gw", "f", "--proxy"},
        {"none", "http://a", NULL, "http://c", NULL, NULL, "https://gw", NULL, NULL},
        {"", "http://a", NULL, NULL, NULL, "x,gw", "https://gw", NULL, NULL},
        {"http://f", NULL, NULL, NULL, NULL, "gw", "https://gw", NULL, NULL},
        {"http://f", NULL, NULL, NULL, NULL, "other", "https://gw", "f", "--proxy"},
    };
    struct proxy_options options = {.url = ""};
    struct url url, proxy;
    const char *source, *reason;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set("https_proxy", cases[i].https);
        set("HTTPS_PROXY", cases[i].HTTPS);
        set("http_proxy", cases[i].http);
        set("HTTP_PROXY", cases[i].HTTP);
        set("no_proxy", cases[i].none);
        set("NO_PROXY", NULL);
        assert_true(str_copy(str_of(cases[i].flag), options.url, sizeof options.url));
        assert_int_equal(url_read(str_of(cases[i].url), &url, &reason), OK);
        enum err err = proxy_choose(&options, &url, &proxy, &source, &reason);
        assert_int_equal(err, cases[i].proxy == NULL ? ERR_NOT_FOUND : OK);
        if (err == OK) {
            assert_string_equal(proxy.host, cases[i].proxy);
            assert_string_equal(source, cases[i].source);
        }
    }
    options.url[0] = '\0';
    set("no_proxy", NULL);
    set("https_proxy", "http://me:secret@p");
    assert_int_equal(url_read(STR("https://gw"), &url, &reason), OK);
    assert_int_equal(proxy_choose(&options, &url, &proxy, &source, &reason), ERR_SYNTAX);
    assert_string_equal(source, "https_proxy");
    assert_null(strstr(reason, "secret"));
    set("NO_PROXY", "gw");
    assert_int_equal(proxy_choose(&options, &url, &proxy, &source, &reason), ERR_NOT_FOUND);
    set("NO_PROXY", NULL);
    set("https_proxy", NULL);
}

static void connect_is_asked_for_in_the_rfcs_form(void **state)
{
    char text[512];
    struct out out = OUT_ON(text);
    struct url url;
    const char *reason;
    (void)state;
    assert_int_equal(url_read(STR("https://gw.example/x"), &url, &reason), OK);
    proxy_write_request(&out, &url, STR("Aladdin:open sesame"));
    assert_string_equal(out_cstr(&out),
                        "CONNECT gw.example:443 HTTP/1.1\r\nHost: gw.example:443\r\n"
                        "User-Agent: charter-daemon/" CHARTER_VERSION
                        "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
    out_reset(&out);
    assert_int_equal(url_read(STR("http://[fe80::1%eth0]"), &url, &reason), OK);
    proxy_write_request(&out, &url, STR_NONE);
    assert_non_null(
        strstr(out_cstr(&out), "CONNECT [fe80::1]:80 HTTP/1.1\r\nHost: [fe80::1]:80\r\n"));
    assert_null(strstr(text, "Authorization"));
    assert_true(proxy_credentials_are_good(STR("user:pass word:\xC3\xA4")));
    assert_true(proxy_credentials_are_good(STR(":")));
    assert_false(proxy_credentials_are_good(STR("user")));
    assert_false(proxy_credentials_are_good(STR("user:a\r\nX: b")));
}

static void a_proxys_answer_is_read_strictly(void **state)
{
    static const struct {
        const char *answer;
        enum err err;
        const char *words;
    } cases[] = {
        {"HTTP/1.1 200 Connection established\r\n\r\n", OK, ""},
        {"HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\n", OK, ""},
        {"HTTP/1.1 204 x\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", OK, ""},
        {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nwho", ERR_REFUSED,
         "who"},
        {"HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n", ERR_REFUSED,
         ""},
        {EIGHT "HTTP/1.1 200 OK\r\n\r\n", OK, ""},
        {FOUR "HTTP/1.1 502 Bad Gateway\r\n\r\nno\n", ERR_REFUSED, "no"},
        {EIGHT FOUR "HTTP/1.1 200 OK\r\n\r\n", ERR_SYNTAX, "more than 8"},
        {"HTTP/1.1 101 Switching\r\n\r\n", ERR_SYNTAX, "HTTP 101"},
        {"HTTP/1.1 200 OK\n\n", ERR_SYNTAX, "bare LF"},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ERR_SYNTAX, "\"A\""},
        {"SSH-2.0-x\r\n\r\n", ERR_SYNTAX, "status line"},
    };
    struct answer answer;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str text = str_of(cases[i].answer);
        for (size_t cut = 0; cut <= text.n; cut++) {
            struct str parts[2] = {str_head(text, cut), str_from(text, cut)};
            enum err err = ERR_AGAIN;
            size_t taken;
            answer_start(&answer, head, sizeof head, 0);
            for (int part = 0; part < 2; part++)
                while (err == ERR_AGAIN && parts[part].n > 0) {
                    err = proxy_feed(&answer, parts[part], &taken);
                    parts[part] = str_from(parts[part], taken);
                }
            assert_int_equal(err, cases[i].err);
            assert_non_null(
                strstr(err == ERR_SYNTAX ? answer.reason : answer.line, cases[i].words));
        }
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_may_be_cut_anywhere),
        cmocka_unit_test(a_refusal_names_the_header),
        cmocka_unit_test(without_a_subprotocol_none_may_be_selected),
        cmocka_unit_test(a_refusals_first_line_is_read_in_any_framing),
        cmocka_unit_test(a_refusals_body_is_read_up_to_a_limit),
        cmocka_unit_test(all_three_forms_of_dates_are_read),
        cmocka_unit_test(retry_after_follows_the_clock_of_who_wrote_it),
        cmocka_unit_test(redirects_resolve_and_stay_home_or_go_to_tls),
        cmocka_unit_test(what_counts_as_a_redirect),
        cmocka_unit_test(any_url_keeps_its_query_and_loses_its_fragment),
        cmocka_unit_test(literals_must_be_addresses),
        cmocka_unit_test(secrets_of_urls_are_not_repeated),
#ifdef CONFIG_PROXY
        cmocka_unit_test(proxy_urls),
        cmocka_unit_test(who_goes_around_the_proxy),
        cmocka_unit_test(the_environment_names_a_proxy),
        cmocka_unit_test(connect_is_asked_for_in_the_rfcs_form),
        cmocka_unit_test(a_proxys_answer_is_read_strictly),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
