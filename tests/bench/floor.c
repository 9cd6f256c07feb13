/* The floor under durable events: what pipes, one file and one socket cost when nobody reads what passes through.
 *
 *     floor RUNS LOGS CHATTY FILE SYNC_MS
 *
 * RUNS times `CHATTY --alone LOGS` write into pipes; a select() loop reads up to 16 KiB a turn and pipe, appends the bytes to FILE, syncs, and
 * sends what is synced to a process behind a Unix socket.  SYNC_MS 0: a sync each turn that has read something; else lines may wait that long
 * for company, as logs may in the journal, and are read back from the file.  Prints "wall_us cpu_us lines syncs"; the time of the
 * processor is this process's alone, wall ends when the other side has got everything. */
#include "bench.h"

#include <fcntl.h>
#include <sys/select.h>
#include <sys/wait.h>

#define CHUNK 16384
#define RUNS_MAX 256

static char chunk[65536];

static pid_t start(const char *chatty, const char *logs, int *out)
{
    int fds[2];
    if (pipe(fds) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        dup2(fds[1], 1);
        close(fds[0]);
        close(fds[1]);
        execl(chatty, chatty, "--alone", logs, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    *out = fds[0];
    return pid;
}

/* The other side of the socket: reads to the end, then says so by ending. */
static pid_t start_sink(int *to)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        die("socketpair");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        close(fds[0]);
        while (read(fds[1], chunk, sizeof chunk) > 0)
            ;
        _exit(0);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    *to = fds[0];
    return pid;
}

static void send_synced(int file, int to, off_t *sent, off_t written)
{
    while (*sent < written) {
        size_t n = written - *sent < (off_t)sizeof chunk ? (size_t)(written - *sent) : sizeof chunk;
        ssize_t got = pread(file, chunk, n, *sent);
        if (got <= 0)
            die("read back");
        write_all(to, chunk, (size_t)got);
        *sent += got;
    }
}

int main(int argc, char **argv)
{
    int pipes[RUNS_MAX], to;
    unsigned long lines = 0, syncs = 0;
    off_t written = 0, sent = 0;

    if (argc != 6 || atoi(argv[1]) < 1 || atoi(argv[1]) > RUNS_MAX) {
        fprintf(stderr, "usage: floor RUNS LOGS CHATTY FILE SYNC_MS\n");
        return 2;
    }
    int runs = atoi(argv[1]), open_pipes = runs;
    double sync_us = atof(argv[5]) * 1e3, wall = now_us(), due = 0;
    int file = open(argv[4], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        die(argv[4]);
    pid_t sink = start_sink(&to);
    for (int i = 0; i < runs; i++)
        (void)start(argv[3], argv[2], &pipes[i]);

    while (open_pipes > 0) {
        fd_set readable;
        int highest = -1;
        FD_ZERO(&readable);
        for (int i = 0; i < runs; i++)
            if (pipes[i] >= 0) {
                FD_SET(pipes[i], &readable);
                highest = pipes[i] > highest ? pipes[i] : highest;
            }
        if (select(highest + 1, &readable, NULL, NULL, NULL) < 0)
            die("select");
        for (int i = 0; i < runs; i++) {
            if (pipes[i] < 0 || !FD_ISSET(pipes[i], &readable))
                continue;
            ssize_t got = read(pipes[i], chunk, CHUNK);
            if (got <= 0) {
                close(pipes[i]);
                pipes[i] = -1;
                open_pipes--;
                continue;
            }
            for (char *at = chunk; (at = memchr(at, '\n', (size_t)(chunk + got - at))) != NULL;
                 at++)
                lines++;
            if (pwrite(file, chunk, (size_t)got, written) != got)
                die("append");
            written += got;
        }
        if (due == 0 && written > sent)
            due = now_us() + sync_us;
        if (written > sent && (open_pipes == 0 || now_us() >= due)) {
            if (fdatasync(file) != 0)
                die("fdatasync");
            syncs++;
            due = 0;
            send_synced(file, to, &sent, written);
        }
    }
    double cpu = cpu_us();
    close(to);
    waitpid(sink, NULL, 0);
    wall = now_us() - wall;
    while (wait(NULL) > 0)
        ;
    unlink(argv[4]);
    printf("%.0f %.0f %lu %lu\n", wall, cpu, lines, syncs);
    return 0;
}
