#include "gateway/http_request.h"

#include <string.h>

static enum err refuse(struct http_request *request, unsigned status, const char *reason)
{
    request->status = status;
    request->reason = reason;
    return ERR_INVALID;
}

/* RFC 9110, section 5.6.2: what tokens (methods, header names) are made of. */
static bool is_token_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_token_byte((unsigned char)text.p[i]))
            return false;
    return text.n > 0;
}

static struct str trim_blanks(struct str text)
{
    while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t'))
        text = str_from(text, 1);
    while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
        text.n--;
    return text;
}

/* Cuts a line that ends with CR LF; a bare CR or LF is not taken for one. */
static bool cut_line(struct str *rest, struct str *line)
{
    size_t at = str_find(*rest, '\r');
    if (at + 1 >= rest->n || rest->p[at + 1] != '\n')
        return false;
    *line = str_head(*rest, at);
    *rest = str_from(*rest, at + 2);
    return memchr(line->n == 0 ? "" : line->p, '\n', line->n) == NULL;
}

static enum err read_target(struct http_request *request, struct str target)
{
    for (size_t i = 0; i < target.n; i++)
        if ((unsigned char)target.p[i] <= 0x20 || (unsigned char)target.p[i] >= 0x7f)
            return refuse(request, 400,
                          "the request target has bytes that must be percent-encoded");
    /* Absolute form, as clients of a proxy send it: what counts for us is the path. */
    if (str_equal_nocase(str_head(target, 7), STR("http://"))) {
        target = str_from(target, 7);
        target = str_from(target, str_find(target, '/'));
        if (target.n == 0)
            target = STR("/");
    }
    if (target.n == 0 || target.p[0] != '/')
        return refuse(request, 400, "the request target must begin with /");
    size_t fragment = str_find(target, '#');
    if (fragment < target.n)
        return refuse(request, 400, "a request target has no fragment");
    (void)str_cut(target, '?', &request->path, &request->query);
    return OK;
}

static enum err read_request_line(struct http_request *request, struct str line)
{
    struct str method, target, version, rest;

    if (!str_cut(line, ' ', &method, &rest) || !str_cut(rest, ' ', &target, &version))
        return refuse(request, 400, "the request line is not METHOD TARGET HTTP/1.1");
    if (!is_token(method))
        return refuse(request, 400, "the method is not a token");
    request->method_name = method;
    request->method = str_is(method, "GET")    ? HTTP_GET
                      : str_is(method, "HEAD") ? HTTP_HEAD
                      : str_is(method, "POST") ? HTTP_POST
                                               : HTTP_OTHER;
    if (version.n != 8 || !str_starts_with(version, STR("HTTP/")) || version.p[5] < '0' ||
        version.p[5] > '9' || version.p[6] != '.' || version.p[7] < '0' || version.p[7] > '9')
        return refuse(request, 400, "the request line is not METHOD TARGET HTTP/1.1");
    if (version.p[5] != '1')
        return refuse(request, 505, "only HTTP/1.1 and HTTP/1.0 are served");
    /* A higher minor version is to be treated as the highest that we know. */
    request->minor = version.p[7] == '0' ? 0 : 1;
    return read_target(request, target);
}

static enum err read_header(struct http_request *request, struct str line)
{
    struct str name, value;

    if (line.p[0] == ' ' || line.p[0] == '\t')
        return refuse(request, 400, "a header is folded over two lines");
    if (!str_cut(line, ':', &name, &value) || !is_token(name))
        return refuse(request, 400, "a header is not NAME: VALUE");
    value = trim_blanks(value);
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < 0x20 && value.p[i] != '\t') || value.p[i] == 0x7f)
            return refuse(request, 400, "a header value has control characters");
    if (request->header_count == GATEWAY_HEADERS)
        return refuse(request, 431, "too many headers");
    request->headers[request->header_count++] = (struct http_header){name, value};
    return OK;
}

/* How long the body is (RFC 9112, section 6.3), so strictly that nobody can see another length in it. */
static enum err read_framing(struct http_request *request)
{
    size_t lengths = http_request_count(request, "content-length");
    struct str length = http_request_header(request, "content-length");
    struct str expect = http_request_header(request, "expect");

    if (http_request_count(request, "transfer-encoding") > 0) {
        if (lengths > 0)
            return refuse(request, 400, "Transfer-Encoding and Content-Length exclude each other");
        if (str_equal_nocase(http_request_header(request, "transfer-encoding"), STR("chunked")))
            return refuse(request, 411, "a body needs a Content-Length; chunks are not taken");
        return refuse(request, 501, "transfer codings are not taken");
    }
    if (lengths > 1)
        return refuse(request, 400, "Content-Length is given twice");
    if (lengths == 1 && (length.n > 18 || !str_to_u64(length, &request->content_length)))
        return refuse(request, 400, "Content-Length is not a number of bytes");
    if (request->content_length > GATEWAY_BODY)
        return refuse(request, 413, "the body is longer than a message may be");
    if (request->method == HTTP_POST && lengths == 0)
        return refuse(request, 411, "a POST needs a Content-Length");
    if (expect.n > 0 && !str_equal_nocase(expect, STR("100-continue")))
        return refuse(request, 417, "only Expect: 100-continue is known");
    request->expects_continue = expect.n > 0 && request->minor >= 1 && request->content_length > 0;
    return OK;
}

static enum err read_head(struct http_request *request, struct str head)
{
    struct str line;

    if (!cut_line(&head, &line))
        return refuse(request, 400, "lines end with CR LF");
    enum err err = read_request_line(request, line);
    while (err == OK) {
        if (!cut_line(&head, &line))
            return refuse(request, 400, "lines end with CR LF");
        if (line.n == 0)
            break;
        err = read_header(request, line);
    }
    if (err != OK)
        return err;
    size_t hosts = http_request_count(request, "host");
    if (hosts > 1 || (hosts == 0 && request->minor >= 1))
        return refuse(request, 400, "a request has exactly one Host header");
    request->keep_alive = request->minor >= 1
                              ? !http_request_lists(request, "connection", "close")
                              : http_request_lists(request, "connection", "keep-alive");
    return read_framing(request);
}

/* Where the head ends, behind its empty line; 0 when it does not yet. */
static size_t find_end(struct str bytes, size_t *searched)
{
    size_t from = *searched;

    while (from + 4 <= bytes.n) {
        const char *at = memchr(bytes.p + from, '\r', bytes.n - from - 3);
        if (at == NULL)
            break;
        if (memcmp(at, "\r\n\r\n", 4) == 0)
            return (size_t)(at - bytes.p) + 4;
        from = (size_t)(at - bytes.p) + 1;
    }
    *searched = bytes.n < 3 ? 0 : bytes.n - 3;
    return 0;
}

enum err http_request_read(struct str bytes, size_t *searched, struct http_request *request)
{
    size_t skipped = 0;

    /* Some clients send one empty line too many behind a body (RFC 9112, section 2.2). */
    if (str_starts_with(bytes, STR("\r\n")))
        skipped = 2;
    struct str head = str_from(bytes, skipped);
    size_t from = *searched > skipped ? *searched - skipped : 0;
    size_t end = find_end(head, &from);
    *searched = from + skipped;

    request->header_count = 0;
    request->content_length = 0;
    request->keep_alive = request->expects_continue = false;
    request->status = 0;
    request->reason = "";
    request->method = HTTP_OTHER;
    request->method_name = request->path = request->query = STR_NONE;
    if ((end == 0 && head.n >= GATEWAY_HEAD) || end > GATEWAY_HEAD)
        return refuse(request, 431, "the head of the request is too long");
    if (end == 0) {
        /* What cannot become a request is refused at its first byte, not after a timeout: TLS, binary noise. */
        if (head.n > 0 && !(bytes.n == 1 && bytes.p[0] == '\r') &&
            !is_token_byte((unsigned char)head.p[0]))
            return refuse(request, 400, "this is not HTTP");
        return ERR_AGAIN;
    }
    request->head_bytes = skipped + end;
    return read_head(request, str_head(head, end));
}

struct str http_request_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (str_equal_nocase(request->headers[i].name, str_of(name)))
            return request->headers[i].value;
    return STR_NONE;
}

size_t http_request_count(const struct http_request *request, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < request->header_count; i++)
        if (str_equal_nocase(request->headers[i].name, str_of(name)))
            count++;
    return count;
}

bool http_request_lists(const struct http_request *request, const char *name, const char *element)
{
    for (size_t i = 0; i < request->header_count; i++) {
        struct str rest = request->headers[i].value;
        if (!str_equal_nocase(request->headers[i].name, str_of(name)))
            continue;
        while (rest.n > 0) {
            struct str item, parameters;
            (void)str_cut(rest, ',', &item, &rest);
            (void)str_cut(item, ';', &item, &parameters);
            if (str_equal_nocase(trim_blanks(item), str_of(element)))
                return true;
        }
    }
    return false;
}

bool http_path_next(struct str *rest, struct str *segment)
{
    if (rest->n == 0 || rest->p[0] != '/')
        return false;
    struct str behind = str_from(*rest, 1);
    size_t end = str_find(behind, '/');
    *segment = str_head(behind, end);
    *rest = str_from(behind, end);
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool decode(struct str raw, bool plus_is_space, char *to, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 3 <= raw.n ? hex_digit(raw.p[i + 1]) : -1;
            int low = i + 3 <= raw.n ? hex_digit(raw.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return false;
        to[n++] = c;
    }
    to[n] = '\0';
    return true;
}

bool http_decode(struct str raw, char *to, size_t size)
{
    return decode(raw, false, to, size);
}

enum err http_query(struct str query, const char *name, char *to, size_t size)
{
    enum err err = ERR_NOT_FOUND;

    while (query.n > 0) {
        struct str pair, key, value;
        char decoded[32];
        (void)str_cut(query, '&', &pair, &query);
        (void)str_cut(pair, '=', &key, &value);
        if (!decode(key, true, decoded, sizeof decoded) || strcmp(decoded, name) != 0)
            continue;
        if (err == OK || !decode(value, true, to, size))
            return ERR_INVALID;
        err = OK;
    }
    return err;
}
