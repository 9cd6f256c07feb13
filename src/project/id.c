/* The two alphabets of names (contract §3).  Pure. */
#include "project/project.h"

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool project_is_id(struct str text)
{
    if (text.n == 0 || text.n > LIMIT_NAME || !is_alphanumeric(text.p[0]))
        return false;
    for (size_t i = 1; i < text.n; i++) {
        char c = text.p[i];
        if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

bool project_is_name(struct str text)
{
    if (text.n == 0 || text.n > LIMIT_NAME)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (!is_alphanumeric(text.p[i]) && text.p[i] != '_' && text.p[i] != '-')
            return false;
    }
    return true;
}
