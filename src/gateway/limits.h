/* Sizes of the gateway alone; what it shares with the daemon stands in base/limits.h.  The gateway takes memory
 * from the heap, but every buffer and table has its bound here. */
#ifndef GATEWAY_LIMITS_H
#define GATEWAY_LIMITS_H

#include "base/limits.h"

/* Clients and daemons together.  select() and the loop's table bound them again: eight places stay for the
 * listener and what is to come. */
#define GATEWAY_CONNECTIONS_WANTED 256
#define GATEWAY_CONNECTIONS                                                                        \
    (LIMIT_WATCHES - 8 < GATEWAY_CONNECTIONS_WANTED ? LIMIT_WATCHES - 8                            \
                                                    : GATEWAY_CONNECTIONS_WANTED)

#define GATEWAY_HEAD 8192          /* bytes of a request line with all its headers */
#define GATEWAY_HEADERS 64         /* headers of one request */
#define GATEWAY_BODY LIMIT_MESSAGE /* bytes of a request body */
#define GATEWAY_READ 65536         /* bytes read from one connection in one turn */
#define GATEWAY_MESSAGES 16        /* messages of one daemon handled in one turn */
#define GATEWAY_ANSWER                                                                             \
    (1048576 +                                                                                     \
     4 * LIMIT_MESSAGE)         /* the longest answer body; lists are cut to it, readers page on */
#define GATEWAY_OUT_HIGH 262144 /* unsent bytes from which on a connection is no longer read */

#define GATEWAY_RUNS_DEFAULT 20
#define GATEWAY_RUNS_MAX 100
#define GATEWAY_EVENTS_DEFAULT 1000
#define GATEWAY_EVENTS_MAX 1000

#define GATEWAY_IN_FLIGHT 8 /* commands of one daemon sent and not answered */

#define GATEWAY_PROJECT 256 /* a project's name, with its NUL */
#define GATEWAY_VERSION 64
#define GATEWAY_TIME 40 /* an event's time as text */
#define GATEWAY_TYPE 64 /* an event's type */

#define GATEWAY_HELLO_MS 10000   /* from the upgrade to daemon.hello */
#define GATEWAY_REQUEST_MS 30000 /* from the first byte of a request to its last */
#define GATEWAY_IDLE_MS 60000    /* between two requests */
#define GATEWAY_STALL_MS 30000   /* without a byte of progress while something is to be sent */
#define GATEWAY_LINGER_MS 2000   /* for the peer to read our last bytes and close */
#define GATEWAY_RPC_MS 30000     /* for a daemon's answer before the caller gets 202 */
#define GATEWAY_SSE_HEARTBEAT_MS 15000
#define GATEWAY_STOP_MS 3000  /* from SIGTERM to the exit, whatever the peers do */
#define GATEWAY_DEFER_MS 5000 /* before a command goes out again that the daemon could not take */
#define GATEWAY_HEARTBEAT_S 30
#define GATEWAY_HEARTBEAT_S_MAX 3600

#define GATEWAY_ACCEPT_PAUSE_MS 1000 /* when the system has no descriptors for new connections */
#define GATEWAY_BACKLOG 64

_Static_assert(GATEWAY_CONNECTIONS >= 16, "a gateway with fewer places than this serves nobody");
_Static_assert(GATEWAY_ANSWER >= 4 * LIMIT_MESSAGE,
               "an answer holds any single event, run or result");

#endif
