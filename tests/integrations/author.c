/* An author's program, as C and as C++: compiled without a warning, linked with the library, and with names of its own that the library uses inside. */
#include <charter/integration.h>

const char *json_writer(void);
const char *str_of(void);

const char *json_writer(void)
{
    return "mine";
}

const char *str_of(void)
{
    return json_writer();
}

struct config {
    int64_t tries;
    struct charter_value any;
};

static struct config config;

static const struct charter_field fields[] = {
    {"tries", CHARTER_FIELD_INTEGER, CHARTER_AT(struct config, tries), 0, "3", "how often", "1",
     "9", 0},
    {"do", CHARTER_FIELD_ANY, CHARTER_AT(struct config, any), CHARTER_REQUIRED, 0, 0, 0, 0, 0},
};

static int execute(struct charter_ctx *ctx)
{
    struct charter_writer *w = charter_result(ctx);
    charter_write_object(w);
    charter_put_string(w, "text", charter_input_string_or(ctx, "text", "x"));
    charter_put_integer(w, "tries", config.tries);
    charter_put_string(w, "clash", str_of());
    charter_write_object_end(w);
    return 0;
}

int main(int argc, char **argv)
{
    static char request[4096], answer[1024];
    static struct charter_integration it;
    it.name = "author";
    it.execute = execute;
    it.config_fields = fields;
    it.config_field_count = 2;
    it.config = &config;
    it.request = request;
    it.request_size = sizeof request;
    it.answer = answer;
    it.answer_size = sizeof answer;
    return charter_integration_main(argc, argv, &it);
}
