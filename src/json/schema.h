/* The part of JSON Schema that config models use (contract §2): type, properties, required, enum, minimum, maximum, additionalProperties, items;
 * `default` says nothing about what is valid, every other keyword is ignored.  Schemas and values are checked JSON; nothing is copied.  An integer has no
 * fraction and no exponent, as everywhere. */
#ifndef JSON_SCHEMA_H
#define JSON_SCHEMA_H

#include "json/read.h"

/* What can be known of a string before it is resolved. */
enum json_schema_known {
    JSON_SCHEMA_KNOWN, /* it is what it says */
    JSON_SCHEMA_TEXT,  /* some string */
    JSON_SCHEMA_OPEN   /* any value */
};

struct json_schema_problem {
    struct str at; /* the key or value that is wrong, inside of what was checked */
    char reason[192];
};

/* Whether the value is one that the schema allows; else *problem is filled.  `look` may be NULL: all strings are known.  No heap; recursion is
 * bounded by the nesting of the value. */
bool json_schema_value(struct str schema, struct str value,
                       enum json_schema_known (*look)(struct str raw_string),
                       struct json_schema_problem *problem);
/* The same for a member of an object of which `schema` speaks. */
bool json_schema_member(struct str schema, struct str name, struct str value,
                        enum json_schema_known (*look)(struct str raw_string),
                        struct json_schema_problem *problem);
/* Walks the names that `required` lists, raw; start with a zeroed walk. */
bool json_schema_required(struct str schema, struct json_walk *walk, struct str *name);
/* Whether the keywords above have the types that they must have. */
bool json_schema_is_usable(struct str schema, struct json_schema_problem *problem);

#endif
