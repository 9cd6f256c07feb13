/* What the sources of a session tell each other; nobody else includes it. */
#ifndef GATEWAY_SESSION_INTERNAL_H
#define GATEWAY_SESSION_INTERNAL_H

#include "gateway/connection.h"
#include "rpc/rpc.h"

/* Closes with a reason that is also logged. */
void session_refuse(struct connection *connection, unsigned code, const char *reason);
void session_store_failed(struct connection *connection);

void session_send_error(struct connection *connection, struct str id,
                        const struct rpc_error *error);

/* session_hello.c */
void session_on_hello(struct connection *connection, const struct rpc_envelope *envelope);

/* session_events.c */
void session_on_append(struct connection *connection, struct str params);
void session_on_gap(struct connection *connection, struct str params);

/* session_commands.c */
void session_on_response(struct connection *connection, const struct rpc_envelope *envelope);
void session_send_commands(struct connection *connection);

#endif
