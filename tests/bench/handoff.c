/* What a hand-over costs, one at a time: median and 99th percentile in microseconds.
 *
 *     handoff SOCKET WORKFLOW SAMPLES FOLDER
 *
 *     status    daemon.status, request to answer: no sync
 *     start     run.start, request to answer: checked in a helper, plan.json and the journal synced; each run ends before the next
 *     pingpong  a request's bytes there and as many back over a Unix socket, by a process that does nothing else
 *     append    as many bytes to a file in FOLDER, and fdatasync
 *     fork      fork() and the child's end: what a helper cannot be cheaper than */
#define _DEFAULT_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <sys/wait.h>

static char request[512], answer[128 * 1024], path[512];

static const char status[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n";

static double time_ask(int fd, const char *line)
{
    double start = now_us();
    ask(fd, line, answer, sizeof answer);
    if (strstr(answer, "\"error\":{\"code\"") != NULL) {
        fprintf(stderr, "handoff: %s\n", answer);
        exit(1);
    }
    return now_us() - start;
}

static void wait_for_end(int fd)
{
    char id[80], line[256];
    const char *at = strstr(answer, "\"run_id\":\"");
    if (at == NULL || sscanf(at + 10, "%79[^\"]", id) != 1)
        die("an answer without run_id");
    snprintf(
        line, sizeof line,
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"run.status\",\"params\":{\"run_id\":\"%s\"}}\n",
        id);
    do {
        usleep(1000);
        ask(fd, line, answer, sizeof answer);
    } while (strstr(answer, "\"status\":\"queued\"") != NULL ||
             strstr(answer, "\"status\":\"running\"") != NULL);
}

static void echo(int fd)
{
    ssize_t got;
    while ((got = read(fd, answer, sizeof answer)) > 0)
        write_all(fd, answer, (size_t)got);
    _exit(0);
}

int main(int argc, char **argv)
{
    int pair[2];
    if (argc != 5 || atoi(argv[3]) < 1) {
        fprintf(stderr, "usage: handoff SOCKET WORKFLOW SAMPLES FOLDER\n");
        return 2;
    }
    size_t n = (size_t)atoi(argv[3]);
    double *samples = malloc(5 * n * sizeof *samples);
    int fd = connect_to(argv[1]);
    if (fd < 0 || samples == NULL)
        die(argv[1]);
    snprintf(
        request, sizeof request,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"run.start\",\"params\":{\"workflow_id\":\"%s\"}}\n",
        argv[2]);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        die("socketpair");
    if (fork() == 0) {
        close(pair[0]);
        echo(pair[1]);
    }
    close(pair[1]);
    snprintf(path, sizeof path, "%s/handoff.tmp", argv[4]);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0)
        die(path);

    /* Side by side: each round has one of each. */
    for (size_t i = 0; i < n; i++) {
        samples[i] = time_ask(fd, status);
        samples[n + i] = time_ask(fd, request);
        wait_for_end(fd);
        samples[2 * n + i] = time_ask(pair[0], request);
        double start = now_us();
        write_all(file, request, strlen(request));
        if (fdatasync(file) != 0)
            die("fdatasync");
        samples[3 * n + i] = now_us() - start;
        start = now_us();
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        waitpid(pid, NULL, 0);
        samples[4 * n + i] = now_us() - start;
    }
    static const char *const names[] = {"status", "start", "pingpong", "append", "fork"};
    for (size_t k = 0; k < 5; k++)
        print_samples(names[k], samples + k * n, n);
    unlink(path);
    return 0;
}
