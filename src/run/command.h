/* The commands that a gateway has given (contract §6): remembered by key and sequence number, so that one that comes again has no
 * second effect.  Only places are kept; outcomes stand in the journal. */
#ifndef RUN_COMMAND_H
#define RUN_COMMAND_H

#include "journal/journal.h"
#include "rpc/rpc.h"

struct command_entry {
    uint64_t seq; /* 0: free */
    char key[LIMIT_KEY + 1];
    bool failed; /* the outcome is an error */
    unsigned char digest[32];
    union {
        char run_id[LIMIT_RUN_ID + 1]; /* of the run it changed, where it did not fail */
        char message[256];             /* of the error */
    };
    int code;
    char data[LIMIT_ERROR_DATA]; /* raw JSON; "" for none */
};

struct command_table {
    uint64_t seen; /* highest sequence number whose outcome is on disk */
    size_t next;   /* the oldest entry, overwritten next */
    struct command_entry entries[LIMIT_COMMAND_KEYS];
};

struct command_entry *command_find(struct command_table *table, const char *key);
/* Remembers an outcome: error NULL for success. */
void command_remember(struct command_table *table, const struct rpc_command *command,
                      const char *run_id, const struct rpc_error *error);
/* -32001, -32002, -32009, -32012 are no outcomes: the key may come again. */
bool command_is_outcome(int code);

/* The member "command" of a memo. */
void command_write(struct json_writer *w, const struct rpc_command *command, const char *run_id,
                   const struct rpc_error *error);
/* An entry as a member "command" again: for carrying it into a new segment. */
void command_write_entry(struct json_writer *w, const struct command_entry *entry);
/* Reads such a member (raw object) at replay; false when it is malformed. */
bool command_replay(struct command_table *table, struct str raw);

#endif
