/* One JSON-RPC 2.0 message as the contract narrows it (contract §1, §7): reading its envelope, writing it.  Both sides of every pipe use this: the
 * daemon, its programs, and the SDK of integrations. */
#ifndef RPC_ENVELOPE_H
#define RPC_ENVELOPE_H

#include "base/limits.h"
#include "base/out.h"
#include "charter/protocol.h"
#include "json/read.h"
#include "json/write.h"

/* --- error codes (contract §7) ----------------------------------------------------------------------------------- */

/* The numbers stand in the public header. */
enum rpc_code {
    RPC_PARSE_ERROR = CHARTER_PARSE_ERROR,
    RPC_INVALID_REQUEST = CHARTER_INVALID_REQUEST,
    RPC_METHOD_NOT_FOUND = CHARTER_METHOD_NOT_FOUND,
    RPC_INVALID_PARAMS = CHARTER_INVALID_PARAMS,
    RPC_INTERNAL_ERROR = CHARTER_INTERNAL_ERROR,
    RPC_MESSAGE_TOO_LARGE = CHARTER_MESSAGE_TOO_LARGE,
    RPC_NOT_READY = CHARTER_NOT_READY,
    RPC_UNSUPPORTED_VERSION = CHARTER_UNSUPPORTED_VERSION,
    RPC_UNAUTHORIZED = CHARTER_UNAUTHORIZED,
    RPC_NOT_FOUND = CHARTER_NOT_FOUND,
    RPC_INVALID_INPUT = CHARTER_INVALID_INPUT,
    RPC_INVALID_PLAN = CHARTER_INVALID_PLAN,
    RPC_UNRESOLVED_INTEGRATION = CHARTER_UNRESOLVED_INTEGRATION,
    RPC_BUSY = CHARTER_BUSY,
    RPC_RUN_ID_CONFLICT = CHARTER_RUN_ID_CONFLICT,
    RPC_WRONG_STATE = CHARTER_WRONG_STATE,
    RPC_JOURNAL_FULL = CHARTER_JOURNAL_FULL,
    RPC_KEY_CONFLICT = CHARTER_KEY_CONFLICT,
    RPC_TIMEOUT = CHARTER_TIMEOUT,
    RPC_CANCELLED = CHARTER_CANCELLED
};

struct rpc_error {
    int code;
    char message[256];
    char data[LIMIT_ERROR_DATA]; /* raw JSON, "" for none */
};

/* Fills an error without data. */
void rpc_error_set(struct rpc_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- envelopes --------------------------------------------------------------------------------------------------- */

enum rpc_kind { RPC_REQUEST, RPC_NOTIFICATION, RPC_RESPONSE };

/* All views point into the message that was read; raw JSON values, STR_NONE where absent. */
struct rpc_envelope {
    enum rpc_kind kind;
    struct str id; /* raw: a string or an integer; null only in responses */
    char method
        [48]; /* requests and notifications; longer names are unknown anyway and come out as "" */
    struct str params; /* raw object, or STR_NONE */
    struct str result, error;
};

/* Reads one message (already without its line feed).  On failure *error is what to answer, and envelope->id is what could be read
 * of the id (STR_NONE: answer with null). */
enum err rpc_read(struct str message, struct rpc_envelope *envelope, struct rpc_error *error);
/* The members that an envelope knows. */
enum rpc_member {
    RPC_MEMBER_JSONRPC,
    RPC_MEMBER_ID,
    RPC_MEMBER_METHOD,
    RPC_MEMBER_PARAMS,
    RPC_MEMBER_RESULT,
    RPC_MEMBER_ERROR,
    RPC_MEMBERS
};
/* The same for a message whose members were found already: raw values out of an object that has passed the JSON check, STR_NONE where
 * absent, none of them given twice. */
enum err rpc_read_members(const struct str values[RPC_MEMBERS], struct rpc_envelope *envelope,
                          struct rpc_error *error);

/* Writers for whole messages, without framing. */
void rpc_write_error(struct out *out, struct str id, const struct rpc_error *error);
/* {"jsonrpc":"2.0","method":…,"params":  then the caller writes the params value and calls rpc_end. */
struct json_writer rpc_begin_notification(struct out *out, const char *method);
struct json_writer rpc_begin_request(struct out *out, const char *id, const char *method);
struct json_writer rpc_begin_result(struct out *out, struct str id);
void rpc_end(struct json_writer *w);

#endif
