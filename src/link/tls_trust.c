/* Owns the way to the CA that vouches for a certificate: files are streamed, and only those whose subject is the wanted issuer
 * are loaded.  So the system's bundle costs no more memory than a file with one CA.  Nothing is kept: each chain is
 * looked up in the files as they are now. */
#include "link/tls_engine.h"

#include "port.h"

#include <mbedtls/oid.h>
#include <mbedtls/platform.h>
#include <string.h>

#define CANDIDATES 4 /* CAs of one name: old and new keys */
#define FILES 2048   /* of a directory */

/* Where systems keep them: Debian, Alpine and OpenWrt; Fedora and its relatives; openSUSE; Alpine and BSDs. */
static const char *const system_cas[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/ssl/certs",
};

static bool take(struct tls_judge *judge, const char *path)
{
    return path != NULL && path[0] != '\0' && str_copy(str_of(path), judge->ca, sizeof judge->ca);
}

bool tls_trust_find(struct tls_judge *judge)
{
    struct port_stat stat;

    if (take(judge, judge->options->ca) || take(judge, port_environment("SSL_CERT_FILE")) ||
        take(judge, port_environment("SSL_CERT_DIR"))) {
        if (port_stat(judge->ca, &stat) == OK)
            return true;
        tls_object(judge, "the CAs cannot be read: %s: %s", judge->ca, port_last_error());
        return false;
    }
    for (size_t i = 0; i < sizeof system_cas / sizeof system_cas[0]; i++)
        if (port_stat(system_cas[i], &stat) == OK && take(judge, system_cas[i]))
            return true;
    tls_object(judge,
               "this system has no bundle of CAs (%s and others were looked for): install it "
               "(ca-certificates, ca-bundle), or name a CA with --tls-ca",
               system_cas[0]);
    return false;
}

/* --- one file -------------------------------------------------------------------------------------------------------- */

struct lookup {
    struct tls_judge *judge;
    const mbedtls_x509_crt *child;
    mbedtls_x509_crt *first, *last;
    unsigned count, files;
    int failed; /* of mbedTLS: no memory */
};

/* Whether two bytes of names may be the same to mbedTLS, which ignores case and the kinds of strings: too many are let through
 * rather than too few, and it compares again. */
static bool may_equal(unsigned char a, unsigned char b)
{
    bool a_text = a == MBEDTLS_ASN1_UTF8_STRING || a == MBEDTLS_ASN1_PRINTABLE_STRING;
    bool b_text = b == MBEDTLS_ASN1_UTF8_STRING || b == MBEDTLS_ASN1_PRINTABLE_STRING;

    if (a == b || (a_text && b_text))
        return true;
    a |= 0x20;
    b |= 0x20;
    return a == b && a >= 'a' && a <= 'z';
}

bool tls_name_follows(struct tls_file *file, const mbedtls_x509_buf *name)
{
    unsigned char piece[64];
    unsigned tag;
    size_t n, piece_n, at = 0;

    if (tls_file_head(file, &tag, &n, piece, &piece_n) != OK || piece_n + n != name->len)
        return false;
    for (;;) {
        for (size_t i = 0; i < piece_n; i++)
            if (!may_equal(piece[i], name->p[at + i]))
                return false;
        at += piece_n;
        if (at == name->len)
            return true;
        piece_n = name->len - at < sizeof piece ? name->len - at : sizeof piece;
        if (tls_file_get(file, piece, piece_n) != OK)
            return false;
    }
}

/* Walks to the subject of the certificate that is the file's present block, and compares it. */
static bool has_subject(struct tls_file *file, const mbedtls_x509_buf *name)
{
    enum { SEQUENCE = 0x30, VERSION = 0xA0 };
    unsigned char raw[6];
    unsigned tag;
    size_t n, raw_n;

    if (tls_file_enter(file, SEQUENCE, &n) != OK || tls_file_enter(file, SEQUENCE, &n) != OK ||
        tls_file_head(file, &tag, &n, raw, &raw_n) != OK || tls_file_skip(file, n) != OK)
        return false;
    /* That was the version or, in those of version 1, the serial number. Then: serial, algorithm, issuer, validity. */
    for (int i = tag == VERSION ? 0 : 1; i < 4; i++)
        if (tls_file_head(file, &tag, &n, raw, &raw_n) != OK || tls_file_skip(file, n) != OK)
            return false;
    return tls_name_follows(file, name);
}

/* Name constraints are checked by tls_names_allowed(): mbedTLS need not know them. */
static int on_extension(void *context, const mbedtls_x509_crt *certificate,
                        const mbedtls_x509_buf *oid, int critical, const unsigned char *p,
                        const unsigned char *end)
{
    (void)context;
    (void)certificate;
    (void)critical;
    (void)p;
    (void)end;
    return MBEDTLS_OID_CMP(MBEDTLS_OID_NAME_CONSTRAINTS, oid) == 0
               ? 0
               : MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE;
}

static bool is_known(const struct lookup *lookup, const unsigned char *der, size_t n)
{
    for (const mbedtls_x509_crt *c = lookup->first; c != NULL; c = c->next)
        if (c->raw.len == n && memcmp(c->raw.p, der, n) == 0)
            return true;
    return false;
}

/* Whether it has expired while the server sent one of the same name that is current: mbedTLS would take none but what is
 * trusted, and old intermediates stand in many a file of CAs. */
static bool is_outlived(const struct lookup *lookup, const mbedtls_x509_crt *found)
{
    if (!mbedtls_x509_time_is_past(&found->valid_to))
        return false;
    for (const mbedtls_x509_crt *c = lookup->judge->own; c != NULL; c = c->next)
        if (tls_same_name(&c->subject_raw, &found->subject_raw) &&
            !mbedtls_x509_time_is_past(&c->valid_to))
            return true;
    return false;
}

/* One that cannot be read is passed over, as if it were not there. */
static void load(struct lookup *lookup, struct tls_file *file)
{
    unsigned char raw[6], *der;
    unsigned tag;
    size_t n, raw_n;

    if (tls_file_again(file) != OK || tls_file_head(file, &tag, &n, raw, &raw_n) != OK ||
        n > TLS_DER_MAX)
        return;
    der = mbedtls_calloc(1, raw_n + n);
    if (der == NULL) {
        lookup->failed = MBEDTLS_ERR_X509_ALLOC_FAILED;
        return;
    }
    memcpy(der, raw, raw_n);
    if (tls_file_get(file, der + raw_n, n) == OK && !is_known(lookup, der, raw_n + n)) {
        mbedtls_x509_crt *found = mbedtls_calloc(1, sizeof *found);
        if (found != NULL)
            mbedtls_x509_crt_init(found);
        int code = found == NULL ? MBEDTLS_ERR_X509_ALLOC_FAILED
                                 : mbedtls_x509_crt_parse_der_with_ext_cb(found, der, raw_n + n, 1,
                                                                          on_extension, NULL);
        if (code == 0 && !is_outlived(lookup, found)) {
            *(lookup->last == NULL ? &lookup->first : &lookup->last->next) = found;
            lookup->last = found;
            lookup->count++;
        } else {
            mbedtls_x509_crt_free(found);
            mbedtls_free(found);
            if (code == MBEDTLS_ERR_X509_ALLOC_FAILED)
                lookup->failed = code;
        }
    }
    if (lookup->child == lookup->judge->own && raw_n + n == lookup->child->raw.len &&
        memcmp(der, lookup->child->raw.p, raw_n + n) == 0)
        lookup->judge->is_listed = true;
    mbedtls_free(der);
}

static enum err look_in_file(struct lookup *lookup, const char *path)
{
    struct tls_file file;
    enum err err = tls_file_open(&file, path);

    if (err != OK)
        return err;
    while ((err = tls_file_next(&file)) == OK && lookup->failed == 0 &&
           lookup->count < CANDIDATES) {
        /* "TRUSTED CERTIFICATE" is OpenSSL's own form, with more behind it; nobody's bundle uses it. */
        if (file.label[0] != '\0' && strcmp(file.label, "CERTIFICATE") != 0 &&
            strcmp(file.label, "X509 CERTIFICATE") != 0)
            continue;
        lookup->judge->any_ca = true;
        if (has_subject(&file, &lookup->child->issuer_raw)) {
            lookup->judge->name_known = true;
            load(lookup, &file);
        }
    }
    tls_file_close(&file);
    return err == ERR_END ? OK : err;
}

/* --- a directory ------------------------------------------------------------------------------------------------------ */

static bool look_at_name(void *context, const char *name)
{
    struct lookup *lookup = context;
    char path[LIMIT_PATH];
    struct out out = OUT_ON(path);

    if (name[0] == '.')
        return true;
    out_format(&out, "%s/%s", lookup->judge->ca, name);
    if (out.overflow)
        return true;
    /* What cannot be read is none: directories hold links to files that are gone, and other things. */
    (void)look_in_file(lookup, out_cstr(&out));
    return lookup->failed == 0 && lookup->count < CANDIDATES && ++lookup->files < FILES;
}

/* --- the server's own ---------------------------------------------------------------------------------------------------- */

#define MOVES                                                                                      \
    256 /* enough to turn 20 certificates round; CAs that sign each other would go on for ever */

static bool is_issuer(const mbedtls_x509_crt *one, const mbedtls_x509_crt *other)
{
    return tls_same_name(&one->subject_raw, &other->issuer_raw);
}

static bool is_issuer_of_later(const mbedtls_x509_crt *one)
{
    for (const mbedtls_x509_crt *c = one->next; c != NULL; c = c->next)
        if (is_issuer(one, c) && !is_issuer(c, c))
            return true;
    return false;
}

/* Servers should send each certificate before that of its issuer, and mbedTLS looks for issuers behind it alone; clients should
 * bear any order but for the first (RFC 8446 §4.4.2). */
static void put_in_order(mbedtls_x509_crt *own)
{
    mbedtls_x509_crt *before = own, *last = own;

    while (last->next != NULL)
        last = last->next;
    for (int moves = 0; before->next != NULL && moves < MOVES;) {
        mbedtls_x509_crt *one = before->next;
        if (!is_issuer_of_later(one)) {
            before = one;
            continue;
        }
        before->next = one->next;
        one->next = NULL;
        last->next = one;
        last = one;
        moves++;
    }
}

int tls_trust_look_up(void *context, const mbedtls_x509_crt *child, mbedtls_x509_crt **found)
{
    struct tls_judge *judge = context;
    struct lookup lookup = {.judge = judge, .child = child};
    struct port_stat stat;
    enum err err;

    *found = NULL;
    judge->name_known = false;
    if (judge->own == NULL) {
        judge->own = child; /* the first to be asked for is the gateway's own */
        put_in_order((mbedtls_x509_crt *)(uintptr_t)child);
    }
    if (tls_pins_replace_ca(judge->options))
        return 0;
    err = port_stat(judge->ca, &stat);
    if (err == OK && stat.kind == PORT_DIRECTORY)
        err = port_list(judge->ca, look_at_name, &lookup);
    else if (err == OK)
        err = look_in_file(&lookup, judge->ca);
    *found = lookup.first; /* mbedTLS frees them, also where an error follows */
    if (err != OK)
        tls_object(judge, "the CAs cannot be read: %s: %s", judge->ca,
                   err == ERR_INVALID ? "it is neither a file nor a directory" : port_last_error());
    else if (lookup.failed != 0)
        tls_object(judge, "a CA needs more memory than this build has for it (TLS_POOL_KIB)");
    return err != OK ? MBEDTLS_ERR_X509_FILE_IO_ERROR : lookup.failed;
}
