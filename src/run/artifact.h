/* Values that are files: their reference as it stands in events and views (contract §2), and the helper's work that makes one. */
#ifndef RUN_ARTIFACT_H
#define RUN_ARTIFACT_H

#include "base/limits.h"
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

#endif
