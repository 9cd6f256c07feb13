/* Whether two JSON texts are the same value.  Never takes heap; recursion is bounded by DEPTH_MAX,
 * which no checked text exceeds.  Invariant: time is bounded by the length of the texts times
 * (members / CHUNK + depth). */
#include "json/read.h"

#include "json/internal.h"

#define DEPTH_MAX 64
#define CHUNK 64  /* members looked for in one walk; the bits of a uint64_t */
#define SLOTS 128 /* of the hash table over them */

/* Some members of one object, found by name. */
struct chunk {
    struct str text;       /* where the walk over its members began */
    uint32_t place[CHUNK]; /* of each member's name in it */
    uint32_t hash[CHUNK];
    uint8_t slots[SLOTS]; /* index into the above, plus 1 */
    unsigned count;
};

static bool equal_at(struct str a, struct str b, unsigned depth);

static struct str member_at(const struct chunk *chunk, unsigned index, struct str *value)
{
    struct json_walk walk = {.rest = str_from(chunk->text, chunk->place[index]), .is_object = true};
    struct str name;
    json_walk_next(&walk, &name, value);
    return name;
}

/* Index of the member with that name, or count; *slot is where it is or belongs. */
static unsigned chunk_find(const struct chunk *chunk, struct str name, uint32_t hash,
                           unsigned *slot)
{
    struct str value;
    for (*slot = hash % SLOTS; chunk->slots[*slot] != 0; *slot = (*slot + 1) % SLOTS) {
        unsigned index = chunk->slots[*slot] - 1U;
        if (chunk->hash[index] == hash && json_string_equal(member_at(chunk, index, &value), name))
            return index;
    }
    return chunk->count;
}

/* Takes the next members off the walk; false when two of them have one name. */
static bool chunk_fill(struct chunk *chunk, struct json_walk *walk)
{
    struct str name, value;
    *chunk = (struct chunk){.text = walk->rest};
    while (chunk->count < CHUNK && json_walk_next(walk, &name, &value)) {
        unsigned slot;
        uint32_t hash = json_string_hash(name);
        if (chunk_find(chunk, name, hash, &slot) < chunk->count)
            return false;
        chunk->place[chunk->count] = (uint32_t)(name.p - chunk->text.p);
        chunk->hash[chunk->count] = hash;
        chunk->slots[slot] = (uint8_t)(++chunk->count);
    }
    return true;
}

/* Whether each member of the chunk stands once in the walk, with an equal value. */
static bool chunk_is_in(const struct chunk *chunk, struct json_walk walk, unsigned depth)
{
    struct str name, value, other;
    unsigned hits = 0, slot;
    uint64_t hit = 0;
    while (json_walk_next(&walk, &name, &value)) {
        unsigned index = chunk_find(chunk, name, json_string_hash(name), &slot);
        if (index == chunk->count)
            continue;
        uint64_t bit = (uint64_t)1 << index;
        member_at(chunk, index, &other);
        if ((hit & bit) != 0 || !equal_at(other, value, depth))
            return false;
        hit |= bit;
        hits++;
    }
    return hits == chunk->count;
}

/* Whether no member of the walk has a name of the chunk's. */
static bool chunk_is_absent(const struct chunk *chunk, struct json_walk walk)
{
    struct str name, value;
    unsigned slot;
    while (json_walk_next(&walk, &name, &value))
        if (chunk_find(chunk, name, json_string_hash(name), &slot) < chunk->count)
            return false;
    return true;
}

/* The same number of members in any order.  Names that stand twice have no order to compare by: not
 * equal. */
static bool members_equal(struct json_walk a, struct json_walk b, unsigned depth)
{
    struct chunk chunk;
    for (;;) {
        if (!chunk_fill(&chunk, &a))
            return false;
        if (chunk.count == 0)
            return true;
        if (!chunk_is_in(&chunk, b, depth) || !chunk_is_absent(&chunk, a))
            return false;
    }
}

static size_t walk_count(struct json_walk walk)
{
    struct str name, value;
    size_t count = 0;
    while (json_walk_next(&walk, &name, &value))
        count++;
    return count;
}

static bool containers_equal(struct str raw_a, struct str raw_b, unsigned depth)
{
    struct json_walk a = json_walk(raw_a), b = json_walk(raw_b);
    for (;;) {
        struct json_walk before_a = a, before_b = b;
        struct str name_a, name_b, value_a, value_b;
        bool has_a = json_walk_next(&a, &name_a, &value_a),
             has_b = json_walk_next(&b, &name_b, &value_b);
        if (!has_a || !has_b)
            return has_a == has_b;
        /* Most objects that are compared were written by the same hand, in the same order: this
         * loop is enough. */
        if (before_a.is_object && !json_string_equal(name_a, name_b))
            return walk_count(before_a) == walk_count(before_b) &&
                   members_equal(before_a, before_b, depth);
        if (!equal_at(value_a, value_b, depth))
            return false;
    }
}

static bool equal_at(struct str a, struct str b, unsigned depth)
{
    enum json_type type = json_type(a);
    if (type != json_type(b))
        return false;
    switch (type) {
    case JSON_STRING:
        return json_string_equal(a, b);
    case JSON_NUMBER:
        return json_number_compare(a, b) == 0;
    case JSON_OBJECT:
    case JSON_ARRAY:
        return depth < DEPTH_MAX && containers_equal(a, b, depth + 1);
    default:
        return str_equal(str_trim(a), str_trim(b));
    }
}

bool json_equal(struct str raw_a, struct str raw_b)
{
    return equal_at(raw_a, raw_b, 0);
}
