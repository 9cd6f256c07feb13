/* Extents of wanted members in a stream.  Owns which member is open at the first two levels; the
 * grammar is json/check.c's, whose events it follows.  Never keeps text but the name being read.
 * Invariant: at most one wanted member per level is open at a time. */
#include "json/scan.h"

#include "base/assert.h"
#include "json/utf8.h"

#include <string.h>

void json_scan_start(struct json_scan *scan, const struct json_scan_path *paths, size_t count,
                     unsigned depth_max)
{
    ASSERT(count <= JSON_SCAN_PATHS);
    *scan = (struct json_scan){
        .paths = paths, .count = count, .duplicate = -1, .open = {-1, -1}, .outer = -1};
    json_check_start(&scan->check, depth_max);
}

static bool key_is(const struct json_scan *scan, const char *name)
{
    return scan->key[0] == name[0] && scan->key_length <= JSON_SCAN_KEY &&
           str_is(str_range(scan->key, scan->key_length), name);
}

static void key_add(struct json_scan *scan, const char *bytes, size_t n)
{
    if (scan->key_length + n > JSON_SCAN_KEY) {
        scan->key_length = JSON_SCAN_KEY + 1;
        return;
    }
    memcpy(scan->key + scan->key_length, bytes, n);
    scan->key_length = (uint8_t)(scan->key_length + n);
}

/* A byte inside a name, which the check has let through. */
static void key_byte(struct json_scan *scan, char byte)
{
    static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
    char decoded[4];
    if (scan->escape_left > 0) {
        if (--scan->escape_left == 0 && !scan->check.high_surrogate) {
            size_t n = utf8_encode(scan->check.code_point, decoded);
            key_add(scan, decoded, n);
        }
    } else if (!scan->escape) {
        if (byte == '\\')
            scan->escape = true;
        else
            key_add(scan, &byte, 1);
    } else {
        scan->escape = false;
        const char *letter = strchr(letters, byte);
        if (byte == 'u')
            scan->escape_left = 4;
        else
            key_add(scan, letter == NULL ? &byte : &values[letter - letters], 1);
    }
}

/* Marks a path as come; the second time it is a duplicate. */
static void mark(struct json_scan *scan, uint16_t *seen, size_t path)
{
    uint16_t bit = (uint16_t)(1U << path);
    if ((*seen & bit) != 0 && scan->duplicate < 0)
        scan->duplicate = (int)path;
    *seen = (uint16_t)(*seen | bit);
}

static void key_end(struct json_scan *scan, unsigned level)
{
    bool has_outer = false;
    if (level == 1)
        scan->outer = -1;
    scan->open[level - 1] = -1;
    if (level == 2 && scan->outer < 0)
        return;
    for (size_t i = 0; i < scan->count; i++) {
        const struct json_scan_path *path = &scan->paths[i];
        if (level == 1 && key_is(scan, path->outer)) {
            if (!has_outer) {
                has_outer = true;
                scan->outer = (int8_t)i;
                mark(scan, &scan->outer_seen, i);
            }
            if (path->inner == NULL)
                scan->open[0] = (int8_t)i;
        } else if (level == 2 && path->inner != NULL && key_is(scan, path->inner) &&
                   strcmp(path->outer, scan->paths[scan->outer].outer) == 0) {
            scan->open[1] = (int8_t)i;
            mark(scan, &scan->seen, i);
        }
    }
}

static void value_start(struct json_scan *scan, unsigned level, char byte)
{
    int path = scan->open[level - 1];
    if (path >= 0 && scan->extents[path].first == '\0') {
        scan->extents[path].start = scan->check.offset - 1;
        scan->extents[path].first = byte;
    }
}

static void value_end(struct json_scan *scan, unsigned level, uint64_t end)
{
    if (level != 1 && level != 2)
        return;
    int path = scan->open[level - 1];
    if (path >= 0 && scan->extents[path].end == 0)
        scan->extents[path].end = end;
    scan->open[level - 1] = -1;
}

static void on_event(struct json_scan *scan, enum json_event event, char byte)
{
    unsigned level = scan->check.level;
    /* Values in the arrays at the second level are nobody's: open[1] is set by names alone. */
    bool is_near = level == 1 || level == 2;
    switch (event) {
    case JSON_NOTHING:
        if (scan->in_key)
            key_byte(scan, byte);
        break;
    case JSON_KEY_START:
        scan->in_key = is_near;
        scan->key_length = 0;
        break;
    case JSON_KEY_END:
        scan->in_key = false;
        if (is_near)
            key_end(scan, level);
        break;
    case JSON_VALUE_START:
        if (is_near)
            value_start(scan, level, byte);
        break;
    case JSON_VALUE_END:
        value_end(scan, level, scan->check.offset);
        break;
    case JSON_SCALAR_ENDED:
        value_end(scan, level, scan->check.offset - 1);
        if (scan->check.closed && level > 0)
            value_end(scan, level - 1, scan->check.offset);
        break;
    }
}

enum err json_scan_feed(struct json_scan *scan, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        enum json_event event;
        size_t plain = json_check_skip(&scan->check, str_from(bytes, i));
        if (scan->in_key && plain > 0)
            key_add(scan, bytes.p + i, plain);
        i += plain;
        if (i == bytes.n)
            break;
        if (json_check_byte(&scan->check, (unsigned char)bytes.p[i], &event) != OK)
            return ERR_SYNTAX;
        on_event(scan, event, bytes.p[i]);
    }
    return scan->check.reason == NULL ? OK : ERR_SYNTAX;
}

enum err json_scan_end(struct json_scan *scan)
{
    if (json_check_end(&scan->check) != OK)
        return ERR_SYNTAX;
    if ((scan->check.is_object & 1) == 0)
        return ERR_INVALID;
    return scan->duplicate < 0 ? OK : ERR_EXISTS;
}

bool json_scan_has(const struct json_scan *scan, size_t path)
{
    return scan->extents[path].end > scan->extents[path].start;
}
