/* Local sockets with what Linux adds: peer credentials and the abstract namespace. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum err port_peer_of(int fd, struct port_credentials *peer)
{
    struct ucred found;
    socklen_t size = sizeof found;

    *peer = (struct port_credentials){.uid = -1, .pid = 0};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &size) == -1)
        return port_fail();
    *peer = (struct port_credentials){.uid = (int64_t)found.uid, .pid = (int64_t)found.pid};
    return OK;
}

enum err port_local_address(const char *path, struct sockaddr_un *address, socklen_t *size)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (!str_copy(str_of(path), address->sun_path, sizeof address->sun_path))
        return port_fail_with(ENAMETOOLONG);
    *size = (socklen_t)sizeof *address;
    if (path[0] == '@') { /* abstract: a NUL first, no NUL last, the length counts */
        address->sun_path[0] = '\0';
        *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    }
    return OK;
}
