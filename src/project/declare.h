/* Typed declarations: a manifest's inputs and the fields of an input step; and values against them (contract §3). */
#ifndef PROJECT_DECLARE_H
#define PROJECT_DECLARE_H

#include "project/reader.h"

/* An object of NAME: {type, required, default, description, enum, minimum, maximum, min_length, max_length, pattern,
 * items}: each declaration fits its type, and its default and enum fit it. */
bool declare_check(const struct reader *r, struct project_workspace *workspace,
                   struct str declarations);

/* Checks an object of values (a source of its own, in `values`) against checked declarations: unknown names, missing
 * ones, types, constraints.  Writes the object with defaults to `json`: the given values as they stand in `given` (the same
 * object before it was normalised; without white space between tokens), then defaults in the order of declaration. */
bool declare_values(const struct reader *values, struct project_workspace *workspace,
                    struct str declarations, struct str given, struct out *json);

/* The declared type of a name ("string", "integer"…), or NULL when it is not declared. */
const char *declare_type(struct str declarations, struct str name);

#endif
