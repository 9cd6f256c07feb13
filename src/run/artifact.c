#include "run/artifact.h"

#include "json/read.h"

bool artifact_read(struct str reference, struct artifact *artifact)
{
    static const struct json_field fields[] = {
        {"sha256", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct artifact, sha256), 65, 0, 0},
        {"bytes", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct artifact, bytes), 0, 0,
         INT64_MAX},
        {"path", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct artifact, path), 256, 0, 0},
        {"media_type", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct artifact, media_type), 128,
         0, 0},
    };
    struct json_field_error problem;
    struct str inner;

    return json_member(reference, "$artifact", &inner) &&
           json_read(inner, fields, sizeof fields / sizeof fields[0], artifact, &problem) == OK;
}

void artifact_write(struct json_writer *w, const struct artifact *artifact)
{
    json_object(w);
    json_key(w, "$artifact");
    json_object(w);
    json_put_text(w, "sha256", artifact->sha256);
    json_put_i64(w, "bytes", artifact->bytes);
    json_put_text(w, "path", artifact->path);
    json_put_text(w, "media_type", artifact->media_type);
    json_object_end(w);
    json_object_end(w);
}
