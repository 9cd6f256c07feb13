/* TLS 1.2 and 1.3 as a client, over any connected socket: the gateway's own, or one that leads through a proxy.  The
 * certificate, its name and its dates are always checked; nothing here turns that off.
 *
 * All memory of a connection stands in one pool in this struct: no heap.  The pool begins fresh with each connection and
 * is wiped and given back at its end.  There is one user of TLS at a time in a process.
 *
 * A step of the handshake reads the files that it needs (CA, CRL, the client's certificate and key) within the loop:
 * small local files, read in pieces of at most 1 KiB, never kept. */
#ifndef LINK_TLS_H
#define LINK_TLS_H

#include "base/built.h"
#include "link/tls_options.h"
#include "link/transport.h"

#define TLS_ERROR 288
/* Bytes of a session for resumption; a longer one is not kept. */
#define TLS_SESSION (BUILT_IN(CONFIG_TLS_RESUME) ? 6144 : 1)

struct tls_engine; /* in the pool, while there is a connection */

struct tls {
    char error[TLS_ERROR];      /* in words, after any failure; begins with "TLS: " */
    struct transport transport; /* valid once tls_step() has said OK */

    /* tls*.c's */
    struct tls_engine *engine;
    unsigned port;
    bool warned; /* about the mode of the key file */
    /* to resume with, and what it holds for */
    size_t session_n;
    int64_t session_until_ms; /* wall clock */
    unsigned char session_key[TLS_PIN];
#ifdef CONFIG_TLS
    unsigned char session[TLS_SESSION];
    _Alignas(16) unsigned char pool[CONFIG_TLS_POOL_KIB * 1024];
#endif
};

/* Once, before anything else; the pool is not touched. */
void tls_clear(struct tls *tls);
/* Begins a connection on a connected socket, which stays the caller's.  `host` (a name or an address without brackets) is
 * what the certificate must be for; `options` must live until tls_step() has said OK.  Not OK: `error` has the
 * words, nothing needs to be ended. */
enum err tls_start(struct tls *tls, const struct tls_options *options, const char *host,
                   unsigned port, int fd);
/* One step of the handshake.  OK: it is over, `transport` moves the bytes.  ERR_AGAIN: call again when the socket is what
 * *wants says (PORT_READABLE, PORT_WRITABLE), or at the next turn where *wants is 0.  All else: it has failed, `error`
 * has the words; call tls_end(). */
enum err tls_step(struct tls *tls, unsigned *wants);
/* Says close_notify where that makes sense, as far as it goes without waiting; wipes and gives the pool back.  Nothing
 * happens where no connection is.  transport_end() does the same. */
void tls_end(struct tls *tls);
/* Throws the session to resume away: for other options. */
void tls_forget(struct tls *tls);

#endif
