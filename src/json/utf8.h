/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.  Works on
 * whole texts; the resumable form is part of json/check.c. */
#ifndef JSON_UTF8_H
#define JSON_UTF8_H

#include "base/str.h"

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Bytes of the character at the head of a non-empty text, 1 to 4; 0 when it is not well formed. */
size_t utf8_length(struct str text);
/* Writes the character, which must not be a surrogate; the bytes written, 1 to 4. */
size_t utf8_encode(uint32_t code_point, char to[4]);
/* Length of the text without a character that was cut off at its end. */
size_t utf8_cut(struct str text);
bool utf8_is_valid(struct str text);

/* What a lead byte promises: the bytes that follow it (0 for ASCII) and the bounds of the first of
 * them.  False for bytes that cannot lead. */
bool utf8_lead(unsigned char byte, uint8_t *following, uint8_t *low, uint8_t *high);

#endif
