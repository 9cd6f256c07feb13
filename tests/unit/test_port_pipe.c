/* port/posix/pipe.c: the two descriptors of an integration. */
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];
static bool in_ready, fd_ready;

static int open_pipe(void **state)
{
    (void)state;
    return pipe(ends);
}

static int close_pipe(void **state)
{
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void bytes_come_and_end(void **state)
{
    char bytes[8];
    size_t got = 0;
    (void)state;
    assert_int_equal(port_pipe_write(ends[1], STR("abc")), OK);
    assert_int_equal(port_pipe_read(ends[0], bytes, sizeof bytes, &got), OK);
    assert_int_equal(got, 3);
    close(ends[1]);
    assert_int_equal(port_pipe_read(ends[0], bytes, sizeof bytes, &got), ERR_END);
    assert_int_equal(port_pipe_read(-1, bytes, sizeof bytes, &got), ERR_IO);
}

static void a_non_blocking_end_is_waited_for(void **state)
{
    char bytes[8];
    size_t got = 0;
    (void)state;
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)port_pipe_wait(-1, -1, 0, 20, &in_ready, &fd_ready);
        _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
    }
    assert_int_equal(port_pipe_read(ends[0], bytes, sizeof bytes, &got), OK);
    assert_int_equal(got, 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void everything_is_written_however_small_the_pipe(void **state)
{
    static char many[300000];
    char bytes[4096];
    size_t total = 0;
    ssize_t got;
    (void)state;
    memset(many, 'x', sizeof many);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(port_pipe_write(ends[1], str_range(many, sizeof many)) == OK ? 0 : 1);
    }
    close(ends[1]);
    while ((got = read(ends[0], bytes, sizeof bytes)) > 0)
        total += (size_t)got;
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(total, sizeof many);
}

static void nobody_who_reads_is_told(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    assert_int_equal(port_pipe_write(ends[1], STR("x")), ERR_REFUSED);
    signal(SIGPIPE, SIG_DFL);
}

static void waiting_tells_which_is_ready(void **state)
{
    int other[2];
    (void)state;
    assert_int_equal(pipe(other), 0);
    assert_int_equal(port_pipe_wait(ends[0], other[0], PORT_READABLE, 0, &in_ready, &fd_ready),
                     ERR_AGAIN);
    assert_false(in_ready || fd_ready);
    int64_t begun = port_monotonic_ms();
    assert_int_equal(port_pipe_wait(-1, -1, 0, 30, &in_ready, &fd_ready), ERR_AGAIN);
    assert_true(port_monotonic_ms() - begun >= 29);
    assert_int_equal(write(other[1], "x", 1), 1);
    assert_int_equal(port_pipe_wait(ends[0], other[0], PORT_READABLE, -1, &in_ready, &fd_ready),
                     OK);
    assert_true(fd_ready && !in_ready);
    assert_int_equal(port_pipe_wait(ends[0], other[1], PORT_WRITABLE, -1, &in_ready, &fd_ready),
                     OK);
    assert_true(fd_ready && !in_ready);
    close(ends[1]);
    assert_int_equal(port_pipe_wait(ends[0], -1, 0, -1, &in_ready, &fd_ready), OK);
    assert_true(in_ready && !fd_ready);
    close(other[0]);
    close(other[1]);
}

/* In a child, because the descriptors of this process are cmocka's. */
static void stdin_and_stdout_move_out_of_the_way(void **state)
{
    int err[2], in, out, status = -1;
    char bytes[64];
    ssize_t got;
    (void)state;
    assert_int_equal(pipe(err), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        bool good = dup2(ends[0], 0) == 0 && dup2(ends[1], 1) == 1 && dup2(err[1], 2) == 2 &&
                    port_pipe_take(&in, &out) == OK && in > 2 && out > 2;
        good = good && (fcntl(in, F_GETFD) & FD_CLOEXEC) != 0 &&
               (fcntl(out, F_GETFD) & FD_CLOEXEC) != 0;
        good = good && read(0, &byte, 1) == 0 && write(1, "stray", 5) == 5;
        good =
            good && port_pipe_write(out, STR("p")) == OK && read(in, &byte, 1) == 1 && byte == 'p';
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    got = read(err[0], bytes, sizeof bytes);
    assert_int_equal(got, 5);
    assert_memory_equal(bytes, "stray", 5);
    close(err[0]);
    close(err[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_come_and_end, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_non_blocking_end_is_waited_for, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(everything_is_written_however_small_the_pipe, open_pipe,
                                        close_pipe),
        cmocka_unit_test_setup_teardown(nobody_who_reads_is_told, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(waiting_tells_which_is_ready, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(stdin_and_stdout_move_out_of_the_way, open_pipe,
                                        close_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
