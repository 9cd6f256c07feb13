/* Whom a certificate is for (RFC 6125, RFC 9525), and whom its issuers may vouch for (RFC 5280 §4.2.1.10).  Pure: DER in,
 * verdict out.  A name stands in subjectAltName or nowhere: the common name is never looked at. */
#ifndef LINK_TLS_NAMES_H
#define LINK_TLS_NAMES_H

#include "base/out.h"
#include "base/str.h"

/* The next TLV of DER: false at the end, and where `rest` is none (then it becomes empty and *good false). */
bool der_next(struct str *rest, unsigned *tag, struct str *value, bool *good);
/* The value of the extension with this OID (its contents octets) in a certificate's Extensions (SEQUENCE OF). */
bool tls_extension(struct str extensions, struct str oid, struct str *value);

/* What we dial: a DNS name without its last dot, or 4 or 16 bytes of an address. */
struct tls_host {
    char name[256];
    unsigned char address[16];
    size_t address_n; /* 0: it is a name */
};
void tls_host_read(struct tls_host *host, struct str text);

enum tls_name_verdict { TLS_NAME_GOOD, TLS_NAME_MISSING, TLS_NAME_OTHER, TLS_NAME_BROKEN };
/* `extensions` of the gateway's certificate. */
enum tls_name_verdict tls_name_check(struct str extensions, const struct tls_host *host);
/* Its names, for people: "a.example, *.b.example, 192.0.2.1". */
void tls_name_list(struct str extensions, struct out *out);

/* Whether the name constraints in `issuer` (its Extensions) allow every name in `subject` (its Extensions).  False:
 * `reason` says which name, and which constraint.  What cannot be checked is not allowed. */
bool tls_names_allowed(struct str issuer, struct str subject, struct out *reason);

#endif
