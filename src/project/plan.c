/* Reads plan.yml into struct plan.  Owns the form of steps and their order; templates are reference.c's, `uses` is
 * resolve.c's.  Invariant: in a plan that was read, `before` of every step is the closure of what surely ends before it
 * starts, and has no cycle. */
#include "project/plan.h"

#include "project/declare.h"
#include "project/project.h"
#include "project/workspace.h"

#include <string.h>

#define ATTEMPTS_MAX 100

static const char *const output_types[] = {"json", "text",   "number",   "boolean",
                                           "list", "object", "artifact", NULL};
static const char *const whens[] = {
    [PLAN_SUCCESS] = "success", [PLAN_FAILURE] = "failure", [PLAN_ALWAYS] = "always", NULL};

struct str plan_text(struct str raw_name)
{
    return raw_name.n < 2 ? STR_NONE : str_range(raw_name.p + 1, raw_name.n - 2);
}

bool plan_has(const struct plan_set *set, size_t step)
{
    return (set->bits[step / 64] >> (step % 64) & 1) != 0;
}

void plan_put(struct plan_set *set, size_t step)
{
    set->bits[step / 64] |= (uint64_t)1 << (step % 64);
}

static void put_all(struct plan_set *set, const struct plan_set *more)
{
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        set->bits[i] |= more->bits[i];
}

static bool find_step(const struct plan *plan, struct str raw_id, size_t *index)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (str_equal(plan->steps[i].id, raw_id)) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* --- one step ------------------------------------------------------------------------------------------------------ */

struct step_members {
    struct str id, uses, gate, input, with, inputs, output, output_type, timeout, retry, condition,
        on_interrupt, when;
    struct str continue_on_error, needs, description;
};

static const struct reader_field step_fields[] = {
    {"id", READER_STRING, true, offsetof(struct step_members, id)},
    {"uses", READER_STRING, false, offsetof(struct step_members, uses)},
    {"gate", READER_OBJECT, false, offsetof(struct step_members, gate)},
    {"input", READER_OBJECT, false, offsetof(struct step_members, input)},
    {"with", READER_OBJECT, false, offsetof(struct step_members, with)},
    {"inputs", READER_OBJECT, false, offsetof(struct step_members, inputs)},
    {"output", READER_STRING, false, offsetof(struct step_members, output)},
    {"output_type", READER_STRING, false, offsetof(struct step_members, output_type)},
    {"timeout_s", READER_NUMBER, false, offsetof(struct step_members, timeout)},
    {"retry", READER_OBJECT, false, offsetof(struct step_members, retry)},
    {"if", READER_STRING | READER_BOOLEAN, false, offsetof(struct step_members, condition)},
    {"on_interrupt", READER_STRING, false, offsetof(struct step_members, on_interrupt)},
    {"when", READER_STRING, false, offsetof(struct step_members, when)},
    {"continue_on_error", READER_BOOLEAN, false, offsetof(struct step_members, continue_on_error)},
    {"needs", READER_ARRAY, false, offsetof(struct step_members, needs)},
    {"description", READER_STRING, false, offsetof(struct step_members, description)},
};

struct waiting_members {
    struct str message, timeout, on_timeout, fields;
};

static const struct reader_field gate_fields[] = {
    {"message", READER_STRING, false, offsetof(struct waiting_members, message)},
    {"timeout_s", READER_NUMBER, false, offsetof(struct waiting_members, timeout)},
    {"on_timeout", READER_STRING, false, offsetof(struct waiting_members, on_timeout)},
};

static const struct reader_field input_fields[] = {
    {"message", READER_STRING, false, offsetof(struct waiting_members, message)},
    {"timeout_s", READER_NUMBER, false, offsetof(struct waiting_members, timeout)},
    {"on_timeout", READER_STRING, false, offsetof(struct waiting_members, on_timeout)},
    {"fields", READER_OBJECT, true, offsetof(struct waiting_members, fields)},
};

struct retry_members {
    struct str max_attempts, initial, multiplier, max;
};

static const struct reader_field retry_fields[] = {
    {"max_attempts", READER_NUMBER, true, offsetof(struct retry_members, max_attempts)},
    {"initial_ms", READER_NUMBER, false, offsetof(struct retry_members, initial)},
    {"multiplier", READER_NUMBER, false, offsetof(struct retry_members, multiplier)},
    {"max_ms", READER_NUMBER, false, offsetof(struct retry_members, max)},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static bool read_retry(const struct reader *r, struct plan_step *step)
{
    struct retry_members members = {0};
    if (step->retry.n == 0)
        return true;
    if (!reader_object(r, step->retry, retry_fields, COUNT_OF(retry_fields), &members))
        return false;
    if (members.multiplier.n > 0 &&
        (!reader_thousandths(members.multiplier, &step->multiplier_milli) ||
         step->multiplier_milli < 1000 || step->multiplier_milli > 1000000))
        return reader_fail(
            r, members.multiplier,
            "must be a number from 1 to 1000, with at most three places behind the point");
    if (!reader_integer(r, members.max_attempts, 1, ATTEMPTS_MAX, &step->max_attempts) ||
        !reader_integer(r, members.initial, 0, INT32_MAX, &step->initial_ms) ||
        !reader_integer(r, members.max, 0, INT32_MAX, &step->max_ms))
        return false;
    if (step->max_ms < step->initial_ms) {
        if (members.max.n > 0 && members.initial.n > 0)
            return reader_fail(r, members.max, "below initial_ms");
        if (members.max.n > 0)
            step->initial_ms = step->max_ms;
        else
            step->max_ms = step->initial_ms;
    }
    return true;
}

static bool read_waiting(const struct reader *r, struct project_workspace *workspace,
                         struct plan_step *step)
{
    static const char *const of_gates[] = {"deny", "approve", "fail", NULL};
    static const char *const of_inputs[] = {"deny", "fail", NULL};
    bool is_gate = step->kind == PLAN_GATE;
    struct waiting_members members = {0};
    unsigned word = 0;
    const char *const *words = is_gate ? of_gates : of_inputs;
    if (!reader_object(r, is_gate ? step->gate : step->input, is_gate ? gate_fields : input_fields,
                       is_gate ? COUNT_OF(gate_fields) : COUNT_OF(input_fields), &members) ||
        !reader_seconds(r, members.timeout, &step->timeout_ms) ||
        !reader_word(r, members.on_timeout, words, &word))
        return false;
    step->on_timeout = words[word];
    step->message = members.message;
    step->fields = members.fields;
    return is_gate || declare_check(r, workspace, step->fields);
}

/* What stands beside `gate` and `input` although it belongs to `uses`. */
static bool check_members_of_waiting(const struct reader *r, const struct step_members *members)
{
    const struct {
        const char *name;
        struct str raw;
    } others[] = {{"with", members->with},
                  {"inputs", members->inputs},
                  {"output_type", members->output_type},
                  {"retry", members->retry},
                  {"on_interrupt", members->on_interrupt}};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (others[i].raw.n > 0)
            return reader_fail(r, others[i].raw, "'%s' belongs to steps with 'uses'",
                               others[i].name);
    }
    if (members->timeout.n > 0)
        return reader_fail(r, members->timeout,
                           "the timeout of a gate or input stands inside of it");
    return true;
}

static bool read_kind(const struct reader *r, const struct step_members *members,
                      struct plan_step *step)
{
    int kinds = (members->uses.n > 0) + (members->gate.n > 0) + (members->input.n > 0);
    if (kinds != 1)
        return reader_fail(r, step->raw,
                           "a step has exactly one of 'uses', 'gate' and 'input'; this has %s",
                           kinds == 0 ? "none" : "more");
    step->kind = members->uses.n > 0 ? PLAN_USES : members->gate.n > 0 ? PLAN_GATE : PLAN_INPUT;
    return step->kind == PLAN_USES || check_members_of_waiting(r, members);
}

static bool read_step(const struct reader *r, struct project_workspace *workspace, struct str raw,
                      struct plan_step *step)
{
    static const char *const interrupts[] = {"retry", "fail", NULL};
    struct step_members members = {0};
    unsigned when = PLAN_SUCCESS, interrupt = 0, output_type = 0;
    *step = (struct plan_step){.raw = raw,
                               .max_attempts = 1,
                               .initial_ms = 500,
                               .multiplier_milli = 2000,
                               .max_ms = 30000,
                               .on_timeout = "deny"};
    if (!reader_object(r, raw, step_fields, COUNT_OF(step_fields), &members) ||
        !reader_name(r, members.id, "the id of a step") || !read_kind(r, &members, step))
        return false;
    step->id = members.id;
    step->uses = members.uses;
    step->gate = members.gate;
    step->input = members.input;
    step->with = members.with;
    step->inputs = members.inputs;
    step->output = members.output;
    step->output_type = members.output_type;
    step->condition = members.condition;
    step->retry = members.retry;
    step->needs = members.needs;
    if ((step->output.n > 0 && !reader_name(r, step->output, "the name of an output")) ||
        !reader_word(r, members.output_type, output_types, &output_type) ||
        !reader_word(r, members.on_interrupt, interrupts, &interrupt) ||
        !reader_word(r, members.when, whens, &when) ||
        !reader_boolean(r, members.continue_on_error, &step->continue_on_error) ||
        !read_retry(r, step))
        return false;
    step->when = (enum plan_when)when;
    step->fail_on_interrupt = interrupt == 1;
    return step->kind == PLAN_USES ? reader_seconds(r, members.timeout, &step->timeout_ms)
                                   : read_waiting(r, workspace, step);
}

/* --- order --------------------------------------------------------------------------------------------------------- */

static bool read_needs(const struct reader *r, struct plan *plan, size_t index)
{
    struct plan_step *step = &plan->steps[index];
    struct json_walk walk = json_walk(step->needs);
    struct str name, raw;
    size_t needed;
    while (json_walk_next(&walk, &name, &raw)) {
        if (!reader_is(r, raw, READER_STRING))
            return false;
        if (!find_step(plan, raw, &needed))
            return reader_fail(r, raw, "unknown step '%.*s'", raw.n > 66 ? 64 : (int)raw.n - 2,
                               raw.p + 1);
        if (needed == index)
            return reader_fail(r, raw, "the step needs itself");
        if (plan_has(&step->needed, needed))
            return reader_fail(r, raw, "the step is named twice");
        if (plan->steps[needed].when != PLAN_SUCCESS &&
            (step->when == PLAN_SUCCESS || needed > index))
            return reader_fail(
                r, raw,
                "steps with when: failure or always run last, in order; this one cannot wait for it");
        plan_put(&step->needed, needed);
    }
    return true;
}

/* Ordinary steps by their needs: a step is settled when all that it needs is. What cannot be settled is a cycle. */
static bool order_by_needs(const struct reader *r, struct plan *plan)
{
    struct plan_set settled = {{0}};
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < plan->count; i++) {
            struct plan_step *step = &plan->steps[i];
            bool ready = step->when == PLAN_SUCCESS && !plan_has(&settled, i);
            for (size_t j = 0; ready && j < plan->count; j++)
                ready = !plan_has(&step->needed, j) || plan_has(&settled, j);
            if (!ready)
                continue;
            for (size_t j = 0; j < plan->count; j++) {
                if (plan_has(&step->needed, j)) {
                    plan_put(&step->before, j);
                    put_all(&step->before, &plan->steps[j].before);
                }
            }
            plan_put(&settled, i);
            moved = true;
        }
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].when == PLAN_SUCCESS && !plan_has(&settled, i))
            return reader_fail(r, plan->steps[i].needs,
                               "a cycle: the step needs itself through others");
    }
    return true;
}

static bool order_steps(const struct reader *r, struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        plan->has_needs = plan->has_needs || plan->steps[i].needs.n > 0;
        if (!read_needs(r, plan, i))
            return false;
    }
    if (plan->has_needs && !order_by_needs(r, plan))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_step *step = &plan->steps[i];
        bool is_last = step->when != PLAN_SUCCESS;
        if (plan->has_needs && !is_last)
            continue;
        for (size_t j = 0; j < plan->count; j++) {
            bool other_is_last = plan->steps[j].when != PLAN_SUCCESS;
            if (other_is_last == is_last ? j < i : is_last)
                plan_put(&step->before, j);
        }
    }
    return true;
}

/* --- the plan ------------------------------------------------------------------------------------------------------ */

struct plan_members {
    struct str integrations, max_parallel, timeout, steps, outputs, description;
};

static const struct reader_field plan_fields[] = {
    {"integrations", READER_OBJECT, false, offsetof(struct plan_members, integrations)},
    {"max_parallel", READER_NUMBER, false, offsetof(struct plan_members, max_parallel)},
    {"timeout_s", READER_NUMBER, false, offsetof(struct plan_members, timeout)},
    {"steps", READER_ARRAY, true, offsetof(struct plan_members, steps)},
    {"outputs", READER_OBJECT, false, offsetof(struct plan_members, outputs)},
    {"description", READER_STRING, false, offsetof(struct plan_members, description)},
};

static bool check_unique(const struct reader *r, const struct plan *plan,
                         const struct plan_step *step)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_step *other = &plan->steps[i];
        struct str name = plan_text(step->output);
        if (str_equal(other->id, step->id))
            return reader_fail(r, step->id, "steps[%zu] has the id '%.*s' already", i,
                               STR_ARG(plan_text(step->id)));
        if (name.n > 0 && str_equal(other->output, step->output))
            return reader_fail(r, step->output, "steps[%zu] has the output '%.*s' already", i,
                               STR_ARG(name));
    }
    return true;
}

bool plan_read(const struct reader *r, struct project_workspace *workspace, struct plan *plan)
{
    struct plan_members members = {0};
    struct str name, raw;
    plan->count = 0;
    plan->has_needs = false;
    plan->timeout_ms = 0;
    plan->max_parallel = PLAN_MAX_PARALLEL_DEFAULT;
    if (!reader_object(r, source_root(r->source), plan_fields, COUNT_OF(plan_fields), &members) ||
        !reader_integer(r, members.max_parallel, 1, 1000, &plan->max_parallel) ||
        !reader_seconds(r, members.timeout, &plan->timeout_ms))
        return false;
    plan->integrations = members.integrations;
    plan->outputs = members.outputs;
    if (json_count(members.steps) == 0)
        return reader_fail(r, members.steps, "a plan has at least one step");
    struct json_walk walk = json_walk(members.steps);
    while (json_walk_next(&walk, &name, &raw)) {
        if (plan->count == LIMIT_STEPS)
            return reader_fail(r, raw, "more than %d steps", LIMIT_STEPS);
        struct plan_step *step = &plan->steps[plan->count];
        if (!read_step(r, workspace, raw, step) || !check_unique(r, plan, step))
            return false;
        plan->count++;
    }
    return order_steps(r, plan);
}
