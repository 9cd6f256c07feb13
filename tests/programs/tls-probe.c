/* tls-probe [--tls-FLAG VALUE]... [--times N] [--send TEXT] HOST PORT [ADDRESS]
 *
 * The link's TLS over one socket, for tests against servers that are not ours: connects to ADDRESS (127.0.0.1), speaks TLS
 * with what must be HOST, sends TEXT, copies what comes to stdout until the end.  With --times again, resuming if it can.
 * The verdict of each connection goes to stderr as one line:
 *     open, ended in order | open, then TLS: … | refused: TLS: …
 * with "; N steps, the longest of X ms" behind it.  Exit 0: all of them ended in order; 1: some did not; 2: usage. */
#include "base/log.h"
#include "base/out.h"
#include "link/tls.h"
#include "port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 20000

static struct tls tls;
static struct tls_options options;
static int64_t deadline_ms;

static bool wait_for(int fd, unsigned wants)
{
    struct port_watch watch = {.fd = fd, .wanted = (unsigned char)wants};
    int64_t left = deadline_ms - port_monotonic_ms();

    return left > 0 && port_wait(&watch, 1, left, NULL) == OK;
}

static int connect_to(const char *address, unsigned port)
{
    struct port_address list[1];
    const char *reason;
    size_t count;
    int fd;

    if (port_resolve(address, port, list, 1, &count, &reason) != OK)
        return -1;
    enum err err = port_connect_tcp(&list[0], &fd);
    while (err == ERR_AGAIN && wait_for(fd, PORT_WRITABLE))
        err = port_connected(fd);
    return err == OK ? fd : -1;
}

/* True: all of it, and the end came in order. */
static bool exchange(struct str request)
{
    struct transport *transport = &tls.transport;
    char bytes[4096];
    size_t n;
    enum err err;

    while (request.n > 0) {
        err = transport->send(transport, request, &n);
        if (err == OK)
            request = str_from(request, n);
        else if (err != ERR_AGAIN || !wait_for(transport->fd, transport->send_wants))
            return false;
    }
    for (;;) {
        err = transport->recv(transport, bytes, sizeof bytes, &n);
        if (err == OK) {
            fwrite(bytes, 1, n, stdout);
            fflush(stdout);
        } else if (err != ERR_AGAIN) {
            return err == ERR_END;
        } else if (!wait_for(transport->fd, transport->recv_wants)) {
            return false;
        }
    }
}

static bool probe(const char *host, const char *address, unsigned port, struct str request)
{
    unsigned steps = 0, wants = 0;
    int64_t longest_us = 0;
    bool good = false;
    int fd = connect_to(address, port);

    if (fd == -1) {
        fprintf(stderr, "no connection: %s\n", port_last_error());
        return false;
    }
    enum err err = tls_start(&tls, &options, host, port, fd);
    if (err == OK)
        do {
            int64_t began_us = port_monotonic_us();
            err = tls_step(&tls, &wants);
            int64_t took_us = port_monotonic_us() - began_us;
            longest_us = took_us > longest_us ? took_us : longest_us;
            steps++;
        } while (err == ERR_AGAIN && (wants == 0 || wait_for(fd, wants)));
    if (err == OK)
        good = exchange(request);
    fflush(stdout);
    if (good)
        fprintf(stderr, "open, ended in order");
    else
        fprintf(stderr, "%s %s", err == OK ? "open, then" : "refused:",
                tls.error[0] != '\0' ? tls.error : "nothing within 20 s");
    fprintf(stderr, "; %u steps, the longest of %lld.%03lld ms\n", steps,
            (long long)(longest_us / 1000), (long long)(longest_us % 1000));
    if (err == OK)
        transport_end(&tls.transport);
    tls_end(&tls);
    port_close(fd);
    return good;
}

int main(int argc, char **argv)
{
    const char *reason, *request = "GET / HTTP/1.0\r\n\r\n";
    long times = 1;
    bool good = true;
    int i = 1;

    log_setup(LOG_INFO, LOG_TEXT);
    (void)port_signals_start(); /* writing to a closed socket is an error, no signal */
    tls_clear(&tls);
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--times") == 0) {
            times = strtol(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--send") == 0) {
            request = argv[i + 1];
        } else if (!tls_option_take(&options, str_of(argv[i]), argv[i + 1], &reason)) {
            fprintf(stderr, "%s: %s\n", argv[i], reason);
            return 2;
        }
    }
    if (argc - i < 2 || !tls_options_are_good(&options, &reason))
        return 2;
    unsigned port = (unsigned)strtol(argv[i + 1], NULL, 10);
    for (long n = 0; n < times; n++) {
        deadline_ms = port_monotonic_ms() + DEADLINE_MS;
        good =
            probe(argv[i], argc - i > 2 ? argv[i + 2] : "127.0.0.1", port, str_of(request)) && good;
    }
    return good ? 0 : 1;
}
