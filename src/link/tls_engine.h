/* What the sources of TLS tell each other, and the state of one connection, which stands in its pool. */
#ifndef LINK_TLS_ENGINE_H
#define LINK_TLS_ENGINE_H

#include "link/tls.h"
#include "link/tls_file.h"
#include "link/tls_names.h"

#include <mbedtls/ssl.h>
#include <string.h>

#define TLS_CHAIN (MBEDTLS_X509_MAX_INTERMEDIATE_CA + 2)
#define TLS_DER_MAX 16384 /* bytes of one certificate or key that is loaded */

/* The verdict over the chain that a server shows. */
struct tls_judge {
    const struct tls_options *options;
    struct tls_host host;
    const mbedtls_x509_crt *own;        /* the gateway's, once CAs were looked up for it */
    mbedtls_x509_crt *chain[TLS_CHAIN]; /* as it was built; [0] is the gateway's */
    int depth;                          /* of the last in it; -1: none is known yet */
    bool is_listed;                     /* the gateway's certificate itself stands among the CAs */
    bool name_known;                    /* of the issuer that was looked for last */
    bool any_ca;                        /* the CAs' file or directory holds certificates at all */
    char ca[LIMIT_PATH];                /* where the CAs were looked for */
    int64_t until_s;           /* Unix time: the earliest end of a certificate in the chain */
    char words[TLS_ERROR - 8]; /* the first reason against it; "" while there is none */
};

struct tls_engine {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt own;
    mbedtls_pk_context key;
    struct tls_judge judge;
    int fd;
    unsigned reads;         /* of the socket, in the present call */
    bool open, failed;      /* the handshake is over; the connection is of no use */
    bool end_seen;          /* the peer has closed TCP */
    enum err fault;         /* what the socket said last, where that was a failure */
    char fault_words[80];   /* in the system's words */
    unsigned char first[8]; /* bytes that came, to tell TLS from other protocols */
    size_t first_n;
    size_t again_n; /* bytes of a send that said ERR_AGAIN: the same must come again */
    unsigned char session_key[TLS_PIN];
};

static inline bool tls_same_name(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

/* --- tls_platform.c: memory, clocks, random bytes ------------------------------------------------------------------- */

/* The pool is the heap of mbedTLS from now on.  False: PSA does not start. */
bool tls_pool_open(struct tls *tls);
void tls_pool_close(struct tls *tls);
/* Gives free pages of it back, for now: what was needed for a handshake alone. */
void tls_pool_trim(void);
/* Whether little is left: then failures may come from that. */
bool tls_pool_is_short(void);
int tls_random(void *context, unsigned char *to, size_t n);

/* --- tls_trust.c: where CAs come from ------------------------------------------------------------------------------- */

/* Sets judge->ca. False, with words: there is none. */
bool tls_trust_find(struct tls_judge *judge);
/* Whether the next object of the file is this name, or may be. */
bool tls_name_follows(struct tls_file *file, const mbedtls_x509_buf *name);
/* mbedTLS's trusted-certificate callback: those whose subject is the child's issuer. */
int tls_trust_look_up(void *judge, const mbedtls_x509_crt *child, mbedtls_x509_crt **found);

/* --- tls_verify.c: the verdict --------------------------------------------------------------------------------------- */

/* mbedTLS's verify callback: called for each certificate of the chain, from the top down. */
int tls_judge_certificate(void *judge, mbedtls_x509_crt *certificate, int depth, uint32_t *flags);
/* Whether pins stand in for the CA. */
bool tls_pins_replace_ca(const struct tls_options *options);
int64_t tls_unix_time(const mbedtls_x509_time *time);

/* --- tls_crl.c: what was revoked ------------------------------------------------------------------------------------- */

/* False: `words` of the judge say why the chain cannot be used. */
bool tls_crl_check(struct tls_judge *judge);

/* --- tls_own.c: the client's certificate ------------------------------------------------------------------------------ */

/* False: tls->error has the words. */
bool tls_own_load(struct tls *tls);

/* --- tls_session.c: what is resumed ----------------------------------------------------------------------------------- */

void tls_session_offer(struct tls *tls);
void tls_session_keep(struct tls *tls);

/* --- tls_words.c: what went wrong -------------------------------------------------------------------------------------- */

/* Writes tls->error for what mbedTLS returned, and gives back the kind of failure. */
enum err tls_fail(struct tls *tls, int code);
void tls_say(struct tls *tls, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first reason stays. */
void tls_object(struct tls_judge *judge, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Words for the flags of mbedTLS's verdict on one certificate. */
void tls_object_to_flags(struct tls_judge *judge, const mbedtls_x509_crt *certificate, int depth,
                         uint32_t flags);
/* "CN=…", or what else the name begins with; printable ASCII. */
void tls_write_name(struct out *out, const mbedtls_x509_name *name);

#endif
