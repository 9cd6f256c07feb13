/* An integration that costs as little as one can: it answers what it is asked and sends notifications before the answer to `execute`.
 *
 *     chatty [LOGS [GATE]]  LOGS notifications `log` per execute, then the value 1; where a FIFO is named, not before somebody writes to it
 *     chatty --hold         never answers execute: holds a run until it is cancelled
 *     chatty --alone LOGS [GATE]   asks for nothing: the same bytes of notifications, then it ends (for the floor)
 *
 * It looks for id and method alone, where the contract puts them; what else the request says is nothing to it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_logs(unsigned long logs, const char *gate)
{
    FILE *wait = gate == NULL ? NULL : fopen(gate, "r"); /* until it has a writer */
    if (wait != NULL)
        fclose(wait);
    for (unsigned long i = 1; i <= logs; i++)
        printf(
            "{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{\"level\":\"info\",\"message\":"
            "\"line %lu: forty-two items were fetched, checked and written where they belong\"}}\n",
            i);
}

/* The first string of that name in the line, cut. */
static void find(const char *line, const char *name, char *to, size_t size)
{
    const char *at = strstr(line, name);
    size_t n = 0;
    if (at != NULL)
        for (at += strlen(name); n + 1 < size && *at != '\0' && *at != '"'; at++)
            to[n++] = *at;
    to[n] = '\0';
}

int main(int argc, char **argv)
{
    static char line[512 * 1024];
    char id[80], method[32];
    bool hold = argc > 1 && strcmp(argv[1], "--hold") == 0;

    if (argc > 2 && strcmp(argv[1], "--alone") == 0) {
        say_logs(strtoul(argv[2], NULL, 10), argc > 3 ? argv[3] : NULL);
        return 0;
    }
    unsigned long logs = argc > 1 && !hold ? strtoul(argv[1], NULL, 10) : 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        find(line, "\"id\":\"", id, sizeof id);
        find(line, "\"method\":\"", method, sizeof method);
        if (strcmp(method, "cancel") == 0)
            return 0;
        if (strcmp(method, "execute") == 0) {
            if (hold)
                continue;
            say_logs(logs, argc > 2 ? argv[2] : NULL);
            printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"value\":1}}\n", id);
        } else {
            printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"ok\":true}}\n", id);
        }
        fflush(stdout);
    }
    return 0;
}
