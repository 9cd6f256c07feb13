/* Secrets' values, so that they can be hidden as *** wherever they would turn up in an event (contract §3).  Matching is on decoded text:
 * no way of escaping in JSON hides a value, nor does JSON text inside of a string or a line of a log.  A value of several lines is hidden line by line too, as logs come in lines. */
#ifndef RUN_MASK_H
#define RUN_MASK_H

#include "base/err.h"
#include "base/str.h"

#define MASK_PATTERNS 128
#define MASK_BYTES 8192
#define MASK_SHORTEST 4 /* bytes; shorter values would turn half of every log into stars */

struct mask {
    size_t count, used;
    uint32_t first[8]; /* bit c: some value begins with the byte c */
    struct {
        uint16_t offset, length;
    } patterns[MASK_PATTERNS];
    char bytes[MASK_BYTES];
    char learnt[MASK_BYTES]; /* inside mask_learn() alone: too large for a stack */
};

/* Adds a value and its lines; one that is known already costs nothing.  ERR_INVALID: shorter than MASK_SHORTEST; ERR_FULL: no room. */
enum err mask_learn(struct mask *mask, struct str value);
/* Hides the values in the strings and numbers of an event's `data`; names of the event's own members stay.  Shortens in place; false where
 * the text certainly stayed as it was. */
bool mask_event(const struct mask *mask, char *text, size_t *n);
/* The same in plain text. */
void mask_text(const struct mask *mask, char *text, size_t *n);

#endif
