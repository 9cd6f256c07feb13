/* What is wrong with a project, an input or a plan, and where: file, line and column, or the JSON path.  A reader of
 * the project stops at its first problem and fills one of these. */
#ifndef PROJECT_PROBLEM_H
#define PROJECT_PROBLEM_H

#include "base/out.h"
#include "charter/protocol.h"
#include "json/write.h"

#include <stdarg.h>

#define PROBLEM_MESSAGE 256 /* bytes of an error object's message, with a NUL */

struct project_problem {
    int code;              /* CHARTER_INVALID_PLAN…; 0: no problem */
    char file[128];        /* relative to the project root; "" for what did not come from a file */
    unsigned line, column; /* from 1; 0: the problem has no place in the file */
    char path[160];        /* "steps[2].with.url"; "" for the whole */
    char reason[256];      /* a phrase: "unknown step 'fetsh' …" */
    char what[32];         /* CHARTER_NOT_FOUND: the kind of thing ("workflow") */
    char name[72];         /* CHARTER_NOT_FOUND: its id; CHARTER_UNRESOLVED_INTEGRATION: its name */
};

void problem_clear(struct project_problem *problem);
/* Without a place. */
void problem_set(struct project_problem *problem, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Only the reason, cut where it is too long. */
void problem_vreason(struct project_problem *problem, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* "workflows/report/plan.yml:12:9: steps[2].with.url: unknown step …", as much as fits. */
void problem_text(const struct project_problem *problem, struct out *to);
/* The members of a JSON-RPC error object: {"code","message","data":{…}}; data stays below LIMIT_ERROR_DATA bytes. */
void problem_write(const struct project_problem *problem, struct json_writer *w);

#endif
