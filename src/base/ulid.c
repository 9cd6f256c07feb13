#include "base/ulid.h"

#include <string.h>

static void count_up(struct ulid *ulid)
{
    for (int i = 9; i >= 0; i--)
        if (++ulid->random[i] != 0)
            return;
    /* All 80 bits were ones: borrow the next millisecond, order stays. */
    ulid->last_ms++;
}

void ulid_next(struct ulid *ulid, uint64_t now_ms, const unsigned char fresh[10],
               char text[ULID_LENGTH + 1])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char bytes[16];

    if (now_ms > ulid->last_ms) {
        ulid->last_ms = now_ms;
        memcpy(ulid->random, fresh, sizeof ulid->random);
        /* A clear top bit leaves room to count up without passing into the next millisecond. */
        ulid->random[0] &= 0x7f;
    } else {
        count_up(ulid);
    }
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(ulid->last_ms >> (40 - 8 * i));
    memcpy(bytes + 6, ulid->random, sizeof ulid->random);

    /* 128 bits in 26 digits of five bits: the first digit carries the top three bits alone. */
    for (int digit = 0; digit < ULID_LENGTH; digit++) {
        int low_bit = 125 - 5 * digit; /* where this digit's lowest bit is, from the right */
        unsigned value = 0;
        for (int bit = low_bit + 4; bit >= low_bit; bit--) {
            value <<= 1;
            if (bit < 128)
                value |= (unsigned)bytes[15 - bit / 8] >> (bit % 8) & 1U;
        }
        text[digit] = digits[value];
    }
    text[ULID_LENGTH] = '\0';
}
