#include "base/assert.h"

#include "base/out.h"
#include "port.h"

#include <stdlib.h>

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    char text[256];
    struct out out = out_on(text, sizeof text - 1);

    /* Not out_format(), which asserts too. */
    out_text(&out, "charter: broken invariant: ");
    out_text(&out, condition);
    out_text(&out, " (");
    out_text(&out, file);
    out_byte(&out, ':');
    out_i64(&out, line);
    out_text(&out, ")");
    out.overflow = false;
    out.cap++;
    out_byte(&out, '\n');
    port_stderr(out_view(&out));
    abort();
}
