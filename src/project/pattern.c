/* The one file that knows <regex.h>.  Keeps nothing between calls. */
#include "project/pattern.h"

#include <regex.h>

enum err pattern_match(const char *pattern, const char *text, bool *matches, char *reason,
                       size_t reason_size)
{
    regex_t compiled;
    *matches = false;
    int code = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        regerror(code, &compiled, reason, reason_size);
        return ERR_SYNTAX;
    }
    if (text != NULL)
        code = regexec(&compiled, text, 0, NULL, 0);
    regfree(&compiled);
    *matches = text != NULL && code == 0;
    if (code != 0 && code != REG_NOMATCH) {
        regerror(code, &compiled, reason, reason_size);
        return ERR_SYNTAX;
    }
    return OK;
}
