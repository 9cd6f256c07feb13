/* Compares numbers by their decimal value, in the form they are written in: nothing is converted,
 * so nothing is rounded and no exponent is too large.  Invariant: each comparison is one pass over
 * both texts. */
#include "json/read.h"

/* value = 0.d1d2d3… * 10^(exponent + shift), d1 not 0; zero has no digits. */
struct decimal {
    bool is_negative, exponent_is_negative;
    struct str digits;   /* as written, from the first that is not 0, point among them */
    struct str exponent; /* as written, without sign */
    int64_t shift;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct decimal read_decimal(struct str raw)
{
    struct decimal decimal = {.shift = 0};
    bool behind_point = false, seen = false;
    size_t i = 0;
    raw = str_trim(raw);
    if (raw.n > 0 && raw.p[0] == '-') {
        decimal.is_negative = true;
        i = 1;
    }
    size_t from = raw.n, end;
    for (; i < raw.n && (is_digit(raw.p[i]) || raw.p[i] == '.'); i++) {
        if (raw.p[i] == '.') {
            behind_point = true;
            continue;
        }
        if (!seen && raw.p[i] != '0') {
            seen = true;
            from = i;
        }
        if (seen && !behind_point)
            decimal.shift++;
        else if (!seen && behind_point)
            decimal.shift--;
    }
    end = i;
    if (!seen)
        return (struct decimal){.shift = 0};
    decimal.digits = str_range(raw.p + from, end - from);
    if (i < raw.n && (raw.p[i] == 'e' || raw.p[i] == 'E')) {
        i++;
        if (i < raw.n && (raw.p[i] == '-' || raw.p[i] == '+'))
            decimal.exponent_is_negative = raw.p[i++] == '-';
        decimal.exponent = str_from(raw, i);
    }
    return decimal;
}

/* The digit `place` places before the end, 0 where there is none. */
static int digit_from_end(struct str digits, size_t place)
{
    return place < digits.n && is_digit(digits.p[digits.n - 1 - place])
               ? digits.p[digits.n - 1 - place] - '0'
               : 0;
}

/* a's written exponent less b's, exact up to 10^17 and of the right sign beyond: once the sum of
 * the leading digits is that far from 0, no digit that follows can bring it back, nor can the
 * shifts, which are text lengths. */
static int64_t exponent_difference(const struct decimal *a, const struct decimal *b)
{
    const int64_t far = 100000000000000000;
    int64_t difference = 0;
    size_t places = a->exponent.n > b->exponent.n ? a->exponent.n : b->exponent.n;
    while (places > 0 && difference < far && difference > -far) {
        places--;
        int digit_a = digit_from_end(a->exponent, places),
            digit_b = digit_from_end(b->exponent, places);
        difference = difference * 10 + (a->exponent_is_negative ? -digit_a : digit_a) -
                     (b->exponent_is_negative ? -digit_b : digit_b);
    }
    return difference;
}

static int next_digit(struct str *digits)
{
    if (digits->n > 0 && digits->p[0] == '.')
        *digits = str_from(*digits, 1);
    if (digits->n == 0)
        return 0;
    int digit = digits->p[0] - '0';
    *digits = str_from(*digits, 1);
    return digit;
}

/* Of two positive numbers. */
static int compare_size(struct decimal *a, struct decimal *b)
{
    int64_t magnitude = exponent_difference(a, b) + (a->shift - b->shift);
    if (magnitude != 0)
        return magnitude < 0 ? -1 : 1;
    while (a->digits.n > 0 || b->digits.n > 0) {
        int digit_a = next_digit(&a->digits), digit_b = next_digit(&b->digits);
        if (digit_a != digit_b)
            return digit_a < digit_b ? -1 : 1;
    }
    return 0;
}

static int sign_of(const struct decimal *decimal)
{
    return decimal->digits.n == 0 ? 0 : decimal->is_negative ? -1 : 1;
}

int json_number_compare(struct str raw_a, struct str raw_b)
{
    struct decimal a = read_decimal(raw_a), b = read_decimal(raw_b);
    int sign_a = sign_of(&a), sign_b = sign_of(&b);
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    if (sign_a == 0)
        return 0;
    return sign_a * compare_size(&a, &b);
}
