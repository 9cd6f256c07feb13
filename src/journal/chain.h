/* The chain: every record names the SHA-256 of the record before it, so that nobody can change, remove or insert one
 * without changing all that follow, up to a head that somebody else keeps.  Owns what a record's hash is, and the two
 * hashes that an appender goes on from; never a file.
 *
 * A record's hash is that of its line behind the checksum column, line feed included: what `cut -c10- | sha256sum` prints.
 * The very first record has 64 zeros in `prev`.  A record written by a build without the chain has no `prev`; the next
 * one with it names that record all the same, so that a chain begins anew there. */
#ifndef JOURNAL_CHAIN_H
#define JOURNAL_CHAIN_H

#include "base/limits.h"
#include "base/str.h"

#ifdef CONFIG_JOURNAL_CHAIN
#define CHAIN_BUILT_IN 1
#else
#define CHAIN_BUILT_IN 0
#endif

#define CHAIN_HEX 64 /* digits of a hash in a line */

struct chain_hash {
    unsigned char bytes[32];
};

struct chain {
    struct chain_hash last; /* of the newest record; zeros: there is none */
    struct chain_hash head; /* of the newest record that holds an event */
    bool has_head;
};

/* Of a whole line, checksum column included; its line feed may be there or not. */
struct chain_hash chain_hash(struct str line);
/* A line was appended behind all others. */
void chain_extend(struct chain *chain, struct str line, bool has_event);

bool chain_hash_equal(const struct chain_hash *a, const struct chain_hash *b);
/* Lower case, NUL behind it. */
void chain_hash_write(const struct chain_hash *hash, char hex[CHAIN_HEX + 1]);
/* Takes 64 digits of either case and nothing else. */
bool chain_hash_read(struct str hex, struct chain_hash *hash);

#endif
