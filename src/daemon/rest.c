/* Memory in use follows what is in use: when the daemon has had nothing to do for a second, the pages that the last work has touched go back to the
 * system.  Owns when that is; what may go is known to each room. */
#include "daemon/daemon.h"

#include "port.h"

#define REST_MS 1000 /* longer than a lazy record waits for company */

int64_t rest_next_ms(const struct daemon *daemon)
{
    return daemon->rest_at_ms;
}

void rest_if_idle(struct daemon *daemon)
{
    int64_t now_ms = daemon->loop.now_ms;

    if (daemon->rest_at_ms < 0 || now_ms < daemon->rest_at_ms) {
        daemon->rest_at_ms = now_ms + REST_MS; /* something happened */
        return;
    }
    daemon->rest_at_ms = -1;
    journal_rest(&daemon->journal);
    if (journal_is_resting(&daemon->journal) && !helper_running(&daemon->loader))
        port_release(&daemon->workspace, offsetof(struct daemon, journal.window.segment) -
                                             offsetof(struct daemon, workspace));
    engine_rest(&daemon->engine);
    link_rest(&daemon->link);
    control_rest(&daemon->control);
    port_release_stack();
}
