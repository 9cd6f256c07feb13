/* The one file that knows <regex.h>.  Keeps nothing between calls. */
#include "project/pattern.h"

#include "base/str.h"

#include <regex.h>

/* regerror() says the same, but prints by printf, see base/format.c. */
static enum err refuse(int code, char *reason, size_t size)
{
    static const struct {
        int code;
        const char *words;
    } faults[] = {
        {REG_BADPAT, "it has not the form of one"},
        {REG_ECOLLATE, "there is no such collating element"},
        {REG_ECTYPE, "there is no such class of characters"},
        {REG_EESCAPE, "it ends in a backslash"},
        {REG_ESUBREG, "a back reference has no group"},
        {REG_EBRACK, "a [ has no ]"},
        {REG_EPAREN, "a ( has no )"},
        {REG_EBRACE, "a { has no }"},
        {REG_BADBR, "between { and } must stand one or two numbers"},
        {REG_ERANGE, "a range ends before it begins"},
        {REG_ESPACE, "it takes too much memory"},
        {REG_BADRPT, "what is to be repeated is missing"},
    };
    const char *words = "it cannot be used";

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (faults[i].code == code)
            words = faults[i].words;
    (void)str_copy(str_head(str_of(words), size - 1), reason, size);
    return ERR_SYNTAX;
}

enum err pattern_match(const char *pattern, const char *text, bool *matches, char *reason,
                       size_t reason_size)
{
    regex_t compiled;
    *matches = false;
    int code = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB);
    if (code != 0)
        return refuse(code, reason, reason_size);
    if (text != NULL)
        code = regexec(&compiled, text, 0, NULL, 0);
    regfree(&compiled);
    *matches = text != NULL && code == 0;
    if (code != 0 && code != REG_NOMATCH)
        return refuse(code, reason, reason_size);
    return OK;
}
