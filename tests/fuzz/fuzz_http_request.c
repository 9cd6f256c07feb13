/* The gateway's request reader on arbitrary bytes: whatever way they are split, the answer is the same; what it hands
 * out lies inside what it was given; what it accepts has one meaning for its framing. */
#include "gateway/http_request.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_inside(struct str view, struct str text)
{
    MUST(view.n == 0 || (view.p >= text.p && view.p + view.n <= text.p + text.n));
}

static void look_at(const struct http_request *request, struct str text)
{
    struct str rest = request->path, segment;
    char decoded[64];

    MUST(request->head_bytes <= text.n && request->head_bytes <= GATEWAY_HEAD + 2);
    MUST(request->content_length <= GATEWAY_BODY);
    MUST(request->header_count <= GATEWAY_HEADERS);
    MUST(request->path.n > 0 && request->path.p[0] == '/');
    MUST(http_request_count(request, "transfer-encoding") == 0);
    MUST(http_request_count(request, "content-length") <= 1);
    is_inside(request->method_name, text);
    /* An absolute target without a path gets one that is not its own. */
    if (request->path.n > 1)
        is_inside(request->path, text);
    is_inside(request->query, text);
    for (size_t i = 0; i < request->header_count; i++) {
        is_inside(request->headers[i].name, text);
        is_inside(request->headers[i].value, text);
        MUST(request->headers[i].name.n > 0);
        MUST(http_request_count(request, "host") <= 1);
    }
    while (http_path_next(&rest, &segment)) {
        is_inside(segment, request->path);
        if (http_decode(segment, decoded, sizeof decoded))
            MUST(strlen(decoded) <= segment.n);
    }
    (void)http_query(request->query, "after", decoded, sizeof decoded);
    (void)http_request_lists(request, "connection", "upgrade");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request whole, piecewise;
    struct str text = str_range((const char *)data, size);
    size_t searched = 0, step = size == 0 ? 1 : 1 + data[size - 1] % 7;

    if (size > 3 * GATEWAY_HEAD)
        return 0;
    enum err err = http_request_read(text, &searched, &whole);
    MUST(err == OK || err == ERR_AGAIN || err == ERR_INVALID);
    if (err == OK)
        look_at(&whole, text);
    if (err == ERR_INVALID)
        MUST(whole.status >= 400 && whole.status < 600 && whole.reason[0] != '\0');

    enum err split = ERR_AGAIN;
    searched = 0;
    for (size_t n = 0; n < size && split == ERR_AGAIN; n = n + step < size ? n + step : size)
        split = http_request_read(str_head(text, n), &searched, &piecewise);
    if (split == ERR_AGAIN)
        split = http_request_read(text, &searched, &piecewise);
    MUST(split == err);
    if (err == OK)
        MUST(piecewise.head_bytes == whole.head_bytes &&
             piecewise.content_length == whole.content_length &&
             piecewise.header_count == whole.header_count && str_equal(piecewise.path, whole.path));
    return 0;
}
