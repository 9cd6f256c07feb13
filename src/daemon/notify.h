/* What a service manager is told over the socket that it names in NOTIFY_SOCKET (sd_notify(3)): that the daemon is ready, how it stands, that it
 * lives, that it stops.  Without such a socket nothing of it does anything.  Never waits: what the socket does not take is told later. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum notify_phase { NOTIFY_STARTING, NOTIFY_READY, NOTIFY_STOPPING };

/* What a status says. */
struct notify_status {
    unsigned executing, waiting; /* runs */
    bool waits_for_space;
    const char *gateway; /* a word that lives for ever; NULL: there is none */
};

struct notify {
    char path[128];      /* "": nobody listens; "@name": an abstract socket */
    int64_t watchdog_ms; /* half of what the manager waits for a sign of life; 0: it does not */
    enum notify_phase phase, told;
    struct notify_status status, status_told;
    int64_t alive_at_ms;  /* when the next sign of life is due */
    int64_t status_at_ms; /* no new status before */
    int64_t retry_at_ms;  /* the socket was full */
    bool failed;          /* and that was logged */
};

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, as given (NULL: unset).  A watchdog that is meant for another process than `pid` is not
 * ours. */
void notify_start(struct notify *notify, const char *path, const char *watchdog_us,
                  const char *watchdog_pid, int64_t pid);
/* Tells what is to be told by now. */
void notify_tell(struct notify *notify, int64_t now_ms);
/* When notify_tell() has something to do next without anything happening; -1: never. */
int64_t notify_next_ms(const struct notify *notify);

#endif
