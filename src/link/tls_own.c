/* Owns the way of the client's certificate and key into memory, for the time of a handshake. */
#include "link/tls_engine.h"

#include "base/log.h"
#include "port.h"

#include <mbedtls/platform.h>
#include <string.h>

/* The whole DER of the present block, in the pool; NULL: tls->error has the words. */
static unsigned char *load_block(struct tls *tls, struct tls_file *file, const char *path,
                                 size_t *size)
{
    unsigned char raw[6], *der = NULL;
    unsigned tag;
    size_t n, raw_n;

    if (tls_file_head(file, &tag, &n, raw, &raw_n) != OK || n > TLS_DER_MAX) {
        tls_say(tls, "%s is broken", path);
        return NULL;
    }
    *size = raw_n + n;
    der = mbedtls_calloc(1, *size);
    if (der == NULL) {
        tls_say(tls, "%s is too long for this build (TLS_POOL_KIB)", path);
        return NULL;
    }
    memcpy(der, raw, raw_n);
    if (tls_file_get(file, der + raw_n, n) == OK)
        return der;
    tls_say(tls, "%s is broken", path);
    port_wipe(der, *size);
    mbedtls_free(der);
    return NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), end_n = strlen(end);
    return n >= end_n && strcmp(text + n - end_n, end) == 0;
}

static bool open_file(struct tls *tls, struct tls_file *file, const char *path, const char *what)
{
    enum err err = tls_file_open(file, path);

    if (err != OK)
        tls_say(tls, "%s %s cannot be read: %s", what, path,
                err == ERR_INVALID ? "it is no regular file" : port_last_error());
    return err == OK;
}

static bool load_chain(struct tls *tls, const char *path)
{
    struct tls_file file;
    unsigned count = 0;
    bool good = true;
    size_t n;

    if (!open_file(tls, &file, path, "the client's certificate"))
        return false;
    while (good && tls_file_next(&file) == OK) {
        if (file.label[0] != '\0' && !ends_with(file.label, "CERTIFICATE"))
            continue;
        unsigned char *der = load_block(tls, &file, path, &n);
        good = der != NULL;
        if (good && mbedtls_x509_crt_parse_der(&tls->engine->own, der, n) != 0) {
            tls_say(tls, "%s holds a certificate that cannot be used", path);
            good = false;
        }
        mbedtls_free(der);
        count++;
    }
    tls_file_close(&file);
    if (good && count == 0)
        tls_say(tls, "%s holds no certificate", path);
    return good && count > 0;
}

static bool load_key(struct tls *tls, const char *path)
{
    struct tls_file file;
    bool good = false;
    size_t n;
    enum err err;

    if (!open_file(tls, &file, path, "the client's key"))
        return false;
    while ((err = tls_file_next(&file)) == OK)
        if (file.label[0] == '\0' || ends_with(file.label, "PRIVATE KEY"))
            break;
    if (err != OK) {
        tls_say(tls, "%s holds no private key", path);
    } else if (file.encrypted || strcmp(file.label, "ENCRYPTED PRIVATE KEY") == 0) {
        tls_say(tls, "the key in %s is encrypted; it must be one without a passphrase", path);
    } else {
        unsigned char *der = load_block(tls, &file, path, &n);
        if (der != NULL) {
            good = mbedtls_pk_parse_key(&tls->engine->key, der, n, NULL, 0, tls_random, NULL) == 0;
            if (!good)
                tls_say(tls, "%s holds no RSA or EC key that can be used", path);
            port_wipe(der, n);
            mbedtls_free(der);
        }
    }
    tls_file_close(&file);
    return good;
}

/* As ssh does, but without refusing: mounted secrets often have no other mode. */
static void warn_of_mode(struct tls *tls, const char *path)
{
    struct port_stat stat;

    if (tls->warned || port_stat(path, &stat) != OK || !stat.exposed)
        return;
    log_warning("link",
                "TLS: the client's key %s can be read by everybody on this machine; "
                "chmod 600 would end that",
                path);
    tls->warned = true;
}

bool tls_own_load(struct tls *tls)
{
    struct tls_engine *engine = tls->engine;
    const struct tls_options *options = engine->judge.options;

    if (options->cert[0] == '\0')
        return true;
    warn_of_mode(tls, options->key);
    if (!load_chain(tls, options->cert) || !load_key(tls, options->key))
        return false;
    if (mbedtls_pk_check_pair(&engine->own.pk, &engine->key, tls_random, NULL) != 0) {
        tls_say(tls, "the key in %s is not that of the certificate in %s", options->key,
                options->cert);
        return false;
    }
    if (mbedtls_ssl_conf_own_cert(&engine->config, &engine->own, &engine->key) == 0)
        return true;
    tls_say(tls, "no memory for the client's certificate (TLS_POOL_KIB)");
    return false;
}
