/* Owns the choice of a proxy and the words of CONNECT.  It resolves no names: the proxy does that. */
#include "link/proxy.h"

#include "base/hash.h"
#include "port.h"

#include <string.h>

bool proxy_url_is_good(const char *url, const char **reason)
{
    struct url read;

    return strcmp(url, "none") == 0 || url_read_proxy(str_of(url), &read, reason) == OK;
}

/* --- who goes around it --------------------------------------------------------------------------------------------- */

struct address {
    unsigned char bytes[16];
    size_t n; /* 4 or 16; 0: no address */
};

static struct address read_address(struct str text)
{
    struct address address = {.n = 0};
    char copy[48];

    text = str_head(text, str_find(text, '%'));
    if (!str_copy(text, copy, sizeof copy) || !port_address_bytes(copy, address.bytes, &address.n))
        address.n = 0;
    return address;
}

static bool is_inside(const struct address *address, const struct address *network, uint64_t bits)
{
    if (address->n == 0 || address->n != network->n || bits > 8 * network->n)
        return false;
    for (size_t i = 0; i < address->n && bits > 0; i++) {
        unsigned take = bits < 8 ? (unsigned)bits : 8;
        unsigned mask = 0xFFU << (8 - take) & 0xFFU;
        if (((address->bytes[i] ^ network->bytes[i]) & mask) != 0)
            return false;
        bits -= take;
    }
    return true;
}

static bool is_under(struct str host, struct str domain)
{
    if (host.n > 0 && host.p[host.n - 1] == '.')
        host.n--;
    if (domain.n > 0 && domain.p[domain.n - 1] == '.')
        domain.n--;
    if (str_starts_with(domain, STR("*.")))
        domain = str_from(domain, 2);
    else if (str_starts_with(domain, STR(".")))
        domain = str_from(domain, 1);
    if (domain.n == 0 || host.n < domain.n ||
        !str_equal_nocase(str_from(host, host.n - domain.n), domain))
        return false;
    return host.n == domain.n || host.p[host.n - domain.n - 1] == '.';
}

/* Cuts ":PORT" off an entry, and brackets.  False: the port is another. */
static bool take_port(struct str *entry, unsigned port)
{
    struct str host = *entry, text = STR_NONE;
    uint64_t number;

    if (host.p[0] == '[') {
        size_t end = str_find(host, ']');
        text = str_from(host, end + 1);
        *entry = str_range(host.p + 1, end == host.n ? host.n - 1 : end - 1);
        if (text.n > 0 && text.p[0] == '/') { /* "[::]/0" is nobody's form */
            *entry = host;
            return true;
        }
    } else {
        size_t colon = str_find(host, ':');
        if (colon < host.n && str_find(str_from(host, colon + 1), ':') < host.n - colon - 1)
            return true; /* two colons: an address */
        text = str_from(host, colon);
        *entry = str_head(host, colon);
    }
    return text.n == 0 || (str_to_u64(str_from(text, 1), &number) && number == port);
}

static bool entry_matches(struct str entry, const struct url *target, const struct address *address)
{
    struct str network, bits;
    uint64_t length;

    if (str_is(entry, "*"))
        return true;
    if (str_cut(entry, '/', &network, &bits)) {
        struct address base = read_address(network);
        return str_to_u64(bits, &length) && is_inside(address, &base, length);
    }
    if (!take_port(&entry, target->port))
        return false;
    struct address one = read_address(entry);
    if (one.n > 0)
        return is_inside(address, &one, 8 * one.n);
    return address->n == 0 && is_under(str_of(target->host), entry);
}

bool proxy_is_bypassed(struct str list, const struct url *target)
{
    struct address address = read_address(str_of(target->host));

    while (list.n > 0) {
        size_t n = 0;
        while (n < list.n && list.p[n] != ',' && list.p[n] != ' ' && list.p[n] != '\t')
            n++;
        if (n > 0 && entry_matches(str_head(list, n), target, &address))
            return true;
        list = str_from(list, n + 1);
    }
    return false;
}

/* --- which one ------------------------------------------------------------------------------------------------------ */

static const char *variable(const char *const names[2], const char **name)
{
    for (int i = 0; i < 2; i++) {
        const char *value = names[i] == NULL ? NULL : port_environment(names[i]);
        *name = names[i];
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return NULL;
}

enum err proxy_choose(const struct proxy_options *options, const struct url *target,
                      struct url *proxy, const char **source, const char **reason)
{
    static const char *const secure[2] = {"https_proxy", "HTTPS_PROXY"};
    /* In capitals a web server could set it from a header of a request. */
    static const char *const plain[2] = {"http_proxy", NULL};
    static const char *const none[2] = {"no_proxy", "NO_PROXY"};
    const char *url = options->url, *list, *name;

    *source = "--proxy";
    *reason = NULL;
    if (strcmp(url, "none") == 0)
        return ERR_NOT_FOUND;
    if (url[0] == '\0')
        url = variable(target->secure ? secure : plain, source);
    if (url == NULL)
        return ERR_NOT_FOUND;
    list = variable(none, &name);
    if (list != NULL && proxy_is_bypassed(str_of(list), target))
        return ERR_NOT_FOUND;
    return url_read_proxy(str_of(url), proxy, reason);
}

/* --- CONNECT -------------------------------------------------------------------------------------------------------- */

bool proxy_credentials_are_good(struct str credentials)
{
    for (size_t i = 0; i < credentials.n; i++)
        if ((unsigned char)credentials.p[i] < ' ' || credentials.p[i] == 0x7F)
            return false;
    return str_find(credentials, ':') < credentials.n;
}

void proxy_write_request(struct out *out, const struct url *target, struct str credentials)
{
    out_text(out, "CONNECT ");
    url_write_host(out, target, true);
    out_text(out, " HTTP/1.1\r\nHost: ");
    url_write_host(out, target, true);
    out_text(out, "\r\nUser-Agent: charter-daemon/" CHARTER_VERSION "\r\n");
    if (credentials.n > 0) {
        out_text(out, "Proxy-Authorization: Basic ");
        base64_encode(out, (const unsigned char *)credentials.p, credentials.n);
        out_text(out, "\r\n");
    }
    out_text(out, "\r\n");
}

enum err proxy_feed(struct answer *answer, struct str bytes, size_t *taken)
{
    size_t more;

    *taken = 0;
    if (!answer->head.is_whole) {
        enum err err = answer_head(answer, bytes, taken);
        if (err != OK)
            return err;
        /* Whatever framing it announces, the head is all (RFC 9110 §9.3.6). */
        if (answer->status >= 200 && answer->status < 300)
            return OK;
        if (answer->status < 200)
            return answer_refuse(answer, "HTTP %u in answer to CONNECT", answer->status);
    }
    enum err err = answer_body(answer, str_from(bytes, *taken), &more);
    *taken += more;
    return err == OK ? ERR_REFUSED : err;
}
