/* The command line of charter-gateway and its CHARTER_GATEWAY_* environment; flags win. */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include "gateway/gateway.h"

enum options_outcome { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_WRONG };

/* OPTIONS_WRONG: *why says what and how to go on. */
enum options_outcome options_read(int argc, char **argv, struct gateway_options *options, struct out *why);
const char *options_help(void);

/* "HOST:PORT" with a numeric host, "[::1]:8765", ":8765" or "*:8765" for all addresses. */
bool options_read_address(struct str text, char *host, size_t size, unsigned *port);

#endif
