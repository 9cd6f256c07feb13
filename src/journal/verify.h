/* Checking a journal's chain from its oldest segment to its end, without a lock and without changing a byte: while a daemon
 * appends to it, too, and removes what it needs no longer.  Owns the verdict on the chain; what of a bad tail may be torn is
 * verdict.c's.  Invariant: what is reported was read in one go from the oldest segment that was there; if that one
 * went meanwhile, all was read again. */
#ifndef JOURNAL_VERIFY_H
#define JOURNAL_VERIFY_H

#include "journal/journal.h"

/* What a gateway keeps: the hash of the record that holds event `seq`. */
struct verify_head {
    uint64_t seq;
    struct chain_hash hash;
};

enum verify_asked {
    VERIFY_NOT_ASKED,
    VERIFY_HELD,        /* that event's record has this hash */
    VERIFY_DIFFERS,     /* it has another one: verify->found */
    VERIFY_AHEAD,       /* the journal ends before it */
    VERIFY_GONE,        /* its segment has gone, and no other says what the hash was */
    VERIFY_NOT_REACHED, /* damage stands before it */
};

struct verify_report {
    uint32_t first_segment, last_segment; /* numbers */
    uint64_t segments, records, bytes;
    uint64_t first_seq, last_seq; /* of the events held; last < first: none */
    /* The part of the chain that ends with the last record. */
    struct verify_part {
        uint32_t segment, offset; /* of its first record */
        uint64_t seq;             /* of the first event in it */
    } chain;
    bool from_the_beginning; /* it holds from the first record that there ever was */
    bool is_chained;         /* the last record names the one before it, or is the first ever */
    uint64_t unchained;      /* records that name none */
    struct verify_head head; /* of the last event; seq 0: none is known */
    int64_t tail_bytes;      /* behind the last record: torn, or just being written */
    /* the first break; fault[0] 0: there is none */
    char fault[256];
    uint32_t fault_segment, fault_offset;
    uint64_t fault_seq; /* of the event there, or of the next one */
    char expected[CHAIN_HEX + 1],
        found[CHAIN_HEX + 1]; /* "" where the break is no matter of hashes */
    uint64_t faults;
    bool ended_early; /* what stands behind the fault cannot be read as records */
    /* the head that was asked about */
    enum verify_asked asked;
    struct verify_part
        asked_part; /* VERIFY_HELD: from here on its hash proves what stands in the journal */
    struct chain_hash asked_found; /* VERIFY_DIFFERS */
    char trouble[512];             /* why it could not be read, where the answer is not OK */
};

/* `journal` is memory to work in, and open for nobody.  OK: it was read, and the report says what was found; asked may be NULL.
 * ERR_NOT_FOUND: no journal there; ERR_UNSUPPORTED: a newer format; ERR_BUSY: segments went faster than they could be read;
 * ERR_FULL, ERR_TOO_LARGE, ERR_IO: it cannot be read. */
enum err verify_journal(struct journal *journal, const char *directory,
                        const struct verify_head *asked, struct verify_report *report);

#endif
