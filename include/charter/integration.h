/* Integrations of charter-daemon in C99 (and C++): the manual of libcharter-integration.
 *
 * An integration is a program that the daemon starts.  It is asked to set up, to execute steps one after the other, and to tear down,
 * over stdin and stdout.  With this library an author writes functions, and one call serves the protocol:
 *
 *     static char request[CHARTER_REQUEST_DEFAULT], answer[4096];
 *
 *     static int greet(struct charter_ctx *ctx)
 *     {
 *         const char *name = charter_input_string(ctx, "name");
 *         charter_log(ctx, CHARTER_LOG_INFO, "greeting %s", name);
 *         struct charter_writer *w = charter_result(ctx);
 *         charter_write_object(w);
 *         charter_put_string(w, "greeted", name);
 *         charter_write_object_end(w);
 *         return 0;
 *     }
 *
 *     static const struct charter_integration greeter = {
 *         .name = "greeter", .execute = greet,
 *         .request = request, .request_size = sizeof request, .answer = answer, .answer_size = sizeof answer,
 *     };
 *
 *     int main(int argc, char **argv)
 *     {
 *         return charter_integration_main(argc, argv, &greeter);
 *     }
 *
 * Build it with: cc greeter.c $(pkg-config --cflags --libs charter-integration)
 *
 * Rules that hold for everything here:
 *  - Nothing takes heap.  All memory is the two buffers of struct charter_integration, which the author sizes, and some 8 KiB of stack.
 *  - One thread: all calls with a ctx come from the thread that called charter_integration_main(), while one of its callbacks runs.
 *  - What a call lends (strings, struct charter_value, the structs behind pointers) lives until the present callback returns.
 *  - Sizes are bytes, times milliseconds.  Strings are UTF-8 and end with NUL; bytes that are not UTF-8 become U+FFFD on the way out.
 *  - stdin and stdout belong to the protocol and are moved out of the way: during charter_integration_main() fd 0 reads nothing and what is
 *    printed to stdout goes where stderr goes, which the daemon keeps as log lines.  Children of the program inherit it so.
 *  - Signal dispositions are left alone.
 *  - int callbacks and calls that say so answer 0 for success, -1 for failure. */
#ifndef CHARTER_INTEGRATION_H
#define CHARTER_INTEGRATION_H

#include "charter/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CHARTER_PRINTF(text, rest) __attribute__((__format__(__printf__, text, rest)))
#else
#define CHARTER_PRINTF(text, rest)
#endif

/* The present callback and all that belongs to it; opaque. */
struct charter_ctx;

/* --- the integration ---------------------------------------------------------------------------------------------------------- */

/* What a step's value is declared to be.  The daemon never converts: another type fails the step with kind "output_type". */
enum charter_output_type {
    CHARTER_OUTPUT_JSON, /* any; the default */
    CHARTER_OUTPUT_TEXT, /* a string */
    CHARTER_OUTPUT_NUMBER,
    CHARTER_OUTPUT_BOOLEAN,
    CHARTER_OUTPUT_LIST,
    CHARTER_OUTPUT_OBJECT,
    CHARTER_OUTPUT_ARTIFACT /* kept as a file even when small */
};
/* "json", "text"… */
const char *charter_output_type_name(enum charter_output_type type);

enum charter_field_type {
    CHARTER_FIELD_STRING, /* char[]: NUL-terminated; a longer one, or one with U+0000, is refused */
    CHARTER_FIELD_INTEGER, /* int64_t: no fraction, no exponent */
    CHARTER_FIELD_NUMBER,  /* double */
    CHARTER_FIELD_BOOLEAN, /* bool */
    CHARTER_FIELD_LIST,    /* struct charter_value, lent */
    CHARTER_FIELD_OBJECT,  /* struct charter_value, lent */
    CHARTER_FIELD_ANY      /* struct charter_value, lent */
};

enum { CHARTER_REQUIRED = 1 };

/* Where a field goes: its place and size in the author's struct. */
#define CHARTER_AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)

/* One member of a config or of inputs: where it goes, and its JSON Schema.  At most 64 to a table. */
struct charter_field {
    const char *name;
    enum charter_field_type type;
    size_t offset, size; /* CHARTER_AT(struct mine, member) */
    unsigned flags;      /* CHARTER_REQUIRED, or 0 */
    /* JSON, such as "20" or "\"GET\""; NULL: what is absent becomes all zeros. */
    const char *default_json;
    const char *help;    /* a phrase for people, or NULL */
    const char *minimum; /* integers and numbers: a JSON number, or NULL */
    const char *maximum;
    const char *choices; /* a JSON array of all values that are allowed, or NULL */
};

enum {
    CHARTER_OTHER_CONFIG =
        1, /* members of the config that no field names are allowed, and ignored */
    CHARTER_OTHER_INPUTS = 2
};

/* The struct of functions.  It and all that it points to must outlive charter_integration_main(). */
struct charter_integration {
    const char *name; /* what --describe says */

    /* Called once, before the first step; NULL: nothing to do.  A failure refuses the run's step with kind "setup_failed". */
    int (*setup)(struct charter_ctx *ctx);
    /* Called for each step.  The value is what was returned in it (charter_return_…, charter_result), else null. */
    int (*execute)(struct charter_ctx *ctx);
    /* Called once after a setup that succeeded: when the daemon asks for it, or when it has gone.  NULL: nothing to do. */
    int (*teardown)(struct charter_ctx *ctx);
    /* Called once when the daemon cancels the step (or its time is up), from inside of a call that looks for it: charter_is_cancelled(),
     * charter_wait(), charter_log(), charter_progress().  For interrupting what the author started.  NULL: execute looks itself. */
    void (*cancel)(struct charter_ctx *ctx);

    /* Typed config.  Before setup `config` is filled from the project's config, where required fields may still be missing; before each
     * execute from the same overlaid by the step's `with`, where they may not.  Bad config is refused with -32006, naming its path, and the
     * callback is not called.  --describe tells the daemon, which then refuses it before anything is started. */
    const struct charter_field *config_fields; /* NULL: any config, see charter_config_… */
    size_t config_field_count;
    void *config;
    /* The same for the step's `inputs`, filled before each execute. */
    const struct charter_field *input_fields;
    size_t input_field_count;
    void *inputs;
    unsigned flags; /* CHARTER_OTHER_CONFIG | CHARTER_OTHER_INPUTS */
    enum charter_output_type output_type;

    /* Holds one request, and behind it the strings that accessors decode: twice the longest request always suffices.  A request that does
     * not fit is answered with -32001 and the program stays usable.  At least 1024 bytes. */
    char *request;
    size_t request_size;
    /* Holds a step's value as JSON, and for --describe its answer.  A longer value fails the step: write a file and return that. */
    char *answer;
    size_t answer_size;

    void *user; /* the author's own; see charter_user() */
};

/* Serves the protocol until the daemon closes stdin, or answers `--describe` on stdout.  The exit status for main(): 0 in order, 1 where stdin
 * or stdout failed, 2 where the arguments or `integration` are wrong (said on stderr). */
int charter_integration_main(int argc, char **argv, const struct charter_integration *integration);

/* --- values ----------------------------------------------------------------------------------------------------------------- */

/* A JSON value inside of a message, as it was written, escapes and all; lent.  Numbers keep every digit. */
struct charter_value {
    const char *json; /* not NUL-terminated */
    size_t length;    /* 0: there is no value */
};

enum charter_type {
    CHARTER_TYPE_NONE,
    CHARTER_TYPE_NULL,
    CHARTER_TYPE_BOOLEAN,
    CHARTER_TYPE_NUMBER,
    CHARTER_TYPE_STRING,
    CHARTER_TYPE_LIST,
    CHARTER_TYPE_OBJECT
};

/* Checks strictly (RFC 8259, 32 containers within each other at most) and lends what it was given; no value where it is not JSON. */
struct charter_value charter_parse(const char *json, size_t length);
enum charter_type charter_type_of(struct charter_value value);
/* Follows a path: "name", "name.inner", "list[2].name", "[0]"; "" is the value itself.  No value where it leads nowhere. */
struct charter_value charter_find(struct charter_value in, const char *path);
size_t charter_count(struct charter_value container); /* members or elements; 0 for others */
/* Each converts, or leaves *to alone and answers false: another type, an integer with a fraction or over 64 bits, a string that holds U+0000
 * or does not fit with its NUL. */
bool charter_to_boolean(struct charter_value value, bool *to);
bool charter_to_integer(struct charter_value value, int64_t *to);
bool charter_to_number(struct charter_value value,
                       double *to); /* to the nearest; false beyond a double's range */
bool charter_to_string(struct charter_value value, char *to, size_t size);
bool charter_string_is(struct charter_value value, const char *text);

/* Walks members or elements in their order:
 *     struct charter_walk walk = charter_walk_of(list);
 *     while (charter_walk_next(&walk, &name, &item)) … */
struct charter_walk {
    const char *rest;
    size_t length;
    bool is_object;
};
struct charter_walk charter_walk_of(struct charter_value container);
/* `name` may be NULL; it gets the member's name as a string value, no value in lists. */
bool charter_walk_next(struct charter_walk *walk, struct charter_value *name,
                       struct charter_value *value);

/* --- what a step is given ------------------------------------------------------------------------------------------------------ */

/* ResolvedStep. */
struct charter_step {
    char id[CHARTER_NAME_MAX + 1];
    char uses[CHARTER_NAME_MAX + 1];
    char output[CHARTER_NAME_MAX + 1]; /* "" where the step has none */
    enum charter_output_type output_type;
    struct charter_value
        with_config; /* the project's config, overlaid by the plan's and the step's `with` */
};

/* StepContext. */
struct charter_context {
    char run_id[CHARTER_RUN_ID_MAX + 1];
    char workflow_id[CHARTER_NAME_MAX + 1];
    int64_t attempt;                                       /* from 1 */
    char idempotency_key[CHARTER_IDEMPOTENCY_KEY_MAX + 1]; /* the same on every attempt */
    int64_t deadline_ms; /* left when the request was written; CHARTER_NO_DEADLINE */
    char artifacts_dir[CHARTER_PATH_MAX + 1]; /* a directory to write files into */
    struct charter_value inputs;              /* what the step should use */
    struct charter_value outputs;             /* values of earlier steps by step id */
    struct charter_value named_outputs;       /* the same by output name */
};

#define CHARTER_NO_DEADLINE (-1)

/* Never NULL; empty outside of execute. */
const struct charter_step *charter_step_of(const struct charter_ctx *ctx);
const struct charter_context *charter_context_of(const struct charter_ctx *ctx);
const char *charter_run_id(const struct charter_ctx *ctx); /* also in setup and teardown */
const char *charter_integration_name(
    const struct charter_ctx *ctx); /* by which the project knows this program */
void *charter_user(const struct charter_ctx *ctx);

/* Access by path.  Each of these exists for four roots, here with `input`:
 *
 *     charter_input_string(ctx, "city")             charter_input_string_or(ctx, "city", "Berlin")
 *     charter_config_…        the step's with_config; in setup the project's config
 *     charter_input_…         the step's inputs
 *     charter_output_…        "fetch.status": outputs by step id
 *     charter_named_output_…  "weather.days[0]"
 *
 * Without a default, what is missing or has another type fails the step with -32006 and a message such as "inputs.days must be an integer, it is a
 * string" (not retried); the answer then is "", 0, false or no value, execute may go on, and charter_has_failed() says so.  With a default, a
 * missing value and null give the default; another type fails.  Strings are lent: decoded once into the request buffer, however often they are
 * asked for.  An artifact that was not hydrated is an object with "$artifact". */
enum charter_root {
    CHARTER_ROOT_CONFIG,
    CHARTER_ROOT_INPUTS,
    CHARTER_ROOT_OUTPUTS,
    CHARTER_ROOT_NAMED_OUTPUTS
};

const char *charter_get_string(struct charter_ctx *ctx, enum charter_root root, const char *path);
int64_t charter_get_integer(struct charter_ctx *ctx, enum charter_root root, const char *path);
double charter_get_number(struct charter_ctx *ctx, enum charter_root root, const char *path);
bool charter_get_boolean(struct charter_ctx *ctx, enum charter_root root, const char *path);
struct charter_value charter_get_value(struct charter_ctx *ctx, enum charter_root root,
                                       const char *path);
const char *charter_get_string_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                                  const char *otherwise);
int64_t charter_get_integer_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                               int64_t otherwise);
double charter_get_number_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                             double otherwise);
bool charter_get_boolean_or(struct charter_ctx *ctx, enum charter_root root, const char *path,
                            bool otherwise);
/* Whether there is a value other than null. */
bool charter_has(const struct charter_ctx *ctx, enum charter_root root, const char *path);

#define CHARTER_ACCESSORS(name, root)                                                              \
    static inline const char *charter_##name##_string(struct charter_ctx *ctx, const char *path)   \
    {                                                                                              \
        return charter_get_string(ctx, root, path);                                                \
    }                                                                                              \
    static inline int64_t charter_##name##_integer(struct charter_ctx *ctx, const char *path)      \
    {                                                                                              \
        return charter_get_integer(ctx, root, path);                                               \
    }                                                                                              \
    static inline double charter_##name##_number(struct charter_ctx *ctx, const char *path)        \
    {                                                                                              \
        return charter_get_number(ctx, root, path);                                                \
    }                                                                                              \
    static inline bool charter_##name##_boolean(struct charter_ctx *ctx, const char *path)         \
    {                                                                                              \
        return charter_get_boolean(ctx, root, path);                                               \
    }                                                                                              \
    static inline struct charter_value charter_##name##_value(struct charter_ctx *ctx,             \
                                                              const char *path)                    \
    {                                                                                              \
        return charter_get_value(ctx, root, path);                                                 \
    }                                                                                              \
    static inline const char *charter_##name##_string_or(struct charter_ctx *ctx,                  \
                                                         const char *path, const char *otherwise)  \
    {                                                                                              \
        return charter_get_string_or(ctx, root, path, otherwise);                                  \
    }                                                                                              \
    static inline int64_t charter_##name##_integer_or(struct charter_ctx *ctx, const char *path,   \
                                                      int64_t otherwise)                           \
    {                                                                                              \
        return charter_get_integer_or(ctx, root, path, otherwise);                                 \
    }                                                                                              \
    static inline double charter_##name##_number_or(struct charter_ctx *ctx, const char *path,     \
                                                    double otherwise)                              \
    {                                                                                              \
        return charter_get_number_or(ctx, root, path, otherwise);                                  \
    }                                                                                              \
    static inline bool charter_##name##_boolean_or(struct charter_ctx *ctx, const char *path,      \
                                                   bool otherwise)                                 \
    {                                                                                              \
        return charter_get_boolean_or(ctx, root, path, otherwise);                                 \
    }                                                                                              \
    static inline bool charter_##name##_has(const struct charter_ctx *ctx, const char *path)       \
    {                                                                                              \
        return charter_has(ctx, root, path);                                                       \
    }

CHARTER_ACCESSORS(config, CHARTER_ROOT_CONFIG)
CHARTER_ACCESSORS(input, CHARTER_ROOT_INPUTS)
CHARTER_ACCESSORS(output, CHARTER_ROOT_OUTPUTS)
CHARTER_ACCESSORS(named_output, CHARTER_ROOT_NAMED_OUTPUTS)
#undef CHARTER_ACCESSORS

/* --- failing ---------------------------------------------------------------------------------------------------------------- */

/* Fails the present request.  `code` is a JSON-RPC error code: one of charter/protocol.h, or the author's own (positive, say).  The message names
 * the thing and the fact; over 255 bytes it is cut.  The first failure counts.  Always -1, so that a callback can say
 * `return charter_fail(ctx, CHARTER_TIMEOUT, "%s did not answer", host);`.  A plan's `retry` may try the step again. */
int charter_fail(struct charter_ctx *ctx, int code, const char *format, ...) CHARTER_PRINTF(3, 4);
/* The same, and trying again would be in vain: data.retry is false. */
int charter_fail_for_good(struct charter_ctx *ctx, int code, const char *format, ...)
    CHARTER_PRINTF(3, 4);
bool charter_has_failed(const struct charter_ctx *ctx);

/* --- returning a value ------------------------------------------------------------------------------------------------------- */

/* Sets the step's value, in the place of one that was set before; 0, or -1 where it does not fit the answer buffer, is not JSON, or no number (then
 * the step has failed). */
int charter_return_string(struct charter_ctx *ctx, const char *text); /* NULL: null */
int charter_return_integer(struct charter_ctx *ctx, int64_t value);
int charter_return_number(struct charter_ctx *ctx, double value); /* finite */
int charter_return_boolean(struct charter_ctx *ctx, bool value);
int charter_return_json(struct charter_ctx *ctx, const char *json, size_t length);
int charter_return_value(struct charter_ctx *ctx, struct charter_value value);
/* A file that execute has written becomes the value, whatever its size: a path inside of artifacts_dir, absolute or relative to it.  media_type NULL:
 * application/octet-stream.  What is application/json or text can be used by later steps like any value. */
int charter_return_file(struct charter_ctx *ctx, const char *path, const char *media_type);
/* A writer for the step's value (below); begins anew at each call.  Not whole when execute returns: the step fails. */
struct charter_writer *charter_result(struct charter_ctx *ctx);

/* --- telling, asking ---------------------------------------------------------------------------------------------------------- */

enum charter_log_level {
    CHARTER_LOG_DEBUG,
    CHARTER_LOG_INFO,
    CHARTER_LOG_WARNING,
    CHARTER_LOG_ERROR
};

/* A `step.log` event; over 1023 bytes it is cut. */
void charter_log(struct charter_ctx *ctx, enum charter_log_level level, const char *format, ...)
    CHARTER_PRINTF(3, 4);
/* A `step.progress` event.  total < 0: not known.  message may be NULL. */
void charter_progress(struct charter_ctx *ctx, int64_t current, int64_t total, const char *message);

/* Whether the daemon wants the step to end (cancelled, timed out), or has gone.  Looks without blocking; a system call, so not for the innermost
 * loop.  After its grace time the daemon ends the program's process group with signals. */
bool charter_is_cancelled(struct charter_ctx *ctx);
/* Left now, never negative; CHARTER_NO_DEADLINE. */
int64_t charter_deadline_ms(const struct charter_ctx *ctx);

enum { CHARTER_READABLE = 1, CHARTER_WRITABLE = 2 };
enum charter_wait {
    CHARTER_WAIT_READY,
    CHARTER_WAIT_TIMEOUT,
    CHARTER_WAIT_CANCELLED,
    CHARTER_WAIT_FAILED
};
/* Waits until fd is ready for one of `events` (or has an end or an error to tell), the timeout or the step's deadline is over, or the step is
 * cancelled.  fd -1: only sleeps.  timeout_ms -1: no timeout of its own. */
enum charter_wait charter_wait(struct charter_ctx *ctx, int fd, unsigned events,
                               int64_t timeout_ms);

/* --- writing JSON -------------------------------------------------------------------------------------------------------------- */

/* Puts one JSON value into a buffer: commas, colons and escapes come by themselves.  Errors stick: what does not fit, or stands in a place where JSON
 * does not have it, sets `failed` and nothing more is written.  At most 30 containers within each other. */
struct charter_writer {
    char *buffer;
    size_t size;
    size_t length; /* bytes written */
    bool failed;
    /* inside */
    bool after_key;
    unsigned char depth;
    uint64_t has_items, objects; /* bit d: of the container at depth d */
};

struct charter_writer charter_writer_on(char *buffer, size_t size);
/* Whether one whole value stands there. */
bool charter_writer_is_whole(const struct charter_writer *w);
struct charter_value
charter_writer_value(const struct charter_writer *w); /* no value unless it is whole */

void charter_write_object(struct charter_writer *w);
void charter_write_object_end(struct charter_writer *w);
void charter_write_list(struct charter_writer *w);
void charter_write_list_end(struct charter_writer *w);
void charter_write_key(struct charter_writer *w, const char *name);
void charter_write_string(struct charter_writer *w, const char *text); /* NULL: null */
void charter_write_bytes(struct charter_writer *w, const char *text, size_t length); /* a string */
void charter_write_integer(struct charter_writer *w, int64_t value);
void charter_write_number(struct charter_writer *w,
                          double value); /* the shortest text that gives the same double; finite */
void charter_write_boolean(struct charter_writer *w, bool value);
void charter_write_null(struct charter_writer *w);
void charter_write_value(struct charter_writer *w,
                         struct charter_value value); /* checked; no value: null */

/* Key and value in one. */
void charter_put_string(struct charter_writer *w, const char *key, const char *text);
void charter_put_integer(struct charter_writer *w, const char *key, int64_t value);
void charter_put_number(struct charter_writer *w, const char *key, double value);
void charter_put_boolean(struct charter_writer *w, const char *key, bool value);
void charter_put_null(struct charter_writer *w, const char *key);
void charter_put_value(struct charter_writer *w, const char *key, struct charter_value value);

/* --- the messages by themselves --------------------------------------------------------------------------------------------- */

/* For programs that carry the protocol elsewhere: reading and writing each message, without charter_integration_main().  Both directions, by the
 * rules and the code of the daemon.  Readers answer 0, or -1 with *error set to what to answer; structs hold views into the text that was read.
 * Writers append one message without its line feed to a writer and leave it `failed` where it did not fit. */
struct charter_error {
    int64_t code;
    bool no_retry;     /* data.retry is false */
    char path[72];     /* data.path: what is wrong, "" where nothing has a name */
    char message[256]; /* cut where it was longer */
};

enum charter_message_kind {
    CHARTER_MESSAGE_REQUEST,
    CHARTER_MESSAGE_NOTIFICATION,
    CHARTER_MESSAGE_ANSWER
};

struct charter_message {
    enum charter_message_kind kind;
    struct charter_value id; /* a string or an integer; no value in notifications */
    char method[48];         /* "" in answers, and where it is longer than any that is known */
    struct charter_value params, result, error;
};

struct charter_setup {
    char run_id[CHARTER_RUN_ID_MAX + 1];
    char integration[CHARTER_NAME_MAX + 1];
    struct charter_value config;
};

struct charter_execute {
    struct charter_step step;
    struct charter_context context;
};

/* Exactly one of both: value.length > 0, or path[0] != 0. */
struct charter_execute_result {
    struct charter_value value;
    char path[CHARTER_ARTIFACT_PATH_MAX + 1];
    char media_type[CHARTER_MEDIA_TYPE_MAX + 1];
};

struct charter_log_params {
    enum charter_log_level level; /* unknown names are CHARTER_LOG_INFO */
    struct charter_value message; /* a string */
};

struct charter_progress_params {
    struct charter_value current; /* a number */
    struct charter_value total;   /* a number, or no value */
    struct charter_value message; /* a string, or no value */
};

/* One line, without its line feed. */
int charter_read_message(const char *line, size_t length, struct charter_message *message,
                         struct charter_error *error);
int charter_read_setup(struct charter_value params, struct charter_setup *setup,
                       struct charter_error *error);
int charter_read_execute(struct charter_value params, struct charter_execute *execute,
                         struct charter_error *error);
int charter_read_teardown(struct charter_value params, struct charter_error *error);
int charter_read_cancel(struct charter_value params, struct charter_value *id,
                        struct charter_error *error);
int charter_read_log(struct charter_value params, struct charter_log_params *log,
                     struct charter_error *error);
int charter_read_progress(struct charter_value params, struct charter_progress_params *progress,
                          struct charter_error *error);
/* The results of setup and teardown: -1 also where it says that it is not ok. */
int charter_read_ok(struct charter_value result, struct charter_error *error);
/* Also held against the step's output type, as the daemon does. */
int charter_read_execute_result(struct charter_value result, enum charter_output_type type,
                                struct charter_execute_result *to, struct charter_error *error);
/* The `error` member of an answer. */
int charter_read_error(struct charter_value value, struct charter_error *to,
                       struct charter_error *error);

void charter_write_setup(struct charter_writer *w, const char *id,
                         const struct charter_setup *setup);
void charter_write_execute(struct charter_writer *w, const char *id,
                           const struct charter_execute *execute);
void charter_write_teardown(struct charter_writer *w, const char *id);
void charter_write_cancel(struct charter_writer *w, const char *id);
/* `id` as charter_read_message() gave it; no value: null. */
void charter_write_ok(struct charter_writer *w, struct charter_value id);
void charter_write_execute_result(struct charter_writer *w, struct charter_value id,
                                  const struct charter_execute_result *result);
void charter_write_error(struct charter_writer *w, struct charter_value id,
                         const struct charter_error *error);
void charter_write_log(struct charter_writer *w, enum charter_log_level level, const char *message);
void charter_write_progress(struct charter_writer *w, int64_t current, int64_t total,
                            const char *message);

/* Fills `into` by a field table from an object, as config and inputs are filled; `root` begins the paths of errors ("config").  `flags`: 0, or
 * CHARTER_OTHER_CONFIG.  Members without a value get their defaults. */
int charter_fill(struct charter_value object, const struct charter_field *fields, size_t count,
                 unsigned flags, const char *root, void *into, struct charter_error *error);
/* The JSON Schema of such a table. */
void charter_write_schema(struct charter_writer *w, const struct charter_field *fields,
                          size_t count, unsigned flags);

#ifdef __cplusplus
}
#endif

#endif
