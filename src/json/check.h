/* Strict RFC 8259 over bytes as they come: the gate that all outside JSON passes before anything
 * else reads it. One value, surrounded by white space; UTF-8 without overlong forms, surrogates or
 * NUL; escaped surrogates in pairs only; nesting bounded.  No memory but the struct, no recursion,
 * any split of the input gives the same answer. */
#ifndef JSON_CHECK_H
#define JSON_CHECK_H

#include "base/err.h"
#include "base/str.h"

/* What a byte did, for those who want more than yes or no (json/scan.c).  `level` then says how
 * many containers are open around the key or value: 0 for the outermost value. */
enum json_event {
    JSON_NOTHING,
    JSON_KEY_START,   /* the opening quote of a member's name */
    JSON_KEY_END,     /* the closing quote */
    JSON_VALUE_START, /* the first byte of a value: quote, bracket, digit, '-' or letter */
    JSON_VALUE_END,   /* the last byte of a string or container */
    JSON_SCALAR_ENDED /* the byte behind a number or literal; see `closed` */
};

struct json_check {
    uint64_t is_object;  /* bit d: the container at depth d is an object */
    uint64_t offset;     /* bytes taken so far */
    const char *reason;  /* of the refusal; static storage */
    uint32_t code_point; /* of the last \u escape, surrogates joined */
    uint8_t depth, depth_max;
    uint8_t level; /* of the last event's key or value */
    uint8_t state;
    uint8_t sub;                 /* place inside a literal, escape or UTF-8 sequence */
    uint8_t utf8_low, utf8_high; /* bounds of the next continuation byte */
    bool in_key;
    bool closed;         /* after JSON_SCALAR_ENDED: the byte also ended the container around */
    bool high_surrogate; /* the first half of an escaped pair was read, the second is due */
};

/* depth_max: containers within each other, at most 64. */
void json_check_start(struct json_check *check, unsigned depth_max);
/* One byte.  ERR_SYNTAX: refused, `reason` and `offset` (of the bad byte) say why and where;
 * further bytes give the same. */
enum err json_check_byte(struct json_check *check, unsigned char byte, enum json_event *event);
/* Takes the bytes at the head that stand inside a string and cannot cause an event or a refusal;
 * their number. */
size_t json_check_skip(struct json_check *check, struct str bytes);
/* Many bytes. */
enum err json_check_feed(struct json_check *check, struct str bytes);
/* The input ends here: OK when one whole value was seen. */
enum err json_check_end(struct json_check *check);
/* True once the outermost value is complete (a number at the outermost level only at the end). */
bool json_check_is_complete(const struct json_check *check);

struct json_problem {
    const char *reason; /* static storage */
    size_t offset;      /* bytes from the start of the text */
};

/* A whole text at once; problem may be NULL. */
enum err json_check(struct str text, unsigned depth_max, struct json_problem *problem);

#endif
