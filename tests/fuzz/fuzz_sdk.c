/* Any bytes on the stdin of an integration on the SDK: it ends in order, every line that it writes is one JSON-RPC message, no more answers than lines
 * came, and what its readers take is written again to the same effect.  The callbacks use every accessor. */
#include "sdk/sdk.h"

#include "json/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define INPUT_MAX 32768 /* below what a pipe holds */
#define REQUEST 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config {
    char word[8];
    int64_t number;
    double ratio;
    bool flag;
    struct charter_value list;
} config;

static const struct charter_field fields[] = {
    {"word", CHARTER_FIELD_STRING, CHARTER_AT(struct config, word), 0, "\"a\"", NULL, NULL, NULL,
     NULL},
    {"number", CHARTER_FIELD_INTEGER, CHARTER_AT(struct config, number), 0, NULL, NULL, "-9", "9",
     NULL},
    {"ratio", CHARTER_FIELD_NUMBER, CHARTER_AT(struct config, ratio), 0, NULL, NULL, NULL, NULL,
     "[0.5,1]"},
    {"flag", CHARTER_FIELD_BOOLEAN, CHARTER_AT(struct config, flag), 0, NULL, NULL, NULL, NULL,
     NULL},
    {"list", CHARTER_FIELD_LIST, CHARTER_AT(struct config, list), 0, NULL, NULL, NULL, NULL, NULL},
};

/* What one text says as JSON and what it says written again must be the same message. */
static void round_trip(struct charter_ctx *ctx)
{
    static char bytes[4 * REQUEST];
    struct charter_writer w = charter_writer_on(bytes, sizeof bytes);
    struct charter_message message;
    struct charter_execute again;
    struct charter_error error;

    charter_write_execute(&w, "7", &ctx->execute);
    if (w.failed)
        return;
    MUST(charter_read_message(w.buffer, w.length, &message, &error) == 0);
    MUST(charter_read_execute(message.params, &again, &error) == 0);
    MUST(strcmp(again.step.id, ctx->execute.step.id) == 0);
    MUST(again.step.output_type == ctx->execute.step.output_type);
    MUST(again.context.attempt == ctx->execute.context.attempt);
    MUST(again.context.deadline_ms == ctx->execute.context.deadline_ms);
    MUST(strcmp(again.context.artifacts_dir, ctx->execute.context.artifacts_dir) == 0);
    MUST(str_equal(sdk_str(again.context.inputs), sdk_str(ctx->execute.context.inputs)));
}

static int execute(struct charter_ctx *ctx)
{
    static const char *const paths[] = {"a", "a.b", "a[0]", "[1]", "a[0].b[1]", ""};
    double number;

    round_trip(ctx);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const char *text = charter_input_string_or(ctx, paths[i], "x");
        charter_log(ctx, CHARTER_LOG_INFO, "%s", text);
        MUST(strlen(text) < REQUEST);
        charter_progress(ctx, charter_input_integer_or(ctx, paths[i], 1), -1, text);
        (void)charter_output_boolean_or(ctx, paths[i], true);
        if (charter_to_number(charter_get_value(ctx, CHARTER_ROOT_NAMED_OUTPUTS, paths[i]),
                              &number))
            (void)charter_return_number(ctx, number);
    }
    if (charter_is_cancelled(ctx))
        return -1;
    return charter_input_has(ctx, "a") ? charter_return_value(ctx, charter_input_value(ctx, "a"))
                                       : 0;
}

static void check_output(int fd, size_t lines)
{
    static char out[1 << 20];
    ssize_t got = pread(fd, out, sizeof out, 0);
    struct str rest = str_range(out, got > 0 ? (size_t)got : 0), line;
    size_t answers = 0;

    if (rest.n == sizeof out)
        return;
    while (rest.n > 0) {
        struct charter_message message;
        struct charter_error error;
        MUST(str_cut(rest, '\n', &line, &rest));
        MUST(charter_read_message(line.p, line.n, &message, &error) == 0);
        answers += message.kind == CHARTER_MESSAGE_ANSWER;
    }
    MUST(answers <= lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char request[REQUEST], answer[1024];
    static int out = -1;
    static const struct charter_integration integration = {
        .name = "fuzzed",
        .execute = execute,
        .config_fields = fields,
        .config_field_count = sizeof fields / sizeof fields[0],
        .config = &config,
        .flags = CHARTER_OTHER_CONFIG,
        .request = request,
        .request_size = sizeof request,
        .answer = answer,
        .answer_size = sizeof answer,
    };
    struct charter_ctx ctx = {.integration = &integration};
    size_t lines = 1;
    int ends[2];

    if (size > INPUT_MAX)
        return 0;
    if (out == -1) {
        char name[] = "/tmp/fuzz-sdk-XXXXXX";
        out = mkstemp(name);
        MUST(out != -1 && unlink(name) == 0);
    }
    MUST(ftruncate(out, 0) == 0 && lseek(out, 0, SEEK_SET) == 0);
    MUST(pipe(ends) == 0);
    MUST(write(ends[1], data, size) == (ssize_t)size);
    close(ends[1]);
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    ctx.in = ends[0];
    ctx.out = out;
    ctx.reader = line_reader_on(request, REQUEST - SDK_RESERVE);
    MUST(sdk_serve(&ctx) == 0);
    close(ends[0]);
    check_output(out, lines);
    return 0;
}
