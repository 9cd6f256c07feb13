/* An integration that does nothing and is quick about it: for tests that run hundreds of steps.  It answers every request with {"ok":true}, an
 * `execute` with the value {"attempt":N}, and writes a line "RUN STEP ATTEMPT" to the file `effects` of the project for each, so that
 * a test can count what was done.  It looks for what it needs in the text of the request, which it knows to be compact. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    char id[80], step[80], attempt[80];

    while (fgets(line, sizeof line, stdin) != NULL) {
        const char *params = text_behind(line, "\"id\":\"", id);
        if (strstr(line, "\"method\":\"execute\"") == NULL) {
            if (id[0] != '\0' && strstr(line, "\"method\":\"cancel\"") == NULL)
                printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"ok\":true}}\n", id);
            fflush(stdout);
            if (strstr(line, "\"method\":\"teardown\"") != NULL)
                break;
            continue;
        }
        text_behind(params + 1, "\"step\":{\"id\":\"", step);
        text_behind(params, "\"attempt\":", attempt);
        FILE *effects = fopen("effects", "a");
        if (effects != NULL) {
            fprintf(effects, "%s %s %s\n", getenv("CHARTER_RUN_ID"), step, attempt);
            fclose(effects);
        }
        printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"value\":{\"attempt\":%s}}}\n", id,
               attempt);
        fflush(stdout);
    }
    return 0;
}
