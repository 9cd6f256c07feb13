/* Reading JSON that json/check.h has let through: raw values as borrowed text, walkers over
 * containers, trees of tokens by jsmn for texts that are looked at from many sides, and field
 * tables that fill structs.
 *
 * A raw value is a struct str that begins at the value's first byte and ends behind its last,
 * escapes and all: payload stays byte for byte.  White space around it is forgiven.  Giving
 * unchecked text to these functions is a bug of the caller, yet never an overrun. */
#ifndef JSON_READ_H
#define JSON_READ_H

#include "base/err.h"
#include "base/out.h"
#include "base/str.h"

enum json_type {
    JSON_NONE,
    JSON_NULL,
    JSON_BOOLEAN,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* --- raw values ------------------------------------------------------------------------------- */

enum json_type json_type(struct str raw);        /* JSON_NONE for an empty text */
const char *json_type_name(enum json_type type); /* "string", "number"…; "nothing" for JSON_NONE */

/* Decodes a raw string; false (nothing written) when `raw` is no string or does not fit. */
bool json_string_decode(struct str raw, struct out *to);
/* Decodes into an array and ends it with NUL; false when it is no string, holds U+0000, or does not
 * fit. */
bool json_string_copy(struct str raw, char *to, size_t size);
/* Whether a raw string (or member name) says `text`, escapes considered. */
bool json_string_is(struct str raw, const char *text);
bool json_string_equal(struct str raw_a, struct str raw_b);
/* Length in characters (Unicode code points) of a raw string: what min_length and max_length
 * count. */
size_t json_string_characters(struct str raw);
bool json_is_true(struct str raw);
/* An integer of 64 bits without fraction or exponent. */
bool json_integer(struct str raw, int64_t *value);
/* Compares two numbers by their decimal value, exactly, whatever their size: -1, 0, 1. */
int json_number_compare(struct str raw_a, struct str raw_b);
/* Whether both are the same JSON value: member order and white space do not matter, strings by what
 * they say, numbers by decimal value.  Objects with a name that stands twice are equal only in the
 * same order.  No heap; recursion and stack are bounded by the depth, at most 64 containers (deeper
 * ones are unequal), time by length * (members / 64 + depth): 64 KiB of members in opposite order
 * take tens of milliseconds. */
bool json_equal(struct str raw_a, struct str raw_b);

/* Bytes that the value takes which begins with the text's first byte; of checked text. */
size_t json_length(struct str text);
/* Walks the members of an object or the elements of an array, in order, without tokens. */
struct json_walk {
    struct str rest;
    bool is_object;
};

struct json_walk json_walk(struct str raw_container); /* of anything else: a walk without steps */
/* *name is the raw member name, quotes included (STR_NONE in arrays). False at the end. */
bool json_walk_next(struct json_walk *walk, struct str *name, struct str *value);
/* The member or element of a raw container, the first where a name stands twice; false (and *value
 * left alone) when it is not there or raw is no such container. */
bool json_member(struct str raw_object, const char *name, struct str *value);
bool json_member_named(struct str raw_object, struct str decoded_name, struct str *value);
bool json_element(struct str raw_array, size_t index, struct str *value);
size_t json_count(struct str raw_container);
/* Writes without white space between tokens. */
void json_compact(struct str raw, struct out *to);

/* --- trees of tokens (jsmn) ------------------------------------------------------------------- */

/* One token; the layout is jsmn's and read.c's business. */
struct json_token {
    int32_t words[5];
};

struct json_doc {
    struct str text;
    struct json_token *tokens; /* the caller's, as long as the doc is used */
    size_t max, count;
};

/* A value in a doc.  Node 0 is the outermost. */
struct json_node {
    const struct json_doc *doc;
    uint32_t at;
};

/* Tokenises checked text.  Containers nested deeper than `depth` become one token without children
 * (1: the members of the outermost container are tokens, containers among them opaque); 0 means no
 * bound.  ERR_FULL: more than max tokens; ERR_SYNTAX: jsmn and the check disagree, which would be a
 * bug. */
enum err json_parse(struct json_doc *doc, struct str text, struct json_token *tokens, size_t max,
                    unsigned depth);
struct json_node json_root(const struct json_doc *doc);
enum json_type json_node_type(struct json_node node);
struct str json_node_raw(struct json_node node);
/* Children: elements, or member values with *name (raw) before them.  Start with cursor 0. */
bool json_node_next(struct json_node container, uint32_t *cursor, struct str *name,
                    struct json_node *value);
bool json_node_member(struct json_node object, const char *name, struct json_node *value);

/* --- field tables ----------------------------------------------------------------------------- */

enum json_field_type {
    JSON_FIELD_RAW,     /* struct str: any value, raw, borrowed from the text */
    JSON_FIELD_OBJECT,  /* struct str: raw, must be an object */
    JSON_FIELD_ARRAY,   /* struct str: raw, must be an array */
    JSON_FIELD_STRING,  /* struct str: raw string with quotes and escapes, borrowed */
    JSON_FIELD_TEXT,    /* char[size]: decoded, NUL-terminated, no U+0000 */
    JSON_FIELD_INTEGER, /* int64_t */
    JSON_FIELD_BOOLEAN  /* bool */
};

enum { JSON_REQUIRED = 1, JSON_NULLABLE = 2 /* null counts as absent */ };

struct json_field {
    const char *name;
    enum json_field_type type;
    unsigned flags;
    size_t offset; /* offsetof the member that takes the value; absent fields leave it as it was */
    size_t size;   /* JSON_FIELD_TEXT: of the array */
    int64_t minimum, maximum; /* JSON_FIELD_INTEGER, where minimum < maximum */
};

/* What was wrong: `path` is the member's name ("" for the value itself), `reason` a phrase ("must
 * be a string"). */
struct json_field_error {
    char path[72];
    char reason[96];
};

/* Fills `into` from the members of a raw object.  ERR_INVALID with *error (a required one missing,
 * a wrong type, text too long, integer out of range), ERR_EXISTS when a known member stands there
 * twice.  Unknown members are skipped. */
enum err json_read(struct str raw_object, const struct json_field *fields, size_t count, void *into,
                   struct json_field_error *error);

#endif
