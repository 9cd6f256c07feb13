/* Integrations in Python, as far as the daemon sees them: entry points, the bridge, what is refused. */
#include "project_rig.h"

#include "project/python.h"

#include <string.h>

#define SITE ".charter/.venv/lib/python3.11/site-packages/"

#ifdef CONFIG_PYTHON_BRIDGE

static void make_environment(void)
{
    rig_file(".charter/.venv/bin/python", "");
    rig_executable(".charter/.venv/bin/python");
}

static void environment_is_missing(void **state)
{
    (void)state;
    rig_file("workflows/w/plan.yml", "{\"integrations\":{\"x\":{\"python\":\"./a.py:A\"}},"
                                     "\"steps\":[{\"id\":\"a\",\"uses\":\"x\"}]}");
    assert_has(rig_refusal(NULL), "-32008 ");
    assert_has(rig_refusal(NULL), "there is no .charter/.venv; python3 -m venv");
    rig_file(".charter/.venv/bin/other", "");
    assert_has(rig_refusal(NULL), ".charter/.venv/bin/python is no program");
    make_environment();
    assert_has(rig_refusal(NULL), "there is no file ./a.py");
    rig_file("a.py", "");
    assert_has(rig_submit(NULL), "{\"ok\":");
    assert_has(rig_read(".charter/runs/r-1/plan.json"),
               "\"command\":[\"./.charter/.venv/bin/python\",\".charter/bridge.py\",\"./a.py:A\"]");
    assert_true(rig_exists(".charter/bridge.py"));
}

static void entry_points_are_found_without_python(void **state)
{
    (void)state;
    make_environment();
    rig_file("workflows/w/plan.yml", "{\"steps\":[{\"id\":\"a\",\"uses\":\"fetch\"}]}");
    rig_file(SITE "p-1.dist-info/entry_points.txt",
             "[console_scripts]\nfetch = p:main\n\n[other]\nfetch=p:x\n");
    assert_has(rig_refusal(NULL), "-32008 ");
    rig_file(SITE "p-1.dist-info/entry_points.txt",
             "[console_scripts]\r\nx = p:main\r\n\r\n[ charter.integrations ]\r\n; fetch = no\r\n"
             "fetch=p.q:Fetch [extra]\r\n");
    assert_has(rig_submit(NULL), "{\"ok\":");
    assert_has(rig_read(".charter/runs/r-1/plan.json"), "\".charter/bridge.py\",\"fetch\"]");
    assert_true(python_has_entry_point(rig_root(), STR("fetch")));
    assert_false(python_has_entry_point(rig_root(), STR("x")));
    assert_false(python_has_entry_point(rig_root(), STR("fetc")));
}

static void executables_come_before_entry_points(void **state)
{
    (void)state;
    make_environment();
    rig_file("workflows/w/plan.yml", "{\"steps\":[{\"id\":\"a\",\"uses\":\"fetch\"}]}");
    rig_file(SITE "p.egg-info/entry_points.txt", "[charter.integrations]\nfetch = p:Fetch");
    rig_executable(".charter/integrations/fetch");
    assert_has(rig_submit(NULL), "{\"ok\":");
    assert_has(rig_read(".charter/runs/r-1/plan.json"), "[\"./.charter/integrations/fetch\"]");
}

static void what_python_alone_can_see_is_left_to_it(void **state)
{
    (void)state;
    make_environment();
    rig_file("workflows/w/plan.yml", "{\"integrations\":{\"x\":{\"python\":\"far\"}},"
                                     "\"steps\":[{\"id\":\"a\",\"uses\":\"x\"}]}");
    assert_has(rig_refusal(NULL), "no package in .charter/.venv has an entry point 'far'");
    rig_file(".charter/.venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = True\n");
    assert_has(rig_submit(NULL), "{\"ok\":");
}

static void bridge_is_put_once_and_mended(void **state)
{
    (void)state;
    assert_int_equal(python_put_bridge_if_used(rig_root()), OK);
    assert_false(rig_exists(".charter/bridge.py"));
    make_environment();
    assert_int_equal(python_put_bridge_if_used(rig_root()), OK);
    assert_has(rig_read(".charter/bridge.py"), "charter.integrations");
    rig_file(".charter/bridge.py", "something else");
    assert_int_equal(python_put_bridge(rig_root()), OK);
    assert_has(rig_read(".charter/bridge.py"), "charter.integrations");
}

#else

static void builds_without_a_bridge_say_so(void **state)
{
    (void)state;
    rig_file("workflows/w/plan.yml", "{\"integrations\":{\"x\":{\"python\":\"./a.py:A\"}},"
                                     "\"steps\":[{\"id\":\"a\",\"uses\":\"x\"}]}");
    assert_has(rig_refusal(NULL), "-32008 ");
    assert_has(rig_refusal(NULL), "this build has no bridge for Python");
    rig_file(SITE "p-1.dist-info/entry_points.txt", "[charter.integrations]\nfetch = p:Fetch");
    assert_false(python_has_entry_point(rig_root(), STR("fetch")));
}

#endif

static void targets_are_files_or_names(void **state)
{
    (void)state;
    assert_true(python_is_file(STR("./a.py:A")));
    assert_true(python_is_file(STR("/x/a.py:A.B")));
    assert_false(python_is_file(STR("a.py")));
    assert_false(python_is_file(STR(".py:A")));
    assert_false(python_is_file(STR("a.py:")));
    assert_false(python_is_file(STR("a:b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef CONFIG_PYTHON_BRIDGE
        TEST(environment_is_missing),
        TEST(entry_points_are_found_without_python),
        TEST(executables_come_before_entry_points),
        TEST(what_python_alone_can_see_is_left_to_it),
        TEST(bridge_is_put_once_and_mended),
#else
        TEST(builds_without_a_bridge_say_so),
#endif
        TEST(targets_are_files_or_names),
    };
    return cmocka_run_group_tests_name("project/python", tests, NULL, NULL);
}
