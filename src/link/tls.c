/* Owns a TLS connection: its beginning, its steps, its bytes, its end.  Invariant: `engine` is set exactly while the pool is
 * open, and everything that mbedTLS holds stands in it. */
#include "link/tls.h"

#include "base/assert.h"
#include "base/log.h"
#include "link/tls_engine.h"
#include "port.h"

#include <mbedtls/platform.h>
#include <string.h>

#define ROUNDS 16 /* messages of the protocol's own in one call; the next one goes on */
#define READS 64  /* of the socket in one call: two make a record */

/* --- the socket, as mbedTLS sees it ----------------------------------------------------------------------------------- */

static int take_fault(struct tls_engine *engine, enum err err)
{
    struct out out = OUT_ON(engine->fault_words);

    engine->fault = err;
    out_text(&out, port_last_error());
    out_cstr(&out);
    return MBEDTLS_ERR_SSL_INTERNAL_ERROR; /* any: the fault is what is told */
}

static int socket_recv(void *context, unsigned char *to, size_t n)
{
    struct tls_engine *engine = context;
    size_t got;

    /* mbedTLS passes over some records (ChangeCipherSpec, warnings) and reads on by itself: whoever sends nothing else, and
     * anybody on the way can, would keep it from ever returning. The rest is still in the socket, which says so. */
    if (engine->reads == READS)
        return MBEDTLS_ERR_SSL_WANT_READ;
    engine->reads++;
    enum err err = port_read(engine->fd, to, n, &got);
    if (err == ERR_AGAIN)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (err == ERR_END)
        return 0;
    if (err != OK)
        return take_fault(engine, err);
    for (size_t i = 0; i < got && engine->first_n < sizeof engine->first; i++)
        engine->first[engine->first_n++] = to[i];
    return (int)got;
}

static int socket_send(void *context, const unsigned char *bytes, size_t n)
{
    struct tls_engine *engine = context;
    size_t put;
    enum err err = port_write(engine->fd, str_range((const char *)bytes, n), &put);

    if (err == ERR_AGAIN)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    if (err != OK)
        return take_fault(engine, err);
    return (int)put;
}

/* --- the transport ------------------------------------------------------------------------------------------------------ */

static enum err transport_recv(struct transport *transport, void *to, size_t n, size_t *got)
{
    struct tls *tls = transport->context;

    tls->engine->reads = 0;
    for (int rounds = 0;; rounds++) {
        int code = mbedtls_ssl_read(&tls->engine->ssl, to, n);
        if (code > 0) {
            *got = (size_t)code;
            return OK;
        }
        switch (code) {
        case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET:
            tls_session_keep(tls);
            break;
        case MBEDTLS_ERR_SSL_WANT_READ:
            /* It says so of a ticket that it has read and will look at now, too: no select() would tell of that. */
            if (rounds < ROUNDS && mbedtls_ssl_check_pending(&tls->engine->ssl) != 0)
                break;
            transport->recv_wants = PORT_READABLE;
            return ERR_AGAIN;
        case MBEDTLS_ERR_SSL_WANT_WRITE:
            transport->recv_wants = PORT_WRITABLE;
            return ERR_AGAIN;
        case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
            return ERR_END;
        case 0: /* so it tells the end of TCP, which anybody can make */
            return tls_fail(tls, MBEDTLS_ERR_SSL_CONN_EOF);
        default:
            return tls_fail(tls, code);
        }
    }
}

static enum err transport_send(struct transport *transport, struct str bytes, size_t *put)
{
    struct tls *tls = transport->context;
    struct tls_engine *engine = tls->engine;
    /* After ERR_AGAIN the record is made already: what came to the bytes since is not in it. */
    size_t n = engine->again_n > 0 ? engine->again_n : bytes.n;

    ASSERT(n <= bytes.n);
    int code = mbedtls_ssl_write(&engine->ssl, (const unsigned char *)bytes.p, n);
    if (code == MBEDTLS_ERR_SSL_WANT_WRITE || code == MBEDTLS_ERR_SSL_WANT_READ) {
        engine->again_n = n;
        transport->send_wants = code == MBEDTLS_ERR_SSL_WANT_WRITE ? PORT_WRITABLE : PORT_READABLE;
        return ERR_AGAIN;
    }
    engine->again_n = 0;
    if (code < 0)
        return tls_fail(tls, code);
    *put = (size_t)code;
    return OK;
}

static void transport_close(struct transport *transport)
{
    tls_end(transport->context);
}

/* --- its beginning and its end -------------------------------------------------------------------------------------------- */

void tls_clear(struct tls *tls)
{
    memset(tls, 0, offsetof(struct tls, session));
}

void tls_forget(struct tls *tls)
{
    port_wipe(tls->session, tls->session_n);
    tls->session_n = 0;
}

/* The fastest first: processors of these kinds know AES. Servers mostly take what the client likes best. */
static const int ciphersuites[] = {
#if !defined(__x86_64__) && !defined(__aarch64__)
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
#endif
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

static bool configure(struct tls *tls)
{
    /* What stays in use longer than this call. */
    static const char *const protocols[] = {"http/1.1", NULL};
    struct tls_engine *engine = tls->engine;
    mbedtls_ssl_config *config = &engine->config;
    bool is_name = engine->judge.host.address_n == 0;

    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return false;
    mbedtls_ssl_conf_ciphersuites(config, ciphersuites);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_rng(config, tls_random, NULL);
    mbedtls_ssl_conf_ca_cb(config, tls_trust_look_up, &engine->judge);
    mbedtls_ssl_conf_verify(config, tls_judge_certificate, &engine->judge);
    if (engine->judge.options->only_1_3)
        mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
#ifdef CONFIG_TLS_RESUME
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    if (mbedtls_ssl_conf_alpn_protocols(config, (const char **)(uintptr_t)protocols) != 0 ||
        mbedtls_ssl_setup(&engine->ssl, config) != 0)
        return false;
    mbedtls_ssl_set_bio(&engine->ssl, engine, socket_send, socket_recv, NULL);
    /* Addresses have no place in SNI; tls_name_check() compares them with the certificate. */
    return mbedtls_ssl_set_hostname(&engine->ssl, is_name ? engine->judge.host.name : NULL) == 0;
}

static bool begin(struct tls *tls, const struct tls_options *options, const char *host, int fd)
{
    struct tls_engine *engine = tls->engine;

    engine->fd = fd;
    engine->judge.options = options;
    engine->judge.depth = -1;
    tls_host_read(&engine->judge.host, str_of(host));
    mbedtls_ssl_config_init(&engine->config);
    mbedtls_ssl_init(&engine->ssl);
    mbedtls_x509_crt_init(&engine->own);
    mbedtls_pk_init(&engine->key);
    if (!tls_pins_replace_ca(options) && !tls_trust_find(&engine->judge)) {
        tls_say(tls, "%s", engine->judge.words);
        return false;
    }
    if (!configure(tls)) {
        tls_say(tls, "not enough memory to begin (TLS_POOL_KIB)");
        return false;
    }
    if (!tls_own_load(tls))
        return false;
    tls_session_offer(tls);
    return true;
}

enum err tls_start(struct tls *tls, const struct tls_options *options, const char *host,
                   unsigned port, int fd)
{
    ASSERT(tls->engine == NULL);
    tls->error[0] = '\0';
    tls->port = port;
    bool good = tls_pool_open(tls);
    if (good)
        tls->engine = mbedtls_calloc(1, sizeof *tls->engine);
    if (tls->engine == NULL) {
        tls_say(tls, "the cryptography does not start");
        tls_pool_close(tls);
        return ERR_IO;
    }
    if (begin(tls, options, host, fd))
        return OK;
    tls->engine->failed = true;
    tls_end(tls);
    return ERR_IO;
}

/* What only the handshake needed goes: our key above all. */
static void finish(struct tls *tls)
{
    struct tls_engine *engine = tls->engine;

    engine->open = true;
    mbedtls_pk_free(&engine->key);
    mbedtls_x509_crt_free(&engine->own);
    if (mbedtls_ssl_get_version_number(&engine->ssl) == MBEDTLS_SSL_VERSION_TLS1_2)
        tls_session_keep(tls);
    log_debug("link", "TLS: %s, %s", mbedtls_ssl_get_version(&engine->ssl),
              mbedtls_ssl_get_ciphersuite(&engine->ssl));
    tls_pool_trim();
    tls->transport = (struct transport){.recv = transport_recv,
                                        .send = transport_send,
                                        .end = transport_close,
                                        .error = tls->error,
                                        .recv_wants = PORT_READABLE,
                                        .send_wants = PORT_WRITABLE,
                                        .fd = engine->fd,
                                        .context = tls};
}

enum err tls_step(struct tls *tls, unsigned *wants)
{
    struct tls_engine *engine = tls->engine;

    *wants = 0;
    engine->reads = 0;
    int code = mbedtls_ssl_handshake_step(&engine->ssl);
    if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) {
        *wants = code == MBEDTLS_ERR_SSL_WANT_READ ? PORT_READABLE : PORT_WRITABLE;
        return ERR_AGAIN;
    }
    if (code != 0) {
        tls_forget(tls); /* in case that it was the resumption which the server does not bear */
        return tls_fail(tls, code);
    }
    if (!mbedtls_ssl_is_handshake_over(&engine->ssl))
        return ERR_AGAIN;
    finish(tls);
    return OK;
}

void tls_end(struct tls *tls)
{
    struct tls_engine *engine = tls->engine;

    if (engine == NULL)
        return;
    /* Not into the middle of a record. */
    if (engine->open && !engine->failed && engine->again_n == 0)
        (void)mbedtls_ssl_close_notify(&engine->ssl);
    mbedtls_ssl_free(&engine->ssl);
    mbedtls_ssl_config_free(&engine->config);
    mbedtls_x509_crt_free(&engine->own);
    mbedtls_pk_free(&engine->key);
    tls->engine = NULL;
    tls_pool_close(tls); /* wipes all of it */
}
