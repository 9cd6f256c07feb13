/* Names to addresses.  port_resolve() is the one call of the port that may
 * block for long and take heap. */
#include "base/out.h"
#include "internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

enum err port_resolve(const char *host, unsigned port, struct port_address *list, size_t max,
                      size_t *count, const char **reason)
{
    struct addrinfo hints, *found = NULL;
    char service[12];
    struct out number = OUT_ON(service);

    *count = 0;
    *reason = "";
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    out_u64(&number, port);
    int failed = getaddrinfo(host, out_cstr(&number), &hints, &found);
    if (failed) {
        *reason = failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed);
        return port_fail_text(ERR_NOT_FOUND, *reason);
    }
    for (struct addrinfo *info = found; info != NULL && *count < max; info = info->ai_next) {
        struct port_address *address = &list[*count];
        if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
            info->ai_addrlen > sizeof address->bytes)
            continue;
        memset(address, 0, sizeof *address);
        memcpy(address->bytes, info->ai_addr, info->ai_addrlen);
        address->size = (unsigned char)info->ai_addrlen;
        (*count)++;
    }
    freeaddrinfo(found);
    if (*count == 0) {
        *reason = "the name has no address";
        return port_fail_text(ERR_NOT_FOUND, *reason);
    }
    return OK;
}
