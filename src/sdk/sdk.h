/* What the sources of libcharter-integration share; authors see charter/integration.h alone.  All state is one struct on the stack of
 * charter_integration_main(): the library has no writable globals and takes no heap. */
#ifndef SDK_SDK_H
#define SDK_SDK_H

#include "charter/integration.h"
#include "rpc/envelope.h"
#include "rpc/line.h"

/* Bytes of the request buffer that a request may not fill, so that a `cancel` can be read behind it. */
#define SDK_RESERVE 256
/* Containers that a value may have within each other, so that the message around it keeps to the limit. */
#define SDK_DEPTH (LIMIT_JSON_DEPTH - 2)

_Static_assert(SDK_DEPTH <= 64, "a writer keeps its nesting in 64 bits");

enum sdk_phase { SDK_IDLE, SDK_SETUP, SDK_EXECUTE, SDK_TEARDOWN };

struct charter_ctx {
    const struct charter_integration *integration;
    enum sdk_phase phase;
    bool set_up;

    int in, out;
    struct line_reader reader; /* over the front of the request buffer */
    size_t bottom; /* of the decoded strings, which grow from the buffer's end towards its front */
    bool ended;    /* stdin has */
    bool behind;   /* a whole request waits behind the present one */
    bool broken;   /* stdout refused a message */

    struct str id; /* of the present request, raw */
    int64_t started_ms;
    bool cancelled, told;
    struct charter_setup setup;
    struct charter_execute execute; /* all zeros outside of execute */

    bool failed;
    struct charter_error error;
    struct charter_writer writer; /* of the value */
    bool has_value;
    struct charter_execute_result file; /* where path is not "" */
};

static inline struct str sdk_str(struct charter_value value)
{
    return str_range(value.json, value.length);
}

static inline struct charter_value sdk_value(struct str raw)
{
    struct charter_value value = {raw.p, raw.n};
    return value;
}

/* serve.c: until stdin ends; what charter_integration_main() answers.  in, out, reader and integration are set. */
int sdk_serve(struct charter_ctx *ctx);

/* stream.c: the next line; ERR_END; ERR_TOO_LARGE with *size what is known of its length; ERR_IO. */
enum err sdk_next(struct charter_ctx *ctx, struct str *line, size_t *size);
/* Reads what has come for the present request, without blocking. */
void sdk_look(struct charter_ctx *ctx);
/* Room for n bytes of decoded text that live as long as the request; NULL where there is none. */
char *sdk_room(struct charter_ctx *ctx, size_t n);

/* send.c: one line on stdout, in pieces. */
struct sdk_line {
    struct charter_ctx *ctx;
    size_t n;
    char chunk[1024];
};
void sdk_line_start(struct sdk_line *line, struct charter_ctx *ctx);
void sdk_line_add(struct sdk_line *line, struct str bytes);
void sdk_line_end(struct sdk_line *line);
void sdk_send_error(struct charter_ctx *ctx, struct str id, const struct rpc_error *error);
void sdk_send_result(struct charter_ctx *ctx);

/* number.c: doubles and JSON, whatever the locale's decimal point. */
bool sdk_number_read(struct str raw, double *value);
void sdk_number_write(struct out *out, double value); /* finite */
bool sdk_number_is_finite(double value);

/* value.c */
struct str sdk_find(struct str in, const char *path);
const char *sdk_type_name(struct str raw); /* "a string", "null" */
/* A value that may stand in a message, trimmed; STR_NONE for what is no JSON. */
struct str sdk_checked(struct str text, unsigned depth);

/* field.c: `partial`: required fields may be missing. */
int sdk_fill(struct str object, const struct charter_field *fields, size_t count, bool others,
             bool partial, const char *root, void *into, struct charter_error *error);
/* Why a table cannot be used, or NULL. */
const char *sdk_table_problem(const struct charter_field *fields, size_t count, const void *into);

/* describe.c */
void sdk_describe(struct charter_writer *w, const struct charter_integration *integration);

/* format.c: out_vformat_cut() in the library. */
void sdk_vformat_cut(struct out *out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* model.c */
void sdk_error_set(struct charter_error *error, int64_t code, const char *path, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
void sdk_rpc_error(const struct charter_error *error, struct rpc_error *to);

#endif
