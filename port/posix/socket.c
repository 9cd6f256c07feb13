/* Owns sockets from their making to port_close(); bytes go through port_read() and port_write().
 * Nothing here resolves names: that is resolve.c. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(sizeof(struct sockaddr_in6) <= sizeof((struct port_address *)0)->bytes,
               "struct port_address holds every numeric address");

static enum err make(int family, int type, bool nonblocking, int *fd)
{
    *fd = socket(family, type, 0);
    if (*fd == -1)
        return port_fail();
    return port_claim(fd, nonblocking);
}

/* Keeps the words of `err`, which port_close() would not touch but a reader might fear for. */
static enum err give_up(int *fd, enum err err)
{
    port_close(*fd);
    *fd = -1;
    return err;
}

size_t port_local_path_max(void)
{
    return sizeof((struct sockaddr_un *)0)->sun_path - 1;
}

enum err port_listen_local(const char *path, int backlog, int *fd)
{
    struct sockaddr_un address;
    socklen_t size;

    *fd = -1;
    enum err err = port_local_address(path, &address, &size);
    if (err == OK)
        err = make(AF_UNIX, SOCK_STREAM, true, fd);
    if (err != OK)
        return err;
    /* The mode must be right from the first moment: chmod() afterwards would leave a gap. */
    mode_t kept = umask(0177);
    int failed = bind(*fd, (struct sockaddr *)&address, size);
    int number = errno;
    umask(kept);
    if (failed)
        return give_up(fd, port_fail_with(number));
    if (listen(*fd, backlog) == -1) {
        err = port_fail();
        unlink(path);
        return give_up(fd, err);
    }
    return OK;
}

/* An interrupted connect() goes on by itself; calling it again would only say EALREADY. */
static enum err connect_whole(int fd, const struct sockaddr *address, socklen_t size)
{
    if (connect(fd, address, size) == 0)
        return OK;
    if (errno == EINTR) {
        struct port_watch watch = {.fd = fd, .wanted = PORT_WRITABLE};
        while (watch.ready == 0) {
            enum err err = port_wait(&watch, 1, -1, NULL);
            if (err != OK)
                return err;
        }
        return port_connected(fd);
    }
    return port_fail();
}

enum err port_connect_local(const char *path, int *fd)
{
    struct sockaddr_un address;
    socklen_t size;

    *fd = -1;
    enum err err = port_local_address(path, &address, &size);
    if (err == OK)
        err = make(AF_UNIX, SOCK_STREAM, false, fd);
    if (err != OK)
        return err;
    err = connect_whole(*fd, (struct sockaddr *)&address, size);
    if (err == OK)
        err = port_set_nonblocking(*fd, true);
    return err == OK ? OK : give_up(fd, err);
}

enum err port_peer(int fd, struct port_credentials *peer)
{
    return port_peer_of(fd, peer);
}

enum err port_notify(const char *path, struct str bytes)
{
    struct sockaddr_un address;
    socklen_t size;
    int fd;

    enum err err = port_local_address(path, &address, &size);
    if (err == OK)
        err = make(AF_UNIX, SOCK_DGRAM, true, &fd);
    if (err != OK)
        return err;
    ssize_t count;
    do
        count = sendto(fd, bytes.p, bytes.n, 0, (struct sockaddr *)&address, size);
    while (count == -1 && errno == EINTR);
    if (count == -1)
        err = port_fail();
    return give_up(&fd, err);
}

static enum err listen_on(const struct sockaddr *address, socklen_t size, int backlog, int *fd)
{
    int on = 1, off = 0;
    enum err err = make(address->sa_family, SOCK_STREAM, true, fd);

    if (err != OK)
        return err;
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->sa_family == AF_INET6)
        setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(*fd, address, size) == -1 || listen(*fd, backlog) == -1)
        return give_up(fd, port_fail());
    return OK;
}

static unsigned bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    socklen_t size = sizeof name;

    memset(&name, 0, sizeof name);
    if (getsockname(fd, &name.any, &size) == -1)
        return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

enum err port_listen_tcp(struct str host, unsigned port, int backlog, int *fd, unsigned *port_bound)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    char text[INET6_ADDRSTRLEN];
    enum err err;

    *fd = -1;
    *port_bound = 0;
    if (port > 65535 || !str_copy(host, text, sizeof text))
        return port_fail_with(EINVAL);
    if (host.n == 0 || str_is(host, "*")) {
        v6.sin6_addr = in6addr_any;
        v4.sin_addr.s_addr = htonl(INADDR_ANY);
        err = listen_on((struct sockaddr *)&v6, sizeof v6, backlog, fd);
        if (err == ERR_UNSUPPORTED || (err != OK && port_last_errno() == EADDRNOTAVAIL))
            err = listen_on((struct sockaddr *)&v4, sizeof v4, backlog, fd);
    } else if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        err = listen_on((struct sockaddr *)&v4, sizeof v4, backlog, fd);
    } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        err = listen_on((struct sockaddr *)&v6, sizeof v6, backlog, fd);
    } else {
        return port_fail_text(ERR_INVALID, "not a numeric address");
    }
    if (err == OK)
        *port_bound = bound_port(*fd);
    return err;
}

enum err port_accept(int listener, int *fd)
{
    do
        *fd = accept(listener, NULL, NULL);
    while (*fd == -1 && errno == EINTR);
    if (*fd == -1)
        /* A peer that left before it was accepted is no failure of ours. */
        return port_fail_with(errno == ECONNABORTED || errno == EPROTO ? EAGAIN : errno);
    return port_claim(fd, true);
}

enum err port_connect_tcp(const struct port_address *address, int *fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;

    *fd = -1;
    if (address->size > sizeof to)
        return port_fail_with(EINVAL);
    memset(&to, 0, sizeof to);
    memcpy(&to, address->bytes, address->size);
    if (to.any.sa_family != AF_INET && to.any.sa_family != AF_INET6)
        return port_fail_with(EAFNOSUPPORT);
    enum err err = make(to.any.sa_family, SOCK_STREAM, true, fd);
    if (err != OK)
        return err;
    if (connect(*fd, &to.any, address->size) == 0)
        return OK;
    if (errno == EINPROGRESS || errno == EINTR)
        return ERR_AGAIN;
    return give_up(fd, port_fail());
}

enum err port_connected(int fd)
{
    int number = 0;
    socklen_t size = sizeof number;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) == -1)
        return port_fail();
    if (number != 0)
        return port_fail_with(number);
    /* No error is also what a connection says that is still being made. */
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) == -1)
        return port_fail_with(errno == ENOTCONN ? EINPROGRESS : errno);
    return OK;
}

void port_tune_tcp(int fd, int keepalive_s, int user_timeout_ms)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (keepalive_s > 0)
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
    if (keepalive_s > 0) {
        int between_s = keepalive_s > 4 ? keepalive_s / 4 : 1, probes = 4;
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof keepalive_s);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof between_s);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    }
#endif
#ifdef TCP_USER_TIMEOUT
    if (user_timeout_ms > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
#else
    (void)user_timeout_ms;
#endif
#ifdef TCP_NOTSENT_LOWAT
    int unsent = PORT_TCP_UNSENT;
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
#endif
}

void port_shutdown_write(int fd)
{
    shutdown(fd, SHUT_WR);
}
