/* Owns the verdict over a server's chain beyond what mbedTLS checks itself (signatures, dates, sizes of keys, constraints
 * of CAs): the name, in subjectAltName alone; pins; name constraints, which mbedTLS ignores; revocation, which its
 * trusted-certificate callback excludes.  Invariant: a flag of mbedTLS is taken back in two cases alone, a pin in the
 * place of a CA and a gateway's certificate that stands itself among the CAs. */
#include "link/tls_engine.h"

#include "base/built.h"
#include "base/hash.h"

#include <string.h>

static struct str view(const mbedtls_x509_buf *bytes)
{
    return str_range((const char *)bytes->p, bytes->len);
}

bool tls_pins_replace_ca(const struct tls_options *options)
{
    return options->pin_count > 0 && options->ca[0] == '\0' && options->crl[0] == '\0';
}

/* The same calendar as in tls_platform.c, the other way. */
int64_t tls_unix_time(const mbedtls_x509_time *time)
{
    int64_t year = time->mon <= 2 ? time->year - 1 : time->year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (time->mon + (time->mon > 2 ? -3 : 9)) + 2) / 5 + time->day - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return ((days * 24 + time->hour) * 60 + time->min) * 60 + time->sec;
}

static bool pin_matches(const struct tls_options *options, const unsigned char digest[TLS_PIN])
{
    for (unsigned i = 0; i < options->pin_count; i++)
        if (memcmp(options->pins[i], digest, TLS_PIN) == 0)
            return true;
    return false;
}

static void check_pins(struct tls_judge *judge, const mbedtls_x509_crt *own)
{
    unsigned char digest[TLS_PIN];
    char text[48];
    struct out out = OUT_ON(text);

    if (judge->options->pin_count == 0)
        return;
    sha256_of(view(&own->pk_raw), digest);
    if (pin_matches(judge->options, digest))
        return;
    base64_encode(&out, digest, sizeof digest);
    tls_object(judge,
               "the key of the gateway's certificate has the pin sha256//%s, which is not "
               "among those given",
               out_cstr(&out));
}

static void check_name(struct tls_judge *judge, const mbedtls_x509_crt *own)
{
    char names[160], subject[80];
    struct out out = OUT_ON(names), subject_out = OUT_ON(subject);
    struct str extensions = view(&own->v3_ext);

    tls_write_name(&subject_out, &own->subject);
    switch (tls_name_check(extensions, &judge->host)) {
    case TLS_NAME_GOOD:
        return;
    case TLS_NAME_MISSING:
        tls_object(judge,
                   "certificate has no subjectAltName, the common name does not count (%s); "
                   "it must name %s",
                   out_cstr(&subject_out), judge->host.name);
        return;
    case TLS_NAME_BROKEN:
        tls_object(judge, "the subjectAltName of the certificate is broken (%s)",
                   out_cstr(&subject_out));
        return;
    case TLS_NAME_OTHER:
        tls_name_list(extensions, &out);
        tls_object(judge, "certificate is for %s, not for %s", out_cstr(&out), judge->host.name);
        return;
    }
}

/* Every CA of the chain binds all that stand below it. */
static void check_constraints(struct tls_judge *judge)
{
    for (int upper = judge->depth; upper > 0; upper--)
        for (int lower = upper - 1; lower >= 0; lower--) {
            char why[160], issuer[80];
            struct out out = OUT_ON(why), issuer_out = OUT_ON(issuer);
            if (tls_names_allowed(view(&judge->chain[upper]->v3_ext),
                                  view(&judge->chain[lower]->v3_ext), &out))
                continue;
            tls_write_name(&issuer_out, &judge->chain[upper]->subject);
            tls_object(judge,
                       "the name constraints of the CA (%s) do not allow this certificate: %s",
                       out_cstr(&issuer_out), out_cstr(&out));
            return;
        }
}

static void judge_chain(struct tls_judge *judge, const mbedtls_x509_crt *own)
{
    check_pins(judge, own);
    check_name(judge, own);
    if (BUILT_IN(CONFIG_TLS_CA) && !tls_pins_replace_ca(judge->options))
        check_constraints(judge);
#ifdef CONFIG_TLS_CRL
    if (judge->words[0] == '\0' && judge->options->crl[0] != '\0')
        (void)tls_crl_check(judge);
#endif
}

int tls_judge_certificate(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct tls_judge *judge = context;
    bool pinned = tls_pins_replace_ca(judge->options);

    if (judge->depth < 0) /* from the top down, without gaps */
        judge->depth = depth;
    if (depth < 0 || depth >= TLS_CHAIN || depth > judge->depth)
        return MBEDTLS_ERR_X509_FATAL_ERROR;
    judge->chain[depth] = certificate;
    if (pinned && depth > 0) {
        *flags = 0; /* what a server sends beyond its certificate vouches for nothing here */
    } else {
        if (pinned || (depth == 0 && judge->is_listed))
            *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_NOT_TRUSTED;
        int64_t until = tls_unix_time(&certificate->valid_to);
        if (judge->until_s == 0 || until < judge->until_s)
            judge->until_s = until;
    }
    if (*flags != 0)
        tls_object_to_flags(judge, certificate, depth, *flags);
    if (depth == 0) {
        judge_chain(judge, certificate);
        if (judge->words[0] != '\0')
            *flags |= MBEDTLS_X509_BADCERT_OTHER;
    }
    return 0;
}
