/* What all artifacts together may hold (contract §4, §8): the oldest ended runs that have some give way, then new ones are refused. */
#ifndef RUN_QUOTA_H
#define RUN_QUOTA_H

#include "run/engine.h"

#define QUOTA_WORDS 200

enum quota { QUOTA_FITS, QUOTA_EVICTS, QUOTA_EXCEEDED };

/* In a helper, as it reads directories and uses the table up: whether `bytes` more fit.  QUOTA_EVICTS: once the runs have gone
 * that `answer` names; QUOTA_EXCEEDED: not even then, `words` has the sizes. */
enum quota quota_check(struct engine *engine, int64_t bytes, struct out *answer,
                       char words[QUOTA_WORDS]);
/* In the daemon: lets those runs go.  Whoever waits for it is called when their directories have gone (engine_clean_up()). */
void quota_evict(struct engine *engine, struct str answer);

#endif
