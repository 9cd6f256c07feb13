/* Arbitrary text as the inside of a string, as a path, and as an `if`: the parts make the text again, paths end, and
 * a condition without templates has an answer. */
#include "json/check.h"
#include "project/condition.h"
#include "project/template.h"

#include <stdint.h>
#include <stdlib.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_path(struct str text)
{
    struct template_path path = template_path(text);
    struct template_step step;
    size_t steps = 0;
    enum err err;
    while ((err = template_path_next(&path, &step)) == OK) {
        MUST(++steps <= text.n);
        MUST(step.is_index || step.name.n > 0);
    }
    MUST(err == ERR_SYNTAX || (err == ERR_END && steps > 0));
}

static void walk_parts(struct str text)
{
    struct str rest = text, path;
    struct template_part part;
    size_t parts = 0, templates = 0;
    enum err err;
    while ((err = template_next(&rest, &part)) == OK) {
        MUST(part.text.p >= text.p && part.text.p + part.text.n <= text.p + text.n);
        MUST(rest.p >= part.text.p + part.text.n);
        MUST(part.is_template || part.text.n > 0);
        parts++;
        templates += part.is_template;
        if (part.is_template)
            walk_path(part.text);
    }
    MUST(err == ERR_SYNTAX || (err == ERR_END && rest.n == 0));
    MUST(template_in(text) == (templates > 0 || err == ERR_SYNTAX));
    MUST(template_is_whole(text, &path) == (err == ERR_END && parts == 1 && templates == 1));
}

static void judge(struct str text)
{
    struct condition condition;
    const char *reason = NULL;
    bool holds;
    if (condition_parse(text, &condition, &reason) != OK) {
        MUST(reason != NULL);
        return;
    }
    if (condition.left.kind == CONDITION_TEMPLATE)
        return;
    MUST(condition.left.kind != CONDITION_JSON || json_check(condition.left.text, 1, NULL) == OK);
    if (condition.test != CONDITION_TRUTH && condition.right.kind == CONDITION_TEMPLATE)
        return;
    MUST(condition_judge(&condition, &holds) == OK);
    if (condition.test != CONDITION_TRUTH) {
        bool equal, again;
        MUST(condition_equal(&condition.left, &condition.right, &equal) == OK);
        MUST(condition_equal(&condition.right, &condition.left, &again) == OK && equal == again);
        MUST(holds == (equal == (condition.test == CONDITION_EQUAL)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_range((const char *)data, size);
    if (size > 4096)
        return 0;
    walk_parts(text);
    walk_path(text);
    judge(text);
    return 0;
}
