#include "base/log.h"

#include "base/out.h"
#include "base/time.h"
#include "base/utf8.h"
#include "port.h"

#include <stdarg.h>
#include <string.h>

#define LOG_LINE_BYTES 1024

static enum log_level log_threshold = LOG_DEFAULT;
static enum log_format log_form = LOG_TEXT;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_setup(enum log_level level, enum log_format format)
{
    log_threshold = level;
    log_form = format;
}

bool log_level_read(struct str name, enum log_level *level)
{
    for (size_t i = 0; i <= LOG_BUILT; i++)
        if (str_is(name, level_names[i])) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

const char *log_level_names(void)
{
    static const char *const names[] = {"error", "error or warning", "error, warning or info",
                                        "error, warning, info or debug"};
    return names[LOG_BUILT];
}

/* How many bytes at the start of text are one whole character of UTF-8; 0: none is. */
static size_t character(struct str text)
{
    struct utf8_stream stream = {0};

    for (size_t n = 1; n <= 4 && n <= text.n; n++) {
        if (!utf8_stream_feed(&stream, str_range(text.p + n - 1, 1)))
            return 0;
        if (utf8_stream_is_whole(&stream))
            return n;
    }
    return 0;
}

/* Of ASCII, and of its sister set at U+0080, which some terminals obey as well. */
static bool is_control(struct str text)
{
    unsigned char c = (unsigned char)text.p[0];

    return c < 0x20 || c == 0x7f || (c == 0xc2 && text.n > 1 && (unsigned char)text.p[1] < 0xa0);
}

/* Messages carry outside text (names, reasons): control characters must not forge lines or move a
 * terminal's cursor, and bytes that are no text must not spoil the reading of the rest. */
static void write_plain(struct out *line, struct str text, bool escaped)
{
    while (text.n > 0) {
        size_t n = character(text);
        char c = text.p[0];
        if (n == 0 || is_control(text)) {
            out_byte(line, '?');
            n = n == 0 ? 1 : n;
        } else {
            if (escaped && (c == '"' || c == '\\'))
                out_byte(line, '\\');
            out_str(line, str_head(text, n));
        }
        text = str_from(text, n);
    }
}

void log_write(enum log_level level, const char *room, const char *format, ...)
{
    char text[LOG_LINE_BYTES], bytes[2 * LOG_LINE_BYTES + 128];
    struct out message = OUT_ON(text), line = OUT_ON(bytes);
    va_list args;

    if (level > log_threshold)
        return;
    text[0] = '\0';
    va_start(args, format);
    out_vformat_cut(&message, format, args);
    va_end(args);

    if (log_form == LOG_JSON) {
        out_text(&line, "{\"time\":\"");
        time_write(&line, port_wall_ms());
        out_text(&line, "\",\"level\":\"");
        out_text(&line, level_names[level]);
        out_text(&line, "\",\"room\":\"");
        out_text(&line, room);
        out_text(&line, "\",\"message\":\"");
        write_plain(&line, out_view(&message), true);
        out_text(&line, "\"}\n");
    } else {
        time_write(&line, port_wall_ms());
        out_byte(&line, ' ');
        out_text(&line, level_names[level]);
        out_byte(&line, ' ');
        out_text(&line, room);
        out_text(&line, ": ");
        write_plain(&line, out_view(&message), false);
        out_byte(&line, '\n');
    }
    port_stderr(out_view(&line));
}
