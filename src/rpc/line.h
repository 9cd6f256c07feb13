/* Newline-delimited messages out of a stream (contract §1): a fixed buffer that is read into and taken from line by line.
 * CRLF and a BOM at the stream's start are taken, blank lines skipped.  A line over the buffer's size is reported once and skipped to
 * its line feed, so that the peer stays usable. */
#ifndef RPC_LINE_H
#define RPC_LINE_H

#include "base/err.h"
#include "base/str.h"

struct line_reader {
    char *p;
    size_t cap;       /* the longest line with its line feed */
    size_t start;     /* of the line that is being read */
    size_t scanned;   /* bytes from p without a line feed behind start */
    size_t n;         /* bytes in the buffer */
    uint64_t skipped; /* bytes of the present overlong line thrown away */
    bool skipping;
    bool begun; /* something was taken: no BOM any more */
};

struct line_reader line_reader_on(char *buffer, size_t size);
/* Where the next bytes may be read to; moves what is there to the front.  Never empty: an overlong line makes room
 * by being skipped. Call line_take() until ERR_AGAIN first. */
void line_space(struct line_reader *reader, char **to, size_t *room);
void line_added(struct line_reader *reader, size_t n);
/* The next line without its end, valid until line_space().  ERR_AGAIN: no whole line yet.  ERR_TOO_LARGE: a line passed the limit (said
 * once a line, with *size what is known of its length). */
enum err line_take(struct line_reader *reader, struct str *line, size_t *size);
/* Whether part of a line stands there. */
bool line_is_partial(const struct line_reader *reader);

#endif
