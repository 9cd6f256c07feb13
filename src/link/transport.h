/* The bytes under a WebSocket: a plain TCP connection, or TLS over one (link/tls.h).
 *
 * Both calls move as many bytes as go now.  OK with a count > 0; ERR_AGAIN: nothing now, wait until the descriptor is
 * what `wants` says (TLS may want to write in order to read); ERR_END: the peer has closed in order; all else: the
 * connection has failed and transport_error() has the words.  A send that said ERR_AGAIN is repeated with the same bytes. */
#ifndef LINK_TRANSPORT_H
#define LINK_TRANSPORT_H

#include "base/err.h"
#include "base/str.h"

struct transport {
    enum err (*recv)(struct transport *transport, void *to, size_t n, size_t *got);
    enum err (*send)(struct transport *transport, struct str bytes, size_t *put);
    /* The connection is about to be closed: last words, as far as they go without waiting; what stands behind the
     * transport is given back.  NULL: nothing to do. */
    void (*end)(struct transport *transport);
    const char *error; /* of the last failure, where the transport has words of its own */
    unsigned recv_wants, send_wants; /* PORT_READABLE, PORT_WRITABLE; after ERR_AGAIN */
    int fd;
    void *context;
};

/* A connected TCP socket; closing it stays the caller's. */
struct transport transport_tcp(int fd);
/* The words for the last failure of recv or send. */
const char *transport_error(const struct transport *transport);
/* Before the socket is closed; once. */
void transport_end(struct transport *transport);

#endif
