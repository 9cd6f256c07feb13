#include "base/log.h"

#include "base/out.h"
#include "base/time.h"
#include "port.h"

#include <stdarg.h>
#include <string.h>

#define LOG_LINE_BYTES 1024

static enum log_level log_threshold = LOG_INFO;
static enum log_format log_form = LOG_TEXT;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_setup(enum log_level level, enum log_format format)
{
    log_threshold = level;
    log_form = format;
}

bool log_level_read(struct str name, enum log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (str_is(name, level_names[i])) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

/* Messages carry outside text (names, reasons): control characters must not forge lines or move a
 * terminal's cursor. */
static void write_plain(struct out *line, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        out_byte(line, (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? '?' : text.p[i]);
}

static void write_escaped(struct out *line, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            out_byte(line, '\\');
        write_plain(line, str_range(text.p + i, 1));
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
    out_vformat(&message, format, args);
    va_end(args);
    if (message.overflow) /* vsnprintf has written what fits, and a NUL */
        message = (struct out){.p = text, .cap = sizeof text, .n = strlen(text)};

    if (log_form == LOG_JSON) {
        out_text(&line, "{\"time\":\"");
        time_write(&line, port_wall_ms());
        out_text(&line, "\",\"level\":\"");
        out_text(&line, level_names[level]);
        out_text(&line, "\",\"room\":\"");
        out_text(&line, room);
        out_text(&line, "\",\"message\":\"");
        write_escaped(&line, out_view(&message));
        out_text(&line, "\"}\n");
    } else {
        time_write(&line, port_wall_ms());
        out_byte(&line, ' ');
        out_text(&line, level_names[level]);
        out_byte(&line, ' ');
        out_text(&line, room);
        out_text(&line, ": ");
        write_plain(&line, out_view(&message));
        out_byte(&line, '\n');
    }
    port_stderr(out_view(&line));
}
