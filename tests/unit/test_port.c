/* The port, with real files and descriptors: what port.h promises, on whatever port is built. */
#include "port_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- clocks, random, memory ----------------------------------------------------------------- */

static void clocks_tell_the_time(void **state)
{
    int64_t before = port_monotonic_us(), before_ms = port_monotonic_ms();
    (void)state;
    assert_true(port_monotonic_us() >= before);
    assert_true(port_monotonic_ms() >= before_ms);
    assert_true(before / 1000 <= port_monotonic_ms());
    int64_t apart = port_wall_ms() - (int64_t)time(NULL) * 1000;
    assert_true(apart > -2000 && apart < 2000);
    (void)port_clock_synced(); /* either answer is right */
}

static void random_bytes_differ(void **state)
{
    unsigned char a[64], b[64], zero[64] = {0};
    (void)state;
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    assert_int_equal(port_random(a, sizeof a), OK);
    assert_int_equal(port_random(b, sizeof b), OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
    assert_memory_not_equal(a + 48, zero, 16);
    assert_int_equal(port_random(a, 0), OK);
}

static char big[4 << 20];

static void released_memory_is_given_back(void **state)
{
    (void)state;
    memset(big, 7, sizeof big);
    int64_t full = port_memory_private();
    port_release(big + 1, sizeof big - 2);
    int64_t empty = port_memory_private();
    assert_int_equal(big[0], 7); /* outside */
    assert_int_equal(big[sizeof big - 1], 7);
    for (size_t i = 1; i < sizeof big - 1; i++)
        assert_true(big[i] == 0 || big[i] == 7);
    port_release(big, 1);
    port_release(big + 100, 0);
    if (full < 0)
        skip(); /* this port cannot tell */
    assert_true(full >= (int64_t)sizeof big);
    assert_true(full - empty > (int64_t)sizeof big / 2);
}

static void wiped_bytes_are_zero(void **state)
{
    char secret[] = "secret!";
    (void)state;
    port_wipe(secret, 6);
    assert_memory_equal(secret, "\0\0\0\0\0\0!", 7);
}

/* --- files ---------------------------------------------------------------------------------- */

static void file_modes_of_opening(void **state)
{
    const char *path = PATH("modes");
    struct port_stat stat;
    int fd;
    (void)state;
    assert_int_equal(port_open(path, PORT_READ, &fd), ERR_NOT_FOUND);
    assert_string_equal(port_last_error(), strerror(ENOENT));
    assert_int_equal(port_last_errno(), ENOENT);
    assert_int_equal(port_open(path, PORT_READ_WRITE, &fd), ERR_NOT_FOUND);
    assert_int_equal(port_open(path, PORT_CREATE_NEW, &fd), OK);
    port_close(fd);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(port_open(path, PORT_CREATE_NEW, &fd), ERR_EXISTS);
    write_file(path, "0123456789");
    assert_int_equal(port_open(path, PORT_CREATE, &fd), OK);
    assert_int_equal(port_stat_fd(fd, &stat), OK);
    assert_int_equal(stat.size, 10);
    assert_int_equal(stat.kind, PORT_FILE);
    assert_int_not_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    port_close(fd);
    assert_int_equal(port_open(path, PORT_TRUNCATE, &fd), OK);
    port_close(fd);
    assert_int_equal(port_stat(path, &stat), OK);
    assert_int_equal(stat.size, 0);
    assert_int_equal(port_unlink(path), OK);
}

static void file_reads_and_writes_at_offsets(void **state)
{
    char bytes[16];
    size_t n;
    int fd;
    (void)state;
    assert_int_equal(port_open(PATH("at"), PORT_CREATE, &fd), OK);
    assert_int_equal(port_write_at(fd, STR("0123456789"), 0, &n), OK);
    assert_int_equal(n, 10);
    assert_int_equal(port_write_at(fd, STR("AB"), 4, &n), OK);
    assert_int_equal(port_read_at(fd, bytes, 4, 3, &n), OK);
    assert_int_equal(n, 4);
    assert_memory_equal(bytes, "3AB6", 4);
    assert_int_equal(port_read_at(fd, bytes, 16, 8, &n), OK); /* the end */
    assert_int_equal(n, 2);
    assert_int_equal(port_read_at(fd, bytes, 16, 80, &n), OK);
    assert_int_equal(n, 0);
    assert_int_equal(port_sync(fd), OK);
    assert_int_equal(port_sync_directory(support_folder()), OK);
    assert_int_equal(port_sync_directory(PATH("missing")), ERR_NOT_FOUND);
    assert_int_equal(port_truncate(fd, 3), OK);
    assert_int_equal(port_read(fd, bytes, sizeof bytes, &n), OK);
    assert_int_equal(n, 3);
    assert_int_equal(port_read(fd, bytes, sizeof bytes, &n), ERR_END);
    port_close(fd);
}

static void file_preallocation_changes_nothing_that_is_read(void **state)
{
    struct port_stat stat;
    struct stat raw;
    char bytes[4];
    size_t n;
    int fd;
    (void)state;
    assert_int_equal(port_open(PATH("reserved"), PORT_CREATE, &fd), OK);
    assert_int_equal(port_write_at(fd, STR("abc"), 0, &n), OK);
    enum err err = port_preallocate(fd, 1 << 20);
    assert_true(err == OK || err == ERR_UNSUPPORTED);
    assert_int_equal(port_stat_fd(fd, &stat), OK);
    assert_int_equal(stat.size, 3);
    if (err == OK) {
        assert_int_equal(fstat(fd, &raw), 0);
        assert_true((int64_t)raw.st_blocks * 512 >= 1 << 20);
    }
    assert_int_equal(port_truncate(fd, 8192), OK);
    err = port_preallocate(fd, 8192);
    assert_true(err == OK || err == ERR_UNSUPPORTED);
    assert_int_equal(port_read_at(fd, bytes, 4, 0, &n), OK);
    assert_memory_equal(bytes, "abc\0", 4);
    port_close(fd);
}

static void file_read_whole_says_what_is_too_large(void **state)
{
    char bytes[8];
    size_t got;
    (void)state;
    write_file(PATH("small"), "1234567");
    assert_int_equal(port_read_file(PATH("small"), bytes, 7, &got), OK);
    assert_int_equal(got, 7);
    assert_int_equal(port_read_file(PATH("small"), bytes, 6, &got), ERR_TOO_LARGE);
    assert_int_equal(got, 6);
    assert_memory_equal(bytes, "123456", 6);
    assert_int_equal(port_read_file(PATH("missing"), bytes, 8, &got), ERR_NOT_FOUND);
    assert_int_equal(port_read_file(support_folder(), bytes, 8, &got), ERR_IO); /* a directory */
}

static void files_go_on_after_4_gib_and_2106(void **state)
{
    /* One second after what 32 bits without a sign can count. */
    struct timespec times[2] = {{.tv_sec = (time_t)(INT64_C(1) << 32)},
                                {.tv_sec = (time_t)(INT64_C(1) << 32)}};
    int64_t offset = (INT64_C(1) << 32) + 7;
    struct port_stat stat;
    char bytes[8];
    size_t put, got;
    int fd;
    (void)state;
    assert_int_equal(port_open(PATH("long"), PORT_TRUNCATE, &fd), OK);
    assert_int_equal(port_write_at(fd, STR("far"), offset, &put), OK);
    port_close(fd);
    assert_int_equal(port_open(PATH("long"), PORT_READ, &fd), OK);
    assert_int_equal(port_read_at(fd, bytes, sizeof bytes, offset, &got), OK);
    assert_int_equal(got, 3);
    assert_memory_equal(bytes, "far", 3);
    assert_int_equal(port_read_at(fd, bytes, sizeof bytes, 7, &got), OK);
    assert_memory_equal(bytes, "\0\0\0", 3);
    bool dated = utimensat(AT_FDCWD, PATH("long"), times, 0) == 0;
    assert_int_equal(port_stat_fd(fd, &stat), OK);
    port_close(fd);
    port_unlink(PATH("long"));
    assert_int_equal(stat.size, offset + 3);
    /* Some file systems have no such dates; they then keep the latest that they know. */
    if (dated && stat.mtime_ms != ((INT64_C(1) << 32) - 1) * 1000 &&
        stat.mtime_ms != INT64_C(2147483647) * 1000)
        assert_int_equal(stat.mtime_ms, (INT64_C(1) << 32) * 1000);
}

static void file_full_disk_is_told_apart(void **state)
{
    size_t put;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    (void)state;
    if (fd == -1)
        skip();
    assert_int_equal(port_write(fd, STR("x"), &put), ERR_NO_SPACE);
    assert_int_equal(put, 0);
    port_close(fd);
}

static void file_names_move_and_go(void **state)
{
    struct port_stat stat;
    char real[256], wanted[256], tiny[4];
    (void)state;
    write_file(PATH("one"), "1");
    write_file(PATH("two"), "22");
    assert_int_equal(port_rename(PATH("one"), PATH("two")), OK);
    assert_int_equal(port_stat(PATH("one"), &stat), ERR_NOT_FOUND);
    assert_int_equal(port_stat(PATH("two"), &stat), OK);
    assert_int_equal(stat.size, 1);
    assert_false(stat.executable);
    assert_true(stat.mtime_ms > port_wall_ms() - 3600000);
    assert_int_equal(port_set_mode(PATH("two"), 0700), OK);
    assert_int_equal(port_stat(PATH("two"), &stat), OK);
    assert_true(stat.executable);

    assert_int_equal(port_make_directory(PATH("d"), 0700), OK);
    assert_int_equal(port_make_directory(PATH("d"), 0700), ERR_EXISTS);
    assert_int_equal(port_stat(PATH("d"), &stat), OK);
    assert_int_equal(stat.kind, PORT_DIRECTORY);
    assert_false(stat.executable); /* whatever its mode: a directory is no program */
    assert_int_equal(port_symlink("../two", PATH("d/link")), OK);
    assert_int_equal(port_remove_directory(PATH("d")), ERR_EXISTS); /* not empty */

    assert_int_equal(port_real_path(support_folder(), wanted, sizeof wanted - 8), OK);
    strcat(wanted, "/two");
    assert_int_equal(port_real_path(PATH("./d/../d/link"), real, sizeof real), OK);
    assert_string_equal(real, wanted);
    assert_int_equal(port_real_path(PATH("d/link"), tiny, sizeof tiny), ERR_TOO_LARGE);
    assert_int_equal(port_real_path(PATH("missing"), real, sizeof real), ERR_NOT_FOUND);
    assert_int_equal(port_current_directory(real, sizeof real), OK);
    assert_int_equal(real[0], '/');
    assert_int_equal(port_current_directory(tiny, 1), ERR_TOO_LARGE);

    assert_int_equal(port_unlink(PATH("d/link")), OK);
    assert_int_equal(port_remove_directory(PATH("d")), OK);
    assert_int_equal(port_unlink(PATH("d/link")), ERR_NOT_FOUND);
}

static bool count_names(void *context, const char *name)
{
    int *count = context;
    assert_string_not_equal(name, ".");
    assert_string_not_equal(name, "..");
    return ++*count < 2;
}

static void file_list_ends_when_told(void **state)
{
    int count = 0;
    (void)state;
    assert_int_equal(port_make_directory(PATH("list"), 0700), OK);
    assert_int_equal(port_list(PATH("list"), count_names, &count), OK);
    assert_int_equal(count, 0);
    write_file(PATH("list/a"), "");
    write_file(PATH("list/b"), "");
    write_file(PATH("list/c"), "");
    assert_int_equal(port_list(PATH("list"), count_names, &count), OK);
    assert_int_equal(count, 2);
    assert_int_equal(port_list(PATH("missing"), count_names, &count), ERR_NOT_FOUND);
}

static void file_fifo_does_not_stop_an_open(void **state)
{
    int fd;
    (void)state;
    assert_int_equal(mkfifo(PATH("fifo"), 0600), 0);
    alarm(20); /* a blocking open would never come back */
    assert_int_equal(port_open(PATH("fifo"), PORT_READ, &fd), OK);
    alarm(0);
    port_close(fd);
}

static int hold_lock(void *context, int fd)
{
    int64_t holder;
    int lock;
    if (port_open(context, PORT_CREATE, &lock) != OK || port_lock(lock, &holder) != OK)
        return 1;
    say(fd, "locked");
    while (fd >= 0) /* until it is killed */
        port_wait(NULL, 0, -1, NULL);
    return 0;
}

static void lock_belongs_to_one_process_and_names_it(void **state)
{
    int64_t pid, holder = -1;
    int fd, lock;
    (void)state;
    assert_int_equal(port_fork_helper(hold_lock, (void *)(uintptr_t)PATH("lock"), 0, 0, &pid, &fd),
                     OK);
    wait_for(fd, PORT_READABLE);
    assert_int_equal(port_open(PATH("lock"), PORT_CREATE, &lock), OK);
    assert_int_equal(port_lock(lock, &holder), ERR_BUSY);
    assert_int_equal(holder, pid);
    port_kill(pid, PORT_KILL);
    assert_int_equal(reap(pid).signal, SIGKILL);
    port_close(fd);
    assert_int_equal(port_lock(lock, &holder), OK);
    port_close(lock);
}

/* --- descriptors ---------------------------------------------------------------------------- */

static int open_without_standard_ones(void *context, int fd)
{
    int first, second, listener;
    close(0);
    close(1);
    close(2);
    if (port_open(context, PORT_CREATE, &first) != OK ||
        port_open(context, PORT_CREATE, &second) != OK ||
        port_listen_local(PATH("standard"), 1, &listener) != OK)
        return 1;
    if (first < 3 || second < 3 || listener < 3 || first == fd || second == fd || first == second)
        return 2;
    return (fcntl(first, F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 3;
}

static void descriptors_are_never_standard_ones(void **state)
{
    char said[8];
    (void)state;
    assert_int_equal(run_helper(open_without_standard_ones, (void *)(uintptr_t)PATH("std"), 0, 0,
                                said, sizeof said)
                         .exit_code,
                     0);
}

static void descriptors_beyond_select_are_refused(void **state)
{
    int fd, last, lowest = dup(0);
    struct port_watch watch = {.fd = FD_SETSIZE, .wanted = PORT_READABLE};
    (void)state;
    last = lowest;
    while (last < (int)FD_SETSIZE && (fd = dup(0)) != -1)
        last = fd;
    enum err err = port_open("/", PORT_READ, &fd);
    while (last >= lowest)
        close(last--);
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(port_wait(&watch, 1, 0, NULL), ERR_FULL);
}

/* --- waiting -------------------------------------------------------------------------------- */

static void wait_finds_what_is_ready(void **state)
{
    int fds[2];
    size_t put;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct port_watch watches[] = {
        {.fd = fds[0], .wanted = PORT_READABLE},
        {.fd = fds[1], .wanted = PORT_WRITABLE | PORT_READABLE},
        {.fd = fds[1], .wanted = 0, .ready = 3},
        {.fd = -1, .wanted = PORT_READABLE, .ready = 3},
    };
    assert_int_equal(port_wait(watches, 4, -1, NULL), OK);
    assert_int_equal(watches[0].ready, 0);
    assert_int_equal(watches[1].ready, PORT_WRITABLE);
    assert_int_equal(watches[2].ready, 0);
    assert_int_equal(watches[3].ready, 0);
    assert_int_equal(port_write(fds[1], STR("x"), &put), OK);
    assert_int_equal(port_wait(watches, 4, 0, NULL), OK);
    assert_int_equal(watches[0].ready, PORT_READABLE);
    close(fds[0]);
    close(fds[1]);
}

static void wait_ends_at_its_timeout(void **state)
{
    struct port_signals signals;
    int64_t before = port_monotonic_us();
    (void)state;
    port_wait(NULL, 0, 0, &signals); /* forgets the children of the tests before */
    port_wait(NULL, 0, 0, &signals);
    before = port_monotonic_us();
    assert_int_equal(port_wait(NULL, 0, 30, &signals), OK);
    int64_t took_us = port_monotonic_us() - before;
    assert_true(took_us >= 29000 && took_us < DEADLINE_MS * 1000);
    assert_false(signals.child);
}

static int signal_parent(void *context, int fd)
{
    (void)context;
    (void)fd;
    port_wait(NULL, 0, 50,
              NULL); /* most likely the parent waits by then; it must work out either way */
    return kill(getppid(), SIGTERM) == 0 ? 0 : 1;
}

static void wait_wakes_up_on_signals(void **state)
{
    struct port_signals signals;
    int64_t pid, before = port_monotonic_ms();
    unsigned terminate = 0;
    bool child = false;
    int fd;
    (void)state;
    do
        port_wait(NULL, 0, 0, &signals);
    while (signals.child || signals.terminate || signals.reload);
    /* Before the wait: none is lost, all are counted. */
    raise(SIGHUP);
    raise(SIGTERM);
    raise(SIGINT);
    assert_int_equal(port_wait(NULL, 0, DEADLINE_MS, &signals), OK);
    assert_int_equal(signals.terminate, 2);
    assert_int_equal(signals.reload, 1);
    assert_false(signals.child);
    assert_int_equal(port_wait(NULL, 0, 0, &signals), OK);
    assert_int_equal(signals.terminate, 0);
    /* During it, and when a child dies. */
    assert_int_equal(port_fork_helper(signal_parent, NULL, 0, 0, &pid, &fd), OK);
    while ((terminate == 0 || !child) && port_monotonic_ms() - before < DEADLINE_MS) {
        assert_int_equal(port_wait(NULL, 0, DEADLINE_MS, &signals), OK);
        terminate += signals.terminate;
        child = child || signals.child;
    }
    assert_int_equal(terminate, 1);
    assert_true(child);
    assert_true(port_monotonic_ms() - before < DEADLINE_MS);
    assert_int_equal(reap(pid).exit_code, 0);
    port_close(fd);
}

/* Descriptors that are always ready do not keep signals away. */
static void wait_tells_of_signals_beside_what_is_ready(void **state)
{
    struct port_signals signals;
    int fds[2];
    (void)state;
    do
        port_wait(NULL, 0, 0, &signals);
    while (signals.child || signals.terminate || signals.reload);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    struct port_watch watch = {.fd = fds[0], .wanted = PORT_READABLE};
    for (int i = 0; i < 1000; i++) {
        raise(SIGHUP);
        raise(SIGHUP);
        assert_int_equal(port_wait(&watch, 1, -1, &signals), OK);
        assert_int_equal(signals.reload, 1);
        assert_int_equal(watch.ready, PORT_READABLE);
    }
    raise(SIGTERM);
    assert_int_equal(port_wait(&watch, 1, -1, NULL), OK); /* kept for the next */
    assert_int_equal(port_wait(&watch, 1, -1, &signals), OK);
    assert_int_equal(signals.terminate, 1);
    port_close(fds[0]);
    port_close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_tell_the_time),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(released_memory_is_given_back),
        cmocka_unit_test(wiped_bytes_are_zero),
        cmocka_unit_test(file_modes_of_opening),
        cmocka_unit_test(file_reads_and_writes_at_offsets),
        cmocka_unit_test(file_preallocation_changes_nothing_that_is_read),
        cmocka_unit_test(file_read_whole_says_what_is_too_large),
        cmocka_unit_test(files_go_on_after_4_gib_and_2106),
        cmocka_unit_test(file_full_disk_is_told_apart),
        cmocka_unit_test(file_names_move_and_go),
        cmocka_unit_test(file_list_ends_when_told),
        cmocka_unit_test(file_fifo_does_not_stop_an_open),
        cmocka_unit_test(lock_belongs_to_one_process_and_names_it),
        cmocka_unit_test(descriptors_are_never_standard_ones),
        cmocka_unit_test(descriptors_beyond_select_are_refused),
        cmocka_unit_test(wait_finds_what_is_ready),
        cmocka_unit_test(wait_ends_at_its_timeout),
        cmocka_unit_test(wait_wakes_up_on_signals),
        cmocka_unit_test(wait_tells_of_signals_beside_what_is_ready),
    };
    return cmocka_run_group_tests_name("port", tests, support_start, support_end);
}
