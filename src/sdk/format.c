/* Messages with all that the author's libc can print; it is in the author's program anyway, so that base/format.c need
 * not be. */
#include "sdk/sdk.h"

#include <stdarg.h>
#include <stdio.h>

void sdk_vformat_cut(struct out *out, const char *format, va_list args)
{
    size_t room = out_room(out);

    if (room == 0)
        return;
    int wanted = vsnprintf(out->p + out->n, room, format, args);
    if (wanted > 0)
        out->n += (size_t)wanted < room ? (size_t)wanted : room - 1;
}
