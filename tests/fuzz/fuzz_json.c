/* The JSON room on arbitrary bytes:
 * - the check answers the same for one piece and for any pieces;
 * - what it accepts, jsmn's tree and the walkers see alike, at any bound of depth;
 * - compact text is accepted again, equal to the original, and compact already;
 * - strings survive decoding and writing; integers survive reading and writing;
 * - what it refuses, the readers may misread but never leave. */
#include "json/check.h"
#include "json/read.h"
#include "json/write.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 32
#define TEXT_MAX 65536
#define TOKENS_MAX 4096

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    struct json_token tokens[TOKENS_MAX];
    char a[6 * TEXT_MAX + 8], b[6 * TEXT_MAX + 8];
};

/* Where to cut follows from the text, so that the corpus is plain JSON. */
static uint32_t hash(struct str text)
{
    uint32_t sum = 2166136261U;
    for (size_t i = 0; i < text.n; i++)
        sum = (sum ^ (unsigned char)text.p[i]) * 16777619U;
    return sum;
}

static void check_in_pieces(struct str text, uint32_t seed, enum err expected,
                            const struct json_problem *problem)
{
    struct json_check check;
    enum err err = OK;
    json_check_start(&check, DEPTH);
    for (size_t at = 0; at < text.n && err == OK;) {
        seed = seed * 1664525U + 1013904223U;
        size_t n = (seed >> 24) % 19;
        err = json_check_feed(&check, str_head(str_from(text, at), n));
        at += n;
    }
    if (err == OK)
        err = json_check_end(&check);
    MUST(err == expected);
    MUST(err == OK || (check.reason == problem->reason && check.offset == problem->offset));
}

static void string_survives(struct str raw, struct memory *memory)
{
    struct out decoded = OUT_ON(memory->a), written = OUT_ON(memory->b);
    struct json_writer w = json_writer(&written);
    MUST(json_string_decode(raw, &decoded));
    MUST(decoded.n <= raw.n);
    MUST(json_string_characters(raw) <= decoded.n);
    json_string(&w, out_view(&decoded));
    MUST(!written.overflow);
    MUST(json_check(out_view(&written), 0, NULL) == OK);
    MUST(json_string_equal(raw, out_view(&written)));
    MUST(json_string_characters(raw) == json_string_characters(out_view(&written)));
    if (memchr(memory->a, '\0', decoded.n) == NULL) {
        memory->a[decoded.n] = '\0';
        MUST(json_string_is(raw, memory->a));
    }
}

static void number_survives(struct str raw, struct memory *memory)
{
    int64_t value;
    MUST(json_number_compare(raw, raw) == 0);
    if (json_integer(raw, &value)) {
        struct out out = OUT_ON(memory->a);
        struct json_writer w = json_writer(&out);
        json_i64(&w, value);
        MUST(json_number_compare(raw, out_view(&out)) == 0);
    }
}

static bool same_place(struct str a, struct str b)
{
    return a.p == b.p && a.n == b.n;
}

/* Tree and walk give the same names and values in the same order; containers below `depth` have no
 * children in the tree. */
static void tree_is_walk(struct json_node node, unsigned depth, struct memory *memory)
{
    struct str raw = json_node_raw(node), name, value, node_name;
    struct json_walk walk = json_walk(raw);
    struct json_node child;
    uint32_t cursor = 0;
    size_t count = 0;
    if (json_type(raw) == JSON_STRING)
        string_survives(raw, memory);
    if (json_type(raw) == JSON_NUMBER)
        number_survives(raw, memory);
    if (depth == 0) {
        MUST(!json_node_next(node, &cursor, &node_name, &child));
        return;
    }
    while (json_walk_next(&walk, &name, &value)) {
        MUST(json_node_next(node, &cursor, &node_name, &child));
        MUST(same_place(json_node_raw(child), value) && same_place(node_name, name));
        if (name.n > 0)
            string_survives(name, memory);
        tree_is_walk(child, depth - 1, memory);
        count++;
    }
    MUST(!json_node_next(node, &cursor, &node_name, &child));
    MUST(json_count(raw) == count);
}

static void compact_is_equal(struct str text, struct memory *memory)
{
    struct out once = OUT_ON(memory->a), twice = OUT_ON(memory->b);
    json_compact(text, &once);
    json_compact(out_view(&once), &twice);
    MUST(!once.overflow && once.n <= text.n);
    MUST(json_check(out_view(&once), DEPTH, NULL) == OK);
    MUST(str_equal(out_view(&once), out_view(&twice)));
    MUST(json_equal(text, out_view(&once)) && json_equal(out_view(&once), text));
}

static void read_anything(struct str text, struct memory *memory)
{
    struct json_doc doc;
    struct json_walk walk = json_walk(text);
    struct str name, value;
    struct json_node node;
    uint32_t cursor = 0;
    struct out out = OUT_ON(memory->a);
    while (json_walk_next(&walk, &name, &value)) {
        (void)json_string_characters(name);
        (void)json_string_decode(value, &out);
        (void)json_number_compare(value, name);
        (void)json_equal(value, name);
    }
    for (unsigned depth = 0; depth < 3; depth++) {
        if (json_parse(&doc, text, memory->tokens, TOKENS_MAX, depth) == OK)
            while (json_node_next(json_root(&doc), &cursor, &name, &node))
                (void)json_node_type(node);
        cursor = 0;
    }
    json_compact(text, &out);
    (void)json_equal(text, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory memory;
    struct str text = str_range((const char *)data, size);
    struct json_problem problem = {NULL, 0};
    if (size > TEXT_MAX)
        return 0;
    enum err err = json_check(text, DEPTH, &problem);
    check_in_pieces(text, hash(text), err, &problem);
    if (err != OK) {
        MUST(problem.reason != NULL && problem.offset <= size);
        read_anything(text, &memory);
        return 0;
    }
    compact_is_equal(text, &memory);
    unsigned depths[] = {DEPTH + 1, 1 + hash(text) % 4};
    for (size_t i = 0; i < 2; i++) {
        struct json_doc doc;
        enum err parsed = json_parse(&doc, text, memory.tokens, TOKENS_MAX, depths[i]);
        MUST(parsed == OK || parsed == ERR_FULL);
        if (parsed == OK)
            tree_is_walk(json_root(&doc), depths[i], &memory);
    }
    return 0;
}
