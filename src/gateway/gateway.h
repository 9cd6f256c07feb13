/* The gateway of one machine: the one struct that holds everything, and the turn of its loop. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "base/log.h"
#include "base/ulid.h"
#include "gateway/connection.h"
#include "gateway/limits.h"
#include "gateway/store.h"
#include "loop/loop.h"

struct gateway_options {
    char host[64]; /* numeric, "" for all */
    unsigned port; /* 0: any free one */
    char store[LIMIT_PATH];
    char token_file[LIMIT_PATH]; /* "" for none: everybody may do everything */
    char name[LIMIT_KEY + 1];
    int64_t heartbeat_s;
    enum log_level log_level;
};

struct gateway {
    struct gateway_options options;
    struct loop loop;
    struct loop_fd listener;
    struct loop_timer accept_again;
    struct store *store;
    bool has_token;
    unsigned char token_digest[32]; /* SHA-256: tokens are compared by it, in constant time */
    struct ulid ulid;               /* for sessions and generated keys */
    uint64_t
        last_rpc_id; /* of requests to daemons; begins with the clock, as they go on over lives and sessions */
    int64_t stop_at_ms; /* 0: not stopping */
    struct connection connections[GATEWAY_CONNECTIONS];
    char answer[GATEWAY_ANSWER];       /* where answer bodies are built, one at a time */
    char params[LIMIT_MESSAGE + 1024]; /* a command's, while it is sent */
};

/* Runs until a signal ends it; the exit code of the program. */
int gateway_run(struct gateway *gateway, const struct gateway_options *options);

/* --- for the other sources of this room ----------------------------------------------------- */

/* The connection on which this daemon has a session, or NULL. */
struct connection *gateway_daemon(struct gateway *gateway, int64_t daemon_key);
/* A fresh ULID in text; false when the system gives no random bytes. */
bool gateway_ulid(struct gateway *gateway, char text[ULID_LENGTH + 1]);
/* Whether an Authorization header's value is the bearer token. */
bool gateway_authorizes(const struct gateway *gateway, struct str authorization);
bool gateway_is_stopping(const struct gateway *gateway);

#endif
