/* Owns what is common to all answers.  Invariant: whatever a peer sends, `phrase` and `line` are printable ASCII, because
 * they go to logs and terminals. */
#include "link/answer.h"

#include "base/out.h"

#include <stdarg.h>
#include <string.h>

void answer_start(struct answer *answer, char *buffer, size_t size, int64_t wall_ms)
{
    memset(answer, 0, sizeof *answer);
    answer->head = http_head_on(buffer, size < ANSWER_HEAD_MAX ? size : ANSWER_HEAD_MAX);
    answer->wall_ms = wall_ms;
}

enum err answer_refuse(struct answer *answer, const char *format, ...)
{
    struct out out = OUT_ON(answer->reason);
    va_list args;

    va_start(args, format);
    out_vformat_cut(&out, format, args);
    va_end(args);
    out_cstr(&out);
    return ERR_SYNTAX;
}

static char printable(char c)
{
    return c >= ' ' && c <= '~' ? c : '?';
}

/* --- the head ------------------------------------------------------------------------------------------------------ */

struct framing {
    struct str length, date, retry_after;
    bool chunked;
};

static void read_fields(struct answer *answer, struct framing *framing)
{
    struct str rest = http_fields(&answer->head), name, value;

    memset(framing, 0, sizeof *framing);
    while (http_field_next(&rest, &name, &value)) {
        if (str_equal_nocase(name, STR("Content-Length")))
            framing->length = value;
        else if (str_equal_nocase(name, STR("Transfer-Encoding")))
            framing->chunked = http_has_token(value, "chunked");
        else if (str_equal_nocase(name, STR("Retry-After")))
            framing->retry_after = value;
        else if (str_equal_nocase(name, STR("Date")))
            framing->date = value;
        else if (str_equal_nocase(name, STR("Location")))
            answer->location = value;
    }
}

static enum err read_head(struct answer *answer)
{
    struct str phrase;
    struct framing framing;
    int64_t now_ms = answer->wall_ms;

    if (!http_status_line(http_first_line(&answer->head), &answer->minor, &answer->status, &phrase))
        return answer_refuse(answer, "its first line is no HTTP/1.1 status line");
    phrase = str_head(phrase, sizeof answer->phrase - 1);
    for (size_t i = 0; i < phrase.n; i++)
        answer->phrase[i] = printable(phrase.p[i]);
    answer->phrase[phrase.n] = '\0';
    read_fields(answer, &framing);
    /* A date is compared with the clock of who wrote it: ours may be wrong. */
    (void)http_date(framing.date, answer->wall_ms, &now_ms);
    (void)http_retry_after(framing.retry_after, now_ms, &answer->retry_after_ms);
    answer->body = framing.chunked ? ANSWER_SIZE : ANSWER_PLAIN;
    answer->body_left = framing.chunked ? 0 : UINT64_MAX;
    if (!framing.chunked)
        (void)str_to_u64(framing.length, &answer->body_left);
    return OK;
}

/* Answers that only say that the answer is still to come. */
static bool is_interim(const struct answer *answer)
{
    return answer->status < 200 && answer->status != 101;
}

static enum err forget_interim(struct answer *answer)
{
    if (++answer->interims > ANSWER_INTERIMS)
        return answer_refuse(answer, "more than %d answers of HTTP %u", ANSWER_INTERIMS,
                             answer->status);
    answer->head = http_head_on(answer->head.p, answer->head.cap);
    answer->status = 0;
    answer->retry_after_ms = 0;
    answer->location = STR_NONE;
    return ERR_AGAIN;
}

enum err answer_head(struct answer *answer, struct str bytes, size_t *taken)
{
    enum err err = ERR_AGAIN;

    *taken = 0;
    while (err == ERR_AGAIN && *taken < bytes.n) {
        size_t some;
        err = http_head_feed(&answer->head, str_from(bytes, *taken), &some);
        *taken += some;
        if (err == OK)
            err = read_head(answer);
        else if (err != ERR_AGAIN)
            (void)answer_refuse(answer, "%s", answer->head.reason);
        if (err == OK && is_interim(answer))
            err = forget_interim(answer);
    }
    return err;
}

/* --- the body of a refusal ----------------------------------------------------------------------------------------- */

/* OK: the line is whole. */
static enum err line_byte(struct answer *answer, char c)
{
    if (c == '\n' || c == '\r')
        return answer->line_n > 0 ? OK : ERR_AGAIN;
    if (answer->line_n + 1 < sizeof answer->line)
        answer->line[answer->line_n++] = printable(c);
    answer->line[answer->line_n] = '\0';
    return ERR_AGAIN;
}

/* The size of a chunk, a hexadecimal number; what may follow it in the line is skipped.  OK: that was the last one. */
static enum err size_byte(struct answer *answer, char c)
{
    unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                            : 16;

    if (c == '\n') {
        answer->body = ANSWER_CHUNK;
        return answer->body_left == 0 ? OK : ERR_AGAIN;
    }
    if (digit == 16)
        answer->body = ANSWER_SIZE_END;
    else if (answer->body == ANSWER_SIZE && answer->body_left < ANSWER_BODY_MAX)
        answer->body_left = answer->body_left * 16 + digit;
    return ERR_AGAIN;
}

static enum err body_byte(struct answer *answer, char c)
{
    enum err err;

    switch (answer->body) {
    case ANSWER_SIZE:
    case ANSWER_SIZE_END:
        return size_byte(answer, c);
    case ANSWER_CHUNK_END:
        if (c == '\n')
            answer->body = ANSWER_SIZE;
        return ERR_AGAIN;
    case ANSWER_CHUNK:
        err = line_byte(answer, c);
        if (--answer->body_left == 0)
            answer->body = ANSWER_CHUNK_END;
        return err;
    default:
        err = line_byte(answer, c);
        return --answer->body_left == 0 ? OK : err;
    }
}

enum err answer_body(struct answer *answer, struct str bytes, size_t *taken)
{
    enum err err = ERR_AGAIN;

    *taken = 0;
    if (answer->body == ANSWER_PLAIN && answer->body_left == 0)
        return OK;
    for (; err == ERR_AGAIN && *taken < bytes.n; (*taken)++)
        err = ++answer->body_n >= ANSWER_BODY_MAX ? OK : body_byte(answer, bytes.p[*taken]);
    return err;
}
