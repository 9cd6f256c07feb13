/* Segment files: their names, making one, removing one.  Owns the directory's order; never reads or writes a record but
 * the head of a new segment.  Invariant: of the names in the directory none is missing in the middle, whenever the
 * power goes: a segment's name is synced before the next is made, and removals begin at either end. */
#ifndef JOURNAL_SEGMENT_H
#define JOURNAL_SEGMENT_H

#include "journal/journal.h"

#define SEGMENT_NAME_SIZE 15 /* "0000000001.log" and NUL */

void segment_name(uint32_t number, char name[SEGMENT_NAME_SIZE]);
/* The journal's directory is so short that this fits. */
void segment_path(const struct journal *journal, uint32_t number, char path[LIMIT_PATH]);
/* Fills journal->segments with the numbers in the directory, rising, and nothing else.  ERR_FULL: more than there may
 * be; ERR_IO. */
enum err segment_list(struct journal *journal);
struct journal_segment *segment_newest(struct journal *journal);
/* The segment of that number, or NULL. */
const struct journal_segment *segment_find(const struct journal *journal, uint32_t number);
/* A descriptor to read it by; it stays the journal's. */
enum err segment_fd(struct journal *journal, uint32_t number, int *fd);

/* Makes the next one, which becomes the newest, and puts its head into the buffer, which must be empty.  After an error
 * the newest is what it was; one of syncing the directory has also set journal->failed. */
enum err segment_begin(struct journal *journal);
/* Reserves disk space for a whole segment, where that can be done. */
enum err segment_reserve(int fd, int64_t size);
/* Removes the file and forgets what was read of it; the array is the caller's business. */
enum err segment_remove(struct journal *journal, uint32_t number);
/* Makes names durable. */
enum err segment_sync_directory(struct journal *journal);

#endif
