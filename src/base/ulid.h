/* ULIDs in lower case: 48 bits of milliseconds and 80 random bits, Crockford base32, 26 characters.
 * Monotonic: within one millisecond, or when the clock steps back, the random part counts up. */
#ifndef BASE_ULID_H
#define BASE_ULID_H

#include <stdint.h>

#define ULID_LENGTH 26

struct ulid {
    uint64_t last_ms;
    unsigned char random[10]; /* of the last one made */
};

/* Writes 26 characters and a NUL.  `fresh` are ten new random bytes, used where the millisecond is
 * new. */
void ulid_next(struct ulid *ulid, uint64_t now_ms, const unsigned char fresh[10],
               char text[ULID_LENGTH + 1]);

#endif
