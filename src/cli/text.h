/* Text from outside on its way to a terminal: controls, C1 controls and direction overrides
 * become visible escapes, so that no message of an integration can move the cursor or repaint
 * the screen; widths are counted in columns. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "base/out.h"
#include "base/str.h"

/* One character as it may be shown. */
struct cli_glyph {
    char bytes[8];
    size_t n;         /* bytes to show */
    size_t taken;     /* bytes of the text that it stands for, at least 1 */
    unsigned columns; /* on the screen: 0 to 6 */
};

/* Of the character at the head of a non-empty text. Line feeds and tabs become one space. */
struct cli_glyph cli_text_glyph(struct str text);
/* Columns of the text as cli_text_put() would show it. */
size_t cli_text_width(struct str text);
/* At most `columns` columns; what does not fit ends in "...". */
void cli_text_put(struct out *to, struct str text, size_t columns);
/* "0.4 s", "12 s", "2 min 05 s", "1 h 02 min"; never negative. */
void cli_text_duration(struct out *to, int64_t ms);

#endif
