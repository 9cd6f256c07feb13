/* Buffers of the project's readers, in one struct that the daemon keeps in bss and only helpers touch.  Members are
 * private to the files that are named beside them. */
#ifndef PROJECT_WORKSPACE_H
#define PROJECT_WORKSPACE_H

#include "base/limits.h"
#include "project/plan.h"
#include "project/source.h"

#define PROJECT_ANCHORS 128
#define PROJECT_SCRATCH                                                                            \
    ((LIMIT_PROJECT_FILE > LIMIT_INPUTS ? LIMIT_PROJECT_FILE : LIMIT_INPUTS) + 1)

/* A YAML anchor: its node, as it can be written again (yaml.c). */
struct project_anchor {
    struct str name;   /* in the arena */
    struct str scalar; /* in the arena; of a scalar alone */
    struct str tag;    /* in the arena */
    size_t start, end; /* of a container in the JSON; end 0: still open */
    size_t tokens;     /* of a container, itself included */
    bool is_scalar, is_plain;
};

/* A member of an object whose members are put in order: offsets in the inputs. */
struct project_member {
    uint32_t name, value, end;
};

struct project_buffer {
    char json[LIMIT_PROJECT_FILE];
    struct source_position positions[LIMIT_PROJECT_TOKENS];
};

struct project_workspace {
    /* source.c, normal.c, yaml.c */
    char text[LIMIT_PROJECT_FILE + 1]; /* the file as it was read */
    char scratch[PROJECT_SCRATCH];     /* one decoded string */
    char arena[2 * LIMIT_PROJECT_FILE];
    struct out arena_out;
    struct project_anchor anchors[PROJECT_ANCHORS];
    size_t anchor_count;
    struct str names[LIMIT_PROJECT_TOKENS]; /* of one object, while looking for duplicates */

    /* the sources that are open */
    struct project_buffer buffers[3];
    struct project_source config, manifest, plan, inputs;
    char inputs_json[LIMIT_INPUTS];

    struct plan checked; /* plan.c */

    /* browse.c: folders of workflows, in order */
    char folder_text[LIMIT_PROJECT_FILE];
    struct str folders[LIMIT_PROJECT_TOKENS];

    struct project_member
        members[LIMIT_INPUTS / 5 + 1]; /* canonical.c: the shortest member takes five bytes */
    char line[2 * LIMIT_PROJECT_FILE + 4096]; /* store.c */
};

/* Empties a source and gives it a buffer of the workspace. */
void workspace_open(struct project_workspace *workspace, struct project_source *source,
                    struct project_buffer *buffer);

#endif
