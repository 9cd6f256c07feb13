/* Owns the reading of URLs.  Invariant: what url_read() lets through can stand in a request line, a Host header and a log. */
#include "link/url.h"

#include "base/out.h"

#include <string.h>

static const struct {
    const char *name;
    bool secure;
} schemes[] = {{"http", false}, {"ws", false}, {"https", true}, {"wss", true}};

static bool is_host_byte(char c, bool literal)
{
    bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (literal)
        return hex || c == ':' || c == '.' || c == '%' || (c >= 'a' && c <= 'z');
    return hex || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
           c == '_';
}

static bool read_host(struct str host, struct url *url)
{
    for (size_t i = 0; i < host.n; i++)
        if (!is_host_byte(host.p[i], url->is_literal))
            return false;
    return host.n > 0 && str_copy(host, url->host, sizeof url->host);
}

static bool read_port(struct str text, struct url *url, const char **reason)
{
    uint64_t port;

    url->port = url->secure ? 443 : 80;
    if (text.n == 0)
        return true;
    *reason = "the port must be a number from 1 to 65535";
    if (!str_to_u64(str_from(text, 1), &port) || port < 1 || port > 65535)
        return false;
    url->has_port = port != url->port;
    url->port = (unsigned)port;
    return true;
}

static bool read_path(struct str prefix, struct url *url, const char **reason)
{
    struct out path = OUT_ON(url->path);

    *reason = "the path may hold printable ASCII only, without \"?\" and \"#\"";
    for (size_t i = 0; i < prefix.n; i++)
        if (prefix.p[i] <= ' ' || prefix.p[i] > '~' || prefix.p[i] == '?' || prefix.p[i] == '#')
            return false;
    while (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    out_str(&path, prefix);
    out_text(&path, "/v1/daemon");
    out_cstr(&path);
    return true;
}

/* Splits host, port (with its colon) and what follows. */
static bool split_authority(struct str rest, struct str *host, struct str *port, struct url *url,
                            const char **reason)
{
    size_t end = 0, colon;

    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
        end++;
    struct str authority = str_head(rest, end);
    if (str_find(authority, '@') < authority.n) {
        *reason = "no user name or password may stand in it; use a token file";
        return false;
    }
    url->is_literal = authority.n > 0 && authority.p[0] == '[';
    *host = authority;
    *port = STR_NONE;
    if (url->is_literal) {
        size_t bracket = str_find(authority, ']');
        *reason = "the \"]\" of the address is missing";
        if (bracket == authority.n)
            return false;
        *host = str_range(authority.p + 1, bracket - 1);
        *port = str_from(authority, bracket + 1);
        if (port->n > 0 && port->p[0] != ':') {
            *reason = "after \"]\" comes a port or a path";
            return false;
        }
        return true;
    }
    colon = str_find(authority, ':');
    *host = str_head(authority, colon);
    *port = str_from(authority, colon);
    return true;
}

enum err url_read(struct str text, struct url *url, const char **reason)
{
    struct str host, port;
    size_t i, colon = str_find(text, ':');

    memset(url, 0, sizeof *url);
    *reason = "it must begin with http://, https://, ws:// or wss://";
    for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (str_equal_nocase(str_head(text, colon), str_of(schemes[i].name)))
            break;
    if (i == sizeof schemes / sizeof schemes[0] ||
        !str_starts_with(str_from(text, colon), STR("://")))
        return ERR_SYNTAX;
    url->secure = schemes[i].secure;
    *reason = "it is too long";
    if (text.n >= LIMIT_URL)
        return ERR_SYNTAX;
    struct str rest = str_from(text, colon + 3);
    if (!split_authority(rest, &host, &port, url, reason))
        return ERR_SYNTAX;
    size_t path_at =
        (size_t)((port.n > 0 ? port.p + port.n : host.p + host.n + (url->is_literal ? 1 : 0)) -
                 rest.p);
    if (!read_host(host, url)) {
        *reason = "the host must be a name in ASCII or an address";
        return ERR_SYNTAX;
    }
    if (!read_port(port, url, reason) || !read_path(str_from(rest, path_at), url, reason))
        return ERR_SYNTAX;
    return OK;
}
