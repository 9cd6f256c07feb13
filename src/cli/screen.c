/* Writes to standard output.  Owns the buffer and the count of live lines; never decides what is
 * said.  Invariant: between two calls the cursor stands at the start of a line below all live
 * lines. */
#include "cli/screen.h"

#include "cli/text.h"
#include "port.h"

#define COLUMNS_DEFAULT 80
#define ESCAPE "\x1b"

void cli_screen_start(struct cli_screen *screen)
{
    screen->out = OUT_ON(screen->buffer);
    screen->is_terminal = port_is_terminal(1);
    screen->gone = false;
    screen->live = 0;
}

void cli_screen_flush(struct cli_screen *screen)
{
    if (!screen->gone && screen->out.n > 0 && port_stdout(out_view(&screen->out)) != OK)
        screen->gone = true;
    out_reset(&screen->out);
}

static void put(struct cli_screen *screen, struct str text)
{
    while (text.n > 0) {
        if (out_room(&screen->out) == 0)
            cli_screen_flush(screen);
        struct str piece = str_head(text, out_room(&screen->out));
        out_str(&screen->out, piece);
        text = str_from(text, piece.n);
    }
}

void cli_screen_put(struct cli_screen *screen, const char *text)
{
    put(screen, str_of(text));
}

void cli_screen_format(struct cli_screen *screen, const char *format, ...)
{
    char text[1024];
    struct out out = OUT_ON(text);
    va_list args;

    va_start(args, format);
    out_vformat(&out, format, args);
    va_end(args);
    put(screen, out_view(&out));
}

void cli_screen_text(struct cli_screen *screen, struct str text)
{
    while (text.n > 0) {
        struct cli_glyph glyph = cli_text_glyph(text);
        put(screen, str_range(glyph.bytes, glyph.n));
        text = str_from(text, glyph.taken);
    }
}

void cli_screen_column(struct cli_screen *screen, struct str text, size_t columns)
{
    size_t width = cli_text_width(text);

    cli_screen_text(screen, text);
    do
        put(screen, STR(" "));
    while (++width < columns);
}

void cli_screen_block(struct cli_screen *screen, const char *indent, struct str text)
{
    struct str line;
    bool more = true;

    while (more && text.n > 0) {
        more = str_cut(text, '\n', &line, &text);
        if (line.n > 0)
            cli_screen_put(screen, indent);
        cli_screen_text(screen, line);
        put(screen, STR("\n"));
    }
}

void cli_screen_json(struct cli_screen *screen, struct str raw)
{
    size_t from = 0;

    for (size_t i = 0; screen->is_terminal && i < raw.n; i++) {
        unsigned char byte = (unsigned char)raw.p[i];
        unsigned char next = i + 1 < raw.n ? (unsigned char)raw.p[i + 1] : 0;
        bool is_c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;
        if (byte != 0x7F && !is_c1)
            continue;
        put(screen, str_range(raw.p + from, i - from));
        cli_screen_format(screen, "\\u%04x", is_c1 ? next : byte);
        i += is_c1 ? 1 : 0;
        from = i + 1;
    }
    put(screen, str_from(raw, from));
    put(screen, STR("\n"));
}

void cli_screen_live_clear(struct cli_screen *screen)
{
    if (screen->live > 0)
        cli_screen_format(screen, "\r" ESCAPE "[%zuA" ESCAPE "[J", screen->live);
    screen->live = 0;
}

void cli_screen_live_line(struct cli_screen *screen, struct str text)
{
    char line[1024];
    struct out out = OUT_ON(line);
    int columns = port_terminal_columns(1);

    if (columns < 20)
        columns = COLUMNS_DEFAULT;
    if (columns > 200)
        columns = 200;
    /* One column stays free: a full last column wraps on some terminals. */
    cli_text_put(&out, text, (size_t)columns - 1);
    put(screen, out_view(&out));
    put(screen, STR("\n"));
    screen->live++;
}
