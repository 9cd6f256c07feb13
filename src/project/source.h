/* One file of a project as JSON: compact, escaped minimally, on one line, with the places of its keys and values in the
 * file, so that every problem found in it has line, column and path.  All readers of the project work on raw values of
 * such a source. */
#ifndef PROJECT_SOURCE_H
#define PROJECT_SOURCE_H

#include "base/err.h"
#include "base/limits.h"
#include "base/out.h"
#include "project/problem.h"

struct source_position {
    uint32_t offset;       /* in the JSON: of a key or value, or the comma before it */
    uint32_t line, column; /* from 1; columns count characters */
};

struct project_source {
    char file[128];    /* relative to the project root; "" for what did not come from a file */
    const char *above; /* stands before every path ("inputs"); "" for files */
    struct out json;
    struct source_position *positions; /* rising offsets; NULL where nothing is known */
    size_t position_max, position_count;
    size_t tokens, token_max; /* keys and values, those of aliases too */
    bool empty;               /* a YAML stream without a document: the JSON is null */
};

struct project_workspace;

/* The names that a file may have: BASE.yml, BASE.yaml, BASE.json in `directory` (relative to the root, "" for the root).
 * Reads the one that is there, converts it, refuses names given twice in an object.  False with *problem: missing is
 * CHARTER_NOT_FOUND without `what`, everything else CHARTER_INVALID_PLAN. */
bool source_load(struct project_workspace *workspace, struct project_source *source,
                 const char *root, const char *directory, const char *base,
                 struct project_problem *problem);
/* Converts one text; `file` decides whether YAML is taken ("….json" is not).  For source_load and the test programs. */
bool source_convert(struct project_workspace *workspace, struct project_source *source,
                    struct str text, struct project_problem *problem);

/* The whole value. */
struct str source_root(const struct project_source *source);

/* --- for the converters --- */

/* Notes the place of the key or value that is written next.  False: too many. */
bool source_note(struct project_source *source, unsigned line, unsigned column);
bool source_fail(const struct project_source *source, struct project_problem *problem,
                 unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* --- for the readers --- */

/* Line and column of a raw key or value in the source; false when unknown. */
bool source_place(const struct project_source *source, struct str raw, unsigned *line,
                  unsigned *column);
/* The first name that stands in an object of a source twice, if any. */
bool source_duplicate(struct project_workspace *workspace, struct str object, struct str *again);
/* The path of a raw key or value in the source: "steps[2].with.url". */
void source_path(const struct project_source *source, struct str raw, struct out *path);
/* Fills *problem for a raw key or value and answers false. */
bool source_problem(const struct project_source *source, struct project_problem *problem, int code,
                    struct str raw, const char *format, ...) __attribute__((format(printf, 5, 6)));
bool source_vproblem(const struct project_source *source, struct project_problem *problem, int code,
                     struct str raw, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

#endif
