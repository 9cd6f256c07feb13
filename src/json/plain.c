/* The bytes that most JSON is made of: the plain inside of strings, passed eight at a time. */
#include "json/internal.h"

#include <string.h>

/* The top bit of each byte that is a quote, a backslash, a control character or not ASCII.  A byte less than n borrows from its top bit; a borrow
 * may reach the byte above and cry wolf, so only the lowest of these bits is certain. */
static uint64_t specials(uint64_t word)
{
    const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return (word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & tops;
}

static bool is_plain(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

size_t json_plain_run(struct str text)
{
    size_t i = 0;
    for (uint64_t word; text.n - i >= sizeof word; i += sizeof word) {
        memcpy(&word, text.p + i, sizeof word);
        uint64_t found = specials(word);
        if (found == 0)
            continue;
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return i + (size_t)__builtin_ctzll(found) / 8;
#else
        break;
#endif
    }
    while (i < text.n && is_plain(text.p[i]))
        i++;
    return i;
}
