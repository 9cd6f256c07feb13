/* What the sources of this room tell each other; nobody else includes it. */
#ifndef JSON_INTERNAL_H
#define JSON_INTERNAL_H

#include "base/str.h"

/* How many bytes at the head stand for themselves inside a string: ASCII without controls, quotes and backslashes. */
size_t json_plain_run(struct str text);
/* Index behind the value that begins at `at`; `at` itself where none does. */
size_t json_skip(struct str text, size_t at);
/* Whether a raw string says `text`, which may hold anything. */
bool json_string_says(struct str raw, struct str text);
/* The same for all raw forms of one string. */
uint32_t json_string_hash(struct str raw);

#endif
