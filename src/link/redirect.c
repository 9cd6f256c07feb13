/* Owns the resolution of a Location.  Invariant: what it lets through is the same origin, or has TLS. */
#include "link/redirect.h"

#include <string.h>

bool redirect_is(unsigned status)
{
    return status == 301 || status == 302 || status == 307 || status == 308;
}

/* Whether it begins with "scheme:". */
static bool has_scheme(struct str text)
{
    size_t i = 0;

    while (i < text.n &&
           ((text.p[i] >= 'a' && text.p[i] <= 'z') || (text.p[i] >= 'A' && text.p[i] <= 'Z') ||
            (i > 0 && ((text.p[i] >= '0' && text.p[i] <= '9') ||
                       (text.p[i] != '\0' && strchr("+-.", text.p[i]) != NULL)))))
        i++;
    return i > 0 && i < text.n && text.p[i] == ':';
}

/* Takes "." and ".." out of the path in place (RFC 3986 §5.2.4); it begins with "/". */
static void remove_dots(char *path)
{
    size_t query = strcspn(path, "?"), in = 0, out = 0;

    while (in < query) {
        size_t end = in + 1;
        while (end < query && path[end] != '/')
            end++;
        size_t n = end - in;
        bool last = end == query;
        if (n == 2 && path[in + 1] == '.') {
            if (last)
                path[out++] = '/';
        } else if (n == 3 && path[in + 1] == '.' && path[in + 2] == '.') {
            while (out > 0 && path[--out] != '/')
                ;
            if (last)
                path[out++] = '/';
        } else {
            memmove(path + out, path + in, n);
            out += n;
        }
        in = end;
    }
    memmove(path + out, path + query, strlen(path + query) + 1);
}

/* The path of a reference without scheme and authority, merged with the one it is relative to. */
static bool merge(const struct url *from, struct str reference, char *path)
{
    struct out out = out_on(path, URL_PATH);
    struct str base = str_of(from->path);

    reference = str_head(reference, str_find(reference, '#'));
    base = str_head(base, reference.n == 0 ? base.n : str_find(base, '?'));
    if (reference.n > 0 && reference.p[0] == '/')
        base.n = 0;
    else if (reference.n > 0 && reference.p[0] != '?')
        while (base.n > 0 && base.p[base.n - 1] != '/')
            base.n--;
    out_str(&out, base);
    out_str(&out, reference);
    out_byte(&out, '\0');
    if (out.overflow)
        return false;
    for (size_t i = 0; i + 1 < out.n; i++)
        if (path[i] <= ' ' || path[i] > '~')
            return false;
    remove_dots(path);
    return true;
}

enum err redirect_read(const struct url *from, struct str location, struct url *to,
                       const char **reason)
{
    char text[LIMIT_URL];
    struct out out = OUT_ON(text);

    *reason = "there is no Location";
    if (location.n == 0)
        return ERR_SYNTAX;
    if (has_scheme(location) || str_starts_with(location, STR("//"))) {
        if (!has_scheme(location))
            out_text(&out, from->secure ? "https:" : "http:");
        out_str(&out, location);
        *reason = "it is too long";
        if (out.overflow || url_read_any(out_view(&out), to, reason) != OK)
            return ERR_SYNTAX;
        remove_dots(to->path);
    } else {
        *to = *from;
        *reason = "its path is too long or not in ASCII";
        if (!merge(from, location, to->path))
            return ERR_SYNTAX;
    }
    *reason = "it leads to another origin without TLS";
    return to->secure || url_same_origin(from, to) ? OK : ERR_REFUSED;
}
