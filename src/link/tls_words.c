/* Owns the words for what goes wrong.  Each names what it is about and what was found; where there is something to do,
 * it says what. */
#include "link/tls_engine.h"

#include "base/time.h"
#include "port.h"

#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <stdarg.h>
#include <string.h>

#define TEXT_OF(number) #number
#define VALUE_OF(number) TEXT_OF(number)
#define CAS_MAX VALUE_OF(MBEDTLS_X509_MAX_INTERMEDIATE_CA)

void tls_say(struct tls *tls, const char *format, ...)
{
    struct out out = OUT_ON(tls->error);
    va_list args;

    out_text(&out, "TLS: ");
    va_start(args, format);
    out_vformat_cut(&out, format, args);
    va_end(args);
    out_cstr(&out);
}

void tls_object(struct tls_judge *judge, const char *format, ...)
{
    struct out out = OUT_ON(judge->words);
    va_list args;

    if (judge->words[0] != '\0')
        return;
    va_start(args, format);
    out_vformat_cut(&out, format, args);
    va_end(args);
    out_cstr(&out);
}

void tls_write_name(struct out *out, const mbedtls_x509_name *name)
{
    const mbedtls_x509_name *part = name;
    const char *label = "";

    while (part != NULL && MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) != 0)
        part = part->next;
    if (part == NULL)
        part = name;
    if (part->val.p == NULL) {
        out_text(out, "without a name");
        return;
    }
    if (mbedtls_oid_get_attr_short_name(&part->oid, &label) == 0)
        out_format(out, "%s=", label);
    for (size_t i = 0; i < part->val.len && i < 60; i++)
        out_byte(out, part->val.p[i] >= ' ' && part->val.p[i] <= '~' ? (char)part->val.p[i] : '?');
}

/* --- the verdict on a certificate ------------------------------------------------------------------------------------- */

static void write_day(char to[16], const mbedtls_x509_time *time)
{
    struct out out = out_on(to, 16);
    out_format(&out, "%04d-%02d-%02d", time->year, time->mon, time->day);
    out_cstr(&out);
}

/* Whether the certificate's issuer is among those that the server sent; mbedTLS passes over it there when it may not sign. */
static bool was_sent(const struct tls_judge *judge, const mbedtls_x509_crt *certificate)
{
    for (const mbedtls_x509_crt *c = judge->own; c != NULL; c = c->next)
        if (tls_same_name(&c->subject_raw, &certificate->issuer_raw))
            return true;
    return false;
}

static void object_to_issuer(struct tls_judge *judge, const mbedtls_x509_crt *certificate,
                             int depth, const char *subject)
{
    char issuer[80];
    struct out out = OUT_ON(issuer);
    bool self = tls_same_name(&certificate->issuer_raw, &certificate->subject_raw);

    tls_write_name(&out, &certificate->issuer);
    out_cstr(&out);
    if (tls_pool_is_short())
        tls_object(judge, "the chain of certificates needs more memory than this build has for it "
                          "(TLS_POOL_KIB)");
    else if (!judge->any_ca)
        tls_object(judge, "%s holds no certificate of a CA", judge->ca);
    else if (judge->name_known && !self && depth >= judge->depth - 1)
        tls_object(judge,
                   "the certificate of %s says that %s signed it, but the key of that CA in "
                   "%s did not",
                   subject, issuer, judge->ca);
    else if (self && depth == 0)
        tls_object(judge, "certificate is self-signed (%s) and not among the CAs in %s", subject,
                   judge->ca);
    else if (self)
        tls_object(judge, "the server's CA is unknown: %s is not among the CAs in %s", subject,
                   judge->ca);
    else if (was_sent(judge, certificate))
        tls_object(judge,
                   "the server sent the issuer of the certificate of %s, but %s may not sign it "
                   "(basicConstraints, keyUsage, pathLenConstraint), or did not",
                   subject, issuer);
    else
        tls_object(judge,
                   "the issuer of the certificate of %s is unknown: %s was not sent by the "
                   "server and is not among the CAs in %s",
                   subject, issuer, judge->ca);
}

static void object_to_start(struct tls_judge *judge, const mbedtls_x509_crt *certificate,
                            const char *subject)
{
    char day[16], now[TIME_TEXT_LENGTH + 1];
    struct out out = OUT_ON(now);
    int64_t now_ms = port_wall_ms();

    write_day(day, &certificate->valid_from);
    time_write(&out, now_ms);
    out_truncate(&out, 10);
    out_cstr(&out);
    if (now_ms / 1000 < CHARTER_RELEASED)
        tls_object(judge,
                   "the clock of this machine is wrong: it says %s, before this program was "
                   "made; so the certificate (%s) is not valid yet, but from %s on",
                   now, subject, day);
    else
        tls_object(judge, "certificate is not valid before %s, and the clock says %s (%s)", day,
                   now, subject);
}

void tls_object_to_flags(struct tls_judge *judge, const mbedtls_x509_crt *certificate, int depth,
                         uint32_t flags)
{
    char subject[80], day[16];
    struct out out = OUT_ON(subject);

    tls_write_name(&out, &certificate->subject);
    out_cstr(&out);
    if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0) {
        write_day(day, &certificate->valid_to);
        tls_object(judge, "certificate expired %s (%s)", day, subject);
    } else if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0) {
        object_to_start(judge, certificate, subject);
    } else if ((flags & MBEDTLS_X509_BADCERT_BAD_KEY) != 0) {
        unsigned bits = (unsigned)mbedtls_pk_get_bitlen(&certificate->pk);
        tls_object(judge,
                   "the key of the certificate or of its issuer is too weak (%s, key of %u "
                   "bits; RSA needs 2048)",
                   subject, bits);
    } else if ((flags & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK)) != 0) {
        tls_object(judge,
                   "certificate is signed with an algorithm that is too weak (%s; SHA-256 "
                   "and RSA or ECDSA are needed)",
                   subject);
    } else if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
        object_to_issuer(judge, certificate, depth, subject);
    } else if ((flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
                         MBEDTLS_X509_BADCERT_NS_CERT_TYPE)) != 0) {
        tls_object(judge,
                   "certificate may not be used by a server: its keyUsage or extendedKeyUsage "
                   "does not allow it (%s)",
                   subject);
    } else if ((flags & ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0) {
        tls_object(judge, "certificate is refused (%s, flags 0x%x)", subject, (unsigned)flags);
    } /* the name is looked at by tls_name_check(), which knows better words */
}

/* --- the rest of the handshake ------------------------------------------------------------------------------------------- */

static const struct {
    unsigned char alert;
    const char *words;
} alerts[] = {
    {MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE,
     "no common cipher or signature, or it wants a client certificate (--tls-cert)"},
    {MBEDTLS_SSL_ALERT_MSG_NO_CERT, "it wants a client certificate (--tls-cert)"},
    {MBEDTLS_SSL_ALERT_MSG_BAD_CERT,
     "it does not take our client certificate, or wants one (--tls-cert)"},
    {MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT, "it does not support our client certificate"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED, "our client certificate was revoked"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, "our client certificate has expired"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN, "it does not take our client certificate"},
    {MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA, "it does not know the CA of our client certificate"},
    {MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED, "access denied"},
    {MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR, "it could not check our signature"},
    {MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION, "it speaks no version of TLS that is taken here"},
    {MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY, "it wants stronger ciphers"},
    {MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR, "internal error"},
    {MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME, "it knows no host of this name"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_REQUIRED, "it wants a client certificate (--tls-cert)"},
    {MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL, "it does not speak http/1.1"},
};

static void say_alert(struct tls *tls)
{
    /* The record of the alert is still there: level and description. */
    const unsigned char *message = tls->engine->ssl.MBEDTLS_PRIVATE(in_msg);
    unsigned alert = message != NULL ? message[1] : 0;

    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
        if (alerts[i].alert == alert) {
            tls_say(tls, "the server refused: %s (alert %u)", alerts[i].words, alert);
            return;
        }
    tls_say(tls, "the server refused with alert %u", alert);
}

/* Every record of TLS begins with its kind, 20 to 24, and a 3. */
static bool is_no_tls(const struct tls_engine *engine)
{
    return engine->first_n > 0 && (engine->first[0] < 20 || engine->first[0] > 24 ||
                                   (engine->first_n > 1 && engine->first[1] != 3));
}

static void say_no_tls(struct tls *tls)
{
    char text[sizeof tls->engine->first + 1];
    size_t n = tls->engine->first_n;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = tls->engine->first[i];
        text[i] = c >= ' ' && c <= '~' ? (char)c : '.';
    }
    text[n] = '\0';
    tls_say(tls,
            "there is no TLS on port %u: the server answered \"%s\"; is this a plain http:// port?",
            tls->port, text);
}

static const char *fixed_words(int code, const struct tls_engine *engine)
{
    switch (code) {
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
        return "the server speaks no version of TLS that is taken here (1.2 or 1.3, see --tls-min)";
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
        return "the server chose what was not offered: no common cipher";
    case MBEDTLS_ERR_SSL_INVALID_MAC:
        return "a record from the server was changed on its way (its MAC is wrong)";
    case MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL:
        return "the server does not speak http/1.1 (ALPN)";
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
    case MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED:
        return "the server wants a client certificate (--tls-cert)";
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_X509_ALLOC_FAILED:
        return "the handshake needs more memory than this build has for it (TLS_POOL_KIB)";
    case MBEDTLS_ERR_X509_FATAL_ERROR:
        return "the chain of certificates is too long: at most " CAS_MAX
               " CAs may stand between the server's and one that is trusted";
    case MBEDTLS_ERR_SSL_BAD_INPUT_DATA:
        return engine->open
                   ? NULL
                   : "the server's certificates are too long: together they may have 16 KiB";
    case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
        return engine->open
                   ? "the server sent a message that is not taken here (KeyUpdate, perhaps)"
                   : NULL;
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return engine->open ? "the connection was cut: its end came without close_notify"
               : engine->first_n == 0
                   ? "the server ended the connection before it said anything; is it a TLS server?"
                   : "the server cut the connection in the middle of the handshake";
    default:
        return NULL;
    }
}

enum err tls_fail(struct tls *tls, int code)
{
    struct tls_engine *engine = tls->engine;
    const char *words = fixed_words(code, engine);
    uint32_t flags = mbedtls_ssl_get_verify_result(&engine->ssl);
    bool is_short = tls_pool_is_short();

    engine->failed = true;
    if (!engine->open && engine->judge.words[0] == '\0' && flags != 0 && flags != UINT32_MAX &&
        engine->judge.chain[0] != NULL)
        tls_object_to_flags(&engine->judge, engine->judge.chain[0], 0, flags);
    if (!engine->open && (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0 && flags != UINT32_MAX)
        tls_object(&engine->judge, "certificate is not for %s", engine->judge.host.name);
    if (engine->judge.words[0] != '\0')
        tls_say(tls, "%s", engine->judge.words);
    else if (engine->fault != OK)
        tls_say(tls, "the connection failed%s: %s", engine->open ? "" : " during the handshake",
                engine->fault_words);
    else if (!engine->open && is_no_tls(engine))
        say_no_tls(tls);
    else if (is_short && code != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE &&
             code != MBEDTLS_ERR_SSL_CONN_EOF)
        tls_say(tls, "%s", fixed_words(MBEDTLS_ERR_SSL_ALLOC_FAILED, engine));
    else if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        say_alert(tls);
    else if (words != NULL)
        tls_say(tls, "%s", words);
    else if (engine->first_n > 0 && !engine->open &&
             (code <= MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE && code > -0x3000))
        tls_say(tls,
                "the server sent a certificate that is broken, or has a critical extension that "
                "is not known here (mbedTLS -0x%04x)",
                (unsigned)-code);
    else
        tls_say(tls, "%s (mbedTLS -0x%04x)",
                engine->open ? "the server broke the protocol" : "the handshake failed",
                (unsigned)-code);
    return code == MBEDTLS_ERR_SSL_CONN_EOF ? ERR_REFUSED : ERR_IO;
}
