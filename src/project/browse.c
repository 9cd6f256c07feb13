/* What workflows there are, and what one says.  Reads only. */
#include "project/project.h"

#include "port.h"
#include "project/workflow.h"

#include <string.h>

/* Names of folders, gathered in the workspace's arena and names. */
struct listing {
    struct project_workspace *workspace;
    struct out names;
    size_t count;
    bool full;
};

static bool on_name(void *context, const char *name)
{
    struct listing *listing = context;
    struct out *names = &listing->names;
    size_t from = names->n;
    if (name[0] == '.')
        return true;
    out_text(names, name);
    listing->full = names->overflow || listing->count == LIMIT_PROJECT_TOKENS;
    if (listing->full)
        return false;
    struct str *sorted = listing->workspace->folders;
    struct str kept = str_range(names->p + from, names->n - from);
    size_t at = listing->count++;
    for (; at > 0; at--) {
        struct str other = sorted[at - 1];
        size_t shorter = other.n < kept.n ? other.n : kept.n;
        int order = memcmp(other.p, kept.p, shorter);
        if (order < 0 || (order == 0 && other.n < kept.n))
            break;
        sorted[at] = other;
    }
    sorted[at] = kept;
    return true;
}

bool browse_workflows(struct project_workspace *workspace, const char *root, size_t *count,
                      struct project_problem *problem)
{
    struct listing listing = {.workspace = workspace, .names = OUT_ON(workspace->folder_text)};
    char path[LIMIT_PATH + 16];
    struct out to = OUT_ON(path);
    out_format(&to, "%s/workflows", root);
    enum err err = port_list(out_cstr(&to), on_name, &listing);
    *count = listing.count;
    if (listing.full) {
        problem_set(problem, CHARTER_MESSAGE_TOO_LARGE, "more workflows than one answer holds");
        return false;
    }
    if (err != OK && err != ERR_NOT_FOUND) {
        problem_set(problem, CHARTER_INTERNAL_ERROR, "workflows cannot be read: %s",
                    port_last_error());
        return false;
    }
    /* Files beside the folders are nobody's business. */
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        struct port_stat stat;
        to = OUT_ON(path);
        out_format(&to, "%s/workflows/%.*s", root, STR_ARG(workspace->folders[i]));
        if (!to.overflow && port_stat(out_cstr(&to), &stat) == OK && stat.kind == PORT_DIRECTORY)
            workspace->folders[kept++] = workspace->folders[i];
    }
    *count = kept;
    return true;
}

void project_list(struct project_workspace *workspace, const struct project *project,
                  struct out *answer)
{
    struct project_problem problem = {0}, ignored;
    struct json_writer w = json_writer(answer);
    size_t count;
    if (!browse_workflows(workspace, project->root, &count, &problem)) {
        project_answer_problem(answer, &problem);
        return;
    }
    json_object(&w);
    json_key(&w, "ok");
    json_object(&w);
    json_key(&w, "workflows");
    json_array(&w);
    for (size_t i = 0; i < count; i++) {
        struct manifest manifest;
        struct str id = workspace->folders[i];
        if (!project_is_id(id))
            continue;
        bool read = workflow_manifest(workspace, project->root, id, &manifest, &ignored);
        json_object(&w);
        json_put_str(&w, "id", id);
        json_put_raw(&w, "name", read ? manifest.name : STR_NONE);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    json_object_end(&w);
}

void project_show(struct project_workspace *workspace, const struct project *project,
                  struct str workflow_id, struct out *answer)
{
    struct project_problem problem = {0};
    struct project_source config;
    struct manifest manifest;
    struct json_writer w = json_writer(answer);
    config_borrow(&config, str_range(project->config, project->config_size));
    if (!workflow_manifest(workspace, project->root, workflow_id, &manifest, &problem) ||
        !workflow_plan(workspace, project->root, workflow_id, &manifest, &config, &problem)) {
        project_answer_problem(answer, &problem);
        return;
    }
    json_object(&w);
    json_key(&w, "ok");
    json_object(&w);
    json_put_raw(&w, "manifest", source_root(&workspace->manifest));
    json_put_raw(&w, "plan", source_root(&workspace->plan));
    json_object_end(&w);
    json_object_end(&w);
}
