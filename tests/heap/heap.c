/* The heap of a daemon that may not have one: every function that takes or gives memory of it, as the linker exchanges them.  From the first
 * turn of the loop on such a call ends the process, with the function's name and where it was called from on the error stream and, where
 * HEAPLESS_REPORTS names a folder, in a file there.  Forked helpers are exempt: they may use the heap, and end soon.
 *
 * In a static program the linker's --wrap reaches the C library's own calls too.  With a shared glibc these functions are defined here
 * instead, which glibc allows and heeds in its own calls (its manual: Replacing malloc).
 *
 * The stack is watched as well: it is painted before main(), and how deep it was written to, in all of the process's life, stands in a file
 * stack.PID of that folder at its end, "tls" behind it where a connection was secure.
 *
 * HEAPLESS_BREAK=FUNCTION calls that function in a later turn: so the tests see that it is noticed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct daemon;

static bool started; /* the loop turns */
static unsigned turns;

/* --- the stack --------------------------------------------------------------------------------------------------------------- */

#define PAINT 0xA5A5A5A5A5A5A5A5U
#define PAINTED 196608 /* bytes */

static uintptr_t stack_top; /* where main's caller began */
static uintptr_t deepest;
static bool is_helper, was_secure;

static void __attribute__((noinline, no_sanitize("address"))) paint(uintptr_t here)
{
    for (uintptr_t at = (here - 512) & ~(uintptr_t)7; at > here - PAINTED; at -= 8)
        *(volatile uint64_t *)at = PAINT;
}

static void look_at_stack(void)
{
    uintptr_t at = (stack_top - PAINTED + 4096) & ~(uintptr_t)7;

    while (at < stack_top && *(volatile uint64_t *)at == PAINT)
        at += 8;
    if (deepest == 0 || at < deepest)
        deepest = at;
}

static void __attribute__((constructor)) begin_painting(void)
{
    stack_top = (uintptr_t)__builtin_frame_address(0);
    paint(stack_top);
}

/* Would make zeros of the paint. */
void __wrap_port_release_stack(void);
void __wrap_port_release_stack(void)
{
}

static void tell_stack(void)
{
    const char *folder = getenv("HEAPLESS_REPORTS");
    char path[512], text[64];

    if (is_helper || folder == NULL)
        return;
    look_at_stack();
    snprintf(path, sizeof path, "%s/stack.%ld", folder, (long)getpid());
    snprintf(text, sizeof text, "%ld%s\n", (long)(stack_top - deepest), was_secure ? " tls" : "");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd != -1 && write(fd, text, strlen(text)) > 0)
        close(fd);
}

/* --- telling ---------------------------------------------------------------------------------------------------------------- */

extern const char __executable_start[], etext[];

static void add(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(char *text, size_t size, const char *format, ...)
{
    size_t n = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + n, size - n, format, args);
    va_end(args);
}

/* Addresses as they stand in the file, which is what addr2line wants. */
static unsigned long in_file(uintptr_t address)
{
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)(uintptr_t)__executable_start;
    uintptr_t base = head->e_type == ET_DYN ? (uintptr_t)__executable_start : 0;
    return (unsigned long)(address - base);
}

static bool is_ours(uintptr_t address)
{
    return address >= (uintptr_t)__executable_start && address < (uintptr_t)etext;
}

static void report(const char *text)
{
    const char *folder = getenv("HEAPLESS_REPORTS");
    char path[512];
    ssize_t ignored = write(2, text, strlen(text));
    (void)ignored;

    if (folder == NULL)
        return;
    snprintf(path, sizeof path, "%s/heap.%ld", folder, (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd != -1)
        ignored = write(fd, text, strlen(text));
}

/* Nothing unwinds a stack here: words on it that point into the program are the callers, and perhaps some that were. */
static void __attribute__((noinline)) judge(const char *function, size_t n, const void *from)
{
    const uintptr_t *at = __builtin_frame_address(0), *end = (const uintptr_t *)environ;
    unsigned shown = 0;
    char text[1024] = "";

    if (!started)
        return;
    started = false;
    add(text, sizeof text,
        "charter-daemon: heap after start-up: %s, %zu bytes, called from %s%#lx; on the stack:",
        function, n, is_ours((uintptr_t)from) ? "" : "a library, ", in_file((uintptr_t)from));
    for (; shown < 24 && at < end; at++)
        if (is_ours(*at)) {
            add(text, sizeof text, " %#lx", in_file(*at));
            shown++;
        }
    add(text, sizeof text, " (addr2line -fipe PROGRAM ADDRESS)\n");
    report(text);
    abort();
}

/* --- the functions ---------------------------------------------------------------------------------------------------------- */

#define HERE __builtin_return_address(0)

void *__real_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset);

#ifndef HEAP_IS_WRAPPED

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);
#define NAMED(function) function
#define REAL(function) __libc_##function

#else

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__real_memalign(size_t alignment, size_t n);
void __real_free(void *p);
#define NAMED(function) __wrap_##function
#define REAL(function) __real_##function

/* musl's names for its own use. */
#define INNER(type, function, parameters, arguments, size)                                         \
    type __real___libc_##function parameters;                                                      \
    type __wrap___libc_##function parameters;                                                      \
    type __wrap___libc_##function parameters                                                       \
    {                                                                                              \
        judge(#function " (the C library's own)", size, HERE);                                     \
        return __real___libc_##function arguments;                                                 \
    }
INNER(void *, malloc, (size_t n), (n), n)
INNER(void *, calloc, (size_t count, size_t n), (count, n), count *n)
INNER(void *, realloc, (void *p, size_t n), (p, n), n)

#endif

void *NAMED(malloc)(size_t n);
void *NAMED(calloc)(size_t count, size_t n);
void *NAMED(realloc)(void *p, size_t n);
void *NAMED(memalign)(size_t alignment, size_t n);
void *NAMED(aligned_alloc)(size_t alignment, size_t n);
int NAMED(posix_memalign)(void **p, size_t alignment, size_t n);
void *NAMED(valloc)(size_t n);
void NAMED(free)(void *p);

void *NAMED(malloc)(size_t n)
{
    judge("malloc", n, HERE);
    return REAL(malloc)(n);
}

void *NAMED(calloc)(size_t count, size_t n)
{
    judge("calloc", count * n, HERE);
    return REAL(calloc)(count, n);
}

void *NAMED(realloc)(void *p, size_t n)
{
    judge("realloc", n, HERE);
    return REAL(realloc)(p, n);
}

void *NAMED(memalign)(size_t alignment, size_t n)
{
    judge("memalign", n, HERE);
    return REAL(memalign)(alignment, n);
}

void *NAMED(aligned_alloc)(size_t alignment, size_t n)
{
    judge("aligned_alloc", n, HERE);
    return REAL(memalign)(alignment, n);
}

int NAMED(posix_memalign)(void **p, size_t alignment, size_t n)
{
    judge("posix_memalign", n, HERE);
    *p = REAL(memalign)(alignment, n);
    return *p == NULL ? ENOMEM : 0;
}

void *NAMED(valloc)(size_t n)
{
    judge("valloc", n, HERE);
    return REAL(memalign)((size_t)sysconf(_SC_PAGESIZE), n);
}

/* What start-up has taken stays until the end. */
void NAMED(free)(void *p)
{
    if (p != NULL)
        judge("free", 0, HERE);
    REAL(free)(p);
}

void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset)
{
    judge("mmap", n, HERE);
    return __real_mmap(p, n, protection, flags, fd, offset);
}

/* --- when it holds ---------------------------------------------------------------------------------------------------------- */

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    pid_t pid = __real_fork();
    if (pid == 0) { /* a helper, or the daemon on its way into the background */
        is_helper = started;
        started = false;
    }
    return pid;
}

static int compare(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

/* The functions that programs call without a thought of the heap are here as well. */
static void break_it(const char *function)
{
    static char many[100000];
    static void *volatile p; /* nothing is known of it */

    if (strcmp(function, "malloc") == 0)
        p = malloc(100);
    else if (strcmp(function, "calloc") == 0)
        p = calloc(10, 10);
    else if (strcmp(function, "realloc") == 0)
        p = realloc(p, 100);
    else if (strcmp(function, "aligned_alloc") == 0)
        p = aligned_alloc(64, 128);
    else if (strcmp(function, "posix_memalign") == 0)
        errno = posix_memalign((void **)&p, 64, 128);
    else if (strcmp(function, "mmap") == 0)
        p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else if (strcmp(function, "free") == 0)
        free(p);
    else if (strcmp(function, "strdup") == 0)
        p = strdup("text");
    else if (strcmp(function, "opendir") == 0)
        p = opendir("/");
    else if (strcmp(function, "fopen") == 0)
        p = fopen("/dev/null", "r");
    else if (strcmp(function, "qsort") == 0)
        qsort(many, 1000, 100, compare);
    else
        abort();
}

struct tls;
int __real_tls_step(struct tls *tls, unsigned *wants);
int __wrap_tls_step(struct tls *tls, unsigned *wants);
int __wrap_tls_step(struct tls *tls, unsigned *wants)
{
    was_secure = true;
    return __real_tls_step(tls, wants);
}

void __real_daemon_turn(struct daemon *daemon);
void __wrap_daemon_turn(struct daemon *daemon);
void __wrap_daemon_turn(struct daemon *daemon)
{
    static void *taken;
    const char *function = getenv("HEAPLESS_BREAK");

    if (turns == 0) {
        taken = malloc(1); /* for "free" */
        atexit(tell_stack);
    }
    started = true;
    if (function != NULL && *function != '\0' && turns == 2) {
        if (strcmp(function, "free") == 0)
            free(taken);
        break_it(function);
    }
    turns++;
    __real_daemon_turn(daemon);
}
