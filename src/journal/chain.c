#include "journal/chain.h"

#include "base/hash.h"
#include "base/out.h"
#include "journal/record.h"

#include <string.h>

struct chain_hash chain_hash(struct str line)
{
    struct chain_hash hash;
    struct str text = str_from(line, RECORD_COLUMN);
    if (text.n > 0 && text.p[text.n - 1] == '\n') {
        sha256_of(text, hash.bytes);
        return hash;
    }
    struct sha256 sha;
    sha256_start(&sha);
    sha256_add(&sha, text);
    sha256_add(&sha, STR("\n"));
    sha256_end(&sha, hash.bytes);
    return hash;
}

void chain_extend(struct chain *chain, struct str line, bool has_event)
{
    chain->last = chain_hash(line);
    if (has_event) {
        chain->head = chain->last;
        chain->has_head = true;
    }
}

bool chain_hash_equal(const struct chain_hash *a, const struct chain_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void chain_hash_write(const struct chain_hash *hash, char hex[CHAIN_HEX + 1])
{
    struct out out = out_on(hex, CHAIN_HEX + 1);
    out_hex(&out, hash->bytes, sizeof hash->bytes);
    out_cstr(&out);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool chain_hash_read(struct str hex, struct chain_hash *hash)
{
    if (hex.n != CHAIN_HEX)
        return false;
    for (size_t i = 0; i < sizeof hash->bytes; i++) {
        int high = digit(hex.p[2 * i]), low = digit(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
