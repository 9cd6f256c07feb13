/* What the command line says of TLS: one struct for every program that dials, and one function that takes a flag into
 * it.  Files are named here and read anew for each connection, so that renewed certificates need no restart. */
#ifndef LINK_TLS_OPTIONS_H
#define LINK_TLS_OPTIONS_H

#include "base/limits.h"
#include "base/str.h"

#include <stdbool.h>

#define TLS_PINS 8
#define TLS_PIN 32 /* bytes of a SHA-256 */

#ifdef CONFIG_TLS
#define TLS_IS_BUILT true
#else
#define TLS_IS_BUILT false
#endif

/* All zeros: the system's CAs, no pins, no client certificate, no CRL, TLS 1.2 or later. */
struct tls_options {
    char ca[LIMIT_PATH]; /* PEM or DER file, or a directory of such; "": the system's */
    char cert[LIMIT_PATH], key[LIMIT_PATH]; /* of the client; both or none */
    char crl[LIMIT_PATH];
    unsigned char pins[TLS_PINS][TLS_PIN]; /* SHA-256 of the SubjectPublicKeyInfo; one must match */
    unsigned pin_count;
    bool only_1_3;
};

/* Takes "--tls-ca FILE|DIR", "--tls-pin sha256//BASE64[;…]" (adds), "--tls-cert FILE", "--tls-key FILE",
 * "--tls-crl FILE" or "--tls-min 1.2|1.3".  Relative paths are made absolute.  False: *reason (static storage) says why
 * not. */
bool tls_option_take(struct tls_options *options, struct str flag, const char *value,
                     const char **reason);
/* Whether they go together; for when all flags were taken. */
bool tls_options_are_good(const struct tls_options *options, const char **reason);

#endif
