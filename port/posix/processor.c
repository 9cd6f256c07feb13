/* What the processor can do beyond the least of its family.  It owns no more than the answers, which never change: asking takes long where the
 * machine is a virtual one. */
#include "internal.h"

#include <string.h>

#if defined(__GNUC__) && defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

enum answer { UNKNOWN, NO, YES };

bool port_has_sse42(void)
{
    static enum answer answer;
    unsigned a, b, c = 0, d;

    if (answer == UNKNOWN)
        answer = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) != 0 ? YES : NO;
    return answer == YES;
}

static bool has_sha(void)
{
    static enum answer answer;
    unsigned a, b = 0, c, d;

    if (answer == UNKNOWN)
        answer = port_has_sse42() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) != 0
                     ? YES
                     : NO;
    return answer == YES;
}

/* FIPS 180-4, 4.2.2 */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The state as the instructions want it: words A, B, E, F and C, D, G, H. */
struct sha_state {
    __m128i abef, cdgh;
};

/* One block of 64 bytes.  `w` holds the sixteen words that the next four are made of, four in each. */
__attribute__((target("sha,sse4.1"))) static void add_block(struct sha_state *state,
                                                            const unsigned char *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = state->abef, cdgh = state->cdgh, w[4];

    for (unsigned i = 0; i < 16; i++) {
        __m128i *words = &w[i % 4];
        if (i < 4) {
            *words = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)block + i),
                                      big_endian);
        } else {
            __m128i before = w[(i + 3) % 4];
            *words = _mm_add_epi32(_mm_sha256msg1_epu32(*words, w[(i + 1) % 4]),
                                   _mm_alignr_epi8(before, w[(i + 2) % 4], 4));
            *words = _mm_sha256msg2_epu32(*words, before);
        }
        __m128i sum = _mm_add_epi32(
            *words, _mm_loadu_si128((const __m128i *)(const void *)round_constants + i));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }
    state->abef = _mm_add_epi32(state->abef, abef);
    state->cdgh = _mm_add_epi32(state->cdgh, cdgh);
}

__attribute__((target("sha,sse4.1"))) static void sha256(struct str bytes, unsigned char digest[32])
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    struct sha_state state = {
        .abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
        .cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19),
    };
    unsigned char last[128] = {0};
    size_t whole = bytes.n / 64 * 64, rest = bytes.n - whole, end = rest < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)bytes.n * 8;

    for (size_t i = 0; i < whole; i += 64)
        add_block(&state, (const unsigned char *)bytes.p + i);
    if (rest > 0)
        memcpy(last, bytes.p + whole, rest);
    last[rest] = 0x80;
    for (size_t i = 0; i < 8; i++)
        last[end - 1 - i] = (unsigned char)(bits >> 8 * i);
    for (size_t i = 0; i < end; i += 64)
        add_block(&state, last + i);
    /* Back to A, B, C, D and E, F, G, H, the first word first. */
    __m128i abcd = _mm_unpackhi_epi64(state.cdgh, state.abef);
    __m128i efgh = _mm_unpacklo_epi64(state.cdgh, state.abef);
    abcd = _mm_shuffle_epi8(_mm_shuffle_epi32(abcd, 0x1b), big_endian);
    efgh = _mm_shuffle_epi8(_mm_shuffle_epi32(efgh, 0x1b), big_endian);
    _mm_storeu_si128((__m128i *)(void *)digest, abcd);
    _mm_storeu_si128((__m128i *)(void *)digest + 1, efgh);
}

bool port_sha256(struct str bytes, unsigned char digest[32])
{
    if (!has_sha())
        return false;
    sha256(bytes, digest);
    return true;
}
#else
bool port_has_sse42(void)
{
    return false;
}

bool port_sha256(struct str bytes, unsigned char digest[32])
{
    (void)bytes;
    (void)digest;
    return false;
}
#endif
