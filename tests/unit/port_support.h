/* What the tests of the port share: a folder of their own, patience with a deadline, and
 * children. */
#ifndef TESTS_PORT_SUPPORT_H
#define TESTS_PORT_SUPPORT_H

#include "port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DEADLINE_MS 20000

/* Group set-up and tear-down: handlers are installed, a fresh folder is made and removed. */
int support_start(void **state);
int support_end(void **state);

const char *support_folder(void);
const char *in_folder(const char *name, char *to, size_t size);
/* A name inside the folder, valid in the block. */
#define PATH(name) in_folder(name, (char[128]){0}, 128)

void write_file(const char *path, const char *text);
int mode_of(const char *path);

/* Waits until fd is ready for `wanted`; fails the test after the deadline. */
void wait_for(int fd, unsigned char wanted);
/* Reads to the end of a pipe or socket, and adds a NUL. */
size_t read_all(int fd, char *to, size_t size);

struct death {
    int64_t pid;
    int exit_code, signal;
};

struct death reap(int64_t pid);

extern const char *const plain_env[];

struct port_child spawn_shell(const char *script);
void close_child(const struct port_child *child);
/* Runs a script to its end; what it said on stdout is in `said`. */
struct death run_shell(const char *script, char *said, size_t size);
/* Runs work in a helper and gives back how it ended and what it wrote. */
struct death run_helper(int (*work)(void *, int), void *context, unsigned cpu_s, size_t memory,
                        char *said, size_t size);
/* For helpers: writes text, or ends the process. */
void say(int fd, const char *text);

#endif
