/* The digest of a run's inputs.  Owns the canonical order: members by the bytes of their names.  Works on normalised JSON,
 * where equal names and strings have equal bytes.  Invariant: two texts have the same digest exactly when they are the
 * same value, numbers counting by their text. */
#include "project/workflow.h"

#include "base/assert.h"
#include "base/hash.h"
#include "json/read.h"

#include <string.h>

struct canonical {
    struct project_workspace *workspace;
    struct sha256 sha;
    const char *text;
};

static struct str view(const struct canonical *c, uint32_t from, uint32_t to)
{
    return str_range(c->text + from, to - from);
}

/* Names end before the colon in front of their value. */
static bool is_before(const struct canonical *c, const struct project_member *a,
                      const struct project_member *b)
{
    struct str name_a = view(c, a->name, a->value), name_b = view(c, b->name, b->value);
    size_t shorter = name_a.n < name_b.n ? name_a.n : name_b.n;
    int order = memcmp(name_a.p, name_b.p, shorter);
    return order != 0 ? order < 0 : name_a.n < name_b.n;
}

/* Shell's sort: in place, no recursion, stable enough for names that differ. */
static void sort(const struct canonical *c, struct project_member *members, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < count; i++) {
            struct project_member moved = members[i];
            size_t at = i;
            for (; at >= gap && is_before(c, &moved, &members[at - gap]); at -= gap)
                members[at] = members[at - gap];
            members[at] = moved;
        }
    }
}

/* Recursion ends at the depth of JSON that the inputs were checked for. */
static void add(struct canonical *c, struct str raw, size_t used)
{
    struct project_member *members = c->workspace->members + used;
    struct json_walk walk = json_walk(raw);
    struct str name, value;
    size_t count = 0;
    enum json_type type = json_type(raw);
    if (type != JSON_ARRAY && type != JSON_OBJECT) {
        sha256_add(&c->sha, raw);
        return;
    }
    sha256_add(&c->sha, type == JSON_ARRAY ? STR("[") : STR("{"));
    while (json_walk_next(&walk, &name, &value)) {
        if (type == JSON_ARRAY) {
            sha256_add(&c->sha, count++ > 0 ? STR(",") : STR_NONE);
            add(c, value, used);
            continue;
        }
        ASSERT(used + count < sizeof c->workspace->members / sizeof c->workspace->members[0]);
        members[count++] =
            (struct project_member){(uint32_t)(name.p - c->text), (uint32_t)(value.p - c->text),
                                    (uint32_t)(value.p - c->text + (ptrdiff_t)value.n)};
    }
    if (type == JSON_OBJECT) {
        sort(c, members, count);
        for (size_t i = 0; i < count; i++) {
            sha256_add(&c->sha, i > 0 ? STR(",") : STR_NONE);
            sha256_add(&c->sha, view(c, members[i].name, members[i].value));
            add(c, view(c, members[i].value, members[i].end), used + count);
        }
    }
    sha256_add(&c->sha, type == JSON_ARRAY ? STR("]") : STR("}"));
}

void canonical_digest(struct project_workspace *workspace, struct str json, char hex[65])
{
    struct canonical c = {.workspace = workspace, .text = json.p};
    unsigned char digest[32];
    struct out to = out_on(hex, 65);
    sha256_start(&c.sha);
    add(&c, json, 0);
    sha256_end(&c.sha, digest);
    out_hex(&to, digest, sizeof digest);
    out_cstr(&to);
}
