/* Plans and manifests: what is taken, what is refused, and the words and places of the refusal. */
#include "base/built.h"
#include "project_rig.h"

#include "base/limits.h"
#include "json/read.h"

#include <stdio.h>
#include <string.h>

struct refusal {
    const char *text, *message;
};

static void expect(const struct refusal *cases, size_t count,
                   const char *(*refuse)(const char *text))
{
    for (size_t i = 0; i < count; i++) {
        const char *message = refuse(cases[i].text);
        if (strstr(message, cases[i].message) == NULL)
            fail_msg("%s\ngives '%s', not '%s'", cases[i].text, message, cases[i].message);
    }
}

#define EXPECT(cases, refuse) expect(cases, sizeof(cases) / sizeof(cases)[0], refuse)

static void plan_steps_are_checked(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"", "-32007 workflows/w/plan.yml:"},
        {"[]", "plan.yml:1:1: must be an object"},
        {"step: []", "unknown member 'step' (did you mean 'steps'?)"},
        {"timeout_s: 1", "'steps' is missing"},
        {"steps: []", "plan.yml:1:8: steps: a plan has at least one step"},
        {"steps: {a: b}", "steps: must be a list"},
        {"steps: [a]", "steps[0]: must be an object"},
        {"steps: [{uses: x}]", "steps[0]: 'id' is missing"},
        {"steps: [{id: a b, uses: x}]", "steps[0].id: the id of a step consists of"},
        {"steps: [{id: 5, uses: x}]", "steps[0].id: must be a string"},
        {"steps: [{id: a}]", "a step has exactly one of 'uses', 'gate' and 'input'; this has none"},
        {"steps: [{id: a, uses: x, gate: {}}]", "this has more"},
        {"steps:\n- {id: a, uses: x}\n- id: a\n  uses: x\n",
         "plan.yml:3:7: steps[1].id: steps[0] has the id 'a' already"},
        {"steps: [{id: a, uses: x, output: o}, {id: b, uses: x, output: o}]",
         "steps[1].output: steps[0] has the output 'o'"},
        {"steps: [{id: a, uses: x, timout_s: 1}]",
         "unknown member 'timout_s' (did you mean 'timeout_s'?)"},
        {"steps: [{id: a, uses: x, timeout_s: 0}]",
         "timeout_s: must be a number of seconds above 0"},
        {"steps: [{id: a, uses: x, timeout_s: -1}]", "must be a number of seconds above 0"},
        {"steps: [{id: a, uses: x, timeout_s: 0.0001}]", "must be a number of seconds above 0"},
        {"steps: [{id: a, uses: x, timeout_s: 1e3}]", "must be a number of seconds above 0"},
        {"steps: [{id: a, uses: x, timeout_s: '5'}]", "timeout_s: must be a number"},
        {"steps: [{id: a, uses: x, output_type: string}]",
         "must be one of: json, text, number, boolean, list, object, artifact"},
        {"steps: [{id: a, uses: x, when: never}]", "must be one of: success, failure, always"},
        {"steps: [{id: a, uses: x, on_interrupt: x}]", "must be one of: retry, fail"},
        {"steps: [{id: a, uses: x, continue_on_error: yes}]",
         "continue_on_error: must be a boolean"},
        {"steps: [{id: a, uses: x, with: [1]}]", "with: must be an object"},
        {"steps: [{id: a, uses: x, retry: {max_attempts: 0}}]",
         "retry.max_attempts: must be at least 1"},
        {"steps: [{id: a, uses: x, retry: {}}]", "retry: 'max_attempts' is missing"},
        {"steps: [{id: a, uses: x, retry: {max_attempts: 2, multiplier: 0.5}}]",
         "retry.multiplier: must be a number from 1"},
        {"steps: [{id: a, uses: x, retry: {max_attempts: 2, initial_ms: 9, max_ms: 8}}]",
         "retry.max_ms: below initial_ms"},
        {"max_parallel: 0\nsteps: [{id: a, uses: x}]", "max_parallel: must be at least 1"},
        {"outputs: 5\nsteps: [{id: a, uses: x}]", "outputs: must be an object"},
        {"integrations: {y: {commnd: [a]}}\nsteps: [{id: a, uses: x}]",
         "unknown member 'commnd' (did you mean 'command'?)"},
        {"steps: [{id: g, gate: {}, retry: {max_attempts: 1}}]",
         "'retry' belongs to steps with 'uses'"},
        {"steps: [{id: g, gate: {}, timeout_s: 1}]",
         "the timeout of a gate or input stands inside of it"},
        {"steps: [{id: g, gate: {on_timeout: never}}]", "must be one of: deny, approve, fail"},
        {"steps: [{id: g, input: {on_timeout: approve, fields: {}}}]",
         "must be one of: deny, fail"},
        {"steps: [{id: g, input: {}}]", "input: 'fields' is missing"},
        {"steps: [{id: g, input: {fields: {a: {type: text}}}}]",
         "input.fields.a.type: must be one of: string, integer, number, boolean, array, object"},
        {"steps: [{id: a, uses: a/b}]", "steps[0].uses: the name of an integration consists of"},
        {"steps: [{id: a, uses: nobody}]",
         "-32008 workflows/w/plan.yml:1:23: steps[0].uses: no integration 'nobody'"},
    };
    EXPECT(cases, rig_plan_refusal);
}

static void plan_order_is_checked(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"steps: [{id: a, uses: x, needs: [b]}]", "steps[0].needs[0]: unknown step 'b'"},
        {"steps: [{id: a, uses: x, needs: [a]}]", "the step needs itself"},
        {"steps: [{id: a, uses: x}, {id: b, uses: x, needs: [a, a]}]",
         "steps[1].needs[1]: the step is named twice"},
        {"steps: [{id: a, uses: x, needs: [c]}, {id: b, uses: x, needs: [a]}, {id: c, uses: x, needs: [b]}]",
         "a cycle: the step needs itself through others"},
        {"steps: [{id: a, uses: x, needs: [z]}, {id: z, uses: x, when: always}]",
         "this one cannot wait for it"},
        {"steps: [{id: a, uses: x, needs: a}]", "needs: must be a list"},
    };
    EXPECT(cases, rig_plan_refusal);
}

static void plan_templates_name_what_is_there(void **state)
{
    (void)state;
    rig_file("workflows/w/manifest.yml",
             "id: w\ninputs: {city: {type: string}, list: {type: array}}\n");
    static const struct refusal cases[] = {
        {"steps:\n  - id: fetch\n    uses: x\n  - id: b\n    uses: x\n    with:\n      url: \"${{ outputs.fetsh }}\"\n",
         "-32007 workflows/w/plan.yml:7:12: steps[1].with.url: unknown step 'fetsh' in template (known so far: fetch)"},
        {"steps: [{id: a, uses: x, with: {u: '${{ outputs.b }}'}}, {id: b, uses: x}]",
         "'${{ outputs.b }}': the step 'b' has not surely ended before"},
        {"steps: [{id: a, uses: x, with: {u: '${{ outputs.a }}'}}]", "has not surely ended before"},
        {"steps: [{id: a, uses: x, inputs: {u: [{v: '${{ named_outputs.n }}'}]}}]",
         "steps[0].inputs.u[0].v: unknown output 'n' in template (known so far: none)"},
        {"steps: [{id: a, uses: x, with: {u: '${{ inputs.town }}'}}]",
         "unknown input 'town' in template (the manifest has: city, list)"},
        {"steps: [{id: a, uses: x, with: {u: '${{ inputs.city.name }}'}}]",
         "goes into the input 'city', which is of type string"},
        {"steps: [{id: a, uses: x, with: {u: '${{ inputs }}'}}]",
         "must go on with the name of an input"},
        {"steps: [{id: a, uses: x, with: {u: '${{ outputs[0] }}'}}]",
         "must go on with the name of a step"},
        {"steps: [{id: a, uses: x, with: {u: '${{ run.name }}'}}]",
         "unknown member of run 'name' in template (it has: id, workflow_id, started_at, error)"},
        {"steps: [{id: a, uses: x, with: {u: '${{ run.error.kind }}'}}]",
         "run.error is there in steps with when"},
        {"steps: [{id: a, uses: x, with: {u: '${{ secrets.A }}'}}]",
         "secrets can be named in an integration's config and env"},
        {"steps: [{id: a, uses: x, with: {u: '${{ env.A }}'}}]", "unknown root 'env' in template"},
        {"steps: [{id: a, uses: x, with: {u: '${{ a b }}'}}]", "'${{ a b }}' is no path"},
        {"steps: [{id: a, uses: x, with: {u: '${{ }}'}}]", "is no path"},
        {"steps: [{id: a, uses: x, with: {u: 'x ${{ inputs.city'}}]", "a '${{' without its '}}'"},
        {"steps: [{id: a, uses: x}]\noutputs: {r: '${{ outputs.b }}'}",
         "outputs.r: unknown step 'b' in template (known so far: a)"},
        {"steps: [{id: g, gate: {message: '${{ outputs.b }}'}}]", "gate.message: unknown step 'b'"},
        {"steps: [{id: g, gate: {}}, {id: a, uses: x, with: {u: '${{ outputs.g.decided }}'}}]",
         "unknown member 'decided' in template (a gate has: decision, actor, comment)"},
        {"steps: [{id: i, input: {fields: {f: {type: string}}}}, {id: a, uses: x, with: {u: '${{ outputs.i.g }}'}}]",
         "unknown field 'g' in template (the input step has: f)"},
        {"steps: [{id: a, uses: x}, {id: b, uses: x, needs: []}, {id: c, uses: x, needs: [b], with: {u: '${{ outputs.a }}'}}]",
         "the step 'a' has not surely ended before; name it in needs"},
        {"steps: [{id: a, uses: x, if: '${{ outputs.b }} == 1'}]", "steps[0].if: unknown step 'b'"},
        {"steps: [{id: a, uses: x, if: '1 == ${{ inputs.b }}'}]", "steps[0].if: unknown input 'b'"},
        {"steps: [{id: a, uses: x, if: 'yes'}]",
         "steps[0].if: an operand is one template, a JSON scalar"},
        {"steps: [{id: a, uses: x, if: 5}]", "steps[0].if: must be a boolean or a string"},
        {"integrations: {x: {config: {a: '${{ secrets.A }}'}}}\nsteps: [{id: a, uses: x}]",
         "plan.yml:1:32: integrations.x.config.a: unknown secret 'A'"},
        {"integrations: {x: {config: {a: '${{ outputs.b }}'}}}\nsteps: [{id: a, uses: x}]",
         "unknown step 'b'"},
    };
    EXPECT(cases, rig_plan_refusal);
}

static void plan_config_of_charter_yml_is_checked_per_step(void **state)
{
    (void)state;
    rig_file("charter.yml",
             "integrations: {x: {command: [a], config: {c: '${{ outputs.first }}'}}}\n");
    assert_has(
        rig_plan_refusal("steps: [{id: first, uses: x}]"),
        "-32007 charter.yml: integrations.x.config.c: '${{ outputs.first }}': the step 'first' has not surely ended");
}

static void plan_that_is_right_is_taken(void **state)
{
    (void)state;
    static const char *const plans[] = {
        "steps: [{id: a, uses: x, if: true, with: {k: '$ {{ no template }}', '${{ key }}': 1}}]",
        "x-defaults: &d {timeout_s: 5}\nsteps: [{id: a, uses: x, with: *d, retry: {max_attempts: 1}}]",
        "description: d\nsteps: [{id: a, description: e, uses: x, with: null, inputs: ~, needs: ~}]\noutputs:\n",
        "steps: [{id: a, uses: x, output: o}, {id: b, uses: x, with: {u: '${{ named_outputs.o[0].x }}'}}]",
        "steps: [{id: a, uses: x}, {id: b, uses: x, if: \"${{ outputs.a.n }} != 'x'\"}]",
        "steps: [{id: a, uses: x}]\noutputs: {r: '${{ outputs.a }} of ${{ run.id }}'}",
    };
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        rig_file("workflows/w/plan.yml", plans[i]);
        const char *answer = rig_submit(NULL);
        if (strncmp(answer, "{\"ok\":", 6) != 0)
            fail_msg("%s\ngives %s", plans[i], answer);
    }
}

static void plan_may_be_written_as_json(void **state)
{
    (void)state;
    rig_file("workflows/w/plan.yml",
             "{\n  \"steps\": [\n    {\"id\":\"a\", \"uses\":\"\\u0078\", \"timeout\":1}]}");
    assert_has(rig_refusal(NULL), "plan.yml:3:33: steps[0].timeout: unknown member 'timeout'");
    rig_file("workflows/w/plan.yml", "{\"steps\":[{\"id\":\"a\",\"uses\":\"\\u0078\"}]}");
    assert_has(rig_submit(NULL), "{\"ok\":");
}

static void plan_of_the_most_steps_is_taken(void **state)
{
    (void)state;
    static char text[LIMIT_STEPS * 32 + 128];
    struct out to = OUT_ON(text);
    /* A step has five tokens here.  Where files are shorter than so many steps, their own limit comes first. */
    if (5 * (LIMIT_STEPS + 2) > LIMIT_PROJECT_TOKENS || sizeof text > LIMIT_PROJECT_FILE)
        skip();
    out_text(&to, "steps:\n");
    for (int i = 0; i < LIMIT_STEPS; i++)
        out_format(&to, "- {id: s%d, uses: x}\n", i);
    rig_file("workflows/w/plan.yml", out_cstr(&to));
    assert_has(rig_submit(NULL), "\"steps\":");
    rig_file(".charter/runs/r-1/plan.json", NULL);
    out_text(&to, "- {id: one, uses: x}\n");
    assert_has(rig_plan_refusal(out_cstr(&to)), "more than ");
}

static void manifest_is_checked(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"name: x", "-32007 workflows/w/manifest.yml:1:1: 'id' is missing"},
        {"id: v", "manifest.yml:1:5: id: must be the name of the folder, 'w'"},
        {"id: w\nconcurrency: 0", "concurrency: must be at least 1"},
        {"id: w\ninputs: [a]", "inputs: must be an object"},
        {"id: w\ninputs: {a b: {type: string}}", "inputs.a b: a name consists of"},
        {"id: w\ninputs: {a: string}", "inputs.a: must be an object"},
        {"id: w\ninputs: {a: {}}", "inputs.a: 'type' is missing"},
        {"id: w\ninputs: {a: {type: str}}",
         "must be one of: string, integer, number, boolean, array, object"},
        {"id: w\ninputs: {a: {type: string, minimum: 1}}",
         "inputs.a.minimum: only numbers have a minimum; this is of type string"},
        {"id: w\ninputs: {a: {type: integer, pattern: x}}", "only strings match a pattern"},
        {"id: w\ninputs: {a: {type: object, max_length: 1}}",
         "only strings and arrays have a length"},
        {"id: w\ninputs: {a: {type: string, items: string}}", "only arrays have items"},
        {"id: w\ninputs: {a: {type: array, items: text}}", "inputs.a.items: must be one of"},
        {"id: w\ninputs: {a: {type: integer, minimum: 2, maximum: 1}}",
         "inputs.a.maximum: below the minimum"},
        {"id: w\ninputs: {a: {type: string, min_length: 2, max_length: 1}}",
         "inputs.a.max_length: below min_length"},
        {"id: w\ninputs: {a: {type: string, min_length: -1}}",
         "inputs.a.min_length: must be at least 0"},
        {"id: w\ninputs: {a: {type: string, pattern: '['}}",
         BUILT_IN(CONFIG_PATTERN) ? "inputs.a.pattern: is no POSIX extended regular expression: "
                                  : "inputs.a.pattern: this build matches no patterns (PATTERN)"},
        {"id: w\ninputs: {a: {type: string, enum: []}}",
         "inputs.a.enum: must have at least one value"},
        {"id: w\ninputs: {a: {type: string, enum: [a, 5]}}",
         "inputs.a.enum[1]: must be a string, not number"},
        {"id: w\ninputs: {a: {type: integer, default: 1.5}}",
         "inputs.a.default: must be an integer"},
        {"id: w\ninputs: {a: {type: integer, default: ~}}",
         "inputs.a.default: must be an integer of 64 bits without fraction or exponent, not null"},
        {"id: w\ninputs: {a: {type: string, enum: [a], default: b}}",
         "inputs.a.default: must be one of [\"a\"]"},
    };
    EXPECT(cases, rig_manifest_refusal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        YAML_TEST(plan_steps_are_checked),
        YAML_TEST(plan_order_is_checked),
        YAML_TEST(plan_templates_name_what_is_there),
        YAML_TEST(plan_config_of_charter_yml_is_checked_per_step),
        YAML_TEST(plan_that_is_right_is_taken),
        YAML_TEST(plan_of_the_most_steps_is_taken),
        YAML_TEST(manifest_is_checked),
        TEST(plan_may_be_written_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
