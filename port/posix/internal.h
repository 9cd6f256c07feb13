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

/* file.c: open() with O_CLOEXEC and mode 0600, again after a signal; -1 with errno. */
int port_open_retrying(const char *path, int flags);

/* descriptor.c: makes a fresh descriptor ours: close-on-exec, above the standard ones, below
 * FD_SETSIZE, and non-blocking where asked.  *fd changes when it had to move; on failure it is
 * closed and -1. */
enum err port_claim(int *fd, bool nonblocking);
enum err port_claim_both(int fds[2], bool nonblocking);
enum err port_set_nonblocking(int fd, bool nonblocking);

/* spawn.c: in a fresh child: default dispositions, nothing blocked. */
void port_child_signals(void);
/* limit.c: in a fresh child: 0 or less is no limit.  Limits of one process, not of its group. */
void port_limit(int64_t memory_bytes, int64_t cpu_s, int64_t open_files, int64_t processes);
void port_limit_core(void); /* no core file */
/* pipe.c: both ends ours, blocking. */
enum err port_pipe(int fds[2]);
/* process.c: waits for the death of one child that is about to die. */
void port_reap_one(int64_t pid);

/* Replaced. */
/* begin.c: a new process that calls become(context), which does not come back.  All signals are
 * blocked in it.  What it writes to memory may or may not be seen here, and we may stand still
 * until it has called exec or has ended: so it does little.  -1 with errno set. */
int64_t port_begin(void (*become)(void *context), void *context);
bool port_become(int64_t uid, int64_t gid);     /* user.c: in a fresh child; false: errno */
void port_raise_oom_score(int by);              /* oom.c: in a fresh child */
bool port_confine(const char *const *writable); /* confine.c: in a fresh child; false: errno */
void port_close_from(int lowest);               /* close_from.c: in a fresh child alone */
void port_die_with_parent(int64_t parent);      /* orphan.c: in a fresh child alone */
int64_t port_address_space(void);               /* memory.c: bytes, or -1 where unknown */
enum err port_peer_of(int fd, struct port_credentials *peer); /* local.c */
enum err port_local_address(const char *path, struct sockaddr_un *address,
                            socklen_t *size); /* local.c */

/* urandom.c: reads the system's random device. */
enum err port_urandom(void *bytes, size_t n);

/* linux/begin.c: the stack of a child that has become another program, for linux/memory.c. */
void port_release_child_stack(void);

/* wear.c: what file.c tells it. */
void port_wear_wrote(size_t n);
void port_wear_synced(void);

#endif
