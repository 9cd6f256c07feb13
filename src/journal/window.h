/* Looking into segment files, line by line, through the journal's one window.  Owns what is in the window; never opens a
 * file, never looks behind the end it is given.  Invariant: the window holds bytes that will not change as long as
 * their segment lives, so it needs no invalidation but when a segment is cut or removed. */
#ifndef JOURNAL_WINDOW_H
#define JOURNAL_WINDOW_H

#include "journal/journal.h"

/* The line at an offset, without its line feed; good until the next call.  `end` is where the segment's readable bytes
 * end.  ERR_END: offset is there; ERR_DAMAGED: no line feed within LIMIT_RECORD bytes or before the end; ERR_IO. */
enum err window_line(struct journal_window *window, int fd, uint32_t segment, int64_t offset,
                     int64_t end, struct str *line);
/* At most LIMIT_RECORD bytes from an offset, all of them unless the file is shorter. */
enum err window_bytes(struct journal_window *window, int fd, uint32_t segment, int64_t offset,
                      size_t n, struct str *bytes);
void window_forget(struct journal_window *window);

#endif
