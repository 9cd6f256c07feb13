/* An integration that is quick: for tests that run thousands of steps.  It answers an `execute` with the value {"attempt":N} and every other request
 * with {"ok":true}, and adds a line "RUN STEP ATTEMPT" to the file `effects` of the project for each execute, so that a test can count
 * what was done.  What its config may say besides: "fail":N, the first N attempts end in an error; "ms":N, it takes so long; "until":"FILE", it waits for that; "logs":N, so many
 * lines on stderr; "big":N, a text of so many bytes as the value.  It looks for that in the text of the request, which it knows to be
 * compact. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char line[1 << 20];

/* What stands behind `key`, up to a quote, comma or brace. */
static const char *text_behind(const char *from, const char *key, char to[80])
{
    const char *at = strstr(from, key);
    size_t n = 0;
    if (at != NULL)
        n = strcspn(at + strlen(key), "\",}");
    snprintf(to, 80, "%.*s", (int)(n < 80 ? n : 79), at == NULL ? "" : at + strlen(key));
    return at == NULL ? from : at;
}

static long number_behind(const char *from, const char *key)
{
    char text[80];
    text_behind(from, key, text);
    return strtol(text, NULL, 10);
}

static void execute(const char *params, const char *id)
{
    char step[80], file[80];
    long attempt = number_behind(params, "\"attempt\":"), big = number_behind(params, "\"big\":");
    long ms = number_behind(params, "\"ms\":");
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000}, moment = {0, 5000000};

    text_behind(params, "\"step\":{\"id\":\"", step);
    FILE *effects = fopen("effects", "a");
    if (effects != NULL) {
        fprintf(effects, "%s %s %ld\n", getenv("CHARTER_RUN_ID"), step, attempt);
        fclose(effects);
    }
    for (long i = number_behind(params, "\"logs\":"); i > 0; i--)
        fprintf(stderr, "line %ld of %s\n", i, step);
    if (ms > 0)
        nanosleep(&pause, NULL);
    text_behind(params, "\"until\":\"", file);
    while (file[0] != '\0' && access(file, F_OK) != 0)
        nanosleep(&moment, NULL);
    if (attempt <= number_behind(params, "\"fail\":")) {
        printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"error\":{\"code\":1,\"message\":\"no\"}}\n",
               id);
    } else if (big > 0) {
        printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"value\":\"", id);
        while (big-- > 0)
            putchar('x');
        printf("\"}}\n");
    } else {
        printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"value\":{\"attempt\":%ld}}}\n", id,
               attempt);
    }
}

int main(void)
{
    char id[80];

    while (fgets(line, sizeof line, stdin) != NULL) {
        const char *params = text_behind(line, "\"id\":\"", id) + 1;
        if (strstr(line, "\"method\":\"execute\"") != NULL)
            execute(params, id);
        else if (strstr(line, "\"method\":\"cancel\"") == NULL)
            printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"ok\":true}}\n", id);
        fflush(stdout);
        if (strstr(line, "\"method\":\"teardown\"") != NULL)
            break;
    }
    return 0;
}
