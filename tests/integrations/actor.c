/* Does what its config says, by every call of the SDK: `do` is a list of [OPERATION, ARGUMENT…], and what each gave becomes an element of the value. For
 * tests/e2e/test_sdk.py, which plays the daemon. */
#include <charter/integration.h>

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config {
    struct charter_value list; /* named do */
    char word[8];
    int64_t number;
    double ratio;
    bool flag;
    struct charter_value object, any;
} config;

static struct inputs {
    char city[16];
    int64_t days;
} inputs;

static const struct charter_field config_fields[] = {
    {"do", CHARTER_FIELD_LIST, CHARTER_AT(struct config, list), 0, "[]", "what to do", NULL, NULL,
     NULL},
    {"word", CHARTER_FIELD_STRING, CHARTER_AT(struct config, word), 0, "\"short\"", NULL, NULL,
     NULL, "[\"short\",\"long\",\"caf\\u00e9\"]"},
    {"number", CHARTER_FIELD_INTEGER, CHARTER_AT(struct config, number), 0, "5", NULL, "-3", "9",
     NULL},
    {"ratio", CHARTER_FIELD_NUMBER, CHARTER_AT(struct config, ratio), 0, NULL, NULL, "0", NULL,
     NULL},
    {"flag", CHARTER_FIELD_BOOLEAN, CHARTER_AT(struct config, flag), 0, "true", NULL, NULL, NULL,
     NULL},
    {"object", CHARTER_FIELD_OBJECT, CHARTER_AT(struct config, object), 0, NULL, NULL, NULL, NULL,
     NULL},
    {"any", CHARTER_FIELD_ANY, CHARTER_AT(struct config, any), 0, NULL, NULL, NULL, NULL, NULL},
    {"path", CHARTER_FIELD_ANY, CHARTER_AT(struct config, any), CHARTER_REQUIRED, NULL, NULL, NULL,
     NULL, NULL},
};

static const struct charter_field input_fields[] = {
    {"city", CHARTER_FIELD_STRING, CHARTER_AT(struct inputs, city), 0, "\"Rome\"", NULL, NULL, NULL,
     NULL},
    {"days", CHARTER_FIELD_INTEGER, CHARTER_AT(struct inputs, days), 0, NULL, NULL, NULL, NULL,
     NULL},
};

static char got[8192];
static int cancels;

static void on_cancel(struct charter_ctx *ctx)
{
    cancels++;
    fprintf(stderr, "cancel heard in %s\n", charter_run_id(ctx));
}

/* The n-th argument of an operation. */
static struct charter_value at(struct charter_value operation, int n)
{
    char path[16];
    snprintf(path, sizeof path, "[%d]", n);
    return charter_find(operation, path);
}

static const char *text(struct charter_value operation, int n, char *to, size_t size)
{
    if (!charter_to_string(at(operation, n), to, size))
        to[0] = '\0';
    return to;
}

static int64_t number(struct charter_value operation, int n)
{
    int64_t value = -1;
    (void)charter_to_integer(at(operation, n), &value);
    return value;
}

static void look_up(struct charter_ctx *ctx, struct charter_value op, struct charter_writer *w)
{
    char type[16], path[128], otherwise[64];
    enum charter_root root = (enum charter_root)number(op, 2);
    bool has = charter_count(op) > 4;
    text(op, 1, type, sizeof type);
    text(op, 3, path, sizeof path);
    if (strcmp(type, "string") == 0)
        charter_write_string(w, has ? charter_get_string_or(
                                          ctx, root, path, text(op, 4, otherwise, sizeof otherwise))
                                    : charter_get_string(ctx, root, path));
    else if (strcmp(type, "integer") == 0)
        charter_write_integer(w, has ? charter_get_integer_or(ctx, root, path, number(op, 4))
                                     : charter_get_integer(ctx, root, path));
    else if (strcmp(type, "number") == 0)
        charter_write_number(w, has ? charter_get_number_or(ctx, root, path, 0.5)
                                    : charter_get_number(ctx, root, path));
    else if (strcmp(type, "boolean") == 0)
        charter_write_boolean(w, has ? charter_get_boolean_or(ctx, root, path, true)
                                     : charter_get_boolean(ctx, root, path));
    else if (strcmp(type, "has") == 0)
        charter_write_boolean(w, charter_has(ctx, root, path));
    else
        charter_write_value(w, charter_get_value(ctx, root, path));
}

static void write_file(struct charter_ctx *ctx, const char *name, const char *bytes)
{
    char path[CHARTER_PATH_MAX + 64];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", charter_context_of(ctx)->artifacts_dir, name);
    file = fopen(path, "w");
    if (file != NULL) {
        fputs(bytes, file);
        fclose(file);
    }
}

static void put_state(struct charter_ctx *ctx, struct charter_writer *w)
{
    const struct charter_step *step = charter_step_of(ctx);
    const struct charter_context *context = charter_context_of(ctx);
    charter_write_object(w);
    charter_put_string(w, "id", step->id);
    charter_put_string(w, "uses", step->uses);
    charter_put_string(w, "output", step->output);
    charter_put_string(w, "output_type", charter_output_type_name(step->output_type));
    charter_put_string(w, "run_id", context->run_id);
    charter_put_string(w, "workflow_id", context->workflow_id);
    charter_put_integer(w, "attempt", context->attempt);
    charter_put_string(w, "idempotency_key", context->idempotency_key);
    charter_put_integer(w, "deadline_ms", context->deadline_ms);
    charter_put_string(w, "artifacts_dir", context->artifacts_dir);
    charter_put_string(w, "name", charter_integration_name(ctx));
    charter_put_string(w, "run", charter_run_id(ctx));
    charter_put_string(w, "user", (const char *)charter_user(ctx));
    charter_put_string(w, "word", config.word);
    charter_put_integer(w, "number", config.number);
    charter_put_number(w, "ratio", config.ratio);
    charter_put_boolean(w, "flag", config.flag);
    charter_put_value(w, "object", config.object);
    charter_put_string(w, "city", inputs.city);
    charter_put_integer(w, "days", inputs.days);
    charter_write_object_end(w);
}

/* 1: go on; otherwise what execute answers. */
static int act(struct charter_ctx *ctx, struct charter_value op, struct charter_writer *w)
{
    char name[24], a[8192], b[256];
    text(op, 0, name, sizeof name);
    if (strcmp(name, "get") == 0) {
        look_up(ctx, op, w);
    } else if (strcmp(name, "state") == 0) {
        put_state(ctx, w);
    } else if (strcmp(name, "log") == 0) {
        charter_log(ctx, (enum charter_log_level)number(op, 1), "%s", text(op, 2, a, sizeof a));
    } else if (strcmp(name, "long log") == 0) {
        charter_log(ctx, CHARTER_LOG_INFO, "%0*d", (int)number(op, 1), 7);
    } else if (strcmp(name, "progress") == 0) {
        charter_progress(ctx, number(op, 1), number(op, 2),
                         charter_count(op) > 3 ? text(op, 3, a, sizeof a) : NULL);
    } else if (strcmp(name, "print") == 0) {
        printf("%s\n", text(op, 1, a, sizeof a));
        fflush(stdout);
        if (write(1, "written to 1\n", 13) != 13 || system("cat; echo from a child") != 0)
            return -1;
    } else if (strcmp(name, "locale") == 0) {
        charter_write_boolean(w, setlocale(LC_ALL, text(op, 1, a, sizeof a)) != NULL);
    } else if (strcmp(name, "cancelled") == 0) {
        charter_write_boolean(w, charter_is_cancelled(ctx));
    } else if (strcmp(name, "cancels") == 0) {
        charter_write_integer(w, cancels);
    } else if (strcmp(name, "until cancelled") == 0) {
        while (!charter_is_cancelled(ctx))
            (void)charter_wait(ctx, -1, 0, 1);
    } else if (strcmp(name, "wait") == 0) {
        charter_write_integer(
            w, (int64_t)charter_wait(ctx, (int)number(op, 2), CHARTER_READABLE, number(op, 1)));
    } else if (strcmp(name, "deadline") == 0) {
        charter_write_integer(w, charter_deadline_ms(ctx));
    } else if (strcmp(name, "failed") == 0) {
        charter_write_boolean(w, charter_has_failed(ctx));
    } else if (strcmp(name, "fail") == 0) {
        return charter_fail(ctx, (int)number(op, 1), "%s", text(op, 2, a, sizeof a));
    } else if (strcmp(name, "fail for good") == 0) {
        return charter_fail_for_good(ctx, (int)number(op, 1), "%s", text(op, 2, a, sizeof a));
    } else if (strcmp(name, "answer") == 0) {
        return (int)number(op, 1);
    } else if (strcmp(name, "return") == 0) {
        return charter_return_value(ctx, at(op, 1));
    } else if (strcmp(name, "return json") == 0) {
        text(op, 1, a, sizeof a);
        return charter_return_json(ctx, a, strlen(a));
    } else if (strcmp(name, "return string") == 0) {
        return charter_return_string(ctx, text(op, 1, a, sizeof a));
    } else if (strcmp(name, "return number") == 0) {
        double value = 0;
        (void)charter_to_number(at(op, 1), &value);
        return charter_return_number(ctx, charter_count(op) > 2 ? value / 0.0 : value);
    } else if (strcmp(name, "return integer") == 0) {
        return charter_return_integer(ctx, number(op, 1));
    } else if (strcmp(name, "return boolean") == 0) {
        return charter_return_boolean(ctx, true);
    } else if (strcmp(name, "file") == 0) {
        write_file(ctx, text(op, 1, a, sizeof a), "content");
        return charter_return_file(ctx, a, charter_count(op) > 2 ? text(op, 2, b, sizeof b) : NULL);
    } else if (strcmp(name, "half") == 0) {
        charter_write_object(charter_result(ctx));
        return 0;
    } else if (strcmp(name, "nothing") == 0) {
        return 0;
    } else if (strcmp(name, "exit") == 0) {
        exit((int)number(op, 1));
    }
    return 1;
}

static int run(struct charter_ctx *ctx, struct charter_value list)
{
    struct charter_walk walk = charter_walk_of(list);
    struct charter_writer w = charter_writer_on(got, sizeof got);
    struct charter_value op;
    int rc = 1;

    charter_write_list(&w);
    while (rc == 1 && charter_walk_next(&walk, NULL, &op))
        rc = act(ctx, op, &w);
    charter_write_list_end(&w);
    return rc != 1 ? rc : charter_return_value(ctx, charter_writer_value(&w));
}

static int setup(struct charter_ctx *ctx)
{
    struct charter_value list = {NULL, 0};
    fprintf(stderr, "setup of %s: %s\n", charter_integration_name(ctx), config.word);
    if (charter_config_has(ctx, "object.setup"))
        list = charter_config_value(ctx, "object.setup");
    return list.length == 0 ? 0 : run(ctx, list);
}

static int execute(struct charter_ctx *ctx)
{
    return run(ctx, config.list);
}

static int teardown(struct charter_ctx *ctx)
{
    fprintf(stderr, "teardown of %s\n", charter_run_id(ctx));
    return 0;
}

int main(int argc, char **argv)
{
    static char request[16384], answer[6000], user[] = "mine";
    const struct charter_integration actor = {
        .name = "actor",
        .setup = setup,
        .execute = execute,
        .teardown = teardown,
        .cancel = on_cancel,
        .config_fields = config_fields,
        .config_field_count = getenv("ACTOR_REQUIRES") != NULL ? 8 : 7,
        .config = &config,
        .input_fields = input_fields,
        .input_field_count = 2,
        .inputs = &inputs,
        .flags = CHARTER_OTHER_INPUTS,
        .output_type = CHARTER_OUTPUT_LIST,
        .request = request,
        .request_size = sizeof request,
        .answer = answer,
        .answer_size = sizeof answer,
        .user = user,
    };
    return charter_integration_main(argc, argv, &actor);
}
