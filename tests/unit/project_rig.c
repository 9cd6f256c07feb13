#include "project_rig.h"

#include "json/read.h"
#include "port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

static struct project_workspace workspace;
static struct project project;
static char root[256], answer_text[LIMIT_PROJECT_FILE * 4 + PROJECT_SUBMIT_ANSWER], refusal[2048],
    contents[LIMIT_PROJECT_FILE * 8 + 65536];

const char *rig_root(void)
{
    return root;
}

struct project_workspace *rig_workspace(void)
{
    return &workspace;
}

const struct project *rig_project(void)
{
    return &project;
}

static const char *path_of(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

void rig_file(const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", path_of(name));
    if (text == NULL) {
        assert_int_equal(remove(path), 0);
        return;
    }
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

void rig_executable(const char *name)
{
    rig_file(name, "#!/bin/sh\n");
    assert_int_equal(chmod(path_of(name), 0700), 0);
}

const char *rig_read(const char *name)
{
    size_t got;
    assert_int_equal(port_read_file(path_of(name), contents, sizeof contents - 1, &got), OK);
    contents[got] = '\0';
    return contents;
}

bool rig_exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

void rig_skip(void **state)
{
    (void)state;
    skip();
}

int rig_start(void **state)
{
    (void)state;
    const char *where = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/charter-project-XXXXXX", where == NULL ? "/tmp" : where);
    if (mkdtemp(root) == NULL)
        return -1;
    rig_file("charter.yml", "{\"integrations\":{\"x\":{\"command\":[\"./x\"]}}}");
    rig_file("workflows/w/manifest.yml", "{\"id\":\"w\"}");
    rig_file("workflows/w/plan.yml", "{\"steps\":[{\"id\":\"a\",\"uses\":\"x\"}]}");
    return 0;
}

static bool remove_name(void *context, const char *name);

static void remove_folder(const char *path)
{
    port_list(path, remove_name, (void *)(uintptr_t)path);
    rmdir(path);
}

/* Recursion ends at the depth of what the tests write. */
static bool remove_name(void *context, const char *name)
{
    char path[1024];
    struct stat stat;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode))
        remove_folder(path);
    else
        unlink(path);
    return true;
}

int rig_end(void **state)
{
    (void)state;
    remove_folder(root);
    return 0;
}

const char *rig_load(void)
{
    struct out answer = OUT_ON(answer_text);
    struct project_problem problem = {0};
    project_load(&workspace, root, &answer, &problem);
    return out_cstr(&answer);
}

const char *rig_submit(const char *inputs)
{
    struct out answer = OUT_ON(answer_text);
    struct project_submission submission = {STR("w"), STR("r-1"), str_of(inputs), false};
    struct project_answer read;
    if (!project_answer_read(str_of(rig_load()), &read) || !read.ok)
        fail_msg("charter.yml: %s", answer_text);
    str_copy(str_of(root), project.root, sizeof project.root);
    assert_true(project_take(&project, read.result));
    project_submit(&workspace, &project, &submission, &answer);
    assert_false(answer.overflow);
    return out_cstr(&answer);
}

const char *rig_refusal(const char *inputs)
{
    struct project_answer read;
    if (!project_answer_read(str_of(rig_submit(inputs)), &read) || read.ok)
        fail_msg("accepted: %s", answer_text);
    snprintf(refusal, sizeof refusal, "%d %s", read.code, read.message);
    assert_false(rig_exists(".charter/runs/r-1/plan.json"));
    return refusal;
}

const char *rig_plan_refusal(const char *plan)
{
    rig_file("workflows/w/plan.yml", plan);
    return rig_refusal(NULL);
}

const char *rig_manifest_refusal(const char *manifest)
{
    rig_file("workflows/w/manifest.yml", manifest);
    return rig_refusal(NULL);
}
