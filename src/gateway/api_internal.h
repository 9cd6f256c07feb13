/* What the sources of the API tell each other; nobody else includes it. */
#ifndef GATEWAY_API_INTERNAL_H
#define GATEWAY_API_INTERNAL_H

#include "gateway/api.h"

/* 500, and a line in the log. */
void api_refuse_store(struct connection *connection);
/* The gateway's one place for answer bodies, empty. */
struct out api_start_body(struct connection *connection);

/* api_runs.c: GET /v1/runs, /v1/runs/ID, /v1/runs/ID/events. */
void api_get_runs(struct connection *connection, const struct http_request *request,
                  const char *id);
void api_get_run(struct connection *connection, const struct http_request *request,
                 const char *run_id);
void api_get_events(struct connection *connection, const struct http_request *request,
                    const char *run_id);

#endif
