/* See the header. */
#include "port_support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

const char *support_folder(void)
{
    return folder;
}

const char *in_folder(const char *name, char *to, size_t size)
{
    snprintf(to, size, "%s/%s", folder, name);
    return to;
}

void write_file(const char *path, const char *text)
{
    int fd;
    size_t put;
    assert_int_equal(port_open(path, PORT_TRUNCATE, &fd), OK);
    assert_int_equal(port_write_at(fd, str_of(text), 0, &put), OK);
    port_close(fd);
}

int mode_of(const char *path)
{
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    return (int)(found.st_mode & 07777);
}

void wait_for(int fd, unsigned char wanted)
{
    int64_t end = port_monotonic_ms() + DEADLINE_MS;
    struct port_watch watch = {.fd = fd, .wanted = wanted};
    while (watch.ready == 0) {
        int64_t left = end - port_monotonic_ms();
        if (left <= 0)
            fail_msg("descriptor %d is not ready", fd);
        assert_int_equal(port_wait(&watch, 1, left, NULL), OK);
    }
}

size_t read_all(int fd, char *to, size_t size)
{
    size_t n = 0, got;
    for (;;) {
        wait_for(fd, PORT_READABLE);
        enum err err = port_read(fd, to + n, size - 1 - n, &got);
        if (err == ERR_END)
            break;
        if (err == ERR_AGAIN)
            continue;
        assert_int_equal(err, OK);
        n += got;
        assert_true(n < size - 1);
    }
    to[n] = '\0';
    return n;
}

struct death reap(int64_t pid)
{
    struct death death;
    int64_t end = port_monotonic_ms() + DEADLINE_MS;
    for (;;) {
        enum err err = port_reap(&death.pid, &death.exit_code, &death.signal);
        if (err == OK && death.pid == pid)
            return death;
        if (err == ERR_END || (err != OK && err != ERR_AGAIN))
            fail_msg("no child %d to reap: %s", (int)pid, err_text(err));
        if (port_monotonic_ms() > end)
            fail_msg("child %d does not die", (int)pid);
        if (err == ERR_AGAIN) /* SIGCHLD wakes it */
            port_wait(NULL, 0, 1000, NULL);
    }
}

const char *const plain_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", NULL};

struct port_child spawn_shell(const char *script)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct port_spawn what = {.argv = argv, .env = plain_env, .directory = "/"};
    struct port_child child;
    enum err err = port_spawn(&what, &child);
    if (err != OK)
        fail_msg("sh: %s", port_last_error());
    return child;
}

void close_child(const struct port_child *child)
{
    port_close(child->in);
    port_close(child->out);
    port_close(child->err);
}

struct death run_shell(const char *script, char *said, size_t size)
{
    struct port_child child = spawn_shell(script);
    read_all(child.out, said, size);
    struct death death = reap(child.pid);
    close_child(&child);
    return death;
}

struct death run_helper(int (*work)(void *, int), void *context, unsigned cpu_s, size_t memory,
                        char *said, size_t size)
{
    int64_t pid;
    int fd;
    assert_int_equal(port_fork_helper(work, context, cpu_s, memory, &pid, &fd), OK);
    read_all(fd, said, size);
    port_close(fd);
    return reap(pid);
}

void say(int fd, const char *text)
{
    size_t put;
    if (port_write(fd, str_of(text), &put) != OK)
        port_exit(99);
}

int support_start(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/charter-test-XXXXXX");
    return mkdtemp(folder) == NULL || port_signals_start() != OK ? -1 : 0;
}

int support_end(void **state)
{
    char said[8], script[128];
    (void)state;
    snprintf(script, sizeof script, "rm -rf '%s'", folder);
    return run_shell(script, said, sizeof said).exit_code;
}
