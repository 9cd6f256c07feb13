/* charter-daemon: which command, and its exit code. */
#include "daemon/daemon.h"

#include "base/log.h"
#include "port.h"

/* All mutable state of the daemon. */
static struct daemon the_daemon;

static int run_daemon(struct daemon *daemon)
{
    if (daemon->options.background && port_background_start() != OK) {
        log_error("daemon", "cannot go to the background: %s", port_last_error());
        return EXIT_STORAGE;
    }
    if (!daemon_start(daemon))
        return (int)daemon->exit_code;
    if (daemon->options.background)
        port_background_ready();
    while (daemon->phase != DAEMON_DONE)
        daemon_turn(daemon);
    return (int)daemon->exit_code;
}

int main(int argc, char **argv)
{
    struct daemon *daemon = &the_daemon;

    if (!options_read(&daemon->options, argc, argv))
        return EXIT_USAGE;
    log_setup(daemon->options.log_level, daemon->options.log_format);
    switch (daemon->options.command) {
    case COMMAND_START:
        return run_daemon(daemon);
    case COMMAND_CHECK:
        return BUILT_IN(CONFIG_CHECK) ? daemon_check(daemon) : EXIT_USAGE;
    case COMMAND_VERIFY:
        return BUILT_IN(CONFIG_JOURNAL_CHAIN) ? daemon_verify(daemon) : EXIT_USAGE;
    case COMMAND_LIMITS:
        return BUILT_IN(CONFIG_LIMITS) ? daemon_limits() : EXIT_USAGE;
    case COMMAND_VERSION:
        (void)port_stdout(STR("charter-daemon " CHARTER_VERSION "\n"));
        return EXIT_STOPPED;
    case COMMAND_HELP:
        (void)port_stdout(str_of(options_help));
        return EXIT_STOPPED;
    }
    return EXIT_USAGE;
}
