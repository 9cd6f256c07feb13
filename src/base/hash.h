/* SHA-1 (for RFC 6455's handshake alone) and SHA-256, by mbedTLS; base64 (RFC 4648, with
 * padding). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/out.h"
#include "base/str.h"

/* Room for mbedTLS's context, which hash.c alone knows. */
struct sha256 {
    uint64_t context[16];
};

void sha256_start(struct sha256 *sha);
void sha256_add(struct sha256 *sha, struct str bytes);
void sha256_end(struct sha256 *sha, unsigned char digest[32]);
void sha256_of(struct str bytes, unsigned char digest[32]);
void sha1_of(struct str bytes, unsigned char digest[20]);

void base64_encode(struct out *out, const unsigned char *bytes, size_t n);

#endif
