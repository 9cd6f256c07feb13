/* The command line of charter-gateway and its CHARTER_GATEWAY_* environment; flags win. */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include "gateway/gateway.h"

enum gateway_options_outcome {
    GATEWAY_OPTIONS_RUN,
    GATEWAY_OPTIONS_HELP,
    GATEWAY_OPTIONS_VERSION,
    GATEWAY_OPTIONS_WRONG
};

/* GATEWAY_OPTIONS_WRONG: *why says what and how to go on. */
enum gateway_options_outcome gateway_options_read(int argc, char **argv,
                                                  struct gateway_options *options, struct out *why);
const char *gateway_options_help(void);

/* "HOST:PORT" with a numeric host, "[::1]:8765", ":8765" or "*:8765" for all addresses. */
bool gateway_options_read_address(struct str text, char *host, size_t size, unsigned *port);

#endif
