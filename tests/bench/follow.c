/* Starts runs and follows the daemon's whole stream until all have ended: the peer of the daemon in the bench.
 *
 *     follow SOCKET WORKFLOW RUNS [GATE]
 *
 * Prints "wall_us events bytes" from the first request to the last run's ending event; with a gate, from its opening, when all steps have been
 * started, and the events since then.  Exit 1 when an event is missing or a run did
 * not succeed. */
#include "bench.h"

#include <stdbool.h>

static char buffer[256 * 1024];

struct stream {
    unsigned long long events, bytes;
    long long first_seq, last_seq;
    int started, ended;
};

static void take(struct stream *stream, const char *line)
{
    long long seq = number_of(line, "seq");
    if (strstr(line, "\"method\":\"event\"") == NULL) {
        if (strstr(line, "\"result\":{}") != NULL)
            return; /* the subscription */
        fprintf(stderr, "follow: unexpected: %.300s\n", line);
        exit(1);
    }
    if (seq != stream->last_seq + 1) {
        fprintf(stderr, "follow: seq %lld behind %lld\n", seq, stream->last_seq);
        exit(1);
    }
    stream->last_seq = seq;
    stream->events++;
    stream->bytes += strlen(line) + 1;
    if (strstr(line, "\"type\":\"step.started\"") != NULL)
        stream->started++;
    const char *type = strstr(line, "\"type\":\"run.");
    if (type == NULL)
        return;
    if (strncmp(type + 12, "failed", 6) == 0 || strncmp(type + 12, "cancelled", 9) == 0) {
        fprintf(stderr, "follow: %.500s\n", line);
        exit(1);
    }
    if (strncmp(type + 12, "succeeded", 9) == 0)
        stream->ended++;
}

int main(int argc, char **argv)
{
    struct stream stream = {.events = 0};
    char line[512];
    size_t held = 0;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: follow SOCKET WORKFLOW RUNS [GATE]\n");
        return 2;
    }
    int runs = atoi(argv[3]), commands = connect_to(argv[1]), events = connect_to(argv[1]);
    if (commands < 0 || events < 0)
        die(argv[1]);
    ask(commands, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n", buffer,
        sizeof buffer);
    stream.last_seq = number_of(buffer, "last_seq");
    snprintf(
        line, sizeof line,
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"run.events\",\"params\":{\"after\":%lld,\"follow\":true}}\n",
        stream.last_seq);
    write_all(events, line, strlen(line));

    double wall = now_us();
    for (int i = 0; i < runs; i++) {
        snprintf(
            line, sizeof line,
            "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"run.start\",\"params\":{\"workflow_id\":\"%s\"}}\n",
            argv[2]);
        ask(commands, line, buffer, sizeof buffer);
        if (strstr(buffer, "\"error\":{\"code\"") != NULL) {
            fprintf(stderr, "follow: %s\n", buffer);
            return 1;
        }
    }
    while (stream.ended < runs) {
        ssize_t got = read(events, buffer + held, sizeof buffer - 1 - held);
        if (got <= 0)
            die("the daemon closed");
        held += (size_t)got;
        char *start = buffer, *feed;
        while ((feed = memchr(start, '\n', (size_t)(buffer + held - start))) != NULL) {
            *feed = '\0';
            take(&stream, start);
            start = feed + 1;
        }
        if (argc == 5 && stream.started == runs && stream.ended == 0) {
            open_gate(argv[4]);
            stream.started++;
            stream.events = stream.bytes = 0;
            wall = now_us();
        }
        held = (size_t)(buffer + held - start);
        memmove(buffer, start, held);
    }
    printf("%.0f %llu %llu\n", now_us() - wall, stream.events, stream.bytes);
    return 0;
}
