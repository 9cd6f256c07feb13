/*
 * What mbedTLS is built with. Owns the choice of its modules; every profile has
 * the two hashes and nothing else. The secure link will add its client set under
 * CONFIG_TLS when it comes; until then nothing stands here that was not tried.
 *
 * mbedTLS's own checks (check_config.h) complain about combinations that cannot work.
 */
#ifndef CHARTER_MBEDTLS_CONFIG_H
#define CHARTER_MBEDTLS_CONFIG_H

/* The handshake of RFC 6455 needs SHA-1; artifacts, plans and commands are named by SHA-256. */
#define MBEDTLS_SHA1_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_BASE64_C

#endif
