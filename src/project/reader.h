/* Reading the objects of a project source: field tables that refuse what they do not know, with the place and, where it
 * is near, the name that was meant.  Everything is raw JSON, borrowed from the source. */
#ifndef PROJECT_READER_H
#define PROJECT_READER_H

#include "json/read.h"
#include "project/source.h"

/* Who reads what, for whom, and the code of its problems. */
struct reader {
    const struct project_source *source;
    struct project_problem *problem;
    int code;
};

enum reader_type {
    READER_NULL = 1 << JSON_NULL,
    READER_BOOLEAN = 1 << JSON_BOOLEAN,
    READER_NUMBER = 1 << JSON_NUMBER,
    READER_STRING = 1 << JSON_STRING,
    READER_ARRAY = 1 << JSON_ARRAY,
    READER_OBJECT = 1 << JSON_OBJECT,
    READER_ANY =
        READER_NULL | READER_BOOLEAN | READER_NUMBER | READER_STRING | READER_ARRAY | READER_OBJECT
};

struct reader_field {
    const char *name;
    unsigned types; /* enum reader_type, or'ed; null counts as absent unless it is one of them */
    bool required;
    size_t offset; /* of a struct str */
};

/* All functions answer false with *problem filled when the value is not what it must be. */

/* Notes a problem at a raw key or value of the source, and answers false. */
bool reader_fail(const struct reader *r, struct str at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Fills struct strs of `into`: raw values, STR_NONE where absent.  Members that begin with "x-" are skipped; other unknown
 * ones are refused. */
bool reader_object(const struct reader *r, struct str raw, const struct reader_field *fields,
                   size_t count, void *into);
bool reader_is(const struct reader *r, struct str raw, unsigned types);
/* The following take STR_NONE as absent: the value stays as it was. */
bool reader_boolean(const struct reader *r, struct str raw, bool *value);
bool reader_integer(const struct reader *r, struct str raw, int64_t minimum, int64_t maximum,
                    int64_t *value);
/* A number of seconds above 0, at most three places behind the point, as milliseconds. */
bool reader_seconds(const struct reader *r, struct str raw, int64_t *ms);
/* One of the words of a list that ends with NULL; *index says which. */
bool reader_word(const struct reader *r, struct str raw, const char *const *words, unsigned *index);
/* A name of letters, digits, '_' and '-'; raw is a key or a string value. `what` names it in the problem. */
bool reader_name(const struct reader *r, struct str raw, const char *what);

/* A decimal number times 1000 as an integer; false when it has more places, an exponent, or is too large. */
bool reader_thousandths(struct str raw, int64_t *value);

/* Writes the name from `names` that is nearest to `text`, if it is near: " (did you mean 'x'?)".  count may be 0. */
void reader_hint(struct out *to, struct str text, const char *const *names, size_t count);

#endif
