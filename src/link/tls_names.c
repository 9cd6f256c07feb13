/* Owns names in certificates: their form in DER, and when one covers another.  Invariant: no byte outside the given views is
 * read, whatever stands in them. */
#include "link/tls_names.h"

#include <string.h>

enum { SEQUENCE = 0x30, OCTETS = 0x04, OBJECT_ID = 0x06 };
/* GeneralName: the kinds that are checked, and the two whose form differs. */
enum { DNS_NAME = 0x82, IP_ADDRESS = 0x87 };
enum { PERMITTED = 0xA0, EXCLUDED = 0xA1 };

#define SUBJECT_ALT_NAME STR("\x55\x1D\x11")
#define NAME_CONSTRAINTS STR("\x55\x1D\x1E")

bool der_next(struct str *rest, unsigned *tag, struct str *value, bool *good)
{
    const unsigned char *p = (const unsigned char *)rest->p;
    size_t head = 2, length;

    if (rest->n == 0)
        return false;
    *good = false;
    if (rest->n < 2 || (p[0] & 0x1F) == 0x1F) {
        *rest = STR_NONE;
        return false;
    }
    length = p[1];
    if (length >= 0x80) {
        size_t bytes = length & 0x7F;
        if (bytes == 0 || bytes > 3 || rest->n < 2 + bytes) {
            *rest = STR_NONE;
            return false;
        }
        head += bytes;
        length = 0;
        for (size_t i = 0; i < bytes; i++)
            length = length << 8 | p[2 + i];
    }
    if (length > rest->n - head) {
        *rest = STR_NONE;
        return false;
    }
    *good = true;
    *tag = p[0];
    *value = str_range(rest->p + head, length);
    *rest = str_from(*rest, head + length);
    return true;
}

/* The contents of the one object that `bytes` begins with. */
static bool open_der(struct str bytes, unsigned wanted, struct str *value)
{
    unsigned tag;
    bool good;
    return der_next(&bytes, &tag, value, &good) && tag == wanted;
}

bool tls_extension(struct str extensions, struct str oid, struct str *value)
{
    struct str list, extension, part;
    unsigned tag;
    bool good = true;

    if (!open_der(extensions, SEQUENCE, &list))
        return false;
    while (der_next(&list, &tag, &extension, &good)) {
        if (tag != SEQUENCE || !der_next(&extension, &tag, &part, &good) || tag != OBJECT_ID ||
            !str_equal(part, oid))
            continue;
        while (der_next(&extension, &tag, &part, &good)) /* past the flag "critical" */
            if (tag == OCTETS) {
                *value = part;
                return true;
            }
    }
    return false;
}

/* --- the host ------------------------------------------------------------------------------------------------------- */

static bool read_ipv4(struct str text, unsigned char to[4])
{
    struct str part;
    uint64_t number;

    for (int i = 0; i < 4; i++) {
        bool dot = str_cut(text, '.', &part, &text);
        if (dot != (i < 3) || part.n == 0 || part.n > 3 || !str_to_u64(part, &number) ||
            number > 255)
            return false;
        to[i] = (unsigned char)number;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One side of "::": groups, the last of which may be an IPv4 address. *n counts bytes. */
static bool read_groups(struct str text, unsigned char *to, size_t *n, size_t max)
{
    struct str group;
    bool more = text.n > 0;

    *n = 0;
    while (more) {
        unsigned value = 0;
        more = str_cut(text, ':', &group, &text);
        if (!more && str_find(group, '.') < group.n) {
            if (*n + 4 > max || !read_ipv4(group, to + *n))
                return false;
            *n += 4;
            return true;
        }
        if (group.n == 0 || group.n > 4 || *n + 2 > max)
            return false;
        for (size_t i = 0; i < group.n; i++) {
            if (hex_value(group.p[i]) < 0)
                return false;
            value = value << 4 | (unsigned)hex_value(group.p[i]);
        }
        to[(*n)++] = (unsigned char)(value >> 8);
        to[(*n)++] = (unsigned char)value;
    }
    return true;
}

static bool read_ipv6(struct str text, unsigned char to[16])
{
    unsigned char tail[16];
    size_t gap = 0, head_n, tail_n;

    while (gap + 1 < text.n && !(text.p[gap] == ':' && text.p[gap + 1] == ':'))
        gap++;
    if (gap + 1 >= text.n)
        return read_groups(text, to, &head_n, 16) && head_n == 16;
    memset(to, 0, 16);
    if (!read_groups(str_head(text, gap), to, &head_n, 14) ||
        !read_groups(str_from(text, gap + 2), tail, &tail_n, 14) || head_n + tail_n > 14)
        return false;
    memcpy(to + 16 - tail_n, tail, tail_n);
    return true;
}

void tls_host_read(struct tls_host *host, struct str text)
{
    memset(host, 0, sizeof *host);
    if (read_ipv4(text, host->address)) {
        host->address_n = 4;
    } else if (str_find(text, ':') < text.n) {
        /* A zone names an interface of this machine; no certificate knows it. */
        if (read_ipv6(str_head(text, str_find(text, '%')), host->address))
            host->address_n = 16;
    }
    if (text.n > 1 && text.p[text.n - 1] == '.')
        text.n--;
    (void)str_copy(text, host->name, sizeof host->name);
}

/* --- whom it is for ------------------------------------------------------------------------------------------------- */

/* "*" stands for one whole label, the first, and for nothing else. */
static bool covers(struct str pattern, struct str name)
{
    if (pattern.n > 1 && pattern.p[pattern.n - 1] == '.')
        pattern.n--;
    if (str_starts_with(pattern, STR("*."))) {
        size_t dot = str_find(name, '.');
        return dot > 0 && dot < name.n && pattern.n > 2 &&
               str_equal_nocase(str_from(pattern, 1), str_from(name, dot));
    }
    return pattern.n > 0 && str_equal_nocase(pattern, name);
}

static bool alt_names(struct str extensions, struct str *names)
{
    struct str value;
    return tls_extension(extensions, SUBJECT_ALT_NAME, &value) && open_der(value, SEQUENCE, names);
}

enum tls_name_verdict tls_name_check(struct str extensions, const struct tls_host *host)
{
    struct str names, value;
    unsigned tag;
    bool good = true, any = false;

    if (!alt_names(extensions, &names))
        return TLS_NAME_MISSING;
    while (der_next(&names, &tag, &value, &good)) {
        any = any || tag == DNS_NAME || tag == IP_ADDRESS;
        if (host->address_n == 0 && tag == DNS_NAME && covers(value, str_of(host->name)))
            return TLS_NAME_GOOD;
        if (host->address_n > 0 && tag == IP_ADDRESS && value.n == host->address_n &&
            memcmp(value.p, host->address, value.n) == 0)
            return TLS_NAME_GOOD;
    }
    return !good ? TLS_NAME_BROKEN : any ? TLS_NAME_OTHER : TLS_NAME_MISSING;
}

static void write_address(struct str bytes, struct out *out)
{
    const unsigned char *p = (const unsigned char *)bytes.p;

    if (bytes.n == 4) {
        out_format(out, "%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
        return;
    }
    for (size_t i = 0; i + 1 < bytes.n; i += 2)
        out_format(out, "%s%x", i == 0 ? "" : ":", (unsigned)p[i] << 8 | p[i + 1]);
}

/* It goes to logs and terminals: only printable ASCII. */
static void write_name(unsigned tag, struct str value, struct out *out)
{
    if (tag == IP_ADDRESS) {
        write_address(str_head(value, value.n > 16 ? value.n / 2 : 16), out);
        return;
    }
    for (size_t i = 0; i < value.n && i < 100; i++)
        out_byte(out, value.p[i] > ' ' && value.p[i] <= '~' ? value.p[i] : '?');
}

void tls_name_list(struct str extensions, struct out *out)
{
    struct str names, value;
    unsigned tag, count = 0;
    bool good = true;

    if (!alt_names(extensions, &names))
        return;
    while (der_next(&names, &tag, &value, &good)) {
        if (tag != DNS_NAME && tag != IP_ADDRESS)
            continue;
        if (count == 5) {
            out_text(out, ", …");
            return;
        }
        if (count++ > 0)
            out_text(out, ", ");
        write_name(tag, value, out);
    }
}

/* --- whom its issuers may vouch for --------------------------------------------------------------------------------- */

/* A constraint "example.org" covers that name and all below it, ".example.org" (never meant by the RFC, yet seen) those
 * below.  An empty one covers everything. */
static bool dns_within(struct str name, struct str constraint)
{
    if (str_starts_with(name, STR("*."))) /* as wide as all that it stands for */
        name = str_from(name, 2);
    if (constraint.n == 0)
        return true;
    if (name.n < constraint.n ||
        !str_equal_nocase(str_from(name, name.n - constraint.n), constraint))
        return false;
    return constraint.p[0] == '.' || name.n == constraint.n ||
           name.p[name.n - constraint.n - 1] == '.';
}

/* An excluded name below a wildcard excludes the wildcard too. */
static bool dns_touches(struct str name, struct str constraint)
{
    if (dns_within(name, constraint))
        return true;
    return str_starts_with(name, STR("*.")) && constraint.n > 0 &&
           dns_within(constraint.p[0] == '.' ? str_from(constraint, 1) : constraint,
                      str_from(name, 2));
}

/* Address and mask. */
static bool address_within(struct str address, struct str constraint)
{
    if (constraint.n != 2 * address.n)
        return false;
    for (size_t i = 0; i < address.n; i++)
        if (((unsigned char)(address.p[i] ^ constraint.p[i]) &
             (unsigned char)constraint.p[address.n + i]) != 0)
            return false;
    return true;
}

/* Names of one list of subtrees that are of the name's kind: whether there are any, and whether one covers it. */
static bool look_at(struct str subtrees, bool excluded, unsigned kind, struct str name, bool *any,
                    bool *covered)
{
    struct str subtree, base;
    unsigned tag;
    bool good = true;

    while (der_next(&subtrees, &tag, &subtree, &good)) {
        if (tag != SEQUENCE || !der_next(&subtree, &tag, &base, &good) || subtree.n > 0)
            return false; /* minimum and maximum do not exist in this profile */
        if (tag != kind)
            continue;
        *any = true;
        if (kind == DNS_NAME)
            *covered = *covered || (excluded ? dns_touches(name, base) : dns_within(name, base));
        else
            *covered = *covered || address_within(name, base);
    }
    return good;
}

/* Kinds of constraints that we do not check, names of people and directories for example. */
static bool only_known_kinds(struct str subtrees)
{
    struct str subtree, base;
    unsigned tag;
    bool good = true;

    while (der_next(&subtrees, &tag, &subtree, &good))
        if (tag != SEQUENCE || !der_next(&subtree, &tag, &base, &good) ||
            (tag != DNS_NAME && tag != IP_ADDRESS))
            return false;
    return good;
}

static bool name_allowed(struct str permitted, struct str excluded, unsigned kind, struct str name,
                         struct out *reason)
{
    bool any = false, inside = false, any_excluded = false, outside = false;

    if (!look_at(permitted, false, kind, name, &any, &inside) ||
        !look_at(excluded, true, kind, name, &any_excluded, &outside)) {
        out_text(reason, "they are broken");
        return false;
    }
    if ((!any || inside) && !outside)
        return true;
    out_text(reason, outside ? "they exclude " : "they do not permit ");
    write_name(kind, name, reason);
    return false;
}

bool tls_names_allowed(struct str issuer, struct str subject, struct out *reason)
{
    struct str value, constraints, part, names, permitted = STR_NONE, excluded = STR_NONE;
    unsigned tag;
    bool good = true;

    if (!tls_extension(issuer, NAME_CONSTRAINTS, &value))
        return true;
    if (!open_der(value, SEQUENCE, &constraints))
        good = false;
    while (good && der_next(&constraints, &tag, &part, &good)) {
        if (tag == PERMITTED)
            permitted = part;
        else if (tag == EXCLUDED)
            excluded = part;
        else
            good = false;
    }
    if (!good) {
        out_text(reason, "they are broken");
        return false;
    }
    if (!only_known_kinds(permitted) || !only_known_kinds(excluded)) {
        out_text(reason,
                 "they are of a kind that is not checked here (only dNSName and iPAddress are)");
        return false;
    }
    if (!alt_names(subject, &names))
        return true; /* no name: nothing to constrain; of the gateway's certificate that is refused elsewhere */
    while (der_next(&names, &tag, &value, &good))
        if ((tag == DNS_NAME || tag == IP_ADDRESS) &&
            !name_allowed(permitted, excluded, tag, value, reason))
            return false;
    if (!good)
        out_text(reason, "the names of the certificate are broken");
    return good;
}
