/* What the sources of port/ share among themselves; nobody outside may include it.  The small
 * functions under "replaced" have a portable source here and a better one of the same file name in
 * port/linux. */
#ifndef PORT_POSIX_INTERNAL_H
#define PORT_POSIX_INTERNAL_H

#include "port.h"

#include <sys/socket.h>
#include <sys/un.h>

/* error.c: keep the number for port_last_error() and say which kind of failure it is. */
enum err port_fail(void); /* of errno */
enum err port_fail_with(int number);
enum err port_fail_text(enum err err, const char *text); /* static storage */

/* descriptor.c: makes a fresh descriptor ours: close-on-exec, above the standard ones, below
 * FD_SETSIZE, and non-blocking where asked.  *fd changes when it had to move; on failure it is
 * closed and -1. */
enum err port_claim(int *fd, bool nonblocking);
enum err port_claim_both(int fds[2], bool nonblocking);
enum err port_set_nonblocking(int fd, bool nonblocking);

/* spawn.c: in a fresh child: default dispositions, nothing blocked. */
void port_child_signals(void);
/* process.c: waits for the death of one child that is about to die. */
void port_reap_one(int64_t pid);

/* Replaced. */
void port_close_from(int lowest);          /* close_from.c: in a fresh child alone */
void port_die_with_parent(int64_t parent); /* orphan.c: in a fresh child alone */
int64_t port_address_space(void);          /* memory.c: bytes, or -1 where unknown */
enum err port_peer_of(int fd, struct port_credentials *peer); /* local.c */
enum err port_local_address(const char *path, struct sockaddr_un *address,
                            socklen_t *size); /* local.c */

/* urandom.c: reads the system's random device. */
enum err port_urandom(void *bytes, size_t n);

#endif
