/* JSON-RPC 2.0 as the contract narrows it (contract §1, §7): answers and the method table; envelopes are rpc/envelope.h's.
 *
 * One dispatcher serves every peer.  A peer is whoever can send requests: a control client, the gateway.  It lends the
 * dispatcher a place for one whole message at a time, and is not read before it has that room: so an answer always fits. */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include "rpc/envelope.h"

/* --- peers, calls, answers ---------------------------------------------------------------------------------------- */

enum rpc_channel { RPC_LOCAL, RPC_GATEWAY };

struct rpc_peer {
    enum rpc_channel channel;
    char by[LIMIT_KEY + 8]; /* "uid:1000", or the gateway's name */
    uint32_t generation;    /* rises whenever the place is given to another connection */
    unsigned pending;       /* calls that were put off and are not answered yet */
    size_t message_max;     /* bytes of one message that it takes */
    /* Lends room for one whole message; the answer is what was written when `end` is called (nothing if it overflowed: `end` is then
     * called with ok false and the begun bytes are taken back).  Callers never hold it across turns. */
    struct out *(*begin)(struct rpc_peer *peer);
    void (*end)(struct rpc_peer *peer, bool ok);
};

/* The command that a gateway's request carries (contract §6). */
struct rpc_command {
    bool present;
    uint64_t seq;
    char key[LIMIT_KEY + 1];
    unsigned char
        digest[32]; /* SHA-256 of the method and of the params without `command`, byte for byte */
};

/* A request that is to be answered: now, or later from a copy (all members are values). */
struct rpc_call {
    struct rpc_peer *peer;
    uint32_t generation;
    char id[6 * LIMIT_ID + 3]; /* raw; "" for a notification: no answer */
    bool
        again; /* set by a handler that has no room now: nothing was answered, the request is to be dispatched again */
    size_t begun; /* where in the peer's room the answer begins */
    struct rpc_command command;
    const struct rpc_dispatcher *dispatcher; /* NULL where nobody remembers refusals */
};

/* Begins the answer: the writer stands where the result value goes.  NULL when the peer has gone (nothing to do then) or the
 * call is a notification. */
struct json_writer *rpc_answer_begin(struct rpc_call *call, struct json_writer *w);
/* Ends it; an answer that did not fit is replaced by -32001. */
void rpc_answer_end(struct rpc_call *call, struct json_writer *w);
/* Bytes that a result may have to fit into the answer. */
size_t rpc_result_max(const struct rpc_call *call);
/* -32001 for a result of so many bytes. */
void rpc_too_large(const struct rpc_call *call, size_t result, struct rpc_error *error);
void rpc_answer_error(struct rpc_call *call, const struct rpc_error *error);
/* A raw result value. */
void rpc_answer_raw(struct rpc_call *call, struct str result);
/* The call will be answered in a later turn: keep the copy.  The peer counts it as pending until it is answered. */
void rpc_put_off(struct rpc_call *call, struct rpc_call *copy);
/* Goes before the answer of a call that was put off: the peer may be read again. */
void rpc_resume(struct rpc_call *call);
/* -32602 with path and reason. */
void rpc_refuse_params(struct rpc_call *call, const char *path, const char *reason);
/* Reads params by a field table; on a problem it answers the call (-32602, or -32600 for a member given twice) and says false. */
bool rpc_params(struct rpc_call *call, struct str params, const struct json_field *fields,
                size_t count, void *into);

/* --- the method table ---------------------------------------------------------------------------------------------- */

enum {
    RPC_METHOD_LOCAL_ONLY = 1,
    RPC_METHOD_CHANGES = 2 /* over the link it must carry `command` */
};

struct rpc_method {
    const char *name;
    unsigned flags;
    /* Answers `call` now, or puts it off.  `params` is a raw object ("{}" where the request had none). */
    void (*handle)(void *context, struct rpc_call *call, struct str params);
};

/* Calls the method that an envelope names and answers every error itself; responses are nobody's business here. */
struct rpc_dispatcher {
    const struct rpc_method *methods;
    size_t count;
    void *context;
    /* Asked before a method that changes something and carries a command; true: it has been answered (repeated key, forgotten seq). */
    bool (*on_command)(void *context, struct rpc_call *call, const struct rpc_method *method,
                       struct str params);
    /* Answers a command whose params do not fit: that is its outcome, to be remembered like any. */
    void (*on_refusal)(void *context, struct rpc_call *call, const struct rpc_error *error);
};

/* ERR_AGAIN: the handler had no room, and did nothing; the peer keeps the message and dispatches it again later. */
enum err rpc_dispatch(const struct rpc_dispatcher *dispatcher, struct rpc_peer *peer,
                      const struct rpc_envelope *envelope);

#endif
