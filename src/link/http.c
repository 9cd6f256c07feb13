/* Owns the reading of HTTP heads.  Invariant: a head that http_head_feed() lets through consists of lines that end with
 * CRLF and hold no other CR or LF, no NUL, and none of which begins with a blank. */
#include "link/http.h"

#include <string.h>

struct http_head http_head_on(char *buffer, size_t size)
{
    return (struct http_head){.p = buffer, .cap = size};
}

static enum err refuse(struct http_head *head, enum err err, const char *reason)
{
    head->reason = reason;
    return err;
}

static enum err take_byte(struct http_head *head, char c)
{
    if (head->n == head->cap)
        return refuse(head, ERR_TOO_LARGE, "its head is too long");
    if (c == '\0')
        return refuse(head, ERR_SYNTAX, "a NUL in its head");
    if (head->after_cr != (c == '\n'))
        return refuse(head, ERR_SYNTAX,
                      c == '\n' ? "a bare LF in its head" : "a bare CR in its head");
    if (head->line == 0 && head->n > 0 && (c == ' ' || c == '\t'))
        return refuse(head, ERR_SYNTAX, "a folded header line");
    head->p[head->n++] = c;
    head->after_cr = c == '\r';
    if (c != '\n') {
        head->line++;
        return ERR_AGAIN;
    }
    if (head->line == 1) { /* the CR alone */
        if (head->n == 2)
            return refuse(head, ERR_SYNTAX, "an empty first line");
        head->is_whole = true;
        return OK;
    }
    head->line = 0;
    return ERR_AGAIN;
}

enum err http_head_feed(struct http_head *head, struct str bytes, size_t *taken)
{
    enum err err = head->is_whole ? OK : ERR_AGAIN;

    for (*taken = 0; *taken < bytes.n && err == ERR_AGAIN; (*taken)++)
        err = take_byte(head, bytes.p[*taken]);
    return err;
}

/* The line at the head of `text`, without its CRLF. */
static struct str line_of(struct str text)
{
    size_t end = str_find(text, '\n');
    return str_head(text, end > 0 ? end - 1 : 0);
}

struct str http_first_line(const struct http_head *head)
{
    return line_of(str_range(head->p, head->n));
}

bool http_status_line(struct str line, unsigned *status, struct str *phrase)
{
    uint64_t number;

    if (!str_starts_with(line, STR("HTTP/1.")) || line.n < 12 ||
        (line.p[7] != '0' && line.p[7] != '1') || line.p[8] != ' ' ||
        !str_to_u64(str_range(line.p + 9, 3), &number) || number < 100)
        return false;
    if (line.n > 12 && line.p[12] != ' ')
        return false;
    *status = (unsigned)number;
    *phrase = str_trim(str_from(line, 13));
    return true;
}

struct str http_fields(const struct http_head *head)
{
    struct str all = str_range(head->p, head->n);
    return str_from(all, str_find(all, '\n') + 1);
}

static bool is_token_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool http_field_next(struct str *rest, struct str *name, struct str *value, bool *good)
{
    struct str line = line_of(*rest);

    *good = true;
    if (line.n == 0)
        return false;
    *rest = str_from(*rest, line.n + 2);
    *good = str_cut(line, ':', name, value) && name->n > 0;
    for (size_t i = 0; *good && i < name->n; i++)
        *good = is_token_byte(name->p[i]);
    *value = str_trim(*value);
    return *good;
}

bool http_has_token(struct str value, const char *token)
{
    struct str item;
    bool more;

    do {
        more = str_cut(value, ',', &item, &value);
        if (str_equal_nocase(str_trim(item), str_of(token)))
            return true;
    } while (more);
    return false;
}

static bool two_digits(struct str text, size_t at, int64_t *value)
{
    uint64_t number;
    if (at + 2 > text.n || !str_to_u64(str_range(text.p + at, 2), &number))
        return false;
    *value = (int64_t)number;
    return true;
}

/* Days from 1970-01-01 to the first of a month in the Gregorian calendar. */
static int64_t days_to(int64_t year, int64_t month)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t past = year - 1, days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days + before[month] + (leap && month > 1 ? 1 : 0);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one form that may be written (RFC 9110 §5.6.7). */
static bool read_date(struct str text, int64_t *unix_ms)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t day, century, year, hour, minute, second, month = 0;

    if (text.n != 29 || !str_is(str_from(text, 25), " GMT") || text.p[3] != ',' ||
        text.p[19] != ':' || text.p[22] != ':')
        return false;
    while (month < 12 && memcmp(months + 3 * month, text.p + 8, 3) != 0)
        month++;
    if (month == 12 || !two_digits(text, 5, &day) || !two_digits(text, 12, &century) ||
        !two_digits(text, 14, &year) || !two_digits(text, 17, &hour) ||
        !two_digits(text, 20, &minute) || !two_digits(text, 23, &second))
        return false;
    if (day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 || century < 19)
        return false;
    *unix_ms =
        (((days_to(century * 100 + year, month) + day - 1) * 24 + hour) * 60 + minute) * 60000 +
        second * 1000;
    return true;
}

bool http_retry_after(struct str value, int64_t wall_ms, int64_t *wait_ms)
{
    uint64_t seconds;
    int64_t at;

    if (str_to_u64(value, &seconds)) {
        *wait_ms = seconds > 86400 ? 86400000 : (int64_t)seconds * 1000;
        return true;
    }
    if (!read_date(value, &at))
        return false;
    *wait_ms = at > wall_ms ? at - wall_ms : 0;
    return true;
}
