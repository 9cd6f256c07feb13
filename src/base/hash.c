#include "base/hash.h"

#include "base/assert.h"
#include "port.h"

#include "mbedtls/sha1.h"
#include "mbedtls/sha256.h"

_Static_assert(sizeof(mbedtls_sha256_context) <= sizeof(struct sha256),
               "struct sha256 is too small");

static mbedtls_sha256_context *context_of(struct sha256 *sha)
{
    return (mbedtls_sha256_context *)(void *)sha->context;
}

/* The low-level functions fail only where a hardware engine does, and none is built in. */

void sha256_start(struct sha256 *sha)
{
    mbedtls_sha256_init(context_of(sha));
    ASSERT(mbedtls_sha256_starts(context_of(sha), 0) == 0);
}

void sha256_add(struct sha256 *sha, struct str bytes)
{
    ASSERT(mbedtls_sha256_update(context_of(sha), (const unsigned char *)bytes.p, bytes.n) == 0);
}

void sha256_end(struct sha256 *sha, unsigned char digest[32])
{
    ASSERT(mbedtls_sha256_finish(context_of(sha), digest) == 0);
    mbedtls_sha256_free(context_of(sha));
}

void sha256_of(struct str bytes, unsigned char digest[32])
{
    if (!port_sha256(bytes, digest))
        ASSERT(mbedtls_sha256((const unsigned char *)bytes.p, bytes.n, digest, 0) == 0);
}

void sha1_of(struct str bytes, unsigned char digest[20])
{
    ASSERT(mbedtls_sha1((const unsigned char *)bytes.p, bytes.n, digest) == 0);
}

void base64_encode(struct out *out, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;
        if (i + 1 < n)
            three |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < n)
            three |= bytes[i + 2];
        out_byte(out, digits[three >> 18]);
        out_byte(out, digits[three >> 12 & 63]);
        out_byte(out, i + 1 < n ? digits[three >> 6 & 63] : '=');
        out_byte(out, i + 2 < n ? digits[three & 63] : '=');
    }
}
