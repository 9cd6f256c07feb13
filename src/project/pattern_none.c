/* In the place of pattern.c where patterns are not built in. */
#include "project/pattern.h"

#include "base/str.h"

enum err pattern_match(const char *pattern, const char *text, bool *matches, char *reason,
                       size_t reason_size)
{
    (void)pattern;
    (void)text;
    *matches = false;
    (void)str_copy(STR("this build matches no patterns (PATTERN)"), reason, reason_size);
    return ERR_UNSUPPORTED;
}
