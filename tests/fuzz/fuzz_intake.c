/* What an integration may write: any bytes, in any pieces, give the same lines, extents and refusals as in one piece; a line that
 * is taken is a JSON object and comes back byte for byte, from memory or from a file.  The first two bytes choose the
 * pieces and the limit. */
#include "json/check.h"
#include "json/read.h"
#include "port.h"
#include "run/intake.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define INPUT_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char first[3 * INPUT_MAX], second[3 * INPUT_MAX];

static void note_line(const struct intake *intake, struct out *log)
{
    static char bytes[INPUT_MAX];
    struct out line = OUT_ON(bytes);

    MUST(intake->whole && intake->n > 0);
    MUST(intake_read(intake, 0, intake->n, &line) == OK && line.n == intake->n);
    MUST((intake->spill >= 0) == (intake->n > INTAKE_TAIL));
    MUST(json_check(out_view(&line), LIMIT_JSON_DEPTH, NULL) == OK);
    MUST(json_type(out_view(&line)) == JSON_OBJECT);
    for (size_t i = 0; i < INTAKE_PATHS; i++) {
        const struct json_extent *extent = &intake->scan.extents[i];
        MUST(extent->start <= extent->end && extent->end <= intake->n);
        out_u64(log, extent->start);
        out_byte(log, '-');
        out_u64(log, extent->end);
        out_byte(log, ' ');
    }
    out_u64(log, intake->n);
    out_byte(log, ';');
}

/* Writes down what came out; the pieces have `step` bytes, or lengths by chance where that is 0. */
static void feed(struct str text, size_t step, uint64_t limit, struct out *log)
{
    static struct intake intake;
    static char path[64];
    uint32_t random = (uint32_t)text.n;
    enum err err = ERR_AGAIN;

    snprintf(path, sizeof path, "/tmp/fuzz-intake-%ld", (long)getpid());
    intake_start(&intake);
    while (text.n > 0 && (err == ERR_AGAIN || err == OK)) {
        random = random * 1664525 + 1013904223;
        struct str piece = str_head(text, step > 0 ? step : 1 + (random >> 16) % 97);
        text = str_from(text, piece.n);
        do {
            size_t used = 0;
            err = intake_feed(&intake, piece, limit, path, &used);
            MUST(used <= piece.n);
            MUST(err != ERR_AGAIN || used == piece.n);
            piece = str_from(piece, used);
            if (err == OK) {
                note_line(&intake, log);
                intake_next(&intake);
            }
        } while (err == OK && piece.n > 0);
        MUST(intake.n <= limit);
    }
    if (err == ERR_SYNTAX)
        MUST(intake.scan.check.reason != NULL);
    MUST(err == OK || err == ERR_AGAIN || err == ERR_SYNTAX || err == ERR_INVALID ||
         err == ERR_TOO_LARGE);
    out_text(log, err == OK || err == ERR_AGAIN ? (intake_is_partial(&intake) ? "+" : ".") : "!");
    intake_stop(&intake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct out whole = OUT_ON(first), pieces = OUT_ON(second);
    if (size < 2 || size > INPUT_MAX)
        return 0;
    struct str text = str_range((const char *)data + 2, size - 2);
    uint64_t limit = data[1] == 0 ? INPUT_MAX : 40U * data[1];
    feed(text, size, limit, &whole);
    feed(text, data[0], limit, &pieces);
    MUST(!whole.overflow && !pieces.overflow);
    /* One that is too long and no JSON may be refused for either, sooner or later; both are refusals of that line. */
    MUST(str_equal(out_view(&whole), out_view(&pieces)));
    return 0;
}
