/* POSIX extended regular expressions, matching anywhere in the text unless anchored.  The library's matcher takes heap and
 * unbounded time: helper processes only. */
#ifndef PROJECT_PATTERN_H
#define PROJECT_PATTERN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* ERR_SYNTAX with words when the pattern is none, ERR_UNSUPPORTED where this build has no patterns (pattern_none.c); `text` NULL only
 * checks the pattern. */
enum err pattern_match(const char *pattern, const char *text, bool *matches, char *reason,
                       size_t reason_size);

#endif
