#include "run/intake.h"

#include "base/assert.h"
#include "port.h"

#include <string.h>

static const struct json_scan_path paths[INTAKE_PATHS] = {
    [RPC_MEMBER_JSONRPC] = {"jsonrpc", NULL}, [RPC_MEMBER_ID] = {"id", NULL},
    [RPC_MEMBER_METHOD] = {"method", NULL},   [RPC_MEMBER_PARAMS] = {"params", NULL},
    [RPC_MEMBER_RESULT] = {"result", NULL},   [RPC_MEMBER_ERROR] = {"error", NULL},
    [INTAKE_VALUE] = {"result", "value"},     [INTAKE_ARTIFACT] = {"result", "artifact"},
};

void intake_start(struct intake *intake)
{
    intake->spill = -1;
    intake->bom = 0;
    intake_next(intake);
}

void intake_stop(struct intake *intake)
{
    if (intake->spill >= 0)
        port_close(intake->spill);
    intake->spill = -1;
}

void intake_next(struct intake *intake)
{
    intake_stop(intake);
    json_scan_start(&intake->scan, paths, INTAKE_PATHS, LIMIT_JSON_DEPTH);
    intake->n = 0;
    intake->lent = STR_NONE;
    intake->whole = false;
}

bool intake_is_partial(const struct intake *intake)
{
    return intake->n > 0 && !intake->whole;
}

static enum err write_spill(struct intake *intake, struct str bytes, uint64_t at)
{
    size_t put;
    return port_write_at(intake->spill, bytes, (int64_t)at, &put);
}

/* Keeps the bytes behind the n that the line has. */
static enum err keep(struct intake *intake, struct str bytes, const char *spill_path)
{
    if (intake->spill < 0 && intake->n + bytes.n <= INTAKE_TAIL) {
        memcpy(intake->tail + intake->n, bytes.p, bytes.n);
        return OK;
    }
    if (intake->spill < 0) {
        enum err err = port_open(spill_path, PORT_CREATE_NEW, &intake->spill);
        if (err ==
            ERR_EXISTS) { /* left behind by a daemon that died between making and unlinking it */
            (void)port_unlink(spill_path);
            err = port_open(spill_path, PORT_CREATE_NEW, &intake->spill);
        }
        if (err != OK) {
            intake->spill = -1;
            return err;
        }
        (void)port_unlink(spill_path);
        err = write_spill(intake, str_range(intake->tail, (size_t)intake->n), 0);
        if (err != OK)
            return err;
    }
    return write_spill(intake, bytes, intake->n);
}

/* The bytes that it takes.  Half a mark is no JSON: the check is given it and says so. */
static enum err skip_byte_order_mark(struct intake *intake, struct str bytes, size_t *used)
{
    static const char mark[] = "\xef\xbb\xbf";
    while (intake->bom < 3 && *used < bytes.n) {
        if (bytes.p[*used] != mark[intake->bom]) {
            struct str half = {mark, intake->bom};
            intake->bom = 3;
            return half.n > 0 ? json_scan_feed(&intake->scan, half) : OK;
        }
        intake->bom++;
        ++*used;
    }
    return OK;
}

enum err intake_feed(struct intake *intake, struct str bytes, uint64_t limit,
                     const char *spill_path, size_t *used)
{
    enum err err;

    ASSERT(!intake->whole);
    *used = 0;
    err = skip_byte_order_mark(intake, bytes, used);
    if (err != OK)
        return err;
    for (;;) {
        struct str rest = str_from(bytes, *used);
        if (rest.n == 0)
            return ERR_AGAIN;
        struct str piece = str_head(rest, str_find(rest, '\n'));
        bool ends = piece.n < rest.n;
        if (intake->n == 0)
            while (piece.n > 0 && (piece.p[0] == ' ' || piece.p[0] == '\t' || piece.p[0] == '\r')) {
                piece = str_from(piece, 1);
                ++*used;
            }
        *used += piece.n + (ends ? 1 : 0);
        if (piece.n == 0 && intake->n == 0)
            continue; /* a blank line, or nothing behind white space yet */
        if (intake->n + piece.n > limit)
            return ERR_TOO_LARGE;
        if (piece.n > 0) {
            err = json_scan_feed(&intake->scan, piece);
            if (err == OK && ends && intake->n == 0 && piece.n <= INTAKE_TAIL)
                intake->lent = piece;
            else if (err == OK)
                err = keep(intake, piece, spill_path);
            if (err != OK)
                return err;
            intake->n += piece.n;
        }
        if (!ends)
            return ERR_AGAIN;
        err = json_scan_end(&intake->scan);
        if (err != OK)
            return err == ERR_EXISTS ? ERR_INVALID : err;
        intake->whole = true;
        return OK;
    }
}

struct str intake_line(const struct intake *intake)
{
    if (intake->lent.n > 0)
        return intake->lent;
    return intake->spill < 0 ? str_range(intake->tail, (size_t)intake->n) : STR_NONE;
}

void intake_keep(struct intake *intake)
{
    if (intake->lent.n > 0)
        memcpy(intake->tail, intake->lent.p, intake->lent.n);
    intake->lent = STR_NONE;
}

enum err intake_read(const struct intake *intake, uint64_t from, uint64_t n, struct out *to)
{
    size_t got;

    ASSERT(from + n <= intake->n);
    if (intake->spill < 0) {
        out_str(to, str_range(intake_line(intake).p + from, (size_t)n));
        return to->overflow ? ERR_FULL : OK;
    }
    if (n > out_room(to))
        return ERR_FULL;
    enum err err = port_read_at(intake->spill, to->p + to->n, (size_t)n, (int64_t)from, &got);
    if (err != OK)
        return err;
    to->n += got;
    return got == n ? OK : ERR_IO;
}
