/* In the place of resolve.c where no name is looked up: addresses, and "localhost". */
#include "internal.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

/* What stands behind the '%' of a link-local address: an interface's name or number. */
static bool read_zone(struct str zone, uint32_t *scope)
{
    char name[IF_NAMESIZE];
    uint64_t number;

    if (str_to_u64(zone, &number) && number > 0 && number <= UINT32_MAX) {
        *scope = (uint32_t)number;
        return true;
    }
    if (!str_copy(zone, name, sizeof name))
        return false;
    *scope = if_nametoindex(name);
    return *scope != 0;
}

static bool read_v4(const char *host, unsigned port, struct port_address *address)
{
    struct sockaddr_in v4;

    memset(&v4, 0, sizeof v4);
    v4.sin_family = AF_INET;
    v4.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &v4.sin_addr) != 1)
        return false;
    memset(address, 0, sizeof *address);
    memcpy(address->bytes, &v4, sizeof v4);
    address->size = sizeof v4;
    return true;
}

static bool read_v6(const char *host, unsigned port, struct port_address *address)
{
    char text[INET6_ADDRSTRLEN];
    struct str digits, zone;
    struct sockaddr_in6 v6;

    memset(&v6, 0, sizeof v6);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons((uint16_t)port);
    if (str_cut(str_of(host), '%', &digits, &zone) && !read_zone(zone, &v6.sin6_scope_id))
        return false;
    if (!str_copy(digits, text, sizeof text) || inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
        return false;
    memset(address, 0, sizeof *address);
    memcpy(address->bytes, &v6, sizeof v6);
    address->size = sizeof v6;
    return true;
}

enum err port_resolve(const char *host, unsigned port, struct port_address *list, size_t max,
                      size_t *count, const char **reason)
{
    *count = 0;
    *reason = "";
    if (str_equal_nocase(str_of(host), STR("localhost"))) {
        *count += *count < max && read_v6("::1", port, &list[*count]);
        *count += *count < max && read_v4("127.0.0.1", port, &list[*count]);
    } else {
        *count += max > 0 && (read_v4(host, port, list) || read_v6(host, port, list));
    }
    if (*count > 0)
        return OK;
    *reason = "this build looks up no names, only addresses (RESOLVE)";
    return port_fail_text(ERR_NOT_FOUND, *reason);
}
