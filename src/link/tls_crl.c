/* Owns revocation.  mbedTLS excludes CRLs where CAs come from a callback, and would keep each list in memory whole; here a
 * list of any length is streamed: once to find the serial number, once to check the signature.  Invariant: no list counts
 * whose signature, dates and issuer were not checked. */
#include "link/tls_engine.h"

#include "base/time.h"
#include "port.h"

#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <string.h>

#define SIGNATURE_MAX 1024
#define EXTENSIONS_MAX 1024

enum {
    INTEGER = 0x02,
    BIT_STRING = 0x03,
    UTC_TIME = 0x17,
    TIME = 0x18,
    SEQUENCE = 0x30,
    EXTENSIONS = 0xA0,
    BOOLEAN = 0x01
};

/* One list, as far as it concerns one certificate. */
struct list {
    struct tls_file *file;
    size_t left;                          /* bytes of the part that is signed */
    int64_t this_update_s, next_update_s; /* 0: none given */
    bool revoked, critical;
    mbedtls_md_type_t md;
    mbedtls_pk_type_t pk;
    size_t signature_n;
    unsigned char signature[SIGNATURE_MAX];
};

/* The next object of the signed part. */
static bool head(struct list *list, unsigned *tag, size_t *n)
{
    unsigned char raw[6];
    size_t raw_n;

    if (list->left == 0 || tls_file_head(list->file, tag, n, raw, &raw_n) != OK ||
        raw_n > list->left || *n > list->left - raw_n)
        return false;
    list->left -= raw_n;
    return true;
}

static bool get(struct list *list, void *to, size_t n)
{
    if (n > list->left || tls_file_get(list->file, to, n) != OK)
        return false;
    list->left -= n;
    return true;
}

static bool skip(struct list *list, size_t n)
{
    if (n > list->left || tls_file_skip(list->file, n) != OK)
        return false;
    list->left -= n;
    return true;
}

static bool read_time(struct list *list, unsigned tag, size_t n, int64_t *to)
{
    char text[16];
    uint64_t field[6];
    size_t year = tag == UTC_TIME ? 2 : 4;

    if (n != year + 11 || !get(list, text, n) || text[n - 1] != 'Z' ||
        !str_to_u64(str_range(text, year), &field[0]))
        return false;
    for (size_t i = 0; i < 5; i++)
        if (!str_to_u64(str_range(text + year + 2 * i, 2), &field[i + 1]))
            return false;
    if (year == 2)
        field[0] += field[0] < 50 ? 2000 : 1900;
    mbedtls_x509_time time = {(int)field[0], (int)field[1], (int)field[2],
                              (int)field[3], (int)field[4], (int)field[5]};
    *to = tls_unix_time(&time);
    return true;
}

static bool is_serial(struct list *list, size_t n, const mbedtls_x509_buf *serial, bool *same)
{
    unsigned char found[64];

    *same = false;
    if (n > sizeof found)
        return skip(list, n);
    if (!get(list, found, n))
        return false;
    *same = n == serial->len && memcmp(found, serial->p, n) == 0;
    return true;
}

static bool read_revoked(struct list *list, size_t n, const mbedtls_x509_buf *serial)
{
    size_t end = list->left - n, size;
    unsigned tag;
    bool same;

    while (list->left > end) {
        if (!head(list, &tag, &size) || tag != SEQUENCE)
            return false;
        size_t next = list->left - size;
        if (!head(list, &tag, &size) || tag != INTEGER || !is_serial(list, size, serial, &same) ||
            list->left < next || !skip(list, list->left - next))
            return false;
        list->revoked = list->revoked || same;
    }
    return list->left == end;
}

/* A critical one says that the list is not what it seems: a part of one, or only what changed. */
static bool read_extensions(struct list *list, size_t n)
{
    char bytes[EXTENSIONS_MAX];
    struct str all, inner, extension, part;
    unsigned tag;
    bool good = true;

    if (n > sizeof bytes || !get(list, bytes, n))
        return false;
    all = str_range(bytes, n);
    if (!der_next(&all, &tag, &inner, &good) || tag != SEQUENCE)
        return false;
    while (der_next(&inner, &tag, &extension, &good))
        while (der_next(&extension, &tag, &part, &good))
            if (tag == BOOLEAN && part.n == 1 && part.p[0] != 0)
                list->critical = true;
    return good;
}

static bool read_algorithm(struct tls_file *file, struct list *list)
{
    char bytes[128];
    struct str all, oid;
    unsigned tag;
    size_t n;
    bool good;

    if (tls_file_enter(file, SEQUENCE, &n) != OK || n > sizeof bytes ||
        tls_file_get(file, bytes, n) != OK)
        return false;
    all = str_range(bytes, n);
    if (!der_next(&all, &tag, &oid, &good) || tag != 0x06)
        return false;
    mbedtls_asn1_buf buf = {(int)tag, oid.n, (unsigned char *)bytes + (oid.p - bytes)};
    if (mbedtls_oid_get_sig_alg(&buf, &list->md, &list->pk) != 0)
        list->md = MBEDTLS_MD_NONE;
    return true;
}

/* False: it is broken, or of another issuer (then *other). */
static bool walk(struct list *list, const mbedtls_x509_crt *issuer, const mbedtls_x509_buf *serial,
                 bool *other)
{
    size_t n;
    unsigned tag;
    unsigned char unused;

    *other = false;
    if (tls_file_enter(list->file, SEQUENCE, &n) != OK ||
        tls_file_enter(list->file, SEQUENCE, &list->left) != OK || !head(list, &tag, &n))
        return false;
    if (tag == INTEGER && (!skip(list, n) || !head(list, &tag, &n)))
        return false;
    if (tag != SEQUENCE || !skip(list, n)) /* the algorithm, which stands outside once more */
        return false;
    if (list->left < issuer->subject_raw.len ||
        !tls_name_follows(list->file, &issuer->subject_raw)) {
        *other = true;
        return false;
    }
    list->left -= issuer->subject_raw.len;
    if (!head(list, &tag, &n) || (tag != UTC_TIME && tag != TIME) ||
        !read_time(list, tag, n, &list->this_update_s))
        return false;
    while (list->left > 0) {
        if (!head(list, &tag, &n))
            return false;
        bool good = tag == UTC_TIME || tag == TIME ? read_time(list, tag, n, &list->next_update_s)
                    : tag == SEQUENCE              ? read_revoked(list, n, serial)
                    : tag == EXTENSIONS            ? read_extensions(list, n)
                                                   : false;
        if (!good)
            return false;
    }
    if (!read_algorithm(list->file, list) || tls_file_enter(list->file, BIT_STRING, &n) != OK ||
        n < 2 || n > SIGNATURE_MAX || tls_file_get(list->file, &unused, 1) != OK)
        return false;
    list->signature_n = n - 1;
    return tls_file_get(list->file, list->signature, list->signature_n) == OK;
}

/* Over the bytes as they stand. */
static bool is_signed(struct list *list, mbedtls_x509_crt *issuer)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(list->md);
    unsigned char piece[64], digest[64];
    mbedtls_md_context_t md;
    unsigned tag;
    size_t n, piece_n;
    bool good = false;

    if (info == NULL || mbedtls_md_get_size(info) < 32) /* nothing older than SHA-256 */
        return false;
    mbedtls_md_init(&md);
    if (tls_file_again(list->file) != OK || tls_file_enter(list->file, SEQUENCE, &n) != OK ||
        tls_file_head(list->file, &tag, &n, piece, &piece_n) != OK ||
        mbedtls_md_setup(&md, info, 0) != 0 || mbedtls_md_starts(&md) != 0)
        goto out;
    for (;;) {
        if (mbedtls_md_update(&md, piece, piece_n) != 0)
            goto out;
        piece_n = n < sizeof piece ? n : sizeof piece;
        if (piece_n == 0)
            break;
        if (tls_file_get(list->file, piece, piece_n) != OK)
            goto out;
        n -= piece_n;
    }
    good =
        mbedtls_md_finish(&md, digest) == 0 &&
        mbedtls_pk_verify_ext(list->pk, NULL, &issuer->pk, list->md, digest,
                              mbedtls_md_get_size(info), list->signature, list->signature_n) == 0;
out:
    mbedtls_md_free(&md);
    return good;
}

static void write_day(char to[16], int64_t unix_s)
{
    char text[TIME_TEXT_LENGTH + 1];
    struct out out = OUT_ON(text);

    time_write(&out, unix_s * 1000);
    (void)str_copy(str_head(out_view(&out), 10), to, 16);
}

/* What a list that is of the right issuer means for the certificate; false: it objects. */
static bool judge_list(struct tls_judge *judge, struct list *list, mbedtls_x509_crt *certificate,
                       mbedtls_x509_crt *issuer)
{
    int64_t now = port_wall_ms() / 1000;
    char name[80], issued_by[80], day[16];
    struct out name_out = OUT_ON(name), issuer_out = OUT_ON(issued_by);

    tls_write_name(&name_out, &certificate->subject);
    tls_write_name(&issuer_out, &issuer->subject);
    out_cstr(&name_out);
    out_cstr(&issuer_out);
    if (mbedtls_x509_crt_check_key_usage(issuer, MBEDTLS_X509_KU_CRL_SIGN) != 0)
        tls_object(judge, "the CRL of %s counts for nothing: this CA may not sign CRLs", issued_by);
    else if (!is_signed(list, issuer))
        tls_object(judge, "the CRL of %s is not signed by it (or not with SHA-256 or better)",
                   issued_by);
    else if (list->revoked)
        tls_object(judge, "certificate was revoked by its issuer (%s, revoked by %s)", name,
                   issued_by);
    else if (list->critical)
        tls_object(judge, "the CRL of %s has a critical extension, which is not known here",
                   issued_by);
    else if (list->this_update_s > now) {
        write_day(day, list->this_update_s);
        tls_object(judge, "the CRL of %s is not valid before %s", issued_by, day);
    } else if (list->next_update_s != 0 && list->next_update_s < now) {
        write_day(day, list->next_update_s);
        tls_object(judge, "the CRL of %s expired %s", issued_by, day);
    } else {
        return true;
    }
    return false;
}

/* All lists of the issuer in the file. */
static bool check_one(struct tls_judge *judge, mbedtls_x509_crt *certificate,
                      mbedtls_x509_crt *issuer, bool *found)
{
    const char *path = judge->options->crl;
    struct tls_file file;
    struct list list;
    bool good = true, other;
    enum err err = tls_file_open(&file, path);

    if (err != OK) {
        tls_object(judge, "the CRLs cannot be read: %s: %s", path,
                   err == ERR_INVALID ? "it is no regular file" : port_last_error());
        return false;
    }
    while (good && (err = tls_file_next(&file)) == OK) {
        if (file.label[0] != '\0' && strcmp(file.label, "X509 CRL") != 0)
            continue;
        memset(&list, 0, offsetof(struct list, signature));
        list.file = &file;
        if (walk(&list, issuer, &certificate->serial, &other)) {
            *found = true;
            good = judge_list(judge, &list, certificate, issuer);
        } else if (!other) {
            tls_object(judge, "%s holds a CRL that cannot be read", path);
            good = false;
        }
    }
    if (good && err != ERR_END) {
        tls_object(judge, "the CRLs cannot be read: %s: %s", path, port_last_error());
        good = false;
    }
    tls_file_close(&file);
    return good;
}

bool tls_crl_check(struct tls_judge *judge)
{
    for (int i = 0; i < judge->depth; i++) {
        bool found = false;
        if (!check_one(judge, judge->chain[i], judge->chain[i + 1], &found))
            return false;
        if (i == 0 && !found) {
            char name[80];
            struct out out = OUT_ON(name);
            tls_write_name(&out, &judge->chain[1]->subject);
            tls_object(judge, "%s holds no CRL of the issuer of the gateway's certificate (%s)",
                       judge->options->crl, out_cstr(&out));
            return false;
        }
    }
    return true;
}
