/* Owns the reading of HTTP heads.  Invariant: a head that http_head_feed() lets through consists of a first line and of
 * fields "token:…", each ended by CRLF, and holds no other CR or LF, no NUL or other control byte but TAB. */
#include "link/http.h"

#include "base/out.h"

#include <string.h>

#define NAME_SHOWN 40 /* bytes of a header's name in a reason */

struct http_head http_head_on(char *buffer, size_t size)
{
    return (struct http_head){.p = buffer, .cap = size};
}

static bool is_token_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* --- the head ------------------------------------------------------------------------------------------------------ */

/* `what` and the header that the line at `start` is, in printable words. */
static enum err refuse(struct http_head *head, enum err err, const char *what, size_t start)
{
    struct out out = OUT_ON(head->reason);
    struct str name = str_range(head->p + start, head->n - start);

    out_text(&out, what);
    if (start == 0) {
        out_text(&out, " in its first line");
    } else {
        name = str_head(str_head(name, str_find(name, ':')), NAME_SHOWN);
        out_text(&out, " in the header \"");
        for (size_t i = 0; i < name.n; i++)
            out_byte(&out, name.p[i] >= ' ' && name.p[i] <= '~' ? name.p[i] : '?');
        out_byte(&out, '"');
    }
    out_cstr(&out);
    return err;
}

/* A line has ended; fields must have their form. */
static enum err check_line(struct http_head *head)
{
    struct str line = str_range(head->p + head->start, head->n - head->start - 2), name, value;

    if (head->start == 0)
        return line.n == 0 ? refuse(head, ERR_SYNTAX, "nothing", 0) : ERR_AGAIN;
    if (!str_cut(line, ':', &name, &value))
        return refuse(head, ERR_SYNTAX, "no colon", head->start);
    if (name.n == 0)
        return refuse(head, ERR_SYNTAX, "no name", head->start);
    if (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t')
        return refuse(head, ERR_SYNTAX, "a blank before the colon", head->start);
    for (size_t i = 0; i < name.n; i++)
        if (!is_token_byte(name.p[i]))
            return refuse(head, ERR_SYNTAX, "a byte that no name may have", head->start);
    return ERR_AGAIN;
}

static enum err take_byte(struct http_head *head, char c)
{
    bool at_start = head->n == head->start;

    if (head->n == head->cap)
        return refuse(head, ERR_TOO_LARGE, "its head is too long: the limit was reached",
                      head->start);
    if (c == '\0')
        return refuse(head, ERR_SYNTAX, "a NUL", head->start);
    if (head->after_cr != (c == '\n'))
        return refuse(head, ERR_SYNTAX, c == '\n' ? "a bare LF" : "a bare CR", head->start);
    if (at_start && head->n > 0 && (c == ' ' || c == '\t'))
        return refuse(head, ERR_SYNTAX, "a line folded", head->last_start);
    if (((unsigned char)c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7F)
        return refuse(head, ERR_SYNTAX, "a control byte", head->start);
    head->p[head->n++] = c;
    head->after_cr = c == '\r';
    if (c != '\n')
        return ERR_AGAIN;
    if (head->start > 0 && head->n - head->start == 2) {
        head->is_whole = true;
        return OK;
    }
    enum err err = check_line(head);
    head->last_start = head->start;
    head->start = head->n;
    return err;
}

enum err http_head_feed(struct http_head *head, struct str bytes, size_t *taken)
{
    enum err err = head->is_whole ? OK : ERR_AGAIN;

    for (*taken = 0; *taken < bytes.n && err == ERR_AGAIN; (*taken)++)
        err = take_byte(head, bytes.p[*taken]);
    return err;
}

/* --- its lines ------------------------------------------------------------------------------------------------------ */

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

bool http_status_line(struct str line, unsigned *minor, unsigned *status, struct str *phrase)
{
    uint64_t number;

    if (!str_starts_with(line, STR("HTTP/1.")) || line.n < 12 ||
        (line.p[7] != '0' && line.p[7] != '1') || line.p[8] != ' ' ||
        !str_to_u64(str_range(line.p + 9, 3), &number) || number < 100 || number > 599)
        return false;
    if (line.n > 12 && line.p[12] != ' ')
        return false;
    *minor = (unsigned)(line.p[7] - '0');
    *status = (unsigned)number;
    *phrase = str_trim(str_from(line, 13));
    return true;
}

struct str http_fields(const struct http_head *head)
{
    struct str all = str_range(head->p, head->n);
    return str_from(all, str_find(all, '\n') + 1);
}

bool http_field_next(struct str *rest, struct str *name, struct str *value)
{
    struct str line = line_of(*rest);

    if (line.n == 0)
        return false;
    *rest = str_from(*rest, line.n + 2);
    (void)str_cut(line, ':', name, value);
    *value = str_trim(*value);
    return true;
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

/* --- dates ---------------------------------------------------------------------------------------------------------- */

/* Days from 1970-01-01 to the first of a month in the Gregorian calendar. */
static int64_t days_to(int64_t year, int64_t month)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t past = year - 1, days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days + before[month] + (leap && month > 1 ? 1 : 0);
}

struct date {
    int64_t year, month, day, hour, minute, second;
};

/* Reads `text` by a pattern: D, Y, h, m, s are digits of a number, b a digit or a blank of the day, o the month's three
 * letters, all else stands for itself. */
static bool read_by(const char *pattern, struct str text, struct date *date)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    *date = (struct date){.month = -1};
    if (text.n != strlen(pattern))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        int64_t *number = pattern[i] == 'D' || pattern[i] == 'b' ? &date->day
                          : pattern[i] == 'Y'                    ? &date->year
                          : pattern[i] == 'h'                    ? &date->hour
                          : pattern[i] == 'm'                    ? &date->minute
                          : pattern[i] == 's'                    ? &date->second
                                                                 : NULL;
        if (pattern[i] == 'b' && c == ' ')
            continue;
        if (number != NULL) {
            if (c < '0' || c > '9')
                return false;
            *number = *number * 10 + (c - '0');
        } else if (pattern[i] == 'o') {
            for (date->month = 0; date->month < 12; date->month++)
                if (memcmp(months + 3 * date->month, text.p + i, 3) == 0)
                    break;
            i += 2; /* the pattern has three of them */
        } else if (c != pattern[i]) {
            return false;
        }
    }
    return date->month >= 0 && date->month < 12 && date->day >= 1 && date->day <= 31 &&
           date->hour <= 23 && date->minute <= 59 && date->second <= 60;
}

static int64_t unix_ms_of(const struct date *date)
{
    int64_t days = days_to(date->year, date->month) + date->day - 1;
    return (((days * 24 + date->hour) * 60 + date->minute) * 60 + date->second) * 1000;
}

bool http_date(struct str value, int64_t wall_ms, int64_t *unix_ms)
{
    /* About fifty years: a date of two digits that is further ahead is one of the past century. */
    static const int64_t ahead_ms = INT64_C(50) * 365 * 24 * 3600 * 1000;
    struct date date;
    struct str weekday, rest;

    /* "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT" */
    if (str_cut(value, ',', &weekday, &rest) && weekday.n >= 3) {
        if (read_by(" DD ooo YYYY hh:mm:ss GMT", rest, &date)) {
            *unix_ms = unix_ms_of(&date);
            return date.year >= 1900;
        }
        if (!read_by(" DD-ooo-YY hh:mm:ss GMT", rest, &date))
            return false;
        date.year += 2000;
        *unix_ms = unix_ms_of(&date);
        if (*unix_ms > wall_ms + ahead_ms) {
            date.year -= 100;
            *unix_ms = unix_ms_of(&date);
        }
        return true;
    }
    /* "Sun Nov  6 08:49:37 1994" */
    if (value.n < 3 || !read_by(" ooo bD hh:mm:ss YYYY", str_from(value, 3), &date))
        return false;
    *unix_ms = unix_ms_of(&date);
    return date.year >= 1900;
}

bool http_retry_after(struct str value, int64_t wall_ms, int64_t *wait_ms)
{
    uint64_t seconds = UINT64_MAX;
    int64_t at;
    bool digits = value.n > 0;

    for (size_t i = 0; i < value.n; i++)
        digits = digits && value.p[i] >= '0' && value.p[i] <= '9';
    if (digits) { /* one that does not fit is very long */
        (void)str_to_u64(value, &seconds);
        *wait_ms = seconds > 86400 ? 86400000 : (int64_t)seconds * 1000;
        return true;
    }
    if (!http_date(value, wall_ms, &at))
        return false;
    *wait_ms = at > wall_ms ? at - wall_ms : 0;
    return true;
}
