/* Names to addresses and addresses to text.  port_resolve() is the one call of the port that may
 * block for long and take heap. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum err port_resolve(const char *host, unsigned port, struct port_address *list, size_t max,
                      size_t *count, const char **reason)
{
    struct addrinfo hints, *found = NULL;
    char service[12];

    *count = 0;
    *reason = "";
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &found);
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

bool port_address_bytes(const char *text, unsigned char bytes[16], size_t *n)
{
    *n = 4;
    if (inet_pton(AF_INET, text, bytes) == 1)
        return true;
    *n = 16;
    return inet_pton(AF_INET6, text, bytes) == 1;
}

enum err port_address_text(const struct port_address *address, char *to, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    int wanted;

    memcpy(&v4, address->bytes, sizeof v4);
    memcpy(&v6, address->bytes, sizeof v6);
    if (v4.sin_family == AF_INET && inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text) != NULL)
        wanted = snprintf(to, size, "%s:%u", text, (unsigned)ntohs(v4.sin_port));
    else if (v6.sin6_family == AF_INET6 &&
             inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text) != NULL)
        wanted = snprintf(to, size, "[%s]:%u", text, (unsigned)ntohs(v6.sin6_port));
    else
        return port_fail_with(EAFNOSUPPORT);
    return wanted < 0 || (size_t)wanted >= size ? port_fail_with(ENAMETOOLONG) : OK;
}
