/* Checks what templates name.  Owns the roots and who may see which; the syntax is template.c's.  Invariant: a template that
 * passed can only fail at run time for what the values hold. */
#include "project/reference.h"

#include "project/condition.h"
#include "project/declare.h"
#include "project/project.h"
#include "project/template.h"
#include "project/workspace.h"

/* A path that is being followed. */
struct trail {
    const struct reference_scope *scope;
    struct str at;   /* the raw string that the template stands in */
    struct str text; /* the whole path */
    struct template_path rest;
};

/* --- words --------------------------------------------------------------------------------------------------------- */

static int shown(struct str text)
{
    return text.n > 64 ? 64 : (int)text.n;
}

static void list_add(struct out *list, struct str name)
{
    if (list->n + name.n + 8 > list->cap) {
        if (!str_equal(str_from(out_view(list), list->n - 3), STR("…")))
            out_text(list, ", …");
        return;
    }
    out_text(list, list->n == 0 ? "" : ", ");
    out_str(list, name);
}

static void list_members(struct out *list, struct str object)
{
    struct json_walk walk = json_walk(object);
    struct str name, value;
    while (json_walk_next(&walk, &name, &value))
        list_add(list, plan_text(name));
}

static bool unknown(const struct trail *t, const char *what, struct str name, struct out *known,
                    const char *which)
{
    return reader_fail(t->scope->reader, t->at, "unknown %s '%.*s' in template (%s: %s)", what,
                       shown(name), name.p, which, known->n == 0 ? "none" : out_cstr(known));
}

static bool is_no_path(const struct trail *t)
{
    return reader_fail(t->scope->reader, t->at,
                       "'${{ %.*s }}' is no path: a name, then .NAME or [N]", shown(t->text),
                       t->text.p);
}

/* The next step down; false with a problem where there is none or it is an index. */
static bool next_name(struct trail *t, const char *what, struct str *name)
{
    struct template_step step;
    enum err err = template_path_next(&t->rest, &step);
    if (err == OK && !step.is_index) {
        *name = step.name;
        return true;
    }
    if (err == ERR_SYNTAX)
        return is_no_path(t);
    return reader_fail(t->scope->reader, t->at, "'${{ %.*s }}' must go on with the name of %s",
                       shown(t->text), t->text.p, what);
}

/* --- roots --------------------------------------------------------------------------------------------------------- */

static bool check_input(struct trail *t)
{
    const struct reference_scope *scope = t->scope;
    struct str name, raw;
    struct template_step step;
    char list[160];
    struct out known = OUT_ON(list);
    if (!next_name(t, "an input", &name))
        return false;
    if (scope->plan == NULL || scope->inputs_unknown)
        return true;
    if (!json_member_named(scope->declarations, name, &raw)) {
        list_members(&known, scope->declarations);
        return unknown(t, "input", name, &known, "the manifest has");
    }
    const char *type = declare_type(scope->declarations, name);
    struct template_path rest = t->rest;
    if (type != NULL && !str_is(str_of(type), "object") && !str_is(str_of(type), "array") &&
        template_path_next(&rest, &step) == OK)
        return reader_fail(scope->reader, t->at,
                           "'${{ %.*s }}' goes into the input '%.*s', which is of type %s",
                           shown(t->text), t->text.p, shown(name), name.p, type);
    return true;
}

/* The members that the value of a gate or input step has. */
static bool check_member(struct trail *t, const struct plan_step *named)
{
    static const char *const decisions[] = {"decision", "actor", "comment", NULL};
    struct template_path rest = t->rest;
    struct template_step step;
    struct str raw;
    char list[160];
    struct out known = OUT_ON(list);
    if (named->kind == PLAN_USES || template_path_next(&rest, &step) != OK || step.is_index)
        return true;
    if (named->kind == PLAN_INPUT) {
        if (json_member_named(named->fields, step.name, &raw))
            return true;
        list_members(&known, named->fields);
        return unknown(t, "field", step.name, &known, "the input step has");
    }
    for (size_t i = 0; decisions[i] != NULL; i++) {
        if (str_is(step.name, decisions[i]))
            return true;
        list_add(&known, str_of(decisions[i]));
    }
    return unknown(t, "member", step.name, &known, "a gate has");
}

static bool check_step(struct trail *t, bool by_output)
{
    const struct reference_scope *scope = t->scope;
    const struct plan *plan = scope->plan;
    struct str name;
    char list[160];
    struct out known = OUT_ON(list);
    if (!next_name(t, by_output ? "an output" : "a step", &name))
        return false;
    for (size_t i = 0; plan != NULL && i < plan->count; i++) {
        const struct plan_step *step = &plan->steps[i];
        struct str own = plan_text(by_output ? step->output : step->id);
        bool ended = scope->before == NULL || plan_has(scope->before, i);
        if (own.n > 0 && str_equal(own, name)) {
            if (ended)
                return check_member(t, step);
            return reader_fail(scope->reader, t->at,
                               "'${{ %.*s }}': the step '%.*s' has not surely ended before%s",
                               shown(t->text), t->text.p, STR_ARG(plan_text(step->id)),
                               plan->has_needs && step->when == PLAN_SUCCESS ? "; name it in needs"
                                                                             : "");
        }
        if (own.n > 0 && ended)
            list_add(&known, own);
    }
    if (plan == NULL)
        return true;
    return unknown(t, by_output ? "output" : "step", name, &known, "known so far");
}

static bool check_run(struct trail *t)
{
    static const char *const members[] = {"id", "workflow_id", "started_at", "error"};
    struct str name;
    char list[64];
    struct out known = OUT_ON(list);
    if (!next_name(t, "a member of run", &name))
        return false;
    if (str_is(name, "error") && !t->scope->sees_error && t->scope->plan != NULL)
        return reader_fail(t->scope->reader, t->at,
                           "run.error is there in steps with when: failure or always alone");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (str_is(name, members[i]))
            return true;
        list_add(&known, str_of(members[i]));
    }
    return unknown(t, "member of run", name, &known, "it has");
}

static bool check_secret(struct trail *t)
{
    struct str name, raw;
    char list[160];
    struct out known = OUT_ON(list);
    if (!t->scope->sees_secrets)
        return reader_fail(t->scope->reader, t->at,
                           "secrets can be named in an integration's config and env alone");
    if (!next_name(t, "a secret", &name))
        return false;
    if (json_member_named(t->scope->secrets, name, &raw))
        return true;
    list_members(&known, t->scope->secrets);
    return unknown(t, "secret", name, &known, "charter.yml has");
}

static bool check_path(const struct reference_scope *scope, struct str at, struct str path)
{
    struct trail t = {scope, at, path, template_path(path)};
    struct template_path rest = t.rest;
    struct template_step step;
    enum err err;
    while ((err = template_path_next(&rest, &step)) == OK)
        ;
    if (err != ERR_END)
        return is_no_path(&t);
    template_path_next(&t.rest, &step);
    if (str_is(step.name, "inputs"))
        return check_input(&t);
    if (str_is(step.name, "outputs") || str_is(step.name, "named_outputs"))
        return check_step(&t, step.name.p[0] == 'n');
    if (str_is(step.name, "run"))
        return check_run(&t);
    if (str_is(step.name, "secrets"))
        return check_secret(&t);
    return reader_fail(
        scope->reader, at,
        "unknown root '%.*s' in template (there are inputs, outputs, named_outputs, run%s)",
        shown(step.name), step.name.p, scope->sees_secrets ? ", secrets" : "");
}

/* --- strings ------------------------------------------------------------------------------------------------------- */

static bool check_string(const struct reference_scope *scope, struct str raw)
{
    struct str rest = template_inside(raw);
    struct template_part part;
    enum err err;
    while ((err = template_next(&rest, &part)) == OK) {
        if (part.is_template && !check_path(scope, raw, part.text))
            return false;
    }
    return err == ERR_END ? true : reader_fail(scope->reader, raw, "a '${{' without its '}}'");
}

bool reference_check(const struct reference_scope *scope, struct str raw)
{
    for (size_t at = 0; at < raw.n;) {
        size_t start = at++;
        if (raw.p[start] != '"')
            continue;
        while (at < raw.n && raw.p[at] != '"')
            at += raw.p[at] == '\\' ? 2 : 1;
        at++;
        /* Sources are compact: a colon behind a string makes it a key. */
        bool is_key = at < raw.n && raw.p[at] == ':';
        if (!is_key && at <= raw.n && !check_string(scope, str_range(raw.p + start, at - start)))
            return false;
    }
    return true;
}

bool reference_check_condition(const struct reference_scope *scope,
                               struct project_workspace *workspace, struct str raw)
{
    struct out text = OUT_ON(workspace->scratch);
    struct condition condition;
    const char *reason;
    if (json_type(raw) != JSON_STRING)
        return true;
    if (!json_string_decode(raw, &text))
        return reader_fail(scope->reader, raw, "cannot be read");
    if (condition_parse(out_view(&text), &condition, &reason) != OK)
        return reader_fail(scope->reader, raw, "%s", reason);
    if (condition.left.kind == CONDITION_TEMPLATE && !check_path(scope, raw, condition.left.text))
        return false;
    return condition.test == CONDITION_TRUTH || condition.right.kind != CONDITION_TEMPLATE ||
           check_path(scope, raw, condition.right.text);
}

/* --- a plan -------------------------------------------------------------------------------------------------------- */

static bool check_entry(const struct reference_scope *scope, struct str entry)
{
    struct str config, env;
    if (json_member(entry, "config", &config) && !reference_check(scope, config))
        return false;
    return !json_member(entry, "env", &env) || reference_check(scope, env);
}

static bool check_step_of_plan(const struct reference_scope *common, const struct reader *config,
                               struct project_workspace *workspace, const struct plan_step *step)
{
    struct reference_scope scope = *common;
    scope.before = &step->before;
    scope.sees_error = step->when != PLAN_SUCCESS;
    if (!reference_check_condition(&scope, workspace, step->condition) ||
        !reference_check(&scope, step->with) || !reference_check(&scope, step->inputs) ||
        !reference_check(&scope, step->message))
        return false;
    scope.sees_secrets = true;
    if (!check_entry(&scope, step->plan_entry))
        return false;
    scope.reader = config;
    return check_entry(&scope, step->project_entry);
}

bool reference_check_plan(const struct reference_scope *scope, const struct reader *config,
                          struct project_workspace *workspace)
{
    for (size_t i = 0; i < scope->plan->count; i++) {
        if (!check_step_of_plan(scope, config, workspace, &scope->plan->steps[i]))
            return false;
    }
    return reference_check(scope, scope->plan->outputs);
}
