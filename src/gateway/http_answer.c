#include "gateway/http_answer.h"

#include "base/websocket.h"

#include <time.h>

#define HEAD_MAX 1024

static const struct {
    unsigned status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {417, "Expectation Failed"},
    {426, "Upgrade Required"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_reason(unsigned status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

/* Names of days and months are English whatever the locale (RFC 9110, section 5.6.7), hence no strftime(). */
static void write_date(struct out *head, int64_t wall_ms)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL)
        return;
    out_format(head, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
               months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void write_head(struct out *head, const struct http_answer *answer)
{
    out_format(head, "HTTP/1.1 %u %s\r\n", answer->status, http_reason(answer->status));
    write_date(head, answer->wall_ms);
    if (answer->type != NULL)
        out_format(head, "Content-Type: %s\r\n", answer->type);
    out_text(head, "Cache-Control: no-store\r\n");
    if (answer->headers != NULL)
        out_text(head, answer->headers);
    if (!answer->keep_alive)
        out_text(head, "Connection: close\r\n");
}

bool http_answer(struct buffer *out, const struct http_answer *answer, struct str body)
{
    char text[HEAD_MAX];
    struct out head = OUT_ON(text);

    write_head(&head, answer);
    if (answer->status != 204) {
        out_text(&head, "Content-Length: ");
        out_u64(&head, body.n);
        out_text(&head, "\r\n");
    }
    out_text(&head, "\r\n");
    if (head.overflow || !buffer_reserve(out, head.n + body.n))
        return false;
    (void)buffer_put(out, out_view(&head));
    if (!answer->without_body)
        (void)buffer_put(out, body);
    return true;
}

bool http_answer_stream(struct buffer *out, const struct http_answer *answer)
{
    char text[HEAD_MAX];
    struct out head = OUT_ON(text);

    write_head(&head, answer);
    out_text(&head, "\r\n");
    return !head.overflow && buffer_put(out, out_view(&head));
}

bool http_answer_upgrade(struct buffer *out, struct str key, const char *protocol, int64_t wall_ms)
{
    char text[HEAD_MAX], accept[WEBSOCKET_ACCEPT_LENGTH + 1];
    struct out head = OUT_ON(text);

    websocket_accept(key, accept);
    out_text(&head, "HTTP/1.1 101 Switching Protocols\r\n");
    write_date(&head, wall_ms);
    out_format(&head,
               "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
               "Sec-WebSocket-Protocol: %s\r\n\r\n",
               accept, protocol);
    return !head.overflow && buffer_put(out, out_view(&head));
}
