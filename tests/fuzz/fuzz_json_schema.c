/* The first line is a schema, the rest a value.  A schema that is usable judges any value without harm, the same way each time, and a problem lies inside
 * of what was judged; where all strings are open, whatever was allowed stays so. */
#include "json/schema.h"

#include "json/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum json_schema_known open(struct str raw)
{
    MUST(json_type(raw) == JSON_STRING);
    return JSON_SCHEMA_OPEN;
}

static bool is_inside(struct str inner, struct str outer)
{
    return inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_schema_problem problem, again;
    struct str schema, value;

    (void)str_cut(str_range((const char *)data, size), '\n', &schema, &value);
    if (json_check(schema, 32, NULL) != OK || json_check(value, 32, NULL) != OK)
        return 0;
    if (!json_schema_is_usable(schema, &problem)) {
        MUST(is_inside(problem.at, schema) && problem.reason[0] != '\0');
        return 0;
    }
    bool allowed = json_schema_value(schema, value, NULL, &problem);
    MUST(allowed == json_schema_value(schema, value, NULL, &again));
    if (allowed) {
        MUST(json_schema_value(schema, value, open, &again));
    } else {
        MUST(is_inside(problem.at, value) && problem.reason[0] != '\0');
        MUST(str_equal(problem.at, again.at) && strcmp(problem.reason, again.reason) == 0);
    }
    return 0;
}
