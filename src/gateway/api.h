/* The HTTP API for people and scripts: the table of routes, their answers, following a run. */
#ifndef GATEWAY_API_H
#define GATEWAY_API_H

#include "gateway/connection.h"
#include "gateway/http_request.h"
#include "rpc/rpc.h"

/* Answers a whole request, or turns the connection into something that answers later. */
void api_handle(struct connection *connection, const struct http_request *request, struct str body);
/* An error answer {"error":{"code","message"}}; the code is of contract §7. */
void api_refuse(struct connection *connection, unsigned status, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with header lines of its own (each with its CR LF). */
void api_refuse_with(struct connection *connection, unsigned status, const char *headers, int code,
                     const char *message);
/* A JSON body. */
void api_answer(struct connection *connection, unsigned status, struct str body);

/* GET /v1/runs/ID/events as text/event-stream (api_follow.c). */
void api_follow(struct connection *connection, int64_t run_key, int64_t after);
/* Sends what the store has, as far as there is room. */
void api_follow_advance(struct connection *connection);
void api_follow_on_timer(struct connection *connection);
/* A daemon's events were stored: its followers look again. */
void api_follow_wake(struct gateway *gateway);

/* POST /v1/daemons/ID/rpc (api_rpc.c). */
void api_rpc(struct connection *connection, const char *daemon_id,
             const struct http_request *request, struct str body);
void api_rpc_on_timer(struct connection *connection);
/* The outcome of a command or a read came: to those who wait for it.  How many did. */
size_t api_rpc_on_answer(struct gateway *gateway, int64_t daemon_key, int64_t seq, uint64_t rpc_id,
                         bool failed, struct str answer);
/* The daemon's connection is gone: reads fail, commands wait on. */
void api_rpc_on_lost(struct gateway *gateway, int64_t daemon_key);
/* The gateway stops: commands get their 202, reads 503. */
void api_rpc_stop(struct connection *connection);

/* The `Upgrade: websocket` of GET /v1/daemon (api_upgrade.c). */
void api_upgrade(struct connection *connection, const struct http_request *request);

#endif
