/* Owns the reading of URLs.  Invariant: what these functions let through can stand in a request line, a Host header and a
 * log. */
#include "link/url.h"

#include "port.h"

#include <string.h>

static const struct {
    const char *name;
    bool secure;
} schemes[] = {{"http", false}, {"ws", false}, {"https", true}, {"wss", true}};

/* What the parts of a URL are, as views. */
struct parts {
    struct str host, port, rest;
    bool is_literal;
};

static bool is_name_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_';
}

static bool all_name_bytes(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_name_byte(text.p[i]) && text.p[i] != '~')
            return false;
    return text.n > 0;
}

/* An IPv6 address; its zone may be written "%eth0" or, as RFC 6874 wants it, "%25eth0". */
static bool read_literal(struct str host, struct url *url)
{
    char text[48];
    unsigned char bytes[16];
    size_t n;
    struct str address, zone;
    bool has_zone = str_cut(host, '%', &address, &zone);
    struct out out = OUT_ON(url->host);

    if (!str_copy(address, text, sizeof text) || !port_address_bytes(text, bytes, &n) || n != 16)
        return false;
    if (has_zone && str_starts_with(zone, STR("25")) && zone.n > 2)
        zone = str_from(zone, 2);
    if (has_zone && !all_name_bytes(zone))
        return false;
    out_str(&out, address);
    if (has_zone) {
        out_byte(&out, '%');
        out_str(&out, zone);
    }
    out_byte(&out, '\0');
    return !out.overflow;
}

static bool read_host(const struct parts *parts, struct url *url)
{
    struct str host = parts->host;

    url->is_literal = parts->is_literal;
    if (parts->is_literal)
        return read_literal(host, url);
    for (size_t i = 0; i < host.n; i++)
        if (!is_name_byte(host.p[i]))
            return false;
    return host.n > 0 && str_copy(host, url->host, sizeof url->host);
}

static bool read_port(struct str text, struct url *url)
{
    uint64_t port;

    url->port = url->secure ? 443 : 80;
    if (text.n == 0)
        return true;
    if (!str_to_u64(str_from(text, 1), &port) || port < 1 || port > 65535)
        return false;
    url->has_port = port != url->port;
    url->port = (unsigned)port;
    return true;
}

/* Splits "HOST:PORT/REST". */
static bool split(struct str text, struct parts *parts, const char **reason)
{
    size_t end = 0, colon;

    while (end < text.n && text.p[end] != '/' && text.p[end] != '?' && text.p[end] != '#')
        end++;
    struct str authority = str_head(text, end);
    parts->rest = str_from(text, end);
    if (str_find(authority, '@') < authority.n) {
        *reason = "no user name or password may stand in a URL; they belong into a file";
        return false;
    }
    parts->is_literal = authority.n > 0 && authority.p[0] == '[';
    if (parts->is_literal) {
        size_t bracket = str_find(authority, ']');
        *reason = "the \"]\" of the address is missing";
        if (bracket == authority.n)
            return false;
        parts->host = str_range(authority.p + 1, bracket - 1);
        parts->port = str_from(authority, bracket + 1);
        *reason = "after \"]\" comes a port or a path";
        return parts->port.n == 0 || parts->port.p[0] == ':';
    }
    colon = str_find(authority, ':');
    parts->host = str_head(authority, colon);
    parts->port = str_from(authority, colon);
    return true;
}

/* Scheme, host and port; *rest is what follows. */
static bool read_origin(struct str text, struct url *url, struct str *rest, const char **reason)
{
    size_t i, colon = str_find(text, ':');
    struct parts parts;

    memset(url, 0, sizeof *url);
    *reason = "it must begin with http://, https://, ws:// or wss://";
    for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (str_equal_nocase(str_head(text, colon), str_of(schemes[i].name)))
            break;
    if (i == sizeof schemes / sizeof schemes[0] ||
        !str_starts_with(str_from(text, colon), STR("://")))
        return false;
    url->secure = schemes[i].secure;
    *reason = "it is too long";
    if (text.n >= LIMIT_URL || !split(str_from(text, colon + 3), &parts, reason))
        return false;
    *rest = parts.rest;
    *reason = parts.is_literal ? "between \"[\" and \"]\" there must be an IPv6 address"
                               : "the host must be a name in ASCII or an address";
    if (!read_host(&parts, url))
        return false;
    *reason = "the port must be a number from 1 to 65535";
    return read_port(parts.port, url);
}

static bool is_path(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] > '~')
            return false;
    return true;
}

enum err url_read(struct str text, struct url *url, const char **reason)
{
    struct str prefix;

    if (!read_origin(text, url, &prefix, reason))
        return ERR_SYNTAX;
    *reason = "the path may hold printable ASCII only, without \"?\" and \"#\"";
    if (!is_path(prefix) || str_find(prefix, '?') < prefix.n || str_find(prefix, '#') < prefix.n)
        return ERR_SYNTAX;
    while (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    struct out path = OUT_ON(url->path);
    out_str(&path, prefix);
    out_text(&path, "/v1/daemon");
    out_cstr(&path);
    return OK;
}

enum err url_read_any(struct str text, struct url *url, const char **reason)
{
    struct str path;

    if (!read_origin(text, url, &path, reason))
        return ERR_SYNTAX;
    path = str_head(path, str_find(path, '#'));
    *reason = "the path may hold printable ASCII only";
    if (!is_path(path))
        return ERR_SYNTAX;
    struct out out = OUT_ON(url->path);
    if (path.n == 0 || path.p[0] != '/')
        out_byte(&out, '/');
    out_str(&out, path);
    out_cstr(&out);
    return OK;
}

enum err url_read_proxy(struct str text, struct url *url, const char **reason)
{
    size_t at = 0;
    struct parts parts;

    memset(url, 0, sizeof *url);
    while (at + 3 <= text.n && memcmp(text.p + at, "://", 3) != 0)
        at++;
    *reason = "a proxy's URL must begin with http://";
    if (at + 3 <= text.n && !str_equal_nocase(str_head(text, at), STR("http")))
        return ERR_SYNTAX;
    if (at + 3 <= text.n)
        text = str_from(text, at + 3);
    *reason = "it is too long";
    if (text.n >= LIMIT_URL || !split(text, &parts, reason))
        return ERR_SYNTAX;
    *reason = "a proxy's URL has no path";
    if (parts.rest.n > 0 && !str_is(parts.rest, "/"))
        return ERR_SYNTAX;
    *reason = "the host must be a name in ASCII or an address";
    if (!read_host(&parts, url))
        return ERR_SYNTAX;
    *reason = "the port must be a number from 1 to 65535";
    return read_port(parts.port, url) ? OK : ERR_SYNTAX;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->secure == b->secure && a->port == b->port && a->is_literal == b->is_literal &&
           str_equal_nocase(str_of(a->host), str_of(b->host));
}

void url_write_host(struct out *out, const struct url *url, bool with_port)
{
    struct str host = str_of(url->host);

    out_text(out, url->is_literal ? "[" : "");
    /* A zone names an interface of this machine, and is nobody else's business. */
    out_str(out, str_head(host, str_find(host, '%')));
    out_text(out, url->is_literal ? "]" : "");
    if (with_port || url->has_port) {
        out_byte(out, ':');
        out_u64(out, url->port);
    }
}

void url_write_origin(struct out *out, const struct url *url)
{
    out_text(out, url->secure ? "https://" : "http://");
    url_write_host(out, url, false);
}

void url_write_safe(struct out *out, struct str text)
{
    size_t end = 0, at = text.n, from = 0;

    while (from + 3 <= text.n && memcmp(text.p + from, "://", 3) != 0)
        from++;
    from = from + 3 <= text.n ? from + 3 : 0;
    /* The last "@" counts: a password may hold one. */
    for (end = from; end < text.n; end++)
        if (text.p[end] == '@')
            at = end;
    if (at == text.n) {
        out_str(out, text);
        return;
    }
    out_str(out, str_head(text, from));
    out_text(out, "***");
    out_str(out, str_from(text, at));
}
