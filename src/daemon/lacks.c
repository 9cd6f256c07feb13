/* Owns what this system lacks of what the daemon makes use of.  It is found out at the start by asking for each thing, never by
 * the name of the system: a kernel may be older than the C library's headers, and an emulator takes calls that it does not follow. */
#include "daemon/daemon.h"

#include "base/log.h"
#include "port.h"

enum { LANDLOCK, SUBREAPER, MEMORY_LIMIT, MEMORY_FIGURES, PEER_CREDENTIALS, LACKS };

/* The word in daemon.status, and what it is to somebody who reads the log. */
static const char *const words[LACKS][2] = {
    {"landlock", "no Landlock: integrations may write wherever the daemon may"},
    {"subreaper", "no subreaper: processes that an integration leaves behind may live on"},
    {"memory_limit", "no limits of memory: memory_mb of an integration does nothing"},
    {"memory_figures", "no figures of memory: what the daemon takes is not known"},
    {"peer_credentials",
     "no credentials of peers: only the mode of .charter keeps other users from the control socket"},
};

void lacks_find(struct daemon *daemon)
{
    struct port_credentials peer;
    bool there[LACKS] = {
        [LANDLOCK] = !BUILT_IN(CONFIG_LANDLOCK) || port_confinement() > 0,
        [SUBREAPER] = port_become_subreaper(),
        [MEMORY_LIMIT] = port_limits_memory(),
        [MEMORY_FIGURES] = port_memory_private() >= 0,
        [PEER_CREDENTIALS] = port_peer(-1, &peer) != ERR_UNSUPPORTED, /* of nobody */
    };

    daemon->lacks = 0;
    for (unsigned i = 0; i < LACKS; i++) {
        if (there[i])
            continue;
        daemon->lacks |= 1U << i;
        log_warning("daemon", "this system has %s", words[i][1]);
    }
}

void lacks_write(const struct daemon *daemon, struct json_writer *w)
{
    json_array(w);
    for (unsigned i = 0; i < LACKS; i++)
        if (daemon->lacks & 1U << i)
            json_text(w, words[i][0]);
    json_array_end(w);
}
