/* Arbitrary bytes as a project file: what is accepted is one JSON value within the limits, whose own text is accepted
 * again and stays as it is; every key and value has a place and a path. */
#include "json/check.h"
#include "json/read.h"
#include "project/workspace.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool convert(struct project_workspace *workspace, struct project_source *source,
                    struct project_buffer *buffer, const char *file, struct str text)
{
    struct project_problem problem = {0};
    workspace_open(workspace, source, buffer);
    str_copy(str_of(file), source->file, sizeof source->file);
    bool taken = source_convert(workspace, source, text, &problem);
    MUST(taken || (problem.code != 0 && problem.reason[0] != '\0'));
    return taken;
}

static void check_places(const struct project_source *source)
{
    struct str json = source_root(source);
    char text[256];
    for (size_t at = 0; at < json.n; at += 1 + json.n / 16) {
        unsigned line, column;
        struct out path = OUT_ON(text);
        struct str raw = str_range(json.p + at, 1);
        source_path(source, raw, &path);
        MUST(source->position_count == 0 ||
             (source_place(source, raw, &line, &column) && line > 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct project_workspace workspace;
    if (size > LIMIT_PROJECT_FILE)
        return 0;
    struct str text = str_range((const char *)data, size);
    if (!convert(&workspace, &workspace.plan, &workspace.buffers[0], "plan.yml", text))
        return 0;
    struct str json = source_root(&workspace.plan);
    MUST(json.n <= LIMIT_PROJECT_FILE && json_check(json, LIMIT_JSON_DEPTH, NULL) == OK);
    MUST(memchr(json.p, '\n', json.n) == NULL);
    check_places(&workspace.plan);
    MUST(convert(&workspace, &workspace.manifest, &workspace.buffers[1], "plan.json", json));
    MUST(str_equal(source_root(&workspace.manifest), json));
    return 0;
}
