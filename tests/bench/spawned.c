/* From port_spawn() to the reaped child: a program that ends at once, one after the other, started by a process that has
 * grown as the daemon has.
 *
 *     spawned COUNT confined|free PROGRAM [ARGUMENT...]
 *
 * Prints "wall_us" for all of them together, and the longest that one port_spawn() took. */
#define _GNU_SOURCE
#include "bench.h"

#include "port.h"

#include <string.h>

static char grown[16 << 20];

int main(int argc, char **argv)
{
    const char *env[] = {"PATH=/usr/bin:/bin", NULL}, *writable[] = {"/var/empty", NULL};
    double longest = 0;

    if (argc < 4 || atoi(argv[1]) < 1) {
        fprintf(stderr, "usage: spawned COUNT confined|free PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    memset(grown, 1, sizeof grown);
    if (port_signals_start() != OK)
        die("signals");
    struct port_spawn what = {
        .argv = (const char *const *)(argv + 3), .env = env, .directory = "/"};
    double wall = now_us();
    if (strcmp(argv[2], "confined") == 0)
        what.writable = writable;
    for (int i = 0; i < atoi(argv[1]); i++) {
        struct port_child child;
        int64_t pid;
        int exit_code, signal;
        double before = now_us();
        if (port_spawn(&what, &child) != OK)
            die(port_last_error());
        double took = now_us() - before;
        longest = took > longest ? took : longest;
        while (port_reap(&pid, &exit_code, &signal) == ERR_AGAIN)
            port_wait(NULL, 0, -1, NULL);
        if (exit_code != 0)
            die(argv[3]);
        port_close(child.in);
        port_close(child.out);
        port_close(child.err);
    }
    printf("%.0f %.0f\n", now_us() - wall, longest);
    return 0;
}
