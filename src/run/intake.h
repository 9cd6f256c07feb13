/* Lines that an integration writes, of any length, in bounded memory: short ones stay in a small buffer, longer ones go to an
 * unlinked file.  Every byte passes the strict JSON check as it comes, so that a line which stops being JSON fails at that byte. */
#ifndef RUN_INTAKE_H
#define RUN_INTAKE_H

#include "base/limits.h"
#include "base/out.h"
#include "json/scan.h"
#include "rpc/envelope.h"

#define INTAKE_TAIL 4096      /* bytes of a line that stay in memory */
#define INTAKE_SPILL "spill-" /* what the file of a longer one is called, until it is unlinked */

/* What is looked for on the way: the members of the envelope, and two of a result. */
enum intake_path {
    INTAKE_ID = RPC_MEMBER_ID,
    INTAKE_METHOD = RPC_MEMBER_METHOD,
    INTAKE_RESULT = RPC_MEMBER_RESULT,
    INTAKE_ERROR = RPC_MEMBER_ERROR,
    INTAKE_VALUE = RPC_MEMBERS,
    INTAKE_ARTIFACT,
    INTAKE_PATHS
};

struct intake {
    struct json_scan scan; /* of the present line; extents count from its first byte */
    uint64_t n;            /* bytes of the line so far */
    struct str
        lent;    /* the whole line where the caller has it, as long as nobody keeps it; or none */
    int spill;   /* the file that holds the line once it passed the tail; -1: none */
    bool whole;  /* the line has ended: it is read until intake_next() */
    uint8_t bom; /* bytes of a byte order mark seen at the stream's start; 3: no more */
    char tail[INTAKE_TAIL];
};

void intake_start(struct intake *intake);
void intake_stop(struct intake *intake); /* closes the spill file */

/* Takes bytes up to the end of a line; *used says how many.  OK: a whole line that is a JSON object stands there; a short one that came in one
 * piece is only borrowed from `bytes`, until intake_next() or intake_keep().  ERR_AGAIN: more is
 * needed.  ERR_SYNTAX, ERR_INVALID: no JSON, no object: scan.check has reason and offset.  ERR_TOO_LARGE: over `limit` bytes.
 * Others: the spill file failed.  `spill_path` is made and unlinked at once when it is needed. */
enum err intake_feed(struct intake *intake, struct str bytes, uint64_t limit,
                     const char *spill_path, size_t *used);
/* Copies a part of the whole line. */
enum err intake_read(const struct intake *intake, uint64_t from, uint64_t n, struct out *to);
/* The whole line as it lies in memory; STR_NONE where it is in the file. */
struct str intake_line(const struct intake *intake);
/* Makes the line independent of the bytes that were fed. */
void intake_keep(struct intake *intake);
/* Forgets the line. */
void intake_next(struct intake *intake);
/* Whether part of a line stands there. */
bool intake_is_partial(const struct intake *intake);

#endif
