/* Any values against any event: afterwards it is JSON, not longer, outside `data` the same, and no value stands in any
 * string of it.  The input: values, each behind its length, up to a length of 0; then the text. */
#include "json/check.h"
#include "json/read.h"
#include "json/utf8.h"
#include "run/mask.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define INPUT_MAX 4096
#define HEAD "{\"seq\":1,\"type\":\"step.log\",\"data\":"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mask mask;
static char event[INPUT_MAX + 128], decoded[INPUT_MAX + 128];

static bool holds(struct str text, struct str value)
{
    for (size_t i = 0; i + value.n <= text.n; i++)
        if (memcmp(text.p + i, value.p, value.n) == 0)
            return true;
    return false;
}

/* Stars may stand beside other characters in a way that makes a value with stars of its own; those prove nothing. */
static void is_hidden(struct str raw_string)
{
    struct out out = OUT_ON(decoded);
    MUST(json_string_decode(raw_string, &out));
    for (size_t i = 0; i < mask.count; i++) {
        struct str value = str_range(mask.bytes + mask.patterns[i].offset, mask.patterns[i].length);
        if (utf8_is_valid(value) && memchr(value.p, '*', value.n) == NULL)
            MUST(!holds(out_view(&out), value));
    }
}

/* All strings but names of the outermost object's members. */
static void walk(struct str raw, int depth)
{
    struct json_walk walking;
    struct str name, value;

    if (json_type(raw) == JSON_STRING) {
        is_hidden(raw);
        return;
    }
    if (json_type(raw) != JSON_OBJECT && json_type(raw) != JSON_ARRAY)
        return;
    walking = json_walk(raw);
    while (json_walk_next(&walking, &name, &value)) {
        if (depth > 0 && name.n > 0)
            is_hidden(name);
        walk(value, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_range((const char *)data, size), payload;
    char plain[INPUT_MAX];

    if (size > INPUT_MAX)
        return 0;
    memset(&mask, 0, sizeof mask);
    while (rest.n > 0 && rest.p[0] != 0) {
        struct str value = str_head(str_from(rest, 1), (unsigned char)rest.p[0]);
        enum err err = mask_learn(&mask, value);
        MUST((err == ERR_INVALID) == (value.n < MASK_SHORTEST));
        rest = str_from(rest, value.n + 1);
    }
    rest = str_from(rest, 1);

    /* As plain text: the same values, no escapes. */
    size_t n = rest.n;
    if (n > 0)
        memcpy(plain, rest.p, n);
    mask_text(&mask, plain, &n);
    MUST(n <= rest.n);
    for (size_t i = 0; i < mask.count; i++) {
        struct str value = str_range(mask.bytes + mask.patterns[i].offset, mask.patterns[i].length);
        if (memchr(value.p, '*', value.n) == NULL)
            MUST(!holds(str_range(plain, n), value));
    }

    if (json_check(rest, 32, NULL) != OK)
        return 0;
    struct out out = OUT_ON(event);
    out_text(&out, HEAD);
    size_t head = out.n;
    json_compact(rest, &out);
    out_byte(&out, '}');
    MUST(!out.overflow);
    n = out.n;
    static char before[sizeof event];
    memcpy(before, event, n);
    bool changed = mask_event(&mask, event, &n);
    MUST(n <= out.n);
    MUST(changed || (n == out.n && memcmp(before, event, n) == 0));
    MUST(memcmp(event, HEAD, head) == 0);
    MUST(json_check(str_range(event, n), 64, NULL) == OK);
    MUST(json_member(str_range(event, n), "data", &payload));
    walk(payload, 0);
    if (mask.count == 0)
        MUST(n == out.n);
    return 0;
}
