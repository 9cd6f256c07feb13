/* What Linux says about our own memory, and giving it back. */
#define _GNU_SOURCE
#include "../posix/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void port_release(void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)p + page - 1) / page * page;
    uintptr_t to = ((uintptr_t)p + n) / page * page;

    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

#define STACK_OWN 1024     /* bytes below us that this call itself takes, and the one it makes */
#define STACK_DEPTH 262144 /* bytes below us that are given back: more than we ever use */

void port_release_stack(void)
{
    char *end = __builtin_frame_address(0);

    port_release(end - STACK_DEPTH, STACK_DEPTH - STACK_OWN);
    port_release_child_stack();
}

/* Adds up the numbers (KiB) of all lines that start with `key`; -1 when the file cannot be read. */
static int64_t sum_lines(const char *path, struct str key)
{
    char bytes[1024];
    int64_t sum = 0, number = 0;
    size_t matched =
        0; /* bytes of key that this line has shown, or key.n + 1 when it is another line */
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        return -1;
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            char c = bytes[i];
            if (c == '\n') {
                sum += number;
                number = 0;
                matched = 0;
            } else if (matched < key.n) {
                matched = c == key.p[matched] ? matched + 1 : key.n + 1;
            } else if (matched == key.n && c >= '0' && c <= '9') {
                number = number * 10 + (c - '0');
            }
        }
    port_close(fd);
    return sum;
}

/* Adds up the sizes of the mappings in /proc/self/maps, lines that start with FROM-TO in hexadecimal; -1 when it cannot be
 * read. */
static int64_t mapped(void)
{
    char bytes[1024];
    uint64_t sum = 0, number = 0, from = 0;
    enum { FROM, TO, REST } place = FROM;
    ssize_t got;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        return -1;
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            char c = bytes[i];
            if (c == '\n') {
                place = FROM;
                number = 0;
            } else if (place == FROM && c == '-') {
                place = TO;
                from = number;
                number = 0;
            } else if (place == TO && c == ' ') {
                place = REST;
                sum += number - from;
            } else if (place != REST) {
                number = number * 16 + (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
            }
        }
    port_close(fd);
    return (int64_t)sum;
}

/* An emulator answers for /proc/self/maps with the program's memory and lets the figures be its own: hundreds of megabytes of
 * code that it has translated, or kept free for the program. */
static bool is_emulated(void)
{
    enum { STRANGE = 64 << 20 };
    int64_t all = port_address_space(), ours = mapped();
    return all >= 0 && ours >= 0 && all - ours > STRANGE;
}

int64_t port_memory_private(void)
{
    if (is_emulated())
        return -1;
    int64_t kib = sum_lines("/proc/self/smaps_rollup", STR("Private_Dirty:"));

    if (kib < 0) /* before Linux 4.14 */
        kib = sum_lines("/proc/self/smaps", STR("Private_Dirty:"));
    return kib < 0 ? -1 : kib * 1024;
}

int64_t port_address_space(void)
{
    char text[64];
    size_t got;
    struct str pages, rest;
    uint64_t count;

    /* The first number is the whole size in pages; the file holds seven of them. */
    enum err err = port_read_file("/proc/self/statm", text, sizeof text, &got);
    if ((err != OK && err != ERR_TOO_LARGE) || !str_cut(str_range(text, got), ' ', &pages, &rest) ||
        !str_to_u64(pages, &count))
        return -1;
    return (int64_t)count * sysconf(_SC_PAGESIZE);
}
