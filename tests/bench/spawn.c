/* The floor under steps: vfork, exec and wait for a program that ends at once, one after the other.
 *
 *     spawn COUNT PROGRAM [ARGUMENT...]
 *
 * The program's stdin and stdout are /dev/null.  Prints "wall_us" for all of them together. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
    if (argc < 3 || atoi(argv[1]) < 1) {
        fprintf(stderr, "usage: spawn COUNT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0)
        die("/dev/null");
    double wall = now_us();
    for (int i = 0; i < atoi(argv[1]); i++) {
        int status;
        pid_t pid = vfork();
        if (pid < 0)
            die("vfork");
        if (pid == 0) {
            dup2(null, 1);
            execv(argv[2], argv + 2);
            _exit(127);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
            die(argv[2]);
    }
    printf("%.0f\n", now_us() - wall);
    return 0;
}
