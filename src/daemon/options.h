/* The command line of charter-daemon, and the environment variables that stand in for flags. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include "base/limits.h"
#include "base/log.h"
#include "journal/verify.h"
#include "link/tls_options.h"
#include "link/proxy.h"

#define OPTIONS_URLS 4

enum daemon_command {
    COMMAND_START,
    COMMAND_CHECK,
    COMMAND_VERIFY,
    COMMAND_LIMITS,
    COMMAND_VERSION,
    COMMAND_HELP
};

struct options {
    enum daemon_command command;
    int64_t reconnect_first_ms, reconnect_longest_ms; /* 0: the contract's */
    int64_t journal_bytes; /* the journal's limit; 0: the one it was built with */
    bool salvage;
    bool background;
    struct verify_head head; /* verify: seq 0: none was given */
    bool json;               /* verify */
    enum log_level log_level;
    enum log_format log_format;
    /* Texts last, the more seldom the later: what is not given touches no page. */
    size_t gateway_count;
    char project_path[LIMIT_PATH]; /* absolute, without links */
    char gateways[OPTIONS_URLS][LIMIT_URL];
    char token_file[LIMIT_PATH];
    struct tls_options tls;
    struct proxy_options proxy;
};

/* False when the program is to end with exit code 2: the reason has been said on stderr. */
bool options_read(struct options *options, int argc, char **argv);
extern const char options_help[];

#endif
