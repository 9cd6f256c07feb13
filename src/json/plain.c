/* The bytes that most JSON is made of: the plain inside of strings, passed eight at a time. */
#include "json/internal.h"

#include <string.h>

/* Whether one of eight bytes is a quote, a backslash, a control character or not ASCII.  A byte less than n borrows from its top bit; a borrow
 * may reach the byte above and cry wolf, which only sends that byte the slow way. */
static bool has_special(uint64_t word)
{
    const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return ((word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & tops) != 0;
}

size_t json_plain_run(struct str text)
{
    size_t i = 0;
    for (uint64_t word; text.n - i >= sizeof word; i += sizeof word) {
        memcpy(&word, text.p + i, sizeof word);
        if (has_special(word))
            break;
    }
    for (; i < text.n; i++) {
        unsigned char byte = (unsigned char)text.p[i];
        if (byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\')
            break;
    }
    return i;
}
