/* Values that are files: their reference as it stands in events and views (contract §2), and the helper's work that makes one. */
#ifndef RUN_ARTIFACT_H
#define RUN_ARTIFACT_H

#include "base/limits.h"
#include "base/err.h"
#include "base/out.h"
#include "json/write.h"

struct artifact {
    char sha256[65];
    int64_t bytes;
    char path[256]; /* relative to the project root */
    char media_type[128];
};

/* Reads a raw reference, {"$artifact":{…}}. */
bool artifact_read(struct str reference, struct artifact *artifact);
void artifact_write(struct json_writer *w, const struct artifact *artifact);

/* --- in helpers: these block on the disk --- */

/* Bytes of all artifacts of all runs below RUNS_DIRECTORY: what LIMIT_ARTIFACTS bounds. */
int64_t artifact_total(const char *runs_directory);
/* Bytes of those of one run. */
int64_t artifact_total_of(const char *run_directory);
/* A new file in RUN_DIRECTORY/artifacts, which has no name of its own yet. */
/* What a file is called while it is made, with a number behind it. */
#define ARTIFACT_HALF ".new-"
enum err artifact_begin(const char *run_directory, char temporary[LIMIT_PATH], int *fd);
/* Makes it durable under its hash, as `artifact` says it (path is filled in), and closes it.  After a failure nothing is left. */
enum err artifact_finish(const char *run_directory, const char *run_id, const char *temporary,
                         int fd, struct artifact *artifact);
/* Closes and removes it. */
void artifact_drop(const char *temporary, int fd);

#endif
