/* The addresses of local sockets and who is at their other end.  POSIX has no call for peer
 * credentials: the mode of the socket and of its directory is the guard then. */
#include "internal.h"

#include <errno.h>
#include <string.h>

enum err port_peer_of(int fd, struct port_credentials *peer)
{
    (void)fd;
    *peer = (struct port_credentials){.uid = -1, .pid = 0};
    return port_fail_with(ENOTSUP);
}

enum err port_local_address(const char *path, struct sockaddr_un *address, socklen_t *size)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (!str_copy(str_of(path), address->sun_path, sizeof address->sun_path))
        return port_fail_with(ENAMETOOLONG);
    *size = (socklen_t)sizeof *address;
    return OK;
}
