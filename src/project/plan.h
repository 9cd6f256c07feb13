/* A plan, checked: what plan.yml says, in C.  All views point into the plan's source and live as long as it. */
#ifndef PROJECT_PLAN_H
#define PROJECT_PLAN_H

#include "base/limits.h"
#include "base/str.h"
#include "project/reader.h"

enum plan_kind { PLAN_USES, PLAN_GATE, PLAN_INPUT };
enum plan_when { PLAN_SUCCESS, PLAN_FAILURE, PLAN_ALWAYS };

/* A set of steps, by number. */
struct plan_set {
    uint64_t bits[4];
};

struct plan_step {
    struct str raw; /* the whole step */
    struct str id;  /* raw, as all views here; with quotes where it is a string */
    enum plan_kind kind;
    enum plan_when when;
    struct str uses, with, inputs, output, output_type, condition; /* STR_NONE where absent */
    struct str gate, input, retry, needs;
    int64_t timeout_ms; /* of an attempt, or of a gate's or input's waiting; 0: none */
    bool continue_on_error, fail_on_interrupt;

    /* retry; one attempt where the plan says nothing */
    int64_t max_attempts, initial_ms, multiplier_milli, max_ms;

    /* gate and input */
    struct str message, fields;
    const char *on_timeout; /* "deny", "approve", "fail" */

    struct plan_set needed; /* directly */
    struct plan_set before; /* all that surely ended before it starts */

    /* resolve.c: the entries of the plan and of charter.yml that say how `uses` is started; raw or STR_NONE */
    struct str plan_entry, project_entry;
    struct str python;  /* raw: an entry point or FILE.py:CLASS; STR_NONE where it is a program */
    bool is_dropped_in; /* .charter/integrations/NAME */
    int64_t uid, gid;   /* that it runs as; -1: as the daemon */
};

struct plan {
    struct str integrations, outputs; /* raw or STR_NONE */
    int64_t max_parallel, timeout_ms /* 0: none */;
    bool has_needs;
    struct plan_step steps[LIMIT_STEPS];
    size_t count;
};

#define PLAN_MAX_PARALLEL_DEFAULT 4

/* Reads the plan in r's source: members, types, ids, needs, cycles, fields of input steps; neither templates nor `uses`.
 * `fields` declarations are checked with declare.h, which needs the workspace. */
bool plan_read(const struct reader *r, struct project_workspace *workspace, struct plan *plan);

/* The text of a raw name: project names have no escapes. */
struct str plan_text(struct str raw_name);
bool plan_has(const struct plan_set *set, size_t step);
void plan_put(struct plan_set *set, size_t step);

#endif
