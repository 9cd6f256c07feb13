/* Who this daemon is: an id made once per project, and an epoch that rises with every start and is on disk before it is used (contract
 * §6).  Kept in .charter/daemon.json, and, as that is written in place, in a spare beside it. */
#ifndef DAEMON_IDENTITY_H
#define DAEMON_IDENTITY_H

#include "base/err.h"
#include "base/limits.h"
#include "base/ulid.h"

#include <stdint.h>

struct identity {
    char id[LIMIT_DAEMON_ID + 1];
    char previous_id[LIMIT_DAEMON_ID +
                     1]; /* "" but after a fork, until the gateway has heard of it */
    int64_t epoch;
};

/* Reads the file in `directory` (made new where there is none), raises the epoch and writes it back.  ERR_DAMAGED: the file is there
 * but makes no sense, nor does the spare.  Needs no space on a disk where it has succeeded before. */
enum err identity_start(struct identity *identity, const char *directory, int64_t wall_ms);
/* Takes a new id, keeps the old one as previous_id. */
enum err identity_fork(struct identity *identity, const char *directory, int64_t wall_ms);

#endif
