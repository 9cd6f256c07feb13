/* From exec to the control socket's first answer, as whoever waits for the daemon sees it.
 *
 *     startup SAMPLES SOCKET PROGRAM [ARGUMENT...]
 *
 * Prints a line "wall_us cpu_us" for each start; cpu is the daemon's and its helpers' until then.  Each daemon is stopped with
 * SIGTERM and must end with 0. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static char answer[128 * 1024];

/* The time of the processor that /proc knows: nanoseconds where the kernel counts them, and ticks for children that were reaped. */
static double cpu_of(pid_t pid)
{
    char path[64];
    double own_ns = 0;
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%lf", &own_ns) != 1)
            own_ns = 0;
        fclose(file);
    }
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu",
                   &user, &system) != 2)
            user = system = 0;
        fclose(file);
    }
    return own_ns / 1e3 + (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

int main(int argc, char **argv)
{
    if (argc < 4 || atoi(argv[1]) < 1) {
        fprintf(stderr, "usage: startup SAMPLES SOCKET PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    for (int i = 0; i < atoi(argv[1]); i++) {
        int fd, status;
        unlink(argv[2]); /* what a daemon before left must not be asked */
        double start = now_us();
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_RDWR);
            dup2(null, 1);
            dup2(null, 2);
            execv(argv[3], argv + 3);
            _exit(127);
        }
        while ((fd = connect_to(argv[2])) < 0) {
            if (waitpid(pid, &status, WNOHANG) == pid || now_us() - start > 30e6) {
                fprintf(stderr, "startup: it does not start\n");
                return 1;
            }
            usleep(100);
        }
        ask(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n", answer,
            sizeof answer);
        double wall = now_us() - start;
        printf("%.0f %.0f\n", wall, cpu_of(pid));
        close(fd);
        kill(pid, SIGTERM);
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "startup: it ended with %d\n", status);
            return 1;
        }
    }
    return 0;
}
