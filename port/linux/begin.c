/* A new process in our memory, on a stack of its own; we stand still until it has called exec or has
 * ended.  That is what vfork() is, without a function that returns twice: nothing is copied, so it
 * takes as long for a large process as for a small one.  Under a sanitizer, whose bookkeeping of the
 * stack is shared too, it is a fork. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#define STACK_BYTES 32768 /* execute() has a path of 4096 bytes on it; the rest is small */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
    __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

/* One child at a time stands on it; ours would be the deeper for it by all of that.  Common, because the linker puts such things behind all
 * others: in between them it would keep small ones apart that now share a page. */
char port_child_stack[STACK_BYTES] __attribute__((common, aligned(4096)));

void port_release_child_stack(void)
{
    port_release(port_child_stack, sizeof port_child_stack);
}

struct entry {
    void (*become)(void *context);
    void *context;
};

static int enter(void *argument)
{
    const struct entry *entry = argument;
    entry->become(entry->context);
    _exit(127);
}

int64_t port_begin(void (*become)(void *context), void *context)
{
    struct entry entry = {become, context};
#ifdef IS_SANITIZED
    pid_t pid = fork();
    if (pid == 0)
        enter(&entry);
    return (int64_t)pid;
#else
    return (int64_t)clone(enter, port_child_stack + sizeof port_child_stack,
                          CLONE_VM | CLONE_VFORK | SIGCHLD, &entry);
#endif
}
