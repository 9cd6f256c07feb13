/* What an integration says to the daemon inside its envelopes (contract §2): one set of rules for the daemon, which reads it, and for
 * the SDK, which writes it and reads it for others.  Views point into the text that was read. */
#ifndef RPC_EXCHANGE_H
#define RPC_EXCHANGE_H

#include "base/err.h"
#include "charter/protocol.h"
#include "json/read.h"

#define EXCHANGE_PATH (CHARTER_ARTIFACT_PATH_MAX + 1) /* of an artifact's file, with its NUL */
#define EXCHANGE_MEDIA (CHARTER_MEDIA_TYPE_MAX + 1)

struct exchange_log {
    char level[16];
    struct str message; /* a raw string */
};

struct exchange_progress {
    struct str current; /* a raw number */
    struct str total;   /* the same, or STR_NONE */
    struct str message; /* a raw string, or STR_NONE */
};

struct exchange_artifact {
    char path[EXCHANGE_PATH]; /* relative to artifacts_dir, never empty */
    char media_type[EXCHANGE_MEDIA];
};

struct exchange_error {
    int64_t code;
    struct str message; /* a raw string, or STR_NONE */
    struct str data;    /* raw, or STR_NONE */
    bool no_retry;      /* data.retry is false */
};

/* ERR_INVALID and ERR_EXISTS as json_read() says them. */
enum err exchange_read_log(struct str params, struct exchange_log *log,
                           struct json_field_error *problem);
enum err exchange_read_progress(struct str params, struct exchange_progress *progress,
                                struct json_field_error *problem);
enum err exchange_read_artifact(struct str raw, struct exchange_artifact *artifact,
                                struct json_field_error *problem);
enum err exchange_read_error(struct str raw, struct exchange_error *error,
                             struct json_field_error *problem);

bool exchange_level_is_known(const char *level); /* debug, info, warning, error */
/* A setup's result refuses only where its `ok` is false. */
bool exchange_setup_is_ok(struct str result);
/* Why a result with these members is none, or NULL. */
const char *exchange_result_problem(bool has_value, bool has_artifact);
/* Whether a value may stand where `output_type` is declared; `first` is its first byte. */
bool exchange_value_fits(const char *output_type, char first);
/* The same for an artifact that the integration made. */
bool exchange_artifact_fits(const char *output_type);

#endif
