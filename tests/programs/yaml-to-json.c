/* The project reader's YAML for outside suites: YAML on stdin, compact JSON on stdout; exit 1 with line and column on
 * stderr where it is refused. */
#include "project/workspace.h"

#include <stdio.h>

static struct project_workspace workspace;

int main(void)
{
    static char text[LIMIT_PROJECT_FILE + 1];
    struct project_problem problem = {0};
    size_t n = fread(text, 1, sizeof text, stdin);
    if (n == sizeof text) {
        fprintf(stderr, "longer than %d bytes\n", LIMIT_PROJECT_FILE);
        return 1;
    }
    workspace_open(&workspace, &workspace.plan, &workspace.buffers[0]);
    if (!source_convert(&workspace, &workspace.plan, str_range(text, n), &problem)) {
        fprintf(stderr, "%u:%u: %s%s%s\n", problem.line, problem.column, problem.path,
                problem.path[0] == '\0' ? "" : ": ", problem.reason);
        return 1;
    }
    if (workspace.plan.empty) {
        fputs("1:1: no document\n", stderr);
        return 1;
    }
    struct str json = source_root(&workspace.plan);
    fwrite(json.p, 1, json.n, stdout);
    putchar('\n');
    return 0;
}
