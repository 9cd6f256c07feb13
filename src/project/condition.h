/* The text of an `if` (contract §3): one operand, or operand == or != operand; an operand is one template, a JSON scalar or
 * a 'single-quoted' string.  Pure functions; whoever resolves templates does so between parsing and judging. */
#ifndef PROJECT_CONDITION_H
#define PROJECT_CONDITION_H

#include "base/err.h"
#include "base/str.h"

enum condition_kind {
    CONDITION_TEMPLATE, /* text is a path */
    CONDITION_JSON,     /* text is a raw JSON value */
    CONDITION_QUOTED    /* text is what stood between single quotes: a string, byte for byte */
};

struct condition_operand {
    enum condition_kind kind;
    struct str text;
};

enum condition_test { CONDITION_TRUTH, CONDITION_EQUAL, CONDITION_NOT_EQUAL };

struct condition {
    enum condition_test test;
    struct condition_operand left, right; /* right only where two are compared */
};

/* Takes the decoded text of an `if` string apart; operands point into it.  ERR_SYNTAX with *reason (static storage). */
enum err condition_parse(struct str text, struct condition *condition, const char **reason);

/* Judges a condition whose templates have become CONDITION_JSON operands.  ERR_INVALID: a container is compared. */
enum err condition_judge(const struct condition *condition, bool *holds);

/* False, null, 0, "" and empty containers are not true; everything else is. */
bool condition_is_true(const struct condition_operand *value);
/* Same type and same value, numbers by decimal value.  ERR_INVALID when either is a container. */
enum err condition_equal(const struct condition_operand *a, const struct condition_operand *b,
                         bool *equal);

#endif
