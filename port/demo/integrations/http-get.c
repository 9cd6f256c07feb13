/* http-get: fetches http://HOST[:PORT]/PATH over a plain socket; the body becomes the step's value, a large one a file.  An example of an integration in C
 * that waits: for its socket, for `cancel` and for its deadline at once. */
#include <charter/integration.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct config {
    char url[1024];
    int64_t timeout_s;
} config;

static const struct charter_field config_fields[] = {
    {"url", CHARTER_FIELD_STRING, CHARTER_AT(struct config, url), CHARTER_REQUIRED, NULL,
     "what to fetch: http://HOST[:PORT]/PATH", NULL, NULL, NULL},
    {"timeout_s", CHARTER_FIELD_INTEGER, CHARTER_AT(struct config, timeout_s), 0, "20",
     "seconds without a byte after which it is given up", "1", "3600", NULL},
};

static int await(struct charter_ctx *ctx, int fd, unsigned what)
{
    switch (charter_wait(ctx, fd, what, config.timeout_s * 1000)) {
    case CHARTER_WAIT_READY:
        return 0;
    case CHARTER_WAIT_CANCELLED:
        return charter_fail(ctx, CHARTER_CANCELLED, "cancelled while fetching %s", config.url);
    default:
        return charter_fail(ctx, CHARTER_TIMEOUT, "%s: no byte for %lld s", config.url,
                            (long long)config.timeout_s);
    }
}

/* A connected socket, or -1 and the step has failed. */
static int dial(struct charter_ctx *ctx, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list, *at;
    int fd = -1, rc = getaddrinfo(host, port, &hints, &list), error = 0;
    socklen_t size = sizeof error;
    if (rc != 0)
        return charter_fail(ctx, 1, "%s: %s", host, gai_strerror(rc));
    for (at = list; at != NULL && fd == -1 && !charter_has_failed(ctx); at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM, 0);
        if (fd == -1)
            continue;
        fcntl(fd, F_SETFL, O_NONBLOCK);
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0)
            error = errno;
        if (error == EINPROGRESS && await(ctx, fd, CHARTER_WRITABLE) == 0)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd != -1 ? fd : charter_fail(ctx, 2, "%s port %s: %s", host, port, strerror(error));
}

static char response[32768]; /* status line, headers, and what of the body is not in the file yet */

/* Reads to the end.  The body of a response that does not fit goes to *file; body and end say what is left of it. */
static int receive(struct charter_ctx *ctx, int fd, const char *path, FILE **file, size_t *body,
                   size_t *end)
{
    int64_t received = 0;
    for (size_t n = 0;;) {
        if (n == sizeof response - 1) {
            if (*body == 0 || (*file == NULL && (*file = fopen(path, "wb")) == NULL) ||
                fwrite(response + *body, 1, n - *body, *file) != n - *body)
                return charter_fail(ctx, 4, "%s: headers too long, or %s: %s", config.url, path,
                                    strerror(errno));
            n = *body;
        }
        if (await(ctx, fd, CHARTER_READABLE) != 0)
            return -1;
        ssize_t got = read(fd, response + n, sizeof response - 1 - n);
        if (got == 0)
            return *end = n, 0;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return charter_fail(ctx, 2, "%s: %s", config.url, strerror(errno));
        n += got < 0 ? 0 : (size_t)got;
        received += got < 0 ? 0 : got;
        response[n] = '\0';
        const char *gap = *body == 0 ? strstr(response, "\r\n\r\n") : NULL;
        if (gap != NULL)
            *body = (size_t)(gap + 4 - response);
        charter_progress(ctx, received, -1, "bytes received");
    }
}

static int execute(struct charter_ctx *ctx)
{
    char host[256] = "", port[8] = "80", request[1400], path[CHARTER_PATH_MAX + 16];
    const char *at = config.url + strlen("http://");
    size_t body = 0, end = 0, length = strcspn(config.url, "#");
    FILE *file = NULL;
    int status = 0;
    if (strncmp(config.url, "http://", strlen("http://")) != 0 ||
        sscanf(at, "%255[^/:?#]:%7[0-9]", host, port) < 1)
        return charter_fail_for_good(ctx, CHARTER_INVALID_INPUT, "%s is no http:// URL",
                                     config.url);
    const char *target = strchr(at, '/');
    int n = snprintf(request, sizeof request, "GET %.*s HTTP/1.0\r\nHost: %s:%s\r\n\r\n",
                     target == NULL ? 1 : (int)(length - (size_t)(target - config.url)),
                     target == NULL ? "/" : target, host, port);
    int fd = dial(ctx, host, port);
    if (fd == -1)
        return -1;
    snprintf(path, sizeof path, "%s/body", charter_context_of(ctx)->artifacts_dir);
    int rc = await(ctx, fd, CHARTER_WRITABLE);
    if (rc == 0 && write(fd, request, (size_t)n) != n)
        rc = charter_fail(ctx, 2, "%s: %s", config.url, strerror(errno));
    if (rc == 0)
        rc = receive(ctx, fd, path, &file, &body, &end);
    close(fd);
    if (rc == 0 &&
        (body == 0 || sscanf(response, "HTTP/%*d.%*d %d", &status) != 1 || status != 200))
        rc = charter_fail(ctx, 3, "%s answered %.*s", config.url, (int)strcspn(response, "\r\n"),
                          response);
    bool spilled = file != NULL;
    if (spilled &&
        (fwrite(response + body, 1, end - body, file) != end - body || fclose(file) != 0) &&
        rc == 0)
        rc = charter_fail(ctx, 4, "%s: %s", path, strerror(errno));
    if (rc != 0 || spilled)
        return rc != 0 ? rc : charter_return_file(ctx, path, "text/plain");
    charter_write_bytes(charter_result(ctx), response + body, end - body);
    return 0;
}

int main(int argc, char **argv)
{
    static char request[CHARTER_REQUEST_DEFAULT], answer[6 * sizeof response];
    const struct charter_integration get = {.name = "http-get",
                                            .execute = execute,
                                            .config_fields = config_fields,
                                            .config_field_count = 2,
                                            .config = &config,
                                            .output_type = CHARTER_OUTPUT_TEXT,
                                            .request = request,
                                            .request_size = sizeof request,
                                            .answer = answer,
                                            .answer_size = sizeof answer};
    return charter_integration_main(argc, argv, &get);
}
