/* The contract as constants, for programs that speak it: error codes (JSON-RPC 2.0's own and ours), the names of methods, failures and output
 * types, limits.  Nothing here depends on another header. */
#ifndef CHARTER_PROTOCOL_H
#define CHARTER_PROTOCOL_H

#define CHARTER_PARSE_ERROR (-32700)
#define CHARTER_INVALID_REQUEST (-32600)
#define CHARTER_METHOD_NOT_FOUND (-32601)
#define CHARTER_INVALID_PARAMS (-32602)
#define CHARTER_INTERNAL_ERROR (-32603)

#define CHARTER_MESSAGE_TOO_LARGE (-32001)
#define CHARTER_NOT_READY (-32002)
#define CHARTER_UNSUPPORTED_VERSION (-32003)
#define CHARTER_UNAUTHORIZED (-32004)
#define CHARTER_NOT_FOUND (-32005)
#define CHARTER_INVALID_INPUT (-32006)
#define CHARTER_INVALID_PLAN (-32007)
#define CHARTER_UNRESOLVED_INTEGRATION (-32008)
#define CHARTER_BUSY (-32009)
#define CHARTER_RUN_ID_CONFLICT (-32010)
#define CHARTER_WRONG_STATE (-32011)
#define CHARTER_JOURNAL_FULL (-32012)
#define CHARTER_KEY_CONFLICT (-32013)
#define CHARTER_TIMEOUT (-32014)
#define CHARTER_CANCELLED (-32015)

/* Methods and notifications between the daemon and an integration. */
#define CHARTER_METHOD_SETUP "setup"
#define CHARTER_METHOD_EXECUTE "execute"
#define CHARTER_METHOD_TEARDOWN "teardown"
#define CHARTER_METHOD_CANCEL "cancel"
#define CHARTER_METHOD_LOG "log"
#define CHARTER_METHOD_PROGRESS "progress"

/* What a failed attempt's error may have as its `kind`. */
#define CHARTER_KIND_SPAWN_FAILED "spawn_failed"
#define CHARTER_KIND_SETUP_FAILED "setup_failed"
#define CHARTER_KIND_INTEGRATION_ERROR "integration_error"
#define CHARTER_KIND_EXITED "exited"
#define CHARTER_KIND_PROTOCOL "protocol"
#define CHARTER_KIND_TOO_LARGE "too_large"
#define CHARTER_KIND_TIMEOUT "timeout"
#define CHARTER_KIND_CANCELLED "cancelled"
#define CHARTER_KIND_INTERRUPTED "interrupted"
#define CHARTER_KIND_OUTPUT_TYPE "output_type"
#define CHARTER_KIND_TEMPLATE "template"

/* Limits of every daemon, in bytes without a closing NUL. */
#define CHARTER_NAME_MAX 64   /* of steps, inputs, outputs, integrations, workflows */
#define CHARTER_RUN_ID_MAX 64 /* of a run */
#define CHARTER_ID_MAX 64     /* of a message, where it is a string */
#define CHARTER_IDEMPOTENCY_KEY_MAX (CHARTER_RUN_ID_MAX + 1 + CHARTER_NAME_MAX)
#define CHARTER_PATH_MAX 1023         /* of artifacts_dir */
#define CHARTER_ARTIFACT_PATH_MAX 255 /* of a result's file, from artifacts_dir */
#define CHARTER_MEDIA_TYPE_MAX 127

/* Limits that a build of the daemon may set otherwise; these are its defaults. */
#define CHARTER_MESSAGE_DEFAULT 65536 /* bytes of one message */
#define CHARTER_REQUEST_DEFAULT                                                                    \
    (4 * CHARTER_MESSAGE_DEFAULT) /* bytes of a request, without hydrated inputs */
#define CHARTER_LOG_LINE_DEFAULT (CHARTER_MESSAGE_DEFAULT / 16) /* bytes; longer ones are cut */
#define CHARTER_TEXT_DEFAULT 1024                               /* bytes of an error's message */
#define CHARTER_DEPTH_DEFAULT 32 /* containers within each other in one message */

#endif
