#include "base/time.h"

/* Days since 1970-01-01 in the proleptic Gregorian calendar, with years that start in March, so
 * that the leap day comes last (the well-known algorithm of Howard Hinnant's "chrono-Compatible
 * Low-Level Date Algorithms"). */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static int64_t days_in(int64_t year, int64_t month)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static void write_padded(struct out *out, int64_t value, int width)
{
    char digits[8];
    for (int i = width - 1; i >= 0; i--) {
        digits[i] = (char)('0' + value % 10);
        value /= 10;
    }
    out_str(out, (struct str){digits, (size_t)width});
}

void time_write(struct out *out, int64_t unix_ms)
{
    int64_t days = unix_ms / 86400000, rest = unix_ms % 86400000;
    int64_t year, month, day;
    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    civil_from_days(days, &year, &month, &day);
    write_padded(out, year, 4);
    out_byte(out, '-');
    write_padded(out, month, 2);
    out_byte(out, '-');
    write_padded(out, day, 2);
    out_byte(out, 'T');
    write_padded(out, rest / 3600000, 2);
    out_byte(out, ':');
    write_padded(out, rest / 60000 % 60, 2);
    out_byte(out, ':');
    write_padded(out, rest / 1000 % 60, 2);
    out_byte(out, '.');
    write_padded(out, rest % 1000, 3);
    out_byte(out, 'Z');
}

static bool read_digits(struct str text, size_t at, size_t width, int64_t *value)
{
    uint64_t read;
    if (at + width > text.n || !str_to_u64(str_range(text.p + at, width), &read))
        return false;
    *value = (int64_t)read;
    return true;
}

bool time_read(struct str text, int64_t *unix_ms)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    int64_t year, month, day, hour, minute, second, ms;

    if (text.n != TIME_TEXT_LENGTH)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (form[i] != '0' && text.p[i] != form[i])
            return false;
    if (!read_digits(text, 0, 4, &year) || !read_digits(text, 5, 2, &month) ||
        !read_digits(text, 8, 2, &day) || !read_digits(text, 11, 2, &hour) ||
        !read_digits(text, 14, 2, &minute) || !read_digits(text, 17, 2, &second) ||
        !read_digits(text, 20, 3, &ms))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    *unix_ms = days_from_civil(year, (int)month, (int)day) * 86400000 + hour * 3600000 +
               minute * 60000 + second * 1000 + ms;
    return true;
}
