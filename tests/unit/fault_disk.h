/* A disk that loses power, as far as POSIX lets it: what was written since the last sync of a file is there or not, block by block and in any
 * order; names made or removed since the last sync of their directory are there or not, each by itself.  It learns of writes from the
 * fault layer, below one flat directory, and puts possible states into another one. */
#ifndef TESTS_UNIT_FAULT_DISK_H
#define TESTS_UNIT_FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins to watch the directory; what is there now is on disk. */
void disk_watch(const char *directory);
/* The power goes right before the n-th change from now on (1: the next). */
void disk_cut_at(uint64_t changes);
bool disk_is_cut(void);
uint64_t disk_changes(void);
/* Empties `directory` and makes one of the possible states in it. */
void disk_materialise(const char *directory);
void disk_forget(void);
void disk_empty(const char *directory);

/* Chance, the same for the same seed. */
void dice_seed(uint64_t seed);
size_t dice(size_t sides); /* 0 .. sides - 1 */

#endif
