/*
 * What mbedTLS is built with. Owns the choice of its modules: every profile has the two hashes; CONFIG_TLS adds a TLS
 * client and nothing else (no server, no files, no sockets, no PEM, no DRBG: src/link/tls*.c brings those through
 * the port).
 *
 * mbedTLS's own checks (check_config.h) complain about combinations that cannot work.
 */
#ifndef CHARTER_MBEDTLS_CONFIG_H
#define CHARTER_MBEDTLS_CONFIG_H

#include "autoconf.h"

/* The handshake of RFC 6455 needs SHA-1; artifacts, plans and commands are named by SHA-256. */
#define MBEDTLS_SHA1_C
#define MBEDTLS_SHA256_C

#ifdef CONFIG_TLS

/* --- the platform: memory from one pool, clocks and random bytes from the port ------------- */

#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_MEMORY_BUFFER_ALLOC_C
#define MBEDTLS_MEMORY_ALIGN_MULTIPLE 8 /* its default of 4 is too little for pointers of 64 bits */
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE
#define MBEDTLS_PLATFORM_TIME_ALT
#define MBEDTLS_PLATFORM_MS_TIME_ALT
#define MBEDTLS_PLATFORM_GMTIME_R_ALT /* libc's may read the time zone's files, with heap */
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
#define MBEDTLS_PLATFORM_SNPRINTF_MACRO tls_snprintf /* libc's printf is 10 KiB */
#include <stddef.h>
int tls_snprintf(char *to, size_t size, const char *format, ...);

/* --- TLS ------------------------------------------------------------------------------------ */

#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE /* TLS 1.3 requires it */
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_ALPN
#ifdef CONFIG_TLS_RESUME
#define MBEDTLS_SSL_SESSION_TICKETS
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#endif
#ifdef CONFIG_TLS_1_2
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#ifdef CONFIG_TLS_RSA
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#endif
#endif

/* Servers send records of up to 16 KiB, and TLS 1.3 knows no way here to ask for less; what we send is cut to 4. No
 * max-fragment-length: mbedTLS gets it wrong together with TLS 1.3. */
#define MBEDTLS_SSL_IN_CONTENT_LEN 16384
#define MBEDTLS_SSL_OUT_CONTENT_LEN 4096

/* --- certificates ---------------------------------------------------------------------------- */

#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK
#ifdef CONFIG_TLS_CRL
#define MBEDTLS_X509_CRL_PARSE_C
#endif
#define MBEDTLS_X509_REMOVE_INFO /* src/link/tls_words.c has the words */
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C

/* --- algorithms ------------------------------------------------------------------------------ */

#define MBEDTLS_PSA_CRYPTO_C /* TLS 1.3 is written on it */
#define MBEDTLS_MD_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_HKDF_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ROM_TABLES /* else 8 KiB of memory are filled at the first use */
#define MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_GCM_C
#ifdef CONFIG_TLS_CHACHA20
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#endif
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_DP_SECP521R1_ENABLED
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECP_WINDOW_SIZE 2 /* time for memory: one handshake at a time */
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0
#ifdef CONFIG_TLS_RSA
#define MBEDTLS_RSA_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_PKCS1_V21
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT
#endif

/* What the processor can do by itself; used where it says at run time that it can. */
#define MBEDTLS_HAVE_ASM
#define MBEDTLS_AESNI_C
#ifdef __aarch64__
#define MBEDTLS_AESCE_C
#endif

#endif /* CONFIG_TLS */
#endif
