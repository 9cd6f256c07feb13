/* Doubles, which authors may want though the wire never makes one: the one place where a number leaves its decimal form.  Owns the dance around the
 * locale's decimal point, which the author may have set.  Invariant: what is written reads back as the same double. */
#include "sdk/sdk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number of more digits than this says nothing more to a double, but is no longer copied. */
#define DIGITS_MAX 400

bool sdk_number_is_finite(double value)
{
    double nothing = value - value; /* NaN for infinities and for NaN */
    return nothing >= 0 && nothing <= 0;
}

/* The locale's point as printf writes it: what stands between the digits of 0.5. */
static struct str locale_point(char text[16])
{
    int n = snprintf(text, 16, "%.1f", 0.5);
    return n >= 3 && n < 16 ? str_range(text + 1, (size_t)n - 2) : STR(".");
}

bool sdk_number_read(struct str raw, double *value)
{
    char text[DIGITS_MAX + 32], local[16], *end;
    struct out out = out_on(text, sizeof text - 1);
    struct str point = locale_point(local);

    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] == '.')
            out_str(&out, point);
        else
            out_byte(&out, raw.p[i]);
    }
    if (out.overflow || out.n == 0)
        return false;
    text[out.n] = '\0';
    double read = strtod(text, &end);
    if (*end != '\0' || !sdk_number_is_finite(read))
        return false;
    *value = read;
    return true;
}

void sdk_number_write(struct out *out, double value)
{
    char text[48], local[16];
    struct str point = locale_point(local);

    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (back >= value && back <= value)
            break;
    }
    for (size_t i = 0; text[i] != '\0';) {
        if (str_starts_with(str_of(text + i), point)) {
            out_byte(out, '.');
            i += point.n;
        } else {
            out_byte(out, text[i++]);
        }
    }
}
