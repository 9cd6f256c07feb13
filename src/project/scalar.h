/* YAML's plain scalars by the 1.2 core schema (YAML 1.2.2, chapter 10.3), written as JSON.  Pure functions. */
#ifndef PROJECT_SCALAR_H
#define PROJECT_SCALAR_H

#include "base/out.h"
#include "base/str.h"

enum scalar_type {
    SCALAR_STRING, /* anything that is none of the others: yes, on, dates */
    SCALAR_NULL,
    SCALAR_BOOLEAN,
    SCALAR_INTEGER,
    SCALAR_FLOAT,
    SCALAR_NOT_FINITE, /* .inf, .nan: JSON has no such numbers */
    SCALAR_TOO_LONG    /* 0x… or 0o… of more digits than SCALAR_DIGITS */
};

#define SCALAR_DIGITS 64 /* hexadecimal or octal; decimal numbers have no bound but the file's */

enum scalar_type scalar_type(struct str plain);
/* Writes null, a boolean or a number, by its type, as JSON of the same value: +1, .5, 1., 007, 0x1F, 0o17 become 1, 0.5,
 * 1.0, 7, 31, 15. */
void scalar_write(struct str plain, enum scalar_type type, struct out *json);

#endif
