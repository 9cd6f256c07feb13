/* Any bytes in any pieces: the lines are those that cutting the whole text at its line feeds gives, in order, with one report
 * for each that does not fit. The first byte chooses the pieces. */
#include "rpc/line.h"

#include "base/out.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define CAP 32
#define INPUT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char expected[3 * INPUT_MAX], got[3 * INPUT_MAX];

static void note(struct out *log, struct str line)
{
    out_byte(log, '[');
    out_str(log, line);
    out_byte(log, ']');
}

/* Written from the contract, over the whole text at once. */
static void model(struct str text, struct out *log)
{
    bool first = true;
    while (text.n > 0) {
        size_t n = str_find(text, '\n');
        bool ends = n < text.n;
        struct str line = str_head(text, n);
        text = str_from(text, n + 1);
        if (n >= CAP) {
            out_byte(log, '!');
        } else if (ends) {
            if (line.n > 0 && line.p[line.n - 1] == '\r')
                line.n--;
            if (first && str_starts_with(line, STR("\xef\xbb\xbf")))
                line = str_from(line, 3);
            if (str_trim(line).n > 0)
                note(log, line);
        }
        first = false;
        if (!ends)
            out_byte(log, '+');
    }
}

static void feed(struct str text, uint8_t seed, struct out *log)
{
    static char buffer[CAP];
    struct line_reader reader = line_reader_on(buffer, CAP);
    uint32_t random = seed;

    while (text.n > 0) {
        char *to;
        size_t room, size;
        struct str line;
        enum err err;

        line_space(&reader, &to, &room);
        MUST(room > 0 && to >= buffer && to + room == buffer + CAP);
        random = random * 1664525 + 1013904223;
        size_t n = seed == 0 ? 1 : 1 + (random >> 16) % (2 * CAP);
        n = n < room ? n : room;
        n = n < text.n ? n : text.n;
        memcpy(to, text.p, n);
        line_added(&reader, n);
        text = str_from(text, n);
        while ((err = line_take(&reader, &line, &size)) != ERR_AGAIN) {
            MUST(err == OK || err == ERR_TOO_LARGE);
            if (err == OK)
                note(log, line);
            else
                out_byte(log, '!');
        }
    }
    if (line_is_partial(&reader))
        out_byte(log, '+');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct out want = OUT_ON(expected), have = OUT_ON(got);
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct str text = str_range((const char *)data + 1, size - 1);
    model(text, &want);
    feed(text, data[0], &have);
    MUST(!want.overflow && !have.overflow);
    MUST(str_equal(out_view(&want), out_view(&have)));
    return 0;
}
