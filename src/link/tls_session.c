/* Owns what is kept of one connection for the next: a session to resume, so that a reconnect is cheap.  Invariant: it is
 * offered to the same server alone, under the same options, with the same files, and for a day at most: whoever is
 * resumed is not verified anew. */
#include "link/tls_engine.h"

#include "base/hash.h"
#include "port.h"

#include <string.h>

#define KEPT_MS ((int64_t)24 * 3600 * 1000)

static void add_file(struct sha256 *sha, const char *path)
{
    struct port_stat stat;

    if (path[0] == '\0' || port_stat(path, &stat) != OK)
        memset(&stat, 0, sizeof stat);
    int64_t facts[] = {stat.size, stat.mtime_ms, (int64_t)stat.inode, (int64_t)stat.device};
    sha256_add(sha, str_range((const char *)facts, sizeof facts));
}

/* All that the verdict over a server depends on. */
static void make_key(struct tls *tls, unsigned char key[TLS_PIN])
{
    const struct tls_judge *judge = &tls->engine->judge;
    const struct tls_options *options = judge->options;
    struct sha256 sha;

    sha256_start(&sha);
    sha256_add(&sha, str_range((const char *)options, sizeof *options));
    sha256_add(&sha, str_of(judge->host.name));
    sha256_add(&sha, str_range((const char *)&tls->port, sizeof tls->port));
    sha256_add(&sha, str_of(judge->ca));
    add_file(&sha, judge->ca);
    add_file(&sha, options->crl);
    add_file(&sha, options->cert);
    add_file(&sha, options->key);
    sha256_end(&sha, key);
}

void tls_session_offer(struct tls *tls)
{
    struct tls_engine *engine = tls->engine;
    mbedtls_ssl_session session;

    make_key(tls, engine->session_key);
    if (tls->session_n == 0)
        return;
    if (memcmp(engine->session_key, tls->session_key, TLS_PIN) != 0 ||
        port_wall_ms() >= tls->session_until_ms) {
        tls_forget(tls);
        return;
    }
    mbedtls_ssl_session_init(&session);
    if (mbedtls_ssl_session_load(&session, tls->session, tls->session_n) != 0 ||
        mbedtls_ssl_set_session(&engine->ssl, &session) != 0)
        tls_forget(tls);
    mbedtls_ssl_session_free(&session);
}

void tls_session_keep(struct tls *tls)
{
    struct tls_engine *engine = tls->engine;
    mbedtls_ssl_session session;
    size_t n = 0;

    mbedtls_ssl_session_init(&session);
    int code = mbedtls_ssl_get_session(&engine->ssl, &session);
    if (code == 0)
        code = mbedtls_ssl_session_save(&session, tls->session, sizeof tls->session, &n);
    mbedtls_ssl_session_free(&session);
    if (code != 0) {
        tls_forget(tls);
        return;
    }
    tls->session_n = n;
    memcpy(tls->session_key, engine->session_key, TLS_PIN);
    if (engine->judge.until_s != 0) { /* it was verified just now; else the old end holds */
        int64_t day = port_wall_ms() + KEPT_MS, end = engine->judge.until_s * 1000;
        tls->session_until_ms = end < day ? end : day;
    }
}
