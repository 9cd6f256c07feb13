/* UTF-8 as RFC 3629 has it, checked as the bytes come: any split of a text gives the same answer, and a bad byte is
 * seen when it arrives, not at the end.  (json/utf8.h has the form for whole texts.) */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/str.h"

/* All zeros at the start of a text. */
struct utf8_stream {
    uint8_t left;      /* continuation bytes that are due */
    uint8_t low, high; /* bounds of the next one */
};

/* False from the first byte on that cannot stand there: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_stream_feed(struct utf8_stream *stream, struct str bytes);
/* Whether the text may end here: no character is cut in two. */
bool utf8_stream_is_whole(const struct utf8_stream *stream);

#endif
