/* Templates, "${{ path }}", in the text of JSON strings (contract §3): finding them and taking paths apart.  Pure
 * functions over borrowed text; nothing is resolved here.
 *
 * "Inside" is a raw JSON string without its quotes, escapes as they stand.  In plan.json and charter.yml's JSON strings are
 * escaped minimally, so that "${{" and "}}" stand literally. */
#ifndef PROJECT_TEMPLATE_H
#define PROJECT_TEMPLATE_H

#include "base/err.h"
#include "base/str.h"

struct template_part {
    bool is_template;
    struct str text; /* a literal piece, raw; or a template's path, trimmed */
};

/* The raw string without its quotes; STR_NONE when raw is no string. */
struct str template_inside(struct str raw_string);

/* The next part, cut from the head of *rest.  ERR_END after the last; ERR_SYNTAX when a "${{" has no "}}". Literal
 * parts are never empty. */
enum err template_next(struct str *rest, struct template_part *part);

/* Whether the inside is one template and nothing else: its value then keeps its type. */
bool template_is_whole(struct str inside, struct str *path);
/* Whether "${{" stands anywhere in a raw value. */
bool template_in(struct str raw);

/* One step down a path: "inputs.city[2]" is the name inputs, the name city, the index 2. */
struct template_step {
    bool is_index;
    struct str name;
    uint64_t index;
};

struct template_path {
    struct str rest;
    bool begun;
};

struct template_path template_path(struct str text);
/* The next step.  ERR_END after the last; ERR_SYNTAX when the text is empty or not of the form NAME ( .NAME | [N] )*, a
 * name being of letters, digits, '_' and '-'. */
enum err template_path_next(struct template_path *path, struct template_step *step);

#endif
