/* charter.yml, the answers of the helpers, and plan.json. */
#include "base/built.h"
#include "project_rig.h"

#include "base/hash.h"
#include "json/check.h"
#include "json/read.h"

#include <stdio.h>
#include <string.h>

static const char *load(const char *charter)
{
    rig_file("charter.yml", charter);
    return rig_load();
}

static void config_of_the_contract_is_taken(void **state)
{
    if (!BUILT_IN(CONFIG_LINK))
        skip();
    (void)state;
    rig_file("charter.yml",
             "project: weather\n"
             "gateway: {url: \"https://gateway.example\", token_file: /etc/charter/token}\n"
             "secrets:\n"
             "  API_TOKEN: {env: WEATHER_TOKEN}\n"
             "  SMTP_PASS: {file: /run/credentials/smtp}\n"
             "integrations:\n"
             "  x:\n"
             "    command: [\"./integrations/http_get\"]\n"
             "    config: {timeout_s: 20}\n"
             "    env: {API_TOKEN: \"${{ secrets.API_TOKEN }}\"}\n"
             "    limits: {memory_mb: 64, cpu_s: 30, open_files: 32, processes: 8}\n"
             "  summarise: {python: my_llm}\n");
    assert_has(rig_submit(NULL), "{\"ok\":");
    const struct project *project = rig_project();
    assert_string_equal(project->name, "weather");
    assert_int_equal(project->gateway_url_count, 1);
    assert_string_equal(project->gateway_urls[0], "https://gateway.example");
    assert_string_equal(project->token_file, "/etc/charter/token");
    assert_int_equal(json_check(str_range(project->config, project->config_size), 32, NULL), OK);
}

static void config_may_be_nearly_empty(void **state)
{
    (void)state;
    rig_file("workflows/w/plan.yml",
             "integrations: {x: {command: [./x]}}\nsteps: [{id: a, uses: x}]\n");
    rig_file("charter.yml", "# nothing yet\n");
    assert_has(rig_submit(NULL), "{\"ok\":");
    assert_string_equal(rig_project()->name, strrchr(rig_root(), '/') + 1);
    assert_int_equal(rig_project()->gateway_url_count, 0);
    assert_string_equal(rig_project()->token_file, "");
}

static void config_with_several_doors_and_a_relative_token(void **state)
{
    if (!BUILT_IN(CONFIG_LINK))
        skip();
    (void)state;
    char token[512];
    rig_file("charter.yml",
             "gateway: {url: [ws://127.0.0.1:1, \"http://[::1]:2/p\"], token_file: etc/token}\n"
             "integrations: {x: {command: [./x]}}\n");
    assert_has(rig_submit(NULL), "{\"ok\":");
    assert_int_equal(rig_project()->gateway_url_count, 2);
    assert_string_equal(rig_project()->gateway_urls[1], "http://[::1]:2/p");
    snprintf(token, sizeof token, "%s/etc/token", rig_root());
    assert_string_equal(rig_project()->token_file, token);
}

static void config_for_a_link_that_is_not_built_in_is_refused(void **state)
{
    (void)state;
    rig_file("charter.yml", "{\"project\":\"p\",\"gateway\":{\"url\":\"http://h\"}}");
    assert_has(rig_load(), BUILT_IN(CONFIG_LINK)
                               ? "\"name\":\"p\""
                               : "gateway: this build has no link to a gateway (LINK)");
}

static void config_nonsense_is_refused_with_its_place(void **state)
{
    if (!BUILT_IN(CONFIG_LINK))
        skip();
    (void)state;
    static const struct {
        const char *charter, *message;
    } cases[] = {
        {"[]", "charter.yml:1:1: must be an object"},
        {"projct: x\n",
         "charter.yml:1:1: projct: unknown member 'projct' (did you mean 'project'?)"},
        {"project: 5\n", "charter.yml:1:10: project: must be a string"},
        {"gateway: {url: example.org}\n", "charter.yml:1:16: gateway.url: must be http://HOST"},
        {"gateway: {url: \"http://\"}\n", "gateway.url: must be http://HOST"},
        {"gateway: {url: \"http://u:p@h\"}\n", "gateway.url: no secret stands in a URL"},
        {"gateway: {url: []}\n", "gateway.url: must have at least one URL"},
        {"gateway: {url: [a://b]}\n", "gateway.url[0]: must be http://HOST"},
        {"gateway: {token_file: x}\n", "gateway: 'url' is missing"},
        {"secrets: {A: {}}\n", "charter.yml:1:14: secrets.A: has exactly one of 'env' and 'file'"},
        {"secrets: {A: {env: X, file: /y}}\n", "secrets.A: has exactly one"},
        {"secrets: {A: value}\n", "secrets.A: must be an object"},
        {"secrets: {\"A b\": {env: X}}\n", "the name of a secret consists of"},
        {"integrations: {x: {command: ./x}}\n", "integrations.x.command: must be a list"},
        {"integrations: {x: {command: []}}\n", "integrations.x.command: must name a program"},
        {"integrations: {x: {command: [\"\"]}}\n",
         "integrations.x.command[0]: must name a program"},
        {"integrations: {x: {command: [a, 1]}}\n", "integrations.x.command[1]: must be a string"},
        {"integrations: {x: {command: [\"${{ inputs.a }}\"]}}\n",
         "templates are resolved in config and env"},
        {"integrations: {x: {command: [a], python: b}}\n",
         "integrations.x: has either 'command' or 'python'"},
        {"integrations: {../x: {command: [a]}}\n", "the name of an integration consists of"},
        {"integrations: {x: {command: [a], env: {A: 5}}}\n",
         "integrations.x.env.A: must be a string; quote it"},
        {"integrations: {x: {command: [a], env: {1A: b}}}\n",
         "the name of an environment variable"},
        {"integrations: {x: {command: [a], env: {CHARTER_RUN_ID: b}}}\n",
         "the daemon sets CHARTER_RUN_ID itself"},
        {"integrations: {x: {command: [a], limits: {memory_mb: 0}}}\n",
         "limits.memory_mb: must be at least 1"},
        {"integrations: {x: {command: [a], limits: {memory: 1}}}\n", "unknown member 'memory'"},
        {"integrations: {x: {command: [a], env: {A: \"${{ secrets.B }}\"}}}\n",
         "integrations.x.env.A: unknown secret 'B' in template (charter.yml has: none)"},
        {"integrations: {x: {command: [a], config: {l: [\"${{ input.B }}\"]}}}\n",
         "integrations.x.config.l[0]: unknown root 'input' in template (there are inputs, outputs, named_outputs, run, secrets)"},
        {"a: [\n", "charter.yml:2:1: did not find expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_has(load(cases[i].charter), cases[i].message);
}

static void config_is_looked_for_under_three_names(void **state)
{
    (void)state;
    rig_file("charter.json", "{\"project\":\"j\"}");
    assert_has(rig_load(),
               "charter.json: stands beside charter.yml: only one of them may be there");
    rig_file("charter.yml", NULL);
    assert_has(rig_load(), "\"name\":\"j\"");
    rig_file("charter.json", NULL);
    assert_has(rig_load(), "charter.yml: is missing");
    rig_file("charter.yaml", "project: y\n");
    assert_has(rig_load(), "\"name\":\"y\"");
    rig_file("charter.yaml", NULL);
    rig_file("charter.yml/x", "");
    assert_has(rig_load(), "charter.yml: is no file");
}

static void config_over_the_limit_is_refused(void **state)
{
    (void)state;
    static char text[LIMIT_PROJECT_FILE + 2];
    memset(text, '#', sizeof text - 1);
    assert_has(load(text), "charter.yml: longer than ");
    text[LIMIT_PROJECT_FILE] = '\0';
    assert_has(load(text), "{\"ok\":");
}

static void answer_that_is_none_is_an_internal_error(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "{", "[]", "{}", "{\"error\":{}}", "{\"error\":{\"code\":\"x\",\"message\":\"\"}}"};
    struct project_answer answer;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(project_answer_read(str_of(texts[i]), &answer));
        assert_false(answer.ok);
        assert_int_equal(answer.code, CHARTER_INTERNAL_ERROR);
    }
}

static void problem_data_stays_within_its_limit(void **state)
{
    (void)state;
    struct project_problem problem = {.code = CHARTER_INVALID_PLAN, .line = 1, .column = 2};
    char text[4096];
    struct project_answer answer;
    memset(problem.file, '"', sizeof problem.file - 1);
    memset(problem.path, 'p', sizeof problem.path - 1);
    memset(problem.reason, '\\', sizeof problem.reason - 1);
    memcpy(problem.reason + 50, "\xC3\xA9\xC3\xA9", 4);
    struct out to = OUT_ON(text);
    project_answer_problem(&to, &problem);
    assert_true(project_answer_read(out_view(&to), &answer));
    assert_int_equal(answer.code, CHARTER_INVALID_PLAN);
    assert_true(strlen(answer.message) > 200);
    assert_int_equal(json_check(str_of(answer.data), 2, NULL), OK);
}

static void accepted_run_is_kept_as_lines(void **state)
{
    (void)state;
    struct project_answer answer;
    struct project_accepted accepted;
    rig_file(
        "charter.yml",
        "secrets: {T: {env: T}}\n"
        "integrations:\n"
        "  x: {command: [./x, a], config: {a: 1, b: {c: 2}, t: \"${{ secrets.T }}\"}, env: {A: a, B: b}}\n"
        "  unused: {command: [./y]}\n");
    rig_file("workflows/w/manifest.yml",
             "id: w\nname: The\\W \"\xC3\xA9\"\ninputs: {n: {type: integer, default: 3}}\n");
    rig_file(
        "workflows/w/plan.yml",
        "integrations: {x: {config: {b: 5}, env: {B: c}}}\n"
        "timeout_s: 7200\n"
        "steps:\n"
        "  - id: a\n    uses: x\n    with: {u: \"${{ inputs.n }}\\n\"}\n    timeout_s: 1.5\n"
        "    output: o\n    output_type: text\n"
        "  - {id: b, uses: x, if: \"${{ outputs.a }} == 'q'\", inputs: {i: 1}, on_interrupt: fail}\n"
        "outputs: {r: \"${{ named_outputs.o }}\"}\n");
    rig_executable(".charter/integrations/dropped");
    assert_true(project_answer_read(str_of(rig_submit("{\"n\":4}")), &answer));
    assert_true(answer.ok);
    assert_true(project_accepted_read(answer.result, &accepted));
    assert_string_equal(accepted.name, "The\\W \"\xC3\xA9\"");
    assert_int_equal(accepted.steps, 2);
    assert_int_equal(accepted.timeout_ms, 7200000);
    assert_int_equal(accepted.max_parallel, 4);
    assert_int_equal(accepted.concurrency, 0);
    assert_true(str_is(accepted.inputs, "{\"n\":4}"));

    const char *file = rig_read(".charter/runs/r-1/plan.json");
    assert_int_equal(json_check(str_of(file), LIMIT_JSON_DEPTH, NULL), OK);
    unsigned char digest[32];
    char hex[65];
    struct out to = OUT_ON(hex);
    sha256_of(str_of(file), digest);
    out_hex(&to, digest, sizeof digest);
    assert_string_equal(accepted.plan_sha256, out_cstr(&to));

    static const char *const lines[] = {
        "{",
        "\"head\":{\"format\":1,\"workflow_id\":\"w\",\"name\":\"The\\\\W \\\"\xC3\xA9\\\"\",\"steps\":2,\"max_parallel\":4,"
        "\"timeout_ms\":7200000,\"concurrency\":0},",
        "\"outputs\":{\"r\":\"${{ named_outputs.o }}\"},",
        "\"integrations\":{\"x\":{\"command\":[\"./x\",\"a\"],\"config\":{\"a\":1,\"t\":\"${{ secrets.T }}\",\"b\":5},"
        "\"env\":{\"A\":\"a\",\"B\":\"c\"},\"limits\":{}}},",
        "\"steps\":[",
        "{\"id\":\"a\",\"output\":\"o\",\"kind\":\"uses\",\"uses\":\"x\",\"with\":{\"u\":\"${{ inputs.n }}\\n\"},\"inputs\":{},"
        "\"output_type\":\"text\",\"timeout_ms\":1500,\"if\":null,\"when\":\"success\",\"continue_on_error\":false,"
        "\"on_interrupt\":\"retry\",\"retry\":null,\"needs\":null,\"gate\":null,\"input\":null},",
        "{\"id\":\"b\",\"output\":null,\"kind\":\"uses\",\"uses\":\"x\",\"with\":{},\"inputs\":{\"i\":1},"
        "\"output_type\":\"json\",\"timeout_ms\":0,\"if\":\"${{ outputs.a }} == 'q'\",\"when\":\"success\","
        "\"continue_on_error\":false,\"on_interrupt\":\"fail\",\"retry\":null,\"needs\":null,\"gate\":null,\"input\":null}",
        "],",
    };
    struct str rest = str_of(file), line;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_true(str_cut(rest, '\n', &line, &rest));
        if (!str_is(line, lines[i]))
            fail_msg("line %zu is %.*s, not %s", i, STR_ARG(line), lines[i]);
    }
    assert_false(rig_exists(".charter/runs/r-1/plan.json.new"));
}

static void executable_in_the_folder_is_an_integration(void **state)
{
    (void)state;
    rig_file("workflows/w/plan.yml", "steps: [{id: a, uses: dropped.sh}]\n");
    assert_has(rig_refusal(NULL),
               "-32008 workflows/w/plan.yml:1:23: steps[0].uses: no integration 'dropped.sh'");
    rig_file(".charter/integrations/dropped.sh", "");
    assert_has(rig_refusal(NULL), "no integration 'dropped.sh'");
    rig_executable(".charter/integrations/dropped.sh");
    assert_has(rig_submit(NULL), "{\"ok\":");
    assert_has(
        rig_read(".charter/runs/r-1/plan.json"),
        "{\"dropped.sh\":{\"command\":[\"./.charter/integrations/dropped.sh\"],\"config\":{},\"env\":{},\"limits\":{}}}");
}

static void plans_integrations_come_first(void **state)
{
    (void)state;
    rig_file("workflows/w/plan.yml",
             "integrations: {x: {command: [./mine]}}\nsteps: [{id: a, uses: x}]\n");
    rig_submit(NULL);
    assert_has(rig_read(".charter/runs/r-1/plan.json"), "\"command\":[\"./mine\"]");
    rig_file(".charter/runs/r-1/plan.json", NULL);
    rig_file("workflows/w/plan.yml",
             "integrations: {x: {python: mine}}\nsteps: [{id: a, uses: x}]\n");
    assert_has(rig_refusal(NULL), "no integration 'x': ");
}

static void digest_is_of_the_value(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{\"a\":{\"x\":1,\"y\":[1.50,{}]},\"b\":\"\xC3\xA9/\"}",
        " {\"b\" : \"\\u00E9\\/\" ,\n\"a\":{ \"y\":[ 1.50 , {} ],\"\\u0078\":1}}"};
    static const char *const other[] = {"{\"a\":{\"x\":1,\"y\":[1.5,{}]},\"b\":\"\xC3\xA9/\"}",
                                        "{\"a\":{\"x\":1,\"y\":[{},1.50]},\"b\":\"\xC3\xA9/\"}",
                                        "{}",
                                        "{\"a\":{\"x\":1,\"y\":[1.50,{}],\"b\":\"\xC3\xA9/\"}}"};
    char first[65] = "";
    for (size_t i = 0; i < 6; i++) {
        char text[512];
        struct out to = OUT_ON(text);
        struct project_answer answer;
        struct project_accepted accepted;
        struct project_submission submission = {STR("nothing"), STR_NONE,
                                                str_of(i < 2 ? same[i] : other[i - 2]), true};
        project_submit(rig_workspace(), rig_project(), &submission, &to);
        assert_true(project_answer_read(out_view(&to), &answer));
        assert_true(answer.ok);
        assert_true(project_accepted_read(answer.result, &accepted));
        assert_string_equal(accepted.plan_sha256, "");
        if (i == 0)
            memcpy(first, accepted.inputs_sha256, sizeof first);
        assert_int_equal(strcmp(first, accepted.inputs_sha256) == 0, i < 2);
    }
}

static void workflows_are_listed_and_shown(void **state)
{
    (void)state;
    char text[4096];
    struct out to = OUT_ON(text);
    rig_file("workflows/a/manifest.json", "{\"id\":\"a\",\"name\":\"The A\"}");
    rig_file("workflows/broken/manifest.yml", "id: other\n");
    rig_file("workflows/no id/manifest.yml", "id: x\n");
    rig_file("workflows/file", "");
    rig_submit(NULL);
    project_list(rig_workspace(), rig_project(), &to);
    assert_string_equal(
        out_cstr(&to),
        "{\"ok\":{\"workflows\":[{\"id\":\"a\",\"name\":\"The A\"},{\"id\":\"broken\",\"name\":null},"
        "{\"id\":\"w\",\"name\":\"w\"}]}}");
    out_reset(&to);
    project_show(rig_workspace(), rig_project(), STR("w"), &to);
    assert_string_equal(
        out_cstr(&to),
        "{\"ok\":{\"manifest\":{\"id\":\"w\"},\"plan\":{\"steps\":[{\"id\":\"a\",\"uses\":\"x\"}]}}}");
    out_reset(&to);
    project_show(rig_workspace(), rig_project(), STR("../w"), &to);
    assert_string_equal(
        out_cstr(&to),
        "{\"error\":{\"code\":-32005,\"message\":\"no workflow '../w'\",\"data\":{\"what\":"
        "\"workflow\",\"id\":\"../w\"}}}");
    to = out_on(text, 64);
    project_list(rig_workspace(), rig_project(), &to);
    assert_true(to.overflow || strstr(text, "-32001") != NULL);
}

static char problems[4096];

static void note(void *context, const struct project_problem *problem)
{
    struct out *to = context;
    problem_text(problem, to);
    out_byte(to, '\n');
}

static void check_tells_the_first_problem_of_each_file(void **state)
{
    (void)state;
    unsigned workflows;
    struct out to = OUT_ON(problems);
    assert_int_equal(project_check(rig_workspace(), rig_root(), note, &to, &workflows), 0);
    assert_int_equal(workflows, 1);
    rig_file("workflows/a/manifest.yml", "id: b\n");
    rig_file("workflows/a/plan.yml",
             "steps: [{id: a, uses: x, with: {q: \"${{ inputs.unknown }}\"}}, {id: a, uses: x}]\n");
    rig_file("workflows/b/manifest.yml", "id: b\n");
    rig_file("workflows/_c/manifest.yml", "id: b\n");
    assert_int_equal(project_check(rig_workspace(), rig_root(), note, &to, &workflows), 4);
    assert_int_equal(workflows, 4);
    assert_string_equal(
        out_cstr(&to),
        "workflows/_c: the name of a workflow's folder is a letter or digit, then letters, digits, '.', '_', "
        "'-', at most 64\n"
        "workflows/a/manifest.yml:1:5: id: must be the name of the folder, 'a'\n"
        "workflows/a/plan.yml:1:68: steps[1].id: steps[0] has the id 'a' already\n"
        "workflows/b/plan.yml: is missing\n");
    out_reset(&to);
    rig_file("charter.yml", "a: 1\n");
    assert_int_equal(project_check(rig_workspace(), rig_root(), note, &to, &workflows), 2);
    rig_file("charter.yml", NULL);
    assert_int_equal(project_check(rig_workspace(), rig_root(), note, &to, &workflows), 1);
}

static void workflow_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    char text[512];
    struct out to = OUT_ON(text);
    rig_submit(NULL);
    struct project_submission submission = {STR("other"), STR("r-2"), STR_NONE, false};
    project_submit(rig_workspace(), rig_project(), &submission, &to);
    assert_string_equal(
        out_cstr(&to),
        "{\"error\":{\"code\":-32005,\"message\":\"no workflow 'other'\",\"data\":{\"what\":"
        "\"workflow\",\"id\":\"other\"}}}");
    submission.run_id = STR("../r-2");
    out_reset(&to);
    project_submit(rig_workspace(), rig_project(), &submission, &to);
    assert_has(out_cstr(&to), "{\"error\":{\"code\":-32602,\"message\":\"run_id must be");
    rig_file("workflows/w/manifest.yml", NULL);
    rig_file(".charter/runs/r-1/plan.json", NULL);
    assert_has(rig_refusal(NULL), "-32007 workflows/w/manifest.yml: is missing");
}

static void ids_and_names(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', sizeof longest);
    assert_true(project_is_id(STR("a.b_c-9")));
    assert_true(project_is_id(STR("9")));
    assert_true(project_is_id(str_range(longest, 64)));
    assert_false(project_is_id(str_range(longest, 65)));
    assert_false(project_is_id(STR("")));
    assert_false(project_is_id(STR(".a")));
    assert_false(project_is_id(STR("a/b")));
    assert_false(project_is_id(STR("a\xC3\xA9")));
    assert_true(project_is_name(STR("_a-B9")));
    assert_false(project_is_name(STR("a.b")));
    assert_false(project_is_name(STR("")));
    assert_false(project_is_name(str_range(longest, 65)));
}

/* With and without YAML; a build without it says what it reads. */
static void project_may_be_written_as_json(void **state)
{
    (void)state;
    rig_file(
        "charter.yml",
        "{\n  \"project\": \"j\",\n  \"integrations\": {\"x\": {\"command\": [\"./x\"]}}\n}\n");
    rig_file("workflows/w/manifest.yml",
             "{\"id\":\"w\",\"inputs\":{\"n\":{\"type\":\"integer\",\"minimum\":1}}}");
    assert_has(rig_submit("{\"n\":1}"), "{\"ok\":{\"inputs\":{\"n\":1},");
    assert_has(rig_read(".charter/runs/r-1/plan.json"), "{\"id\":\"a\",");
    rig_file(".charter/runs/r-1/plan.json", NULL);
    assert_has(rig_refusal("{\"n\":0}"), "-32006 inputs.n: must be at least 1");
    rig_file("workflows/w/plan.yml", "{\n  \"steps\": []\n}");
    assert_has(rig_refusal("{\"n\":1}"),
               "-32007 workflows/w/plan.yml:2:12: steps: a plan has at least one step");
#ifndef CONFIG_YAML
    rig_file("workflows/w/plan.yml", "steps: []\n");
    assert_has(rig_refusal("{\"n\":1}"), "plan.yml:1:1: ");
    assert_has(rig_refusal("{\"n\":1}"), "(this build reads project files as JSON only)");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        YAML_TEST(config_of_the_contract_is_taken),
        YAML_TEST(config_may_be_nearly_empty),
        YAML_TEST(config_with_several_doors_and_a_relative_token),
        TEST(config_for_a_link_that_is_not_built_in_is_refused),
        YAML_TEST(config_nonsense_is_refused_with_its_place),
        YAML_TEST(config_is_looked_for_under_three_names),
        YAML_TEST(config_over_the_limit_is_refused),
        YAML_TEST(accepted_run_is_kept_as_lines),
        YAML_TEST(executable_in_the_folder_is_an_integration),
        YAML_TEST(plans_integrations_come_first),
        YAML_TEST(workflows_are_listed_and_shown),
        YAML_TEST(check_tells_the_first_problem_of_each_file),
        TEST(project_may_be_written_as_json),
        cmocka_unit_test(answer_that_is_none_is_an_internal_error),
        cmocka_unit_test(problem_data_stays_within_its_limit),
        TEST(digest_is_of_the_value),
        TEST(workflow_that_is_not_there_is_not_found),
        cmocka_unit_test(ids_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
