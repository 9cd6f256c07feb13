/* A new process.  Plain POSIX: a fork, which copies our page tables. */
#include "internal.h"

#include <unistd.h>

int64_t port_begin(void (*become)(void *context), void *context)
{
    pid_t pid = fork();
    if (pid == 0) {
        become(context);
        _exit(127);
    }
    return (int64_t)pid;
}
