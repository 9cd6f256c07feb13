/* Why an attempt failed (contract §7), and its JSON form. */
#ifndef RUN_FAILURE_H
#define RUN_FAILURE_H

#include "base/limits.h"
#include "json/write.h"

enum failure_kind {
    FAILURE_NONE,
    FAILURE_SPAWN_FAILED,
    FAILURE_SETUP_FAILED,
    FAILURE_INTEGRATION_ERROR,
    FAILURE_EXITED,
    FAILURE_PROTOCOL,
    FAILURE_TOO_LARGE,
    FAILURE_TIMEOUT,
    FAILURE_CANCELLED,
    FAILURE_INTERRUPTED,
    FAILURE_OUTPUT_TYPE,
    FAILURE_TEMPLATE
};

struct failure {
    enum failure_kind kind;
    char message[LIMIT_TEXT + 1];
    bool has_code;
    int64_t code;  /* of the integration's JSON-RPC error */
    int exit_code; /* -1: none */
    int signal;    /* -1: none */
    bool no_retry; /* an integration's error whose data has `retry` false */
};

const char *failure_kind_name(enum failure_kind kind);
/* Kind and message; the rest is cleared. */
void failure_set(struct failure *failure, enum failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool failure_may_be_retried(const struct failure *failure);
/* The `error` object.  `stderr_lines` holds lines that end in line feeds. */
void failure_write(struct json_writer *w, const struct failure *failure, struct str stderr_lines);

#endif
