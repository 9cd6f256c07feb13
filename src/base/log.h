/* The daemon's own log, for operators: one line a call on stderr.  Levels follow syslog's names;
 * journald reads the "<N>" prefix where it is asked for.  Never for run events: those go through
 * the journal. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/built.h"
#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Set once at start, before anything is logged.  The two settings are the only writable statics of
 * src/: every room may log, and carrying a handle through all of them would buy nothing. */
void log_setup(enum log_level level, enum log_format format);

/* The level that is built in: calls below it are checked by the compiler like all others, and cost nothing. */
#define LOG_BUILT                                                                                  \
    (BUILT_IN(CONFIG_LOG_DEBUG)     ? LOG_DEBUG                                                    \
     : BUILT_IN(CONFIG_LOG_INFO)    ? LOG_INFO                                                     \
     : BUILT_IN(CONFIG_LOG_WARNING) ? LOG_WARNING                                                  \
                                    : LOG_ERROR /* CONFIG_LOG_ERROR */)
#define LOG_DEFAULT (LOG_BUILT < LOG_INFO ? LOG_BUILT : LOG_INFO)
/* Takes the names of levels that are built in. */
bool log_level_read(struct str name, enum log_level *level);
/* "error, warning, info or debug", or fewer. */
const char *log_level_names(void);

/* The same and LOG_DEFAULT, for texts of help. */
#ifdef CONFIG_LOG_DEBUG
#define LOG_LEVELS "error|warning|info|debug"
#elif defined CONFIG_LOG_INFO
#define LOG_LEVELS "error|warning|info"
#elif defined CONFIG_LOG_WARNING
#define LOG_LEVELS "error|warning"
#else
#define LOG_LEVELS "error"
#endif
#if defined CONFIG_LOG_DEBUG || defined CONFIG_LOG_INFO
#define LOG_DEFAULT_NAME "info"
#elif defined CONFIG_LOG_WARNING
#define LOG_DEFAULT_NAME "warning"
#else
#define LOG_DEFAULT_NAME "error"
#endif

/* `room` is who speaks: "link", "journal", "run"…  The message says the thing, the fact and what
 * happens next, without a line feed; over 1 KiB it is cut. */
void log_write(enum log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For a level that is a constant, or is not known before. */
#define log_at(level, ...) ((level) <= LOG_BUILT ? log_write(level, __VA_ARGS__) : (void)0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
