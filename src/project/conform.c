/* Holds config and inputs against what integrations say of themselves.  Owns the overlay's view of it: each member is judged in the layer from which it will come, so
 * that the problem names the file in which to mend it.  Never starts more than one program per integration. */
#include "project/describe.h"

#include "json/schema.h"
#include "port.h"
#include "project/integration.h"
#include "project/project.h"
#include "project/python.h"
#include "project/template.h"
#include "project/workflow.h"

#include <string.h>

/* A submission waits 20 s for its helper; what was answered in time is kept for the next one. */
#define TOGETHER_MS 15000

enum { PROJECT, PLAN, STEP, LAYERS };

struct conform {
    struct project_workspace *workspace;
    const char *root;
    const struct project_source *config;
    struct project_problem *problem;
    int64_t deadline; /* of all descriptions together, monotonic */
    struct description description;
};

static enum json_schema_known look(struct str raw)
{
    struct str path;
    if (!template_in(raw))
        return JSON_SCHEMA_KNOWN;
    return template_is_whole(template_inside(raw), &path) ? JSON_SCHEMA_OPEN : JSON_SCHEMA_TEXT;
}

static struct str member(struct str entry, const char *name)
{
    struct str value;
    return json_member(entry, name, &value) && json_type(value) == JSON_OBJECT ? value : STR_NONE;
}

/* --- problems --------------------------------------------------------------------------------------------------------------- */

/* The daemon holds charter.yml without places: the file, where it is still the same, has them. */
static bool fail_in_config(struct conform *c, struct str at, const char *reason)
{
    struct project_workspace *workspace = c->workspace;
    struct project_problem ignored = {0};
    const struct project_source *source = c->config;

    if (source != &workspace->config && config_load(workspace, c->root, &ignored) &&
        str_equal(source_root(source), source_root(&workspace->config))) {
        at.p = workspace->config.json.p + (at.p - source->json.p);
        source = &workspace->config;
    }
    return source_problem(source, c->problem, CHARTER_INVALID_INPUT, at, "%s", reason);
}

static bool fail(struct conform *c, bool in_config, struct str at, const char *reason)
{
    if (in_config)
        return fail_in_config(c, at, reason);
    return source_problem(&c->workspace->plan, c->problem, CHARTER_INVALID_INPUT, at, "%s", reason);
}

/* The place is that of what surrounds the missing member; the path is its own. */
static bool fail_missing(struct conform *c, bool in_config, struct str around, const char *inside,
                         struct str raw_name)
{
    struct out path;
    (void)fail(c, in_config, around, "is required by the integration");
    path = (struct out){
        .p = c->problem->path, .cap = sizeof c->problem->path, .n = strlen(c->problem->path)};
    out_text(&path, inside);
    out_byte(&path, '.');
    out_str(&path, str_range(raw_name.p + 1, raw_name.n - 2));
    out_cstr(&path);
    return false;
}

/* --- config ----------------------------------------------------------------------------------------------------------------- */

static bool has_name(struct str object, struct str raw_name)
{
    struct json_walk walk = json_walk(object);
    struct str name, value;
    while (json_walk_next(&walk, &name, &value))
        if (json_string_equal(name, raw_name))
            return true;
    return false;
}

static bool check_layers(struct conform *c, const struct str layers[LAYERS])
{
    struct str name, value, schema = c->description.config_schema;
    struct json_schema_problem problem;

    for (int i = 0; i < LAYERS; i++) {
        struct json_walk walk = json_walk(layers[i]);
        while (json_walk_next(&walk, &name, &value)) {
            bool replaced = false;
            for (int above = i + 1; above < LAYERS; above++)
                replaced = replaced || has_name(layers[above], name);
            if (!replaced && !json_schema_member(schema, name, value, look, &problem))
                return fail(c, i == PROJECT, problem.at, problem.reason);
        }
    }
    return true;
}

static bool check_config(struct conform *c, const struct plan_step *step)
{
    const struct str layers[LAYERS] = {
        member(step->project_entry, "config"), member(step->plan_entry, "config"),
        json_type(step->with) == JSON_OBJECT ? step->with : STR_NONE};
    struct json_walk required = {.is_object = false};
    struct str name;

    if (!check_layers(c, layers))
        return false;
    while (json_schema_required(c->description.config_schema, &required, &name)) {
        if (has_name(layers[PROJECT], name) || has_name(layers[PLAN], name) ||
            has_name(layers[STEP], name))
            continue;
        if (layers[PROJECT].n > 0)
            return fail_missing(c, true, layers[PROJECT], "", name);
        if (step->project_entry.n > 0)
            return fail_missing(c, true, step->project_entry, ".config", name);
        if (layers[PLAN].n > 0)
            return fail_missing(c, false, layers[PLAN], "", name);
        return step->plan_entry.n > 0 ? fail_missing(c, false, step->plan_entry, ".config", name)
                                      : fail_missing(c, false, step->raw, ".with", name);
    }
    return true;
}

/* --- inputs ----------------------------------------------------------------------------------------------------------------- */

static bool check_inputs(struct conform *c, const struct plan_step *step)
{
    struct json_walk walk = json_walk(step->inputs), required = {.is_object = false};
    struct str name, value, schema = c->description.input_schema;
    struct json_schema_problem problem;

    while (json_walk_next(&walk, &name, &value))
        if (!json_schema_member(schema, name, value, look, &problem))
            return fail(c, false, problem.at, problem.reason);
    while (json_schema_required(schema, &required, &name))
        if (!has_name(step->inputs, name))
            return step->inputs.n > 0 ? fail_missing(c, false, step->inputs, "", name)
                                      : fail_missing(c, false, step->raw, ".inputs", name);
    return true;
}

/* --- integrations ----------------------------------------------------------------------------------------------------------- */

static bool ask(struct conform *c, const struct plan_step *step, bool fresh)
{
    struct project_workspace *workspace = c->workspace;
    char words[320];
    struct out command = OUT_ON(workspace->scratch), why = OUT_ON(words),
               text = OUT_ON(workspace->line);
    struct json_writer w = json_writer(&command);
    struct str name = plan_text(step->uses);

    if (step->python.n > 0)
        (void)python_put_bridge(c->root);
    integration_write(step, &w);
    /* What a package of Python says may change with any of its files. */
    bool cacheable = step->python.n == 0 || python_is_file(template_inside(step->python));
    if (command.overflow)
        out_text(&why, "its entry is too long");
    else if (describe_ask(c->root, out_view(&command), cacheable, fresh, c->deadline, &text,
                          &c->description, &why))
        return true;
    struct reader r = {&workspace->plan, c->problem, CHARTER_UNRESOLVED_INTEGRATION};
    reader_fail(&r, step->uses, "integration '%.*s': %s", STR_ARG(name), out_cstr(&why));
    str_copy(name, c->problem->name, sizeof c->problem->name);
    return false;
}

bool conform_check(struct project_workspace *workspace, const char *root,
                   const struct project_source *config, bool fresh, struct project_problem *problem)
{
    struct conform c = {.workspace = workspace, .root = root, .config = config, .problem = problem};
    const struct plan *plan = &workspace->checked;

    c.deadline = port_monotonic_ms() + TOGETHER_MS;
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_step *first = &plan->steps[i];
        bool is_first = integration_describes(first);
        for (size_t j = 0; is_first && j < i; j++)
            is_first = !str_equal(plan->steps[j].uses, first->uses);
        if (!is_first)
            continue;
        if (!ask(&c, first, fresh))
            return false;
        for (size_t j = i; j < plan->count; j++) {
            const struct plan_step *step = &plan->steps[j];
            if (step->kind == PLAN_USES && str_equal(step->uses, first->uses) &&
                (!check_config(&c, step) || !check_inputs(&c, step)))
                return false;
        }
    }
    return true;
}
