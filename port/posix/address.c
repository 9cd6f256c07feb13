/* Addresses to text and back. */
#include "base/out.h"
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

bool port_address_bytes(const char *text, unsigned char bytes[16], size_t *n)
{
    *n = 4;
    if (inet_pton(AF_INET, text, bytes) == 1)
        return true;
    *n = 16;
    return inet_pton(AF_INET6, text, bytes) == 1;
}

static void write_v4(struct out *out, const unsigned char *bytes)
{
    out_format(out, "%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
}

static unsigned group(const unsigned char *bytes, size_t at)
{
    return (unsigned)bytes[2 * at] << 8 | bytes[2 * at + 1];
}

/* RFC 5952: lower case, no leading zeros, the first of the longest runs of two or more zero groups as "::"; an IPv4
 * address that is mapped stands in its own form.  (inet_ntop() would bring printf along, see base/format.c.) */
static void write_v6(struct out *out, const unsigned char *bytes)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    size_t zeros_at = 8, zeros_n = 1;

    if (memcmp(bytes, mapped, sizeof mapped) == 0) {
        out_text(out, "::ffff:");
        write_v4(out, bytes + sizeof mapped);
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        size_t n = 0;
        while (i + n < 8 && group(bytes, i + n) == 0)
            n++;
        if (n > zeros_n) {
            zeros_at = i;
            zeros_n = n;
        }
    }
    for (size_t i = 0; i < 8; i++) {
        if (i == zeros_at) {
            out_text(out, "::");
            i += zeros_n - 1;
            continue;
        }
        if (i > 0 && i != zeros_at + zeros_n)
            out_byte(out, ':');
        out_format(out, "%x", group(bytes, i));
    }
}

enum err port_address_text(const struct port_address *address, char *to, size_t size)
{
    struct out out = out_on(to, size);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    unsigned port;

    memcpy(&v4, address->bytes, sizeof v4);
    memcpy(&v6, address->bytes, sizeof v6);
    if (v4.sin_family == AF_INET) {
        write_v4(&out, (const unsigned char *)&v4.sin_addr);
        port = ntohs(v4.sin_port);
    } else if (v6.sin6_family == AF_INET6) {
        out_byte(&out, '[');
        write_v6(&out, v6.sin6_addr.s6_addr);
        out_byte(&out, ']');
        port = ntohs(v6.sin6_port);
    } else {
        return port_fail_with(EAFNOSUPPORT);
    }
    out_format(&out, ":%u", port);
    if (out.overflow)
        return port_fail_with(ENAMETOOLONG);
    out_cstr(&out);
    return OK;
}
