/* Standard output: a buffer in front of it, text from outside made safe on the way, and on a
 * terminal a few live lines at the bottom that are drawn anew.  Cursor control is written only
 * when stdout is a terminal. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "base/out.h"

struct cli_screen {
    char buffer[8192];
    struct out out;
    bool is_terminal;
    bool gone;   /* nobody reads stdout any more: what is written is dropped */
    size_t live; /* lines of the live region that stand on the screen */
};

void cli_screen_start(struct cli_screen *screen);
/* Our own text, as it is; any length. */
void cli_screen_put(struct cli_screen *screen, const char *text);
/* Our own text; at most 1 KiB a call. Outside text never goes through it. */
void cli_screen_format(struct cli_screen *screen, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Outside text on one line, whole. */
void cli_screen_text(struct cli_screen *screen, struct str text);
/* The same, filled up with spaces to `columns`; longer ones stay whole and get one space. */
void cli_screen_column(struct cli_screen *screen, struct str text, size_t columns);
/* Outside text with its lines, each on a line of its own behind `indent`. */
void cli_screen_block(struct cli_screen *screen, const char *indent, struct str text);
/* JSON from the daemon, on a line of its own. On a terminal, DEL and C1 controls are written as
 * \u escapes: the same JSON, without effect on the terminal. */
void cli_screen_json(struct cli_screen *screen, struct str raw);
/* Takes the live lines off the screen: lasting lines can be written then. */
void cli_screen_live_clear(struct cli_screen *screen);
/* Writes one live line, cut to the width of the terminal. */
void cli_screen_live_line(struct cli_screen *screen, struct str text);
void cli_screen_flush(struct cli_screen *screen);

#endif
