/* The C form of the integration that tests/e2e/test_recorder.py has in every language: the same conversation, whoever holds it. */
#include <charter/integration.h>

static int execute(struct charter_ctx *ctx)
{
    const char *text = charter_input_string(ctx, "text");

    charter_progress(ctx, 1, 2, "reading");
    charter_log(ctx, CHARTER_LOG_INFO, "the text is %s", text);
    if (charter_string_is(charter_get_value(ctx, CHARTER_ROOT_INPUTS, "text"), "fail"))
        return charter_fail(ctx, CHARTER_INTERNAL_ERROR, "told to fail");
    charter_progress(ctx, 2, 2, "done");
    struct charter_writer *w = charter_result(ctx);
    charter_write_object(w);
    charter_put_string(w, "text", text);
    charter_put_string(w, "greeting", charter_config_string(ctx, "greeting"));
    charter_write_object_end(w);
    return 0;
}

int main(int argc, char **argv)
{
    static char request[CHARTER_REQUEST_DEFAULT], answer[8192];
    const struct charter_integration twin = {.name = "twin",
                                             .execute = execute,
                                             .output_type = CHARTER_OUTPUT_OBJECT,
                                             .request = request,
                                             .request_size = sizeof request,
                                             .answer = answer,
                                             .answer_size = sizeof answer};
    return charter_integration_main(argc, argv, &twin);
}
