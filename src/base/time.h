/* Wall-clock times as text: RFC 3339 in UTC with milliseconds, "2026-01-31T12:00:00.123Z". */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/out.h"

#define TIME_TEXT_LENGTH 24

void time_write(struct out *out, int64_t unix_ms);
/* Only the form above is read. */
bool time_read(struct str text, int64_t *unix_ms);

#endif
