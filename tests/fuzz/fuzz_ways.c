/* Arbitrary bytes for the readers between a URL and a WebSocket.  The first byte says which: a URL of each kind, a Location
 * against a URL, a no_proxy list against a URL, a proxy's answer in a split of its own, a date. */
#include "base/assert.h"
#include "link/proxy.h"
#include "link/redirect.h"

#include <string.h>

/* What is let through can stand in a request line, a Host header and a log. */
static void check_url(const struct url *url)
{
    char text[URL_HOST + 32];
    struct out out = OUT_ON(text);

    ASSERT(url->host[0] != '\0' && memchr(url->host, '\0', sizeof url->host) != NULL);
    ASSERT(memchr(url->path, '\0', sizeof url->path) != NULL);
    ASSERT(url->port >= 1 && url->port <= 65535);
    for (const char *p = url->host; *p != '\0'; p++)
        ASSERT(*p > ' ' && *p <= '~' && strchr("/?#@[]\\", *p) == NULL);
    for (const char *p = url->path; *p != '\0'; p++)
        ASSERT(*p > ' ' && *p <= '~' && *p != '#');
    url_write_origin(&out, url);
    ASSERT(!out.overflow);
}

static void fuzz_url(struct str text)
{
    static struct url url, again;
    char origin[URL_HOST + 32], safe[8192];
    struct out out = OUT_ON(origin), hidden = OUT_ON(safe);
    const char *reason = NULL;

    if (url_read(text, &url, &reason) == OK) {
        check_url(&url);
        url_write_origin(&out, &url);
        ASSERT(url_read(out_view(&out), &again, &reason) == OK);
        ASSERT(strchr(url.host, '%') != NULL || url_same_origin(&url, &again));
    } else {
        ASSERT(reason != NULL);
    }
    if (url_read_any(text, &url, &reason) == OK) {
        check_url(&url);
        ASSERT(url.path[0] == '/');
    }
    if (url_read_proxy(text, &url, &reason) == OK)
        check_url(&url);
    url_write_safe(&hidden, text);
}

static void fuzz_redirect(struct str text)
{
    static struct url from, to;
    struct str base, location;
    const char *reason = NULL;

    (void)str_cut(text, '\n', &base, &location);
    if (url_read_any(base, &from, &reason) != OK)
        (void)url_read_any(STR("http://gw:81/a/b?c"), &from, &reason);
    if (redirect_read(&from, location, &to, &reason) == OK) {
        check_url(&to);
        ASSERT(to.path[0] == '/');
        ASSERT(to.secure || url_same_origin(&from, &to));
        ASSERT(strncmp(to.path, "/../", 4) != 0 && strncmp(to.path, "/./", 3) != 0);
    } else {
        ASSERT(reason != NULL);
    }
}

static void fuzz_bypass(struct str text)
{
    static struct url url;
    struct str base, list;
    const char *reason;

    (void)str_cut(text, '\n', &base, &list);
    if (url_read_any(base, &url, &reason) != OK)
        (void)url_read_any(STR("http://[2001:db8::1]:81"), &url, &reason);
    (void)proxy_is_bypassed(list, &url);
}

struct verdict {
    enum err err;
    size_t taken;
    unsigned status;
    int64_t retry_after_ms;
    char line[ANSWER_LINE];
};

static struct verdict judge(struct str text, size_t chunk)
{
    static char head[1024];
    static struct answer answer;
    struct verdict verdict = {.err = ERR_AGAIN};
    size_t taken;

    answer_start(&answer, head, sizeof head, 1000000);
    while (verdict.err == ERR_AGAIN && text.n > 0) {
        verdict.err = proxy_feed(&answer, str_head(text, chunk), &taken);
        ASSERT(taken > 0 && taken <= chunk);
        verdict.taken += taken;
        text = str_from(text, taken);
    }
    ASSERT(verdict.err == OK || verdict.err == ERR_AGAIN || verdict.err == ERR_REFUSED ||
           answer.reason[0] != '\0');
    ASSERT(answer.retry_after_ms >= 0);
    for (const char *p = answer.line; *p != '\0'; p++)
        ASSERT(*p >= ' ' && *p <= '~');
    for (const char *p = answer.reason; *p != '\0'; p++)
        ASSERT(*p >= ' ' && *p <= '~');
    verdict.status = answer.status;
    verdict.retry_after_ms = answer.retry_after_ms;
    memcpy(verdict.line, answer.line, sizeof verdict.line);
    return verdict;
}

static void fuzz_answer(struct str text, size_t chunk)
{
    struct verdict whole = judge(text, 65536), split = judge(text, chunk);

    ASSERT(whole.err == split.err && whole.taken == split.taken && whole.status == split.status &&
           whole.retry_after_ms == split.retry_after_ms && strcmp(whole.line, split.line) == 0);
    ASSERT(whole.err != OK || (whole.status >= 200 && whole.status < 300));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_range((const char *)data + 1, size - 1);
    int64_t at;

    if (size == 0)
        return 0;
    switch (data[0] % 5) {
    case 0:
        fuzz_url(text);
        break;
    case 1:
        fuzz_redirect(text);
        break;
    case 2:
        fuzz_bypass(text);
        break;
    case 3:
        fuzz_answer(text, (size_t)data[0] / 5 + 1);
        break;
    default:
        if (http_date(text, INT64_C(1769860800000), &at))
            ASSERT(at > INT64_C(-3000000000000) && at < INT64_C(254000000000000));
    }
    return 0;
}
