/* A daemon's session on one WebSocket (contract §6, the gateway's side): hello, events into the store, acks, commands
 * and their answers, signs of life. */
#ifndef GATEWAY_SESSION_H
#define GATEWAY_SESSION_H

#include "base/str.h"
#include "gateway/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;

struct session {
    bool ready;  /* hello was answered */
    bool ending; /* our close frame is on its way: nothing more is taken */
    char daemon_id[LIMIT_DAEMON_ID + 1];
    int64_t daemon_key;
    int64_t epoch;
    int64_t acked;
    int64_t message_bytes;
    struct {
        uint64_t rpc_id; /* 0: free */
        int64_t seq;
    } in_flight[GATEWAY_IN_FLIGHT];
    int64_t heard_ms;  /* when the last byte came */
    int64_t pinged_ms; /* when the last ping went */
    int64_t renew_ms;  /* when deferred commands are looked at again; 0: there are none */
    bool commands_due; /* there may be commands in the store that were not sent */
};

/* The upgrade was answered. */
void session_open(struct connection *connection);
/* Takes messages; bounded work. True when there may be more to take at once. */
bool session_advance(struct connection *connection);
/* The connection's timer is due. */
void session_on_timer(struct connection *connection);
/* The connection goes away. */
void session_end(struct connection *connection);
/* Closes in order, once. */
void session_close(struct connection *connection, unsigned code, struct str reason);

/* Sends a read; *rpc_id names the answer to come.  False: no room now. */
bool session_read(struct connection *connection, struct str method, struct str params,
                  uint64_t *rpc_id);
/* A command was added to the store. */
void session_on_command(struct connection *connection);

#endif
