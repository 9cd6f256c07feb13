/* Owns the grammar of RFC 8259: one state, one byte, the next state.  Never looks back or ahead,
 * never keeps text. Invariant: `depth` containers are open and bit d of `is_object` tells the kind
 * of the one at depth d. */
#include "json/check.h"

#include "json/internal.h"
#include "json/utf8.h"

#define DEPTH_LIMIT 64 /* bits of is_object */

enum state {
    VALUE,         /* a value must begin */
    FIRST_ELEMENT, /* behind '[': a value or ']' */
    FIRST_KEY,     /* behind '{': a name or '}' */
    KEY,           /* behind a comma in an object */
    COLON,
    AFTER, /* behind a value: comma, closing bracket, or the end */
    STRING,
    ESCAPE,
    HEX,
    LOW_BACKSLASH, /* between the halves of an escaped surrogate pair */
    LOW_U,
    UTF8,
    LITERAL,
    LITERAL_DONE,
    /* Numbers, by what has been read: */
    MINUS,
    ZERO,
    INTEGER,
    POINT,
    FRACTION,
    EXPONENT,
    EXPONENT_SIGN,
    EXPONENT_DIGITS,
    REFUSED
};

static const char REASON_CONTROL[] = "a control character in a string";
static const char REASON_DEPTH[] = "nested too deeply";
static const char REASON_ESCAPE[] = "an unknown escape";
static const char REASON_HEX[] = "an escape \\u without four hexadecimal digits";
static const char REASON_SURROGATE[] = "half of a surrogate pair";
static const char REASON_UTF8[] = "a byte that is not UTF-8";
static const char REASON_BOM[] = "a byte order mark";
static const char REASON_NUMBER[] = "a number without the digit that must stand here";
static const char REASON_LITERAL[] = "a word other than true, false and null";
static const char REASON_VALUE[] = "something else where a value must begin";
static const char REASON_KEY[] = "something else where a member name must begin";
static const char REASON_COLON[] = "something else where a colon must stand";
static const char REASON_COMMA_OBJECT[] = "something else where a comma or '}' must stand";
static const char REASON_COMMA_ARRAY[] = "something else where a comma or ']' must stand";
static const char REASON_BEHIND[] = "more text behind the value";

void json_check_start(struct json_check *check, unsigned depth_max)
{
    *check = (struct json_check){
        .depth_max = (uint8_t)(depth_max < DEPTH_LIMIT ? depth_max : DEPTH_LIMIT), .state = VALUE};
}

static bool is_space(unsigned char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static bool is_digit(unsigned char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool in_object(const struct json_check *check)
{
    return check->depth > 0 && (check->is_object >> (check->depth - 1) & 1) != 0;
}

/* The functions below take a byte and answer NULL, or the reason why it cannot stand here. */

static const char *container_open(struct json_check *check, bool is_object)
{
    if (check->depth >= check->depth_max)
        return REASON_DEPTH;
    uint64_t bit = (uint64_t)1 << check->depth;
    check->is_object = is_object ? check->is_object | bit : check->is_object & ~bit;
    check->depth++;
    check->state = is_object ? FIRST_KEY : FIRST_ELEMENT;
    return NULL;
}

static void container_close(struct json_check *check, enum json_event *event)
{
    check->depth--;
    check->level = check->depth;
    check->state = AFTER;
    *event = JSON_VALUE_END;
}

static const char *on_value(struct json_check *check, unsigned char byte, enum json_event *event)
{
    if (is_space(byte))
        return NULL;
    *event = JSON_VALUE_START;
    check->level = check->depth;
    switch (byte) {
    case '{':
        return container_open(check, true);
    case '[':
        return container_open(check, false);
    case '"':
        check->in_key = false;
        check->state = STRING;
        return NULL;
    case '-':
        check->state = MINUS;
        return NULL;
    case '0':
        check->state = ZERO;
        return NULL;
    case 't':
    case 'f':
    case 'n':
        check->code_point = byte;
        check->sub = 1;
        check->state = LITERAL;
        return NULL;
    default:
        if (is_digit(byte)) {
            check->state = INTEGER;
            return NULL;
        }
        return byte == 0xEF && check->offset == 0 ? REASON_BOM : REASON_VALUE;
    }
}

static const char *on_key(struct json_check *check, unsigned char byte, enum json_event *event)
{
    if (is_space(byte))
        return NULL;
    if (byte != '"')
        return REASON_KEY;
    check->level = check->depth;
    check->in_key = true;
    check->state = STRING;
    *event = JSON_KEY_START;
    return NULL;
}

static const char *on_after(struct json_check *check, unsigned char byte, enum json_event *event)
{
    bool object = in_object(check);
    if (is_space(byte)) {
        check->state = AFTER;
    } else if (check->depth == 0) {
        return REASON_BEHIND;
    } else if (byte == ',') {
        check->state = object ? KEY : VALUE;
    } else if (byte == (object ? '}' : ']')) {
        container_close(check, event);
    } else {
        return object ? REASON_COMMA_OBJECT : REASON_COMMA_ARRAY;
    }
    return NULL;
}

/* The byte behind a number or literal. */
static const char *on_scalar_end(struct json_check *check, unsigned char byte,
                                 enum json_event *event)
{
    uint8_t level = check->depth;
    const char *problem = on_after(check, byte, event);
    check->closed = *event == JSON_VALUE_END;
    check->level = level;
    *event = JSON_SCALAR_ENDED;
    return problem;
}

static const char *on_literal(struct json_check *check, unsigned char byte)
{
    const char *word = check->code_point == 't'   ? "true"
                       : check->code_point == 'f' ? "false"
                                                  : "null";
    if (byte != (unsigned char)word[check->sub])
        return REASON_LITERAL;
    if (word[++check->sub] == '\0')
        check->state = LITERAL_DONE;
    return NULL;
}

static const char *on_number(struct json_check *check, unsigned char byte, enum json_event *event)
{
    bool digit = is_digit(byte);
    switch ((enum state)check->state) {
    case MINUS:
        check->state = byte == '0' ? ZERO : INTEGER;
        return digit ? NULL : REASON_NUMBER;
    case POINT:
        check->state = FRACTION;
        return digit ? NULL : REASON_NUMBER;
    case EXPONENT:
        check->state = digit ? EXPONENT_DIGITS : EXPONENT_SIGN;
        return digit || byte == '+' || byte == '-' ? NULL : REASON_NUMBER;
    case EXPONENT_SIGN:
        check->state = EXPONENT_DIGITS;
        return digit ? NULL : REASON_NUMBER;
    default:
        break;
    }
    if (digit && check->state != ZERO)
        return NULL;
    if (byte == '.' && (check->state == ZERO || check->state == INTEGER)) {
        check->state = POINT;
        return NULL;
    }
    if ((byte == 'e' || byte == 'E') && check->state != EXPONENT_DIGITS) {
        check->state = EXPONENT;
        return NULL;
    }
    return on_scalar_end(check, byte, event);
}

static const char *on_string(struct json_check *check, unsigned char byte, enum json_event *event)
{
    if (byte == '"') {
        *event = check->in_key ? JSON_KEY_END : JSON_VALUE_END;
        check->level = check->depth;
        check->state = check->in_key ? COLON : AFTER;
    } else if (byte == '\\') {
        check->state = ESCAPE;
    } else if (byte < 0x20) {
        return REASON_CONTROL;
    } else if (byte >= 0x80) {
        if (!utf8_lead(byte, &check->sub, &check->utf8_low, &check->utf8_high))
            return REASON_UTF8;
        check->state = UTF8;
    }
    return NULL;
}

static const char *on_utf8(struct json_check *check, unsigned char byte)
{
    if (byte < check->utf8_low || byte > check->utf8_high)
        return REASON_UTF8;
    check->utf8_low = 0x80;
    check->utf8_high = 0xBF;
    if (--check->sub == 0)
        check->state = STRING;
    return NULL;
}

static const char *on_escape(struct json_check *check, unsigned char byte)
{
    switch (byte) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        check->state = STRING;
        return NULL;
    case 'u':
        check->code_point = 0;
        check->sub = 0;
        check->state = HEX;
        return NULL;
    default:
        return REASON_ESCAPE;
    }
}

/* While the second half of a pair is read, code_point holds the first half's ten bits above it. */
static const char *on_hex(struct json_check *check, unsigned char byte)
{
    unsigned char letter = byte | 0x20;
    uint32_t digit;
    if (is_digit(byte))
        digit = (uint32_t)(byte - '0');
    else if (letter >= 'a' && letter <= 'f')
        digit = (uint32_t)(letter - 'a' + 10);
    else
        return REASON_HEX;
    check->code_point = check->code_point << 4 | digit;
    if (++check->sub < 4)
        return NULL;
    uint32_t unit = check->code_point & 0xFFFF;
    bool is_low = unit >= 0xDC00 && unit <= 0xDFFF;
    if (check->high_surrogate != is_low)
        return REASON_SURROGATE;
    if (is_low) {
        uint32_t high = check->code_point >> 16 & 0x3FF;
        check->code_point = 0x10000 + (high << 10 | (unit & 0x3FF));
        check->high_surrogate = false;
        check->state = STRING;
    } else if (unit >= 0xD800 && unit <= 0xDBFF) {
        check->high_surrogate = true;
        check->state = LOW_BACKSLASH;
    } else {
        check->state = STRING;
    }
    return NULL;
}

static const char *step(struct json_check *check, unsigned char byte, enum json_event *event)
{
    switch ((enum state)check->state) {
    case VALUE:
        return on_value(check, byte, event);
    case FIRST_ELEMENT:
        if (byte == ']') {
            container_close(check, event);
            return NULL;
        }
        return on_value(check, byte, event);
    case FIRST_KEY:
        if (byte == '}') {
            container_close(check, event);
            return NULL;
        }
        return on_key(check, byte, event);
    case KEY:
        return on_key(check, byte, event);
    case COLON:
        if (byte == ':')
            check->state = VALUE;
        return byte == ':' || is_space(byte) ? NULL : REASON_COLON;
    case AFTER:
        return on_after(check, byte, event);
    case STRING:
        return on_string(check, byte, event);
    case ESCAPE:
        return on_escape(check, byte);
    case HEX:
        return on_hex(check, byte);
    case LOW_BACKSLASH:
        check->state = LOW_U;
        return byte == '\\' ? NULL : REASON_SURROGATE;
    case LOW_U:
        check->sub = 0;
        check->state = HEX;
        return byte == 'u' ? NULL : REASON_SURROGATE;
    case UTF8:
        return on_utf8(check, byte);
    case LITERAL:
        return on_literal(check, byte);
    case LITERAL_DONE:
        return on_scalar_end(check, byte, event);
    case MINUS:
    case ZERO:
    case INTEGER:
    case POINT:
    case FRACTION:
    case EXPONENT:
    case EXPONENT_SIGN:
    case EXPONENT_DIGITS:
        return on_number(check, byte, event);
    case REFUSED:
        break;
    }
    return check->reason;
}

static enum err refuse(struct json_check *check, const char *reason)
{
    check->reason = reason;
    check->state = REFUSED;
    return ERR_SYNTAX;
}

enum err json_check_byte(struct json_check *check, unsigned char byte, enum json_event *event)
{
    *event = JSON_NOTHING;
    const char *problem = step(check, byte, event);
    if (problem != NULL) {
        *event = JSON_NOTHING;
        return refuse(check, problem);
    }
    check->offset++;
    return OK;
}

size_t json_check_skip(struct json_check *check, struct str bytes)
{
    if (check->state != STRING)
        return 0;
    size_t n = json_plain_run(bytes);
    check->offset += n;
    return n;
}

enum err json_check_feed(struct json_check *check, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        enum json_event event;
        i += json_check_skip(check, str_from(bytes, i));
        if (i == bytes.n)
            break;
        if (json_check_byte(check, (unsigned char)bytes.p[i], &event) != OK)
            return ERR_SYNTAX;
    }
    return check->state == REFUSED ? ERR_SYNTAX : OK;
}

bool json_check_is_complete(const struct json_check *check)
{
    return check->depth == 0 && (check->state == AFTER || check->state == LITERAL_DONE);
}

enum err json_check_end(struct json_check *check)
{
    if (json_check_is_complete(check))
        return OK;
    switch ((enum state)check->state) {
    case REFUSED:
        return ERR_SYNTAX;
    case ZERO:
    case INTEGER:
    case FRACTION:
    case EXPONENT_DIGITS:
        return check->depth == 0 ? OK : refuse(check, "the text ends inside a container");
    case STRING:
    case ESCAPE:
    case HEX:
    case LOW_BACKSLASH:
    case LOW_U:
    case UTF8:
        return refuse(check, "the text ends inside a string");
    case LITERAL:
        return refuse(check, "the text ends inside a word");
    case MINUS:
    case POINT:
    case EXPONENT:
    case EXPONENT_SIGN:
        return refuse(check, "the text ends inside a number");
    default:
        return refuse(check, check->depth == 0 ? "no value" : "the text ends inside a container");
    }
}

enum err json_check(struct str text, unsigned depth_max, struct json_problem *problem)
{
    struct json_check check;
    json_check_start(&check, depth_max);
    enum err err = json_check_feed(&check, text);
    if (err == OK)
        err = json_check_end(&check);
    if (err != OK && problem != NULL)
        *problem = (struct json_problem){.reason = check.reason, .offset = (size_t)check.offset};
    return err;
}
