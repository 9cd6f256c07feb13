/* What of the journal the gateway has, may get, and gets next (contract §6): a cursor and a few numbers.  It writes
 * messages into what it is lent and never sends.  Invariant within a session: acked <= sent <= ceiling, where a ceiling
 * below what was acked counts as that. */
#ifndef LINK_OUTBOX_H
#define LINK_OUTBOX_H

#include "journal/journal.h"

#define OUTBOX_NO_CEILING UINT64_MAX
#define OUTBOX_MESSAGE_MIN 4096 /* a gateway that takes less cannot be served */

struct outbox {
    uint64_t acked, sent, ceiling;
    uint64_t batch_first; /* of the last batch; 0: none in this session */
    struct journal_cursor cursor;
    size_t message_max; /* bytes that both sides take */
    size_t batch_max;   /* where a batch of several events ends: a 1009 makes it smaller */
    size_t
        batch_longest;   /* bytes of the longest batch of several events that is not acknowledged */
    uint64_t careful_to; /* after a 1009: one batch at a time until this is acknowledged */
    uint64_t oversize_seq; /* this one went alone and was too large: a stand-in goes */
    uint64_t gap_to;       /* events up to here are gone and must be told; 0: none */
};

/* At the program's start. */
void outbox_start(struct outbox *outbox);
/* The gateway has all up to `acked`. */
void outbox_begin_session(struct outbox *outbox, const struct journal *journal, uint64_t acked,
                          uint64_t ceiling, size_t message_max);
/* ERR_INVALID: it acknowledges what was never sent.  What falls is ignored. */
enum err outbox_ack(struct outbox *outbox, uint64_t acked);
void outbox_raise_ceiling(struct outbox *outbox, uint64_t ceiling);
/* Whether outbox_write() has something to write. */
bool outbox_has_work(const struct outbox *outbox, const struct journal *journal);
/* Writes one message.  OK: it is to be sent.  ERR_NOT_FOUND: the journal holds the next event no longer: a new session has
 * to tell of the gap.  Others are the journal's.  `out` has room for LIMIT_MESSAGE bytes, however small message_max is. */
enum err outbox_write(struct outbox *outbox, struct journal *journal, struct out *out);
/* The gateway closed with 1009: whatever was too large comes smaller next time. */
void outbox_too_large(struct outbox *outbox);

#endif
