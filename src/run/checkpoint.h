/* What a start must know of segments that it does not read: the checkpoint at the head of every segment (contract §4), and the events
 * of unfinished runs that are carried out of a segment before it goes.
 *
 * A checkpoint is a row of memos:
 *
 *     {"run":{"run_id":…,"status":…,"n":…,"created":[SEGMENT,OFFSET,LENGTH],…}}      every run that has not ended
 *     {"run_steps":{"run_id":…,"first":16,"steps":[["completed",1,0,0,STARTED_MS,ENDED_MS,SEGMENT,OFFSET,LENGTH],null,…]}}
 *     {"ended":{"run_id":…,"status":…,"created":[…],"ended":[…],…}}                  every ended run that is retained
 *     {"command":{…}}                                                                every remembered command (run/command.h)
 *
 * RAM's own rule holds in it as well: it says what decides, and where the values stand.  A value moves only when its segment is
 * to go: then the event that holds it is written once more, in a memo of its own,
 *
 *     {"carried":{"run_id":…,"from":[SEGMENT,OFFSET],"event":{…}}}
 *
 * and every place of the run that pointed there points here from then on.  So a gate that waits for a week costs a few
 * lines a segment, and its inputs and values once each time around the journal. */
#ifndef RUN_CHECKPOINT_H
#define RUN_CHECKPOINT_H

#include "run/engine.h"

/* Applies a memo of the forms above; those of other forms are left alone.  Runs that are known already keep what is known of
 * them.  ERR_DAMAGED: malformed; ERR_FULL: no room for one more run. */
enum err checkpoint_replay(struct engine *engine, const struct journal_record *record);
/* Whether such a memo is about that run. */
bool checkpoint_is_about(struct str memo, const char *run_id);

#endif
