/* The scanner on arbitrary bytes: any pieces give the same extents, and where it accepts, they are
 * those that the walkers find. */
#include "json/read.h"
#include "json/scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 32

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_scan_path paths[] = {
    {"id", NULL},       {"result", NULL},  {"result", "value"}, {"result", "artifact"},
    {"error", "value"}, {"error", "code"}, {"\xC3\xA9", NULL},
};

#define PATHS (sizeof paths / sizeof paths[0])

static enum err scan_pieces(struct json_scan *scan, struct str text, size_t step)
{
    enum err err = OK;
    json_scan_start(scan, paths, PATHS, DEPTH);
    for (size_t at = 0; at < text.n && err == OK; at += step)
        err = json_scan_feed(scan, str_head(str_from(text, at), step));
    return err == OK ? json_scan_end(scan) : err;
}

static void extent_is_member(const struct json_scan *scan, size_t path, struct str text)
{
    const struct json_extent *extent = &scan->extents[path];
    struct str outer, value;
    bool has = json_member(text, paths[path].outer, &outer);
    value = outer;
    if (has && paths[path].inner != NULL)
        has = json_member(outer, paths[path].inner, &value);
    MUST(json_scan_has(scan, path) == has);
    if (!has)
        return;
    MUST(text.p + extent->start == value.p);
    MUST(extent->end - extent->start == value.n);
    MUST(extent->first == value.p[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_range((const char *)data, size);
    struct json_scan whole, pieces;
    enum err err = scan_pieces(&whole, text, size + 1);
    static const size_t steps[] = {1, 2, 3, 7, 13};
    MUST((err == ERR_SYNTAX) == (json_check(text, DEPTH, NULL) != OK));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        MUST(scan_pieces(&pieces, text, steps[i]) == err);
        MUST(pieces.duplicate == whole.duplicate && pieces.check.offset == whole.check.offset);
        for (size_t path = 0; path < PATHS; path++) {
            const struct json_extent *a = &whole.extents[path], *b = &pieces.extents[path];
            MUST(a->start == b->start && a->end == b->end && a->first == b->first);
        }
    }
    if (err == OK)
        for (size_t path = 0; path < PATHS; path++)
            extent_is_member(&whole, path, text);
    return 0;
}
