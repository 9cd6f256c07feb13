/* Requests to integrations, and what templates resolve to, against a plan.json and a journal on disk.  Above all: a request
 * that is generated again from any byte on is the same request. */
#include "run_rig.h"

#include "json/check.h"
#include "json/read.h"
#include "port.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_MAX (1024 * 1024)

static struct process process;
static char whole[REQUEST_MAX];
static size_t whole_n;

#define INTEGRATION(config)                                                                        \
    "\"x\":{\"command\":[\"./x\"],\"config\":" config ",\"env\":{},\"limits\":{}}"
#define STEP(id, output, more)                                                                     \
    "{\"id\":\"" id "\",\"output\":" output ",\"kind\":\"uses\",\"uses\":\"x\"," more              \
    "\"output_type\":\"json\",\"when\":\"success\",\"continue_on_error\":false}"

static void prepare(int step)
{
    memset(&process, 0, sizeof process);
    process.engine = &engine;
    process.run = run;
    process.step = (uint8_t)step;
    process.request = PROCESS_EXECUTING;
    process.last_id = 2;
    process.request_deadline_ms = 59000;
    (void)str_copy(STR("x"), process.name, sizeof process.name);
}

/* The request from byte `skip` on, as it comes out of a pipe. */
static size_t through_pipe(int step, uint64_t skip, char *to, size_t size)
{
    struct scope scope = run_rig_scope(step);
    struct request_sink sink = {.skip = skip};
    size_t n = 0;
    ssize_t got;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    sink.fd = ends[1];
    for (;;) {
        enum err err = request_generate(&scope, &sink, &process);
        assert_true(err == OK || sink.err == ERR_AGAIN);
        while ((got = read(ends[0], to + n, size - n)) > 0)
            n += (size_t)got;
        if (sink.err == OK)
            break;
        assert_int_equal(sink.err, ERR_AGAIN);
        assert_true(sink.sent > 0);
        /* What process_send() does when the pipe is full. */
        sink = (struct request_sink){.fd = ends[1], .skip = sink.skip + sink.sent};
    }
    close(ends[0]);
    close(ends[1]);
    return n;
}

/* Generates the request of a step whole; it must be what is counted, one line, and JSON. */
static struct str request(int step)
{
    struct scope scope = run_rig_scope(step);
    struct request_sink count = {.fd = -1};

    prepare(step);
    if (request_generate(&scope, &count, &process) != OK)
        fail_msg("no request: %s", run_rig_reason);
    whole_n = through_pipe(step, 0, whole, sizeof whole);
    assert_int_equal(whole_n, count.at);
    assert_true(whole_n > 0 && whole[whole_n - 1] == '\n');
    assert_int_equal(str_find(str_range(whole, whole_n), '\n'), whole_n - 1);
    struct json_problem problem = {"", 0};
    if (json_check(str_range(whole, whole_n), 64, &problem) != OK)
        fail_msg("%s at %zu: %.*s", problem.reason, problem.offset,
                 (int)(whole_n > 2000 ? 2000 : whole_n), whole);
    return str_range(whole, whole_n - 1);
}

/* A member of the request, "params.step.with_config". */
static struct str member(struct str raw, const char *path)
{
    struct str rest = str_of(path), name;
    while (rest.n > 0) {
        (void)str_cut(rest, '.', &name, &rest);
        struct str in = raw;
        if (!json_member_named(in, name, &raw))
            fail_msg("no %s in %.*s", path, STR_ARG(in));
    }
    return raw;
}

static void assert_raw(struct str raw, const char *expected)
{
    if (!str_is(raw, expected))
        fail_msg("%.*s\n  is not\n%s", STR_ARG(raw), expected);
}

static void resumes_at_every(int step, size_t stride)
{
    static char rest[REQUEST_MAX];
    for (uint64_t skip = 0; skip <= whole_n; skip += stride) {
        size_t n = through_pipe(step, skip, rest, sizeof rest);
        if (n != whole_n - skip || memcmp(rest, whole + skip, n) != 0)
            fail_msg("from byte %llu on it is another request", (unsigned long long)skip);
    }
}

/* --- the shape ------------------------------------------------------------------------------------------------------ */

static void an_execute_request_is_the_contracts(void **state)
{
    static const char *const steps[] = {
        STEP("fetch", "\"weather\"", "\"with\":{\"url\":\"u\"},\"inputs\":{},")};
    char expected[4096], root[LIMIT_PATH];
    struct out out = OUT_ON(root);
    (void)state;

    run_rig_plan("null", INTEGRATION("{\"timeout_s\":20}"), steps, 1);
    run_rig_begin("{}");
    run_rig_started(0);
    out_text(&out, engine.project->root);
    snprintf(
        expected, sizeof expected,
        "{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"method\":\"execute\",\"params\":{\"step\":{\"id\":\"fetch\",\"uses\":\"x\","
        "\"with_config\":{\"timeout_s\":20,\"url\":\"u\"},\"output\":\"weather\",\"output_type\":\"json\"},"
        "\"context\":{\"run_id\":\"r-1\",\"workflow_id\":\"w\",\"attempt\":1,\"idempotency_key\":\"r-1/fetch\","
        "\"deadline_ms\":59000,\"artifacts_dir\":\"%s/.charter/runs/r-1/files/fetch\",\"inputs\":{},\"outputs\":{},"
        "\"named_outputs\":{}}}}",
        out_cstr(&out));
    assert_raw(request(0), expected);
    resumes_at_every(0, 1);

    process.request_deadline_ms = -1;
    whole_n = through_pipe(0, 0, whole, sizeof whole);
    assert_raw(member(str_range(whole, whole_n), "params.context.deadline_ms"), "null");
}

static void setup_and_teardown_are_the_contracts(void **state)
{
    static const char *const steps[] = {STEP("a", "null", "\"with\":{},\"inputs\":{},")};
    (void)state;
    run_rig_plan("null", INTEGRATION("{\"city\":\"${{ inputs.city }}\"}"), steps, 1);
    run_rig_begin("{\"city\":\"Bern\"}");
    prepare(0);
    process.request = PROCESS_SETUP;
    process.last_id = 1;
    whole_n = through_pipe(0, 0, whole, sizeof whole);
    assert_raw(
        str_range(whole, whole_n),
        "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"setup\",\"params\":{\"run_id\":\"r-1\","
        "\"integration\":\"x\",\"config\":{\"city\":\"Bern\"}}}\n");
    resumes_at_every(0, 1);
    process.request = PROCESS_TEARDOWN;
    process.last_id = 3;
    whole_n = through_pipe(0, 0, whole, sizeof whole);
    assert_raw(str_range(whole, whole_n),
               "{\"jsonrpc\":\"2.0\",\"id\":\"3\",\"method\":\"teardown\",\"params\":{}}\n");
    resumes_at_every(0, 1);
}

static void later_members_of_with_config_replace_earlier_ones(void **state)
{
    static const char *const steps[] = {
        STEP("a", "null", "\"with\":{\"b\":{\"new\":1},\"\\u0063\":[3],\"e\":5},\"inputs\":{},")};
    (void)state;
    run_rig_plan("null",
                 INTEGRATION("{\"a\":1,\"b\":{\"old\":1,\"kept\":2},\"c\":[1,2],\"d\":1.50}"),
                 steps, 1);
    run_rig_begin("{}");
    run_rig_started(0);
    assert_raw(member(request(0), "params.step.with_config"),
               "{\"a\":1,\"d\":1.50,\"b\":{\"new\":1},\"\\u0063\":[3],\"e\":5}");
    resumes_at_every(0, 7);
}

/* --- templates -------------------------------------------------------------------------------------------------------- */

#define INPUTS                                                                                     \
    "{\"city\":\"Z\xc3\xbcrich \\\"1\\\"\",\"days\":1.50,\"none\":null,\"yes\":true,"              \
    "\"list\":[1, {\"a\": \"x y\\n\"}],\"deep\":{\"er\":{\"est\":\"q\"}},\"t\":\"${{ inputs.days }}\",\"u\":\"\\u0041\\\\\"}"

static void templates_keep_types_alone_and_become_text_inside(void **state)
{
    static const struct {
        const char *with, *expected;
    } cases[] = {
        {"\"${{ inputs.city }}\"", "\"Z\xc3\xbcrich \\\"1\\\"\""},
        {"\"${{inputs.days}}\"", "1.50"},
        {"\"${{ inputs.none }}\"", "null"},
        {"\"${{ inputs.yes }}\"", "true"},
        {"\"${{ inputs.list }}\"", "[1, {\"a\": \"x y\\n\"}]"},
        {"\"${{ inputs.list[1].a }}\"", "\"x y\\n\""},
        {"\"${{ inputs.list[0] }}\"", "1"},
        {"\"${{ inputs.deep.er.est }}\"", "\"q\""},
        {"\"<${{ inputs.city }}>\"", "\"<Z\xc3\xbcrich \\\"1\\\">\""},
        {"\"${{ inputs.days }} days\"", "\"1.50 days\""},
        {"\"[${{ inputs.none }}]\"", "\"[]\""},
        {"\"is ${{ inputs.yes }}\"", "\"is true\""},
        /* Containers as compact JSON, as text. */
        {"\"l=${{ inputs.list }}\"", "\"l=[1,{\\\"a\\\":\\\"x y\\\\n\\\"}]\""},
        {"\"${{ inputs.days }}${{ inputs.yes }}\"", "\"1.50true\""},
        {"\" ${{ inputs.yes }}\"", "\" true\""},
        /* Once: what came out of a template is none. */
        {"\"${{ inputs.t }}\"", "\"${{ inputs.days }}\""},
        {"\"x${{ inputs.t }}\"", "\"x${{ inputs.days }}\""},
        {"\"a\\\"b\\\\${{ inputs.yes }}\\u0041\"", "\"a\\\"b\\\\true\\u0041\""},
        {"\"${{ inputs.u }}\"", "\"\\u0041\\\\\""},
        {"\"=${{ inputs.u }}\"", "\"=\\u0041\\\\\""},
        {"\"no template $ { } }}\"", "\"no template $ { } }}\""},
        {"{\"${{ inputs.yes }}\":\"${{ inputs.yes }}\"}", "{\"${{ inputs.yes }}\":true}"},
        {"[\"a\",\"${{ inputs.yes }}\",{\"b\" : \"${{ inputs.days }}\"},-1.0e5]",
         "[\"a\",true,{\"b\" : 1.50},-1.0e5]"},
        {"\"${{ run.id }} of ${{ run.workflow_id }}\"", "\"r-1 of w\""},
        {"\"${{ run.started_at }}\"", "\"2026-01-31T12:00:00.123Z\""},
        {"\"${{ run.error }}\"", "null"},
        {"\"${{ run.error.kind }}\"", "null"},
    };
    char step[1024];
    const char *steps[1] = {step};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(step, sizeof step,
                 STEP("a", "null", "\"with\":{\"v\":%s,\"w\":0},\"inputs\":{\"i\":%s},"),
                 cases[i].with, cases[i].with);
        run_rig_plan("null", INTEGRATION("{}"), steps, 1);
        run_rig_begin(INPUTS);
        run_rig_started(0);
        struct str all = request(0);
        assert_raw(member(all, "params.step.with_config.v"), cases[i].expected);
        assert_raw(member(all, "params.step.with_config.w"), "0");
        assert_raw(member(all, "params.context.inputs.i"), cases[i].expected);
        resumes_at_every(0, 11);
    }
}

static void a_path_that_leads_nowhere_is_named(void **state)
{
    static const struct {
        const char *path, *reason;
    } cases[] = {
        {"inputs.nothing", "${{ inputs.nothing }}: there is no member nothing"},
        {"inputs.city.x", "${{ inputs.city.x }}: there is no member x"},
        {"inputs.list[2]", "${{ inputs.list[2] }}: there is no element 2"},
        {"inputs.city[0]", "there is no element 0"},
        {"inputs.list.a", "there is no member a"},
        {"outputs.a", "has this name"}, /* the one that asks */
        {"outputs.nobody", "has this name"},
        {"named_outputs.nobody", "has this name"},
        {"outputs", "a step's id is missing"},
        {"named_outputs", "an output's name is missing"},
        {"run", "`run` has id"},
        {"run.nothing", "`run` has id"},
        {"env.HOME", "a path begins with"},
        {"secrets.TOKEN", "secrets can be named in `config` and `env` alone"},
        {"", "not a path"},
        {"inputs.", "not a path"},
        {"inputs..a", "not a path"},
        {"inputs.list[x]", "not a path"},
    };
    static const char *const steps[] = {STEP("a", "null", "\"with\":{},\"inputs\":{},"),
                                        STEP("b", "\"o\"", "\"with\":{},\"inputs\":{},")};
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), steps, 2);
    run_rig_begin(INPUTS);
    run_rig_started(0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scope scope = run_rig_scope(0);
        struct resolved resolved;
        enum err err = resolve_path(&scope, str_of(cases[i].path), &resolved);
        if (err != ERR_NOT_FOUND || strstr(run_rig_reason, cases[i].reason) == NULL)
            fail_msg("%s: %s, '%s'", cases[i].path, err_text(err), run_rig_reason);
    }
}

static void what_was_never_begun_is_null(void **state)
{
    static const char *const steps[] = {STEP("a", "null", "\"with\":{},\"inputs\":{},"),
                                        STEP("b", "\"o\"", "\"with\":{},\"inputs\":{},")};
    static const char *const paths[] = {"outputs.b", "outputs.b.c[1]", "named_outputs.o"};
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), steps, 2);
    run_rig_begin("{}");
    run_rig_started(0);
    for (size_t i = 0; i < 3; i++) {
        struct scope scope = run_rig_scope(0);
        struct resolved resolved;
        assert_int_equal(resolve_path(&scope, str_of(paths[i]), &resolved), OK);
        assert_raw(resolved.raw, "null");
    }
}

static void a_template_that_fails_fails_the_request(void **state)
{
    static const char *const steps[] = {
        STEP("a", "null", "\"with\":{\"v\":\"${{ inputs.nothing }}\"},\"inputs\":{},")};
    struct request_sink sink = {.fd = -1};
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), steps, 1);
    run_rig_begin("{}");
    run_rig_started(0);
    prepare(0);
    struct scope scope = run_rig_scope(0);
    assert_int_equal(request_generate(&scope, &sink, &process), ERR_NOT_FOUND);
    assert_non_null(strstr(run_rig_reason, "inputs.nothing"));
}

static void secrets_stand_in_config_alone(void **state)
{
    static const char *const steps[] = {
        STEP("a", "null", "\"with\":{},\"inputs\":{},"),
        STEP("b", "null", "\"with\":{\"t\":\"${{ secrets.TOKEN }}\"},\"inputs\":{},")};
    (void)state;
    setenv("RUN_REQUEST_TOKEN", "to\"ken\n1", 1);
    run_rig_config(
        "{\"secrets\":{\"TOKEN\":{\"env\":\"RUN_REQUEST_TOKEN\"},\"PASS\":{\"file\":\"pass\"},\"GONE\":{\"file\":\"no\"}}}");
    run_rig_file("pass", "file-secret\n", 12);
    run_rig_plan(
        "null",
        INTEGRATION("{\"auth\":\"Bearer ${{ secrets.TOKEN }}\",\"pass\":\"${{ secrets.PASS }}\"}"),
        steps, 2);
    run_rig_begin("{}");
    run_rig_started(0);
    assert_raw(member(request(0), "params.step.with_config"),
               "{\"auth\":\"Bearer to\\\"ken\\n1\",\"pass\":\"file-secret\"}");
    assert_int_equal(engine.mask.count, 3); /* the token, its first line, the password */
    resumes_at_every(0, 1);

    prepare(1);
    struct scope scope = run_rig_scope(1);
    struct request_sink sink = {.fd = -1};
    assert_int_equal(request_generate(&scope, &sink, &process), ERR_NOT_FOUND);
    assert_non_null(strstr(run_rig_reason, "secrets can be named"));

    struct resolved resolved;
    scope.secrets = true;
    assert_int_equal(resolve_path(&scope, STR("secrets.GONE"), &resolved), ERR_NOT_FOUND);
    assert_non_null(strstr(run_rig_reason, "secret from file no"));
    assert_int_equal(resolve_path(&scope, STR("secrets.OTHER"), &resolved), ERR_NOT_FOUND);
    unsetenv("RUN_REQUEST_TOKEN");
    assert_int_equal(resolve_path(&scope, STR("secrets.TOKEN"), &resolved), ERR_NOT_FOUND);
    assert_non_null(strstr(run_rig_reason, "RUN_REQUEST_TOKEN: is not set"));
}

/* --- views ------------------------------------------------------------------------------------------------------------ */

static const char *const five[] = {
    STEP("first", "\"one\"", "\"with\":{},\"inputs\":{},"),
    STEP("second", "null", "\"with\":{},\"inputs\":{},"),
    STEP("skipped", "\"none\"", "\"with\":{},\"inputs\":{},"),
    STEP("third", "\"two\"", "\"with\":{},\"inputs\":{},"),
    STEP(
        "asks", "null",
        "\"with\":{\"a\":\"${{ outputs.first.v }}\",\"b\":\"${{ named_outputs.two }}\",\"c\":\"${{ outputs.skipped.x[3].y }}\","
        "\"d\":\"<${{ outputs.second }}>\"},\"inputs\":{\"e\":\"${{ named_outputs.one }}\"},"),
};

static void views_hold_what_has_ended(void **state)
{
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), five, 5);
    run_rig_begin("{}");
    run_rig_completed(0, "{\"v\": 1.0,\"w\":\"\xc3\xa9\"}");
    run_rig_completed(1, "\"two\\nlines\"");
    run_rig_skipped(2);
    run_rig_completed(3, "[]");
    run_rig_started(4);
    struct str all = request(4);
    assert_raw(member(all, "params.step.with_config"),
               "{\"a\":1.0,\"b\":[],\"c\":null,\"d\":\"<two\\nlines>\"}");
    assert_raw(member(all, "params.context.inputs"), "{\"e\":{\"v\": 1.0,\"w\":\"\xc3\xa9\"}}");
    assert_raw(
        member(all, "params.context.outputs"),
        "{\"first\":{\"v\": 1.0,\"w\":\"\xc3\xa9\"},\"second\":\"two\\nlines\",\"skipped\":null,\"third\":[]}");
    assert_raw(member(all, "params.context.named_outputs"),
               "{\"one\":{\"v\": 1.0,\"w\":\"\xc3\xa9\"},\"none\":null,\"two\":[]}");
    resumes_at_every(4, 1);
}

static void what_was_written_a_moment_ago_is_read_back_the_same(void **state)
{
    static char before[REQUEST_MAX];
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), five, 5);
    run_rig_begin("{}");
    run_rig_completed(0, "{\"v\":1}");
    run_rig_completed(1, "2");
    run_rig_skipped(2);
    run_rig_completed(3, "3");
    run_rig_started(4);
    (void)request(4);
    size_t n = whole_n;
    memcpy(before, whole, n);
    run_rig_commit();
    (void)request(4);
    assert_int_equal(whole_n, n);
    assert_memory_equal(whole, before, n);
}

static void a_failure_is_seen_as_run_error(void **state)
{
    static const char *const steps[] = {
        STEP("bad", "null", "\"with\":{},\"inputs\":{},"),
        STEP(
            "tidy", "null",
            "\"with\":{\"k\":\"${{ run.error.kind }}\",\"s\":\"${{ run.error.step_id }}\",\"m\":\"${{ run.error.message }}!\","
            "\"o\":\"${{ outputs.bad.x }}\"},\"inputs\":{},"),
    };
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), steps, 2);
    run_rig_begin("{}");
    run_rig_failed(0, "{\"kind\":\"exited\",\"message\":\"a \\\"b\\\"\",\"stderr\":[]}");
    run_rig_started(1);
    struct str all = request(1);
    assert_raw(member(all, "params.step.with_config"),
               "{\"k\":\"exited\",\"s\":\"bad\",\"m\":\"a \\\"b\\\"!\",\"o\":null}");
    assert_raw(member(all, "params.context.outputs"), "{}");
    resumes_at_every(1, 1);
}

/* --- artifacts ---------------------------------------------------------------------------------------------------------- */

static const char *const artifact_steps[] = {
    STEP("make", "\"file\"", "\"with\":{},\"inputs\":{},"),
    STEP("use", "null",
         "\"with\":{\"w\":\"${{ outputs.make }}\"},\"inputs\":{\"i\":\"${{ outputs.make }}\"},"),
    STEP("other", "null", "\"with\":{},\"inputs\":{},"),
};

static void artifact_run(const char *content, size_t n, const char *media_type)
{
    run_rig_plan("null", INTEGRATION("{}"), artifact_steps, 3);
    run_rig_begin("{}");
    run_rig_completed_artifact(0, content, n, media_type);
    run_rig_started(1);
    run_rig_started(2);
}

static void artifacts_are_references_unless_named_in_inputs(void **state)
{
    (void)state;
    artifact_run("{\"a\":1}", 7, "application/json");
    struct str all = request(1);
    assert_raw(member(all, "params.context.inputs"), "{\"i\":{\"a\":1}}");
    assert_raw(member(all, "params.context.outputs"), "{\"make\":{\"a\":1}}");
    assert_true(json_member(member(all, "params.context.named_outputs.file"), "$artifact", &all));
    all = request(1);
    assert_true(json_member(member(all, "params.step.with_config.w"), "$artifact", &all));
    resumes_at_every(1, 1);

    all = request(2);
    struct artifact artifact;
    assert_true(artifact_read(member(all, "params.context.outputs.make"), &artifact));
    assert_int_equal(artifact.bytes, 7);
    assert_string_equal(artifact.media_type, "application/json");
    assert_raw(member(all, "params.context.inputs"), "{}");
}

static void other_media_stay_references(void **state)
{
    struct artifact artifact;
    (void)state;
    artifact_run("\x89PNG\0\xff", 6, "image/png");
    struct str all = request(1);
    assert_true(artifact_read(member(all, "params.context.inputs.i"), &artifact));
    assert_string_equal(artifact.media_type, "image/png");
}

static void text_artifacts_are_strings(void **state)
{
    static char content[40000], decoded[40000];
    (void)state;
    /* Letters of one to four bytes in turn, so that every cut of a read or of a piece falls into one. */
    static const char *const letters[] = {"a",  "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                          "\"", "\\",       "\n",           "\x01"};
    struct out out = OUT_ON(content);
    for (unsigned i = 0, random = 7; out.n < sizeof content - 4;
         i++, random = random * 1664525 + 1013904223)
        out_text(&out, letters[(random >> 16) % 8]);
    static const size_t lengths[] = {0, 1, 2, 84, 85, 86, 4095, 4096, 4097, 8192, 39990};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t n = lengths[i];
        while (n > 0 && ((unsigned char)content[n] & 0xc0) == 0x80)
            n--;
        artifact_run(content, n, "text/plain; charset=utf-8");
        struct str value = member(request(1), "params.context.inputs.i");
        struct out to = OUT_ON(decoded);
        assert_true(json_string_decode(value, &to));
        if (to.n != n || memcmp(decoded, content, n) != 0)
            fail_msg("%zu bytes of text came out as others", n);
        resumes_at_every(1, n > 5000 ? 9973 : n > 500 ? 499 : 1);
    }
}

static void text_that_is_no_utf8_still_makes_a_request(void **state)
{
    static char content[9000];
    (void)state;
    memset(content, '\xf0', sizeof content);
    artifact_run(content, sizeof content, "text/plain");
    (void)request(1);
    resumes_at_every(1, 1777);
}

static void a_text_artifact_that_was_cut_ends(void **state)
{
    static char content[9000];
    char path[2 * LIMIT_PATH];
    struct artifact artifact;
    (void)state;
    memset(content, '\xc3', sizeof content);
    artifact_run(content, sizeof content, "text/plain");
    assert_true(artifact_read(member(request(2), "params.context.outputs.make"), &artifact));
    snprintf(path, sizeof path, "%s/%s", engine.project->root, artifact.path);
    for (off_t left = 0; left < 4; left++) {
        struct request_sink sink = {.fd = -1};
        assert_int_equal(truncate(path, left), 0);
        struct scope scope = run_rig_scope(1);
        prepare(1);
        alarm(10);
        enum err err = request_generate(&scope, &sink, &process);
        alarm(0);
        assert_int_not_equal(err, OK);
        if (LIMIT_TEXT >= 512) /* else the words are cut before that */
            assert_non_null(strstr(run_rig_reason, "artifact"));
    }
}

static void large_json_artifacts_are_hydrated_whole(void **state)
{
    static char content[300000];
    struct out out = OUT_ON(content);
    (void)state;
    out_byte(&out, '[');
    while (out.n < sizeof content - 32) {
        out_u64(&out, out.n);
        out_text(&out, ",\"x\",");
    }
    out_text(&out, "0]");
    artifact_run(out.p, out.n, "application/json");
    struct str value = member(request(1), "params.context.inputs.i");
    assert_true(str_equal(value, out_view(&out)));
    resumes_at_every(1, 49999);
}

static void line_feeds_in_a_json_artifact_do_not_break_the_line(void **state)
{
    static const char content[] = "{\n  \"a\": [\r\n\t1,\n\t2\n  ],\n  \"s\": \"x\\ny\"\n}\n";
    (void)state;
    artifact_run(content, sizeof content - 1, "application/json");
    struct str value = member(request(1), "params.context.inputs.i");
    assert_true(json_equal(value, str_range(content, sizeof content - 1)));
    resumes_at_every(1, 1);

    /* Nor when a part of it is taken. */
    static const char *const steps[] = {
        STEP("make", "\"file\"", "\"with\":{},\"inputs\":{},"),
        STEP(
            "use", "null",
            "\"with\":{\"w\":\"${{ outputs.make }}\",\"p\":\"${{ outputs.make.a }}\",\"t\":\"<${{ outputs.make.a }}>\"},\"inputs\":{},"),
    };
    run_rig_plan("null", INTEGRATION("{}"), steps, 2);
    run_rig_begin("{}");
    run_rig_completed_artifact(0, content, sizeof content - 1, "application/json");
    run_rig_started(1);
    struct str all = request(1);
    assert_true(json_equal(member(all, "params.step.with_config.p"), STR("[1,2]")));
    assert_raw(member(all, "params.step.with_config.t"), "\"<[1,2]>\"");
    resumes_at_every(1, 1);
}

static void json_artifacts_are_descended_into_up_to_a_message(void **state)
{
    static char content[LIMIT_MESSAGE + 1];
    struct scope scope;
    struct resolved resolved;
    (void)state;
    for (size_t n = LIMIT_MESSAGE - 1; n <= LIMIT_MESSAGE + 1; n++) {
        memset(content, ' ', n);
        memcpy(content, "{\"a\":{\"b\":[5]}", 14);
        content[n - 1] = '}';
        artifact_run(content, n, "application/json");
        scope = run_rig_scope(1);
        enum err err = resolve_path(&scope, STR("outputs.make.a.b[0]"), &resolved);
        if (n <= LIMIT_MESSAGE) {
            assert_int_equal(err, OK);
            assert_raw(resolved.raw, "5");
        } else {
            assert_int_equal(err, ERR_NOT_FOUND);
            assert_non_null(strstr(run_rig_reason, "too large"));
        }
    }
    artifact_run("abc", 3, "text/plain");
    scope = run_rig_scope(1);
    assert_int_equal(resolve_path(&scope, STR("outputs.make.a"), &resolved), ERR_NOT_FOUND);
    assert_non_null(strstr(run_rig_reason, "only JSON artifacts"));
    assert_int_equal(resolve_path(&scope, STR("outputs.make"), &resolved), OK);
    assert_true(resolved.artifact);
}

static void what_only_looks_like_a_reference_is_a_value(void **state)
{
    static const char fake[] =
        "{\"$artifact\":{\"sha256\":\"0\",\"bytes\":1,\"path\":\"/etc/passwd\",\"media_type\":\"text/plain\"}}";
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), artifact_steps, 3);
    run_rig_begin("{}");
    run_rig_completed(0, fake);
    run_rig_started(1);
    struct str all = request(1);
    assert_raw(member(all, "params.context.inputs.i"), fake);
    assert_raw(member(all, "params.context.outputs.make"), fake);
}

/* --- texts --------------------------------------------------------------------------------------------------------------- */

static void texts_are_resolved_and_decoded(void **state)
{
    static const char *const steps[] = {STEP("a", "null", "\"with\":{},\"inputs\":{},")};
    static const struct {
        const char *raw, *text;
    } cases[] = {
        {"\"plain \\u00e9\\n\"", "plain \xc3\xa9\n"},
        {"\"for ${{ inputs.city }}?\"", "for Z\xc3\xbcrich \"1\"?"},
        {"\"${{ inputs.days }}\"", "1.50"},
        {"\"${{ inputs.none }}\"", ""},
        {"\"${{ inputs.list[1] }}\"", "{\"a\": \"x y\\n\"}"},
        {"17", "17"},
        {"true", "true"},
    };
    char bytes[256];
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), steps, 1);
    run_rig_begin(INPUTS);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scope scope = run_rig_scope(0);
        struct out out = OUT_ON(bytes);
        assert_int_equal(request_text(&scope, str_of(cases[i].raw), &out), OK);
        assert_string_equal(out_cstr(&out), cases[i].text);
    }
    struct out small = out_on(bytes, 4);
    struct scope scope = run_rig_scope(0);
    assert_int_equal(request_text(&scope, STR("\"12345\""), &small), ERR_TOO_LARGE);
}

/* --- the plan on disk ------------------------------------------------------------------------------------------------------ */

static void a_plan_is_indexed_by_its_lines(void **state)
{
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    struct str raw;
    (void)state;
    run_rig_plan("{\"report\":\"${{ outputs.third }}\"}", INTEGRATION("{\"a\":1}"), five, 5);
    run_rig_begin("{}");
    assert_int_equal(run->step_count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(source_step(&engine, run, i, &raw), OK);
        assert_raw(raw, five[i]);
    }
    assert_int_equal(source_names(&engine, run, 3, id, output), OK);
    assert_string_equal(id, "third");
    assert_string_equal(output, "two");
    assert_int_equal(source_names(&engine, run, 1, id, output), OK);
    assert_string_equal(output, "");
    assert_int_equal(source_integrations(&engine, run, &raw), OK);
    assert_raw(raw, "{" INTEGRATION("{\"a\":1}") "}");
    assert_int_equal(source_outputs(&engine, run, &raw), OK);
    assert_raw(raw, "{\"report\":\"${{ outputs.third }}\"}");
}

static void a_plan_that_was_cut_or_is_gone_is_an_error(void **state)
{
    char path[LIMIT_PATH];
    unsigned steps;
    (void)state;
    run_rig_plan("null", INTEGRATION("{}"), five, 5);
    run_rig_begin("{}");
    source_run_path(&engine, "r-1", "plan.json", path);
    assert_int_equal(truncate(path, 400), 0);
    assert_int_equal(source_index_plan(&engine, run), ERR_DAMAGED);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(source_index_plan(&engine, run), ERR_DAMAGED);
    assert_int_equal(source_count_steps(&engine, "r-1", &steps), ERR_DAMAGED);
    assert_int_equal(port_unlink(path), OK);
    assert_int_equal(source_index_plan(&engine, run), ERR_NOT_FOUND);
    assert_int_equal(source_count_steps(&engine, "r-1", &steps), ERR_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_rig_start, run_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_execute_request_is_the_contracts),
        TEST(setup_and_teardown_are_the_contracts),
        TEST(later_members_of_with_config_replace_earlier_ones),
        TEST(templates_keep_types_alone_and_become_text_inside),
        TEST(a_path_that_leads_nowhere_is_named),
        TEST(what_was_never_begun_is_null),
        TEST(a_template_that_fails_fails_the_request),
        TEST(secrets_stand_in_config_alone),
        TEST(views_hold_what_has_ended),
        TEST(what_was_written_a_moment_ago_is_read_back_the_same),
        TEST(a_failure_is_seen_as_run_error),
        TEST(artifacts_are_references_unless_named_in_inputs),
        TEST(other_media_stay_references),
        TEST(text_artifacts_are_strings),
        TEST(text_that_is_no_utf8_still_makes_a_request),
        TEST(a_text_artifact_that_was_cut_ends),
        TEST(large_json_artifacts_are_hydrated_whole),
        TEST(line_feeds_in_a_json_artifact_do_not_break_the_line),
        TEST(json_artifacts_are_descended_into_up_to_a_message),
        TEST(what_only_looks_like_a_reference_is_a_value),
        TEST(texts_are_resolved_and_decoded),
        TEST(a_plan_is_indexed_by_its_lines),
        TEST(a_plan_that_was_cut_or_is_gone_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
