/* Arbitrary bytes as the extensions of two certificates, the gateway's and a CA's, which come from servers that nobody has
 * verified yet.  The first byte chooses the host, the next two how many bytes are the CA's.  The views are copied to
 * places of their own, so that a byte read outside them is noticed. */
#include "base/assert.h"
#include "base/limits.h" /* the configuration */
#include "link/tls_names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef CONFIG_TLS

static struct str copy_of(struct str bytes)
{
    char *copy = malloc(bytes.n > 0 ? bytes.n : 1);

    ASSERT(copy != NULL);
    if (bytes.n > 0)
        memcpy(copy, bytes.p, bytes.n);
    return str_range(copy, bytes.n);
}

static void forget(struct str copy)
{
    free((void *)(uintptr_t)copy.p);
}

/* It goes to logs and terminals. */
static void check_words(const struct out *out)
{
    for (size_t i = 0; i < out->n; i++)
        ASSERT((out->p[i] >= ' ' && out->p[i] <= '~') || (unsigned char)out->p[i] >= 0x80);
}

static void check_constraints(struct str issuer, struct str subject)
{
    char words[160];
    struct out out = OUT_ON(words);

    if (tls_names_allowed(issuer, subject, &out))
        ASSERT(out.n == 0);
    else
        ASSERT(out.n > 0);
    check_words(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = {"gw.zoo.example", "localhost", "127.0.0.1", "::1",
                                        "a.b.zoo.example."};
    struct tls_host host;
    char names[160];
    struct out out = OUT_ON(names);

    if (size < 3)
        return 0;
    struct str bytes = str_range((const char *)data + 3, size - 3);
    size_t cut = (size_t)data[1] << 8 | data[2];
    struct str issuer = copy_of(str_head(bytes, cut)), subject = copy_of(str_from(bytes, cut));
    tls_host_read(&host, str_of(hosts[data[0] % (sizeof hosts / sizeof hosts[0])]));
    (void)tls_name_check(subject, &host);
    tls_name_list(subject, &out);
    check_words(&out);
    check_constraints(issuer, subject);
    check_constraints(subject, issuer);
    forget(issuer);
    forget(subject);
    return 0;
}

#else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    return 0;
}

#endif
