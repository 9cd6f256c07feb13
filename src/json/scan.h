/* Finds the extents of a few named members in a JSON object as its bytes stream by, whatever its
 * size: how the daemon reads an answer that is longer than any of its buffers.  Checks strictly on
 * the way (json/check.h). */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include "json/check.h"

#define JSON_SCAN_PATHS 16
#define JSON_SCAN_KEY 32 /* the longest name that is compared; longer ones are nobody's */

/* A member at the first or second level: {"result", NULL} or {"result", "value"}.  Names are
 * compared decoded. */
struct json_scan_path {
    const char *outer, *inner;
};

struct json_extent {
    uint64_t start, end; /* bytes from the object's first byte fed; start == end: absent */
    char first;          /* the value's first byte: tells its type */
};

struct json_scan {
    struct json_check check;
    const struct json_scan_path *paths; /* static storage of the caller, at most JSON_SCAN_PATHS */
    size_t count;
    struct json_extent extents[JSON_SCAN_PATHS];
    int duplicate; /* index of a path that was given twice, itself or its outer name; or -1 */
    /* inside */
    uint16_t seen, outer_seen; /* bit i: path i, or the outer name of path i, has come */
    char key[JSON_SCAN_KEY];
    uint8_t key_length;  /* JSON_SCAN_KEY + 1: too long to be wanted */
    int8_t open[2];      /* path whose value is being read at level 1 and 2, or -1 */
    int8_t outer;        /* the first path with the outer name of the open level-1 member, or -1 */
    bool in_key;         /* a name at level 1 or 2 is being read */
    bool escape;         /* behind a backslash in it */
    uint8_t escape_left; /* hexadecimal digits of an escape in it that are due */
};

void json_scan_start(struct json_scan *scan, const struct json_scan_path *paths, size_t count,
                     unsigned depth_max);
/* ERR_SYNTAX as json_check_feed; scan->check says why and where. */
enum err json_scan_feed(struct json_scan *scan, struct str bytes);
/* ERR_SYNTAX when incomplete; ERR_INVALID when the outermost value is no object; ERR_EXISTS when a
 * wanted member came twice (`duplicate` names the path). */
enum err json_scan_end(struct json_scan *scan);
bool json_scan_has(const struct json_scan *scan, size_t path);

#endif
