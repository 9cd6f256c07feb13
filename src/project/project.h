/* Projects: charter.yml, manifests and plans read, converted and checked (contract §3).
 *
 * All functions that take a workspace block, read files and may use the heap (libyaml, regular expressions): they run in
 * helper processes (loop/helper.h) and in `charter-daemon check`, never in the loop.  Their answers are one JSON text,
 * {"ok":…} or {"error":{"code","message","data"}}, read back in the daemon with project_answer_read(). */
#ifndef PROJECT_PROJECT_H
#define PROJECT_PROJECT_H

#include "base/err.h"
#include "base/limits.h"
#include "base/out.h"
#include "project/problem.h"

#define PROJECT_GATEWAY_URLS 4

/* What the daemon holds of its project. */
struct project {
    char name[LIMIT_NAME + 1];
    size_t gateway_url_count; /* 0: charter.yml names none */
    size_t config_size;
    char root[LIMIT_PATH];               /* absolute, without links; the owner sets it */
    char token_file[LIMIT_PATH];         /* "" when none; relative ones are made absolute */
    char config[LIMIT_PROJECT_FILE + 1]; /* the checked charter.yml as compact JSON on one line */
    char gateway_urls[PROJECT_GATEWAY_URLS][LIMIT_URL];
};

/* Buffers of the functions below: about 900 KiB that only a helper ever touches.  One static one serves all: each
 * helper works on its private copy. */
struct project_workspace;
#include "project/workspace.h"

/* Room that the answers need. */
#define PROJECT_LOAD_ANSWER (LIMIT_PROJECT_FILE + 16384)
#define PROJECT_SUBMIT_ANSWER (LIMIT_INPUTS + 2048)
#define PROJECT_LIST_ANSWER LIMIT_MESSAGE /* also of project_show */

/* Reads and checks charter.yml (.yaml, .json; two at once are an error) in `root`.  {"ok":{name, gateway_urls, token_file,
 * config}}; false when the answer is an error, also told in *problem. */
bool project_load(struct project_workspace *workspace, const char *root, struct out *answer,
                  struct project_problem *problem);
/* Fills *project, all but its root, from the "ok" value of project_load.  False (and *project as it was) only when the
 * text is no such value: a bug or a helper gone mad. */
bool project_take(struct project *project, struct str ok);
/* Becomes what `next` is, all but the root: no more is touched than there is. */
void project_become(struct project *project, const struct project *next);

struct project_submission {
    struct str workflow_id; /* any text; checked here */
    struct str run_id;      /* checked as well; unused with digest_only */
    struct str inputs;      /* a raw JSON object, or STR_NONE for {} */
    bool digest_only;       /* only {"inputs_sha256"}: for a repeated run_id */
};

/* Checks manifest, plan and inputs, resolves `uses`, and writes .charter/runs/RUN_ID/plan.json durably (made under
 * another name, synced, renamed, directories synced).  A submission that fails leaves no plan.json; one for a RUN_ID that
 * has a plan.json replaces it.  The answer is read with project_accepted_read(). */
void project_submit(struct project_workspace *workspace, const struct project *project,
                    const struct project_submission *submission, struct out *answer);

struct project_accepted {
    struct str inputs;      /* raw object with defaults, on one line; lives as long as the answer */
    char inputs_sha256[65]; /* hex; of the inputs as given: order and white space do not matter */
    char plan_sha256[65];   /* of the bytes of plan.json; "" with digest_only, and all below 0 */
    char name[LIMIT_NAME + 1]; /* of the workflow, cut where longer */
    int64_t steps, concurrency /* 0: no limit */, max_parallel, timeout_ms /* 0: none */;
};
bool project_accepted_read(struct str ok, struct project_accepted *accepted);

/* Checks the answers of an input step (a raw object) against its declared fields, as plan.json has them:
 * {"ok":{"answers":…}} with defaults, or the error that names the path. */
void project_answers(struct project_workspace *workspace, struct str fields, struct str answers,
                     struct out *answer);

/* {"ok":{"workflows":[{"id","name"}]}}, in order of ids; workflows that cannot be read are listed with name null. */
void project_list(struct project_workspace *workspace, const struct project *project,
                  struct out *answer);
/* {"ok":{"manifest":…,"plan":…}}, both as JSON, checked as at submission. */
void project_show(struct project_workspace *workspace, const struct project *project,
                  struct str workflow_id, struct out *answer);

/* Checks charter.yml and every workflow, inputs apart; calls on_problem for the first problem of each file.  The number of
 * problems; *workflows counts what was looked at. */
unsigned project_check(struct project_workspace *workspace, const char *root,
                       void (*on_problem)(void *context, const struct project_problem *problem),
                       void *context, unsigned *workflows);

/* --- in the daemon: no files, no heap ------------------------------------------------------------------------------ */

/* An answer that came through the pipe. */
struct project_answer {
    bool ok;
    struct str result; /* raw value of "ok"; inside the answer */
    int code;          /* where not ok */
    char message[256];
    char data[LIMIT_ERROR_DATA]; /* raw JSON, "" for none */
};
/* False when the text is neither form: then *read is CHARTER_INTERNAL_ERROR. */
bool project_answer_read(struct str answer, struct project_answer *read);

/* Makes an answer of a problem, whatever stood in it. (For whoever writes answers.) */
void project_answer_problem(struct out *answer, const struct project_problem *problem);

/* A letter or digit, then letters, digits, '.', '_', '-', at most 64: workflow ids and run ids. */
bool project_is_id(struct str text);
/* Letters, digits, '_', '-', at most 64: names of steps, inputs, outputs, fields. */
bool project_is_name(struct str text);

#endif
