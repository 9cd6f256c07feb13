/* What the tests of the project's readers share: a project in a folder of its own, written file by file, and what
 * reading it says. */
#ifndef TESTS_PROJECT_RIG_H
#define TESTS_PROJECT_RIG_H

#include "project/project.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Before and after each test: a fresh project folder with charter.yml (an integration `x`) and the workflow `w`, whose
 * manifest declares nothing. */
int rig_start(void **state);
int rig_end(void **state);

const char *rig_root(void);
/* Writes a file, relative to the root; makes its folders. NULL removes it. */
void rig_file(const char *name, const char *text);
void rig_executable(const char *name);
/* The file's text, in static storage. */
const char *rig_read(const char *name);
bool rig_exists(const char *name);

/* Loads charter.yml; the answer, in static storage. */
const char *rig_load(void);
const struct project *rig_project(void);
/* Loads, then submits workflow `w` as run `r-1`. */
const char *rig_submit(const char *inputs);
/* The message of a refused submission, with its code in front: "-32007 workflows/w/plan.yml:3:5: …". Fails the test when
 * it is accepted. */
const char *rig_refusal(const char *inputs);
/* A refusal of a plan, or of a manifest, that is written first. */
const char *rig_plan_refusal(const char *plan);
const char *rig_manifest_refusal(const char *manifest);

struct project_workspace *rig_workspace(void);

/* A test of the list, and one whose project is written in YAML: skipped where the build reads JSON alone. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)
#ifdef CONFIG_YAML
#define YAML_TEST(name) TEST(name)
#else
#define YAML_TEST(name)                                                                            \
    {                                                                                              \
#name, 1 ? rig_skip : (name), NULL, NULL, NULL                                             \
    }
#endif
void rig_skip(void **state);

#define assert_has(text, piece)                                                                    \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (strstr(text_, piece) == NULL)                                                          \
            fail_msg("'%s' is not in '%s'", piece, text_);                                         \
    } while (0)

#endif
