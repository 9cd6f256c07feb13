/* The port, with real processes: birth, limits, signals and death. */
#include "port_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- spawning ------------------------------------------------------------------------------- */

static void spawn_reports_what_cannot_be_started(void **state)
{
    const char *argv[] = {"no-such-program-here", NULL};
    struct port_spawn what = {.argv = argv, .env = plain_env, .directory = support_folder()};
    struct port_child child;
    int64_t pid;
    int exit_code, signal;
    (void)state;
    assert_int_equal(port_spawn(&what, &child), ERR_NOT_FOUND);
    assert_string_equal(port_last_error(), strerror(ENOENT));
    assert_int_equal(child.in, -1);
    argv[0] = "./missing";
    assert_int_equal(port_spawn(&what, &child), ERR_NOT_FOUND);
    argv[0] = "";
    assert_int_equal(port_spawn(&what, &child), ERR_NOT_FOUND);
    write_file(PATH("plain"), "#!/bin/sh\n");
    argv[0] = "./plain";
    assert_int_equal(port_spawn(&what, &child), ERR_DENIED);
    assert_int_equal(port_set_mode(PATH("plain"), 0700), OK);
    write_file(PATH("plain"), "neither ELF nor script");
    assert_int_equal(port_spawn(&what, &child), ERR_IO);
    assert_string_equal(port_last_error(), strerror(ENOEXEC));
    argv[0] = "sh";
    what.directory = PATH("missing");
    assert_int_equal(port_spawn(&what, &child), ERR_NOT_FOUND);
    /* Nothing of them is left. */
    assert_int_equal(port_reap(&pid, &exit_code, &signal), ERR_END);
}

static void spawn_searches_the_path_of_the_child(void **state)
{
    char path[128], said[64];
    const char *argv[] = {"only-here", NULL};
    const char *env[] = {"A=1", path, NULL};
    struct port_spawn what = {.argv = argv, .env = env, .directory = "/"};
    struct port_child child;
    (void)state;
    snprintf(path, sizeof path, "PATH=/nowhere::%s:/bin", support_folder());
    write_file(PATH("only-here"), "#!/bin/sh\necho found\n");
    assert_int_equal(port_spawn(&what, &child), ERR_DENIED); /* not executable beats not found */
    assert_int_equal(port_set_mode(PATH("only-here"), 0700), OK);
    assert_int_equal(port_spawn(&what, &child), OK);
    read_all(child.out, said, sizeof said);
    assert_string_equal(said, "found\n");
    assert_int_equal(reap(child.pid).exit_code, 0);
    close_child(&child);
}

static void spawn_gives_nothing_but_what_it_is_told(void **state)
{
    char said[512], real[128];
    const char *argv[] = {"env", NULL};
    const char *env[] = {"PATH=/usr/bin:/bin", "ONE=1 2", NULL};
    struct port_spawn what = {.argv = argv, .env = env, .directory = support_folder()};
    struct port_child child;
    (void)state;
    assert_int_equal(setenv("CHARTER_TEST_SECRET", "x", 1), 0);
    assert_int_equal(port_spawn(&what, &child), OK);
    read_all(child.out, said, sizeof said);
    assert_string_equal(said, "PATH=/usr/bin:/bin\nONE=1 2\n");
    reap(child.pid);
    close_child(&child);

    /* One that somebody left inheritable, before us. */
    int leak = fcntl(0, F_DUPFD, 7);
    assert_int_equal(port_real_path(support_folder(), real, sizeof real), OK);
    argv[0] = "sh";
    const char *script[] = {
        "sh", "-c",
        "i=2; while [ $i -lt 10 ]; do if { true <&$i; } 2>/dev/null || { true >&$i; } 2>/dev/null; "
        "then echo open $i; fi; i=$((i+1)); done; pwd",
        NULL};
    what.argv = script;
    assert_int_equal(port_spawn(&what, &child), OK);
    read_all(child.out, said, sizeof said);
    close(leak);
    char wanted[160];
    snprintf(wanted, sizeof wanted, "open 2\n%s\n", real);
    assert_string_equal(said, wanted);
    reap(child.pid);
    close_child(&child);
}

static void spawn_connects_three_pipes(void **state)
{
    char said[64], errors[64];
    size_t put;
    struct port_child child = spawn_shell("read line; echo \"got $line\"; echo wrong >&2; exit 7");
    (void)state;
    assert_int_equal(port_read(child.out, said, sizeof said, &put), ERR_AGAIN);
    assert_int_equal(port_write(child.in, STR("it\n"), &put), OK);
    read_all(child.out, said, sizeof said);
    read_all(child.err, errors, sizeof errors);
    assert_string_equal(said, "got it\n");
    assert_string_equal(errors, "wrong\n");
    struct death death = reap(child.pid);
    assert_int_equal(death.exit_code, 7);
    assert_int_equal(death.signal, -1);
    assert_int_equal(port_write(child.in, STR("more"), &put), ERR_REFUSED); /* and no SIGPIPE */
    close_child(&child);
}

static void spawn_leads_its_own_session(void **state)
{
    char line[8];
    struct port_child child = spawn_shell("read line");
    (void)state;
    assert_int_equal(getsid((pid_t)child.pid), child.pid);
    assert_int_equal(getpgid((pid_t)child.pid), child.pid);
    assert_int_not_equal(getsid(0), child.pid);
    port_close(child.in);
    read_all(child.out, line, sizeof line);
    reap(child.pid);
    port_close(child.out);
    port_close(child.err);
}

static void spawn_resets_signals(void **state)
{
    char said[8];
    sigset_t blocked, kept;
    (void)state;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &kept);
    struct death ignored_here = run_shell("kill -PIPE $$; exit 3", said, sizeof said);
    struct death blocked_here = run_shell("kill -USR1 $$; exit 3", said, sizeof said);
    struct death handled_here = run_shell("kill -TERM $$; exit 3", said, sizeof said);
    sigprocmask(SIG_SETMASK, &kept, NULL);
    assert_int_equal(ignored_here.signal, SIGPIPE);
    assert_int_equal(ignored_here.exit_code, -1);
    assert_int_equal(blocked_here.signal, SIGUSR1);
    assert_int_equal(handled_here.signal, SIGTERM);
    assert_string_equal(port_signal_name(handled_here.signal), "SIGTERM");
    assert_string_equal(port_signal_name(SIGSEGV), "SIGSEGV");
    assert_string_equal(port_signal_name(12345), "unknown");
}

static void group_kill_reaches_grandchildren(void **state)
{
    char said[64];
    bool subreaper = port_become_subreaper();
    (void)state;
    /* The grandchild ignores what is polite and keeps the pipe open. */
    struct port_child child = spawn_shell(
        "(trap '' TERM HUP; echo up; while :; do sleep 1000; done) & trap 'exit 4' TERM; wait");
    wait_for(child.out, PORT_READABLE);
    assert_true(port_group_exists(child.pid));
    size_t got;
    assert_int_equal(port_read(child.out, said, sizeof said, &got), OK);
    /* The trap may not be set yet when "up" is read: then TERM itself ends it. */
    port_kill_group(child.pid, PORT_TERM);
    struct death death = reap(child.pid);
    assert_true(death.exit_code == 4 || death.signal == SIGTERM);
    assert_true(port_group_exists(child.pid));
    port_kill_group(child.pid, PORT_KILL);
    read_all(child.out, said, sizeof said); /* ends only when the last of them is dead */
    close_child(&child);
    if (subreaper) {
        int64_t end = port_monotonic_ms() + DEADLINE_MS, pid;
        int exit_code, signal;
        while (port_group_exists(child.pid)) {
            assert_true(port_monotonic_ms() < end);
            if (port_reap(&pid, &exit_code, &signal) != OK)
                port_wait(NULL, 0, 100, NULL);
        }
    }
    port_kill_group(0, PORT_KILL); /* would be ourselves */
    port_kill_group(-1, PORT_KILL);
    port_kill(0, PORT_KILL);
    assert_false(port_group_exists(0));
}

static int leave_a_child(void *context, int fd)
{
    char text[32];
    struct port_child child = spawn_shell("exec sleep 1000");
    (void)context;
    snprintf(text, sizeof text, "%d", (int)child.pid);
    say(fd, text);
    while (fd >= 0) /* until it is killed */
        port_wait(NULL, 0, -1, NULL);
    return 0;
}

static void children_die_with_their_parent(void **state)
{
    char text[32] = "";
    size_t got;
    int64_t pid;
    int fd;
    (void)state;
    if (!port_become_subreaper())
        skip();
    assert_int_equal(port_fork_helper(leave_a_child, NULL, 0, 0, &pid, &fd), OK);
    wait_for(fd, PORT_READABLE);
    assert_int_equal(port_read(fd, text, sizeof text - 1, &got), OK);
    port_kill(pid, PORT_KILL);
    reap(pid);
    /* It is ours now, as we inherit orphans. */
    assert_int_equal(reap(atoi(text)).signal, SIGKILL);
    port_close(fd);
}

static void found_marked(void *context, int64_t pid)
{
    int64_t *found = context;
    found[0]++;
    found[1] = pid;
}

static void marked_processes_are_found(void **state)
{
    char mark[64], similar[64];
    int64_t found[2] = {0, 0};
    const char *argv[] = {"sh", "-c", "echo up; read line", NULL};
    const char *env[] = {"PATH=/usr/bin:/bin", mark, NULL};
    struct port_spawn what = {.argv = argv, .env = env, .directory = "/"};
    struct port_child child;
    (void)state;
    snprintf(mark, sizeof mark, "CHARTER_TEST_MARK=%d", (int)port_pid());
    assert_int_equal(port_spawn(&what, &child), OK);
    wait_for(child.out, PORT_READABLE);
    enum err err = port_find_marked(mark, found_marked, found);
    int64_t exact = found[0];
    snprintf(similar, sizeof similar, "CHARTER_TEST_MARK=%d0", (int)port_pid());
    port_find_marked(similar, found_marked, found);
    port_find_marked(mark + 1, found_marked, found);
    port_find_marked("CHARTER_TEST_MARK=", found_marked, found);
    close_child(&child);
    reap(child.pid);
    if (err == ERR_UNSUPPORTED)
        skip();
    assert_int_equal(err, OK);
    assert_int_equal(exact, 1);
    assert_int_equal(found[0], 1);
    assert_int_equal(found[1], child.pid);
}

static void spawn_limits_bind(void **state)
{
    const char *argv[] = {"sh", "-c", "ulimit -n; ulimit -v; ulimit -t; while :; do :; done", NULL};
    struct port_spawn what = {
        .argv = argv, .env = plain_env, .memory_bytes = 256 << 20, .cpu_s = 1, .open_files = 10};
    struct port_child child;
    char said[64];
    const char *variant = getenv("TEST_VARIANT");
    (void)state;
    if (variant != NULL && strcmp(variant, "valgrind") == 0)
        skip(); /* it keeps limits for itself and does not pass them on */
    if (!port_limits_memory())
        skip(); /* qemu takes it and forgets it */
    assert_int_equal(port_spawn(&what, &child), OK);
    read_all(child.out, said, sizeof said);
    assert_string_equal(said, "10\n262144\n1\n");
    struct death death = reap(child.pid);
    assert_true(death.signal == SIGXCPU || death.signal == SIGKILL);
    close_child(&child);
}

static void reap_says_when_there_is_nobody(void **state)
{
    char line[8];
    int64_t pid;
    int exit_code, signal;
    (void)state;
    assert_int_equal(port_reap(&pid, &exit_code, &signal), ERR_END);
    struct port_child child = spawn_shell("read line");
    assert_int_equal(port_reap(&pid, &exit_code, &signal), ERR_AGAIN);
    port_close(child.in);
    read_all(child.out, line, sizeof line);
    reap(child.pid);
    port_close(child.out);
    port_close(child.err);
    assert_int_equal(port_reap(&pid, &exit_code, &signal), ERR_END);
}

/* --- helpers -------------------------------------------------------------------------------- */

static int look_around(void *context, int fd)
{
    struct sigaction action;
    int open_ones = 0;
    sigset_t mask;
    for (int i = 0; i < 256; i++)
        open_ones += fcntl(i, F_GETFD) != -1;
    say(fd, context);
    if (open_ones != 4)
        return 1;
    sigaction(SIGTERM, NULL, &action);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    if (action.sa_handler != SIG_DFL || sigismember(&mask, SIGTERM) || sigismember(&mask, SIGCHLD))
        return 2;
    return getpgid(0) == getpid() ? 0x1fe : 3;
}

static void helper_answers_and_exits(void **state)
{
    char said[64];
    (void)state;
    int extra = dup(0);
    struct death death = run_helper(look_around, "answer", 0, 0, said, sizeof said);
    close(extra);
    assert_string_equal(said, "answer");
    assert_int_equal(death.exit_code, 0xfe);
    assert_int_equal(death.signal, -1);
}

static int spin(void *context, int fd)
{
    volatile unsigned count = 0;
    (void)context;
    while (fd >= 0)
        count++;
    return 0;
}

static void helper_is_stopped_at_its_cpu_limit(void **state)
{
    char said[8];
    (void)state;
    struct death death = run_helper(spin, NULL, 1, 0, said, sizeof said);
    assert_true(death.signal == SIGXCPU || death.signal == SIGKILL);
}

/* Not by malloc(), which sanitizers make their own. */
static int take_memory(void *context, int fd)
{
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    (void)context;
    void *taken = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    say(fd, taken == MAP_FAILED ? "none" : "got it");
    return 0;
}

static void helper_is_refused_memory_over_its_limit(void **state)
{
    char said[16];
    (void)state;
    run_helper(take_memory, NULL, 0, 0, said, sizeof said);
    assert_string_equal(said, "got it"); /* else the next line shows nothing */
    run_helper(take_memory, NULL, 0, 8 << 20, said, sizeof said);
    if (!port_limits_memory() || port_memory_private() == -1)
        skip(); /* limits of memory do not bind, or nobody knows how much we have */
    assert_string_equal(said, "none");
}

static int go_to_background(void *context, int fd)
{
    const char *how = context;
    if (port_background_start() != OK)
        return 1;
    if (strcmp(how, "fail") == 0)
        return 5;
    if (getsid(0) != getpid())
        return 6;
    say(fd, "starting ");
    port_background_ready();
    port_background_ready(); /* once is enough, twice no harm */
    say(fd, isatty(1) ? "bad" : "ready");
    return 0;
}

static void background_start_waits_until_ready(void **state)
{
    char said[64];
    (void)state;
    assert_int_equal(run_helper(go_to_background, "work", 0, 0, said, sizeof said).exit_code, 0);
    assert_string_equal(said, "starting ready");
    assert_int_equal(run_helper(go_to_background, "fail", 0, 0, said, sizeof said).exit_code, 5);
}

static int write_much_to_stdout(void *context, int fd)
{
    static char bytes[300000];
    (void)context;
    memset(bytes, 'x', sizeof bytes);
    dup2(fd, 1);
    fcntl(1, F_SETFL, O_NONBLOCK);
    return port_stdout(str_range(bytes, sizeof bytes)) == OK ? 0 : 1;
}

static void stdout_is_written_whole(void **state)
{
    static char said[300002];
    (void)state;
    struct death death = run_helper(write_much_to_stdout, NULL, 0, 0, said, sizeof said);
    assert_int_equal(death.exit_code, 0);
    assert_int_equal(strlen(said), 300000);
}

static void process_knows_itself(void **state)
{
    (void)state;
    assert_int_equal(port_pid(), getpid());
    assert_int_equal(port_uid(), geteuid());
    assert_int_equal(setenv("CHARTER_TEST_X", "y", 1), 0);
    assert_string_equal(port_environment("CHARTER_TEST_X"), "y");
    assert_null(port_environment("CHARTER_TEST_UNSET"));
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_false(port_is_terminal(fd));
    assert_int_equal(port_terminal_columns(fd), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spawn_reports_what_cannot_be_started),
        cmocka_unit_test(spawn_searches_the_path_of_the_child),
        cmocka_unit_test(spawn_gives_nothing_but_what_it_is_told),
        cmocka_unit_test(spawn_connects_three_pipes),
        cmocka_unit_test(spawn_leads_its_own_session),
        cmocka_unit_test(spawn_resets_signals),
        cmocka_unit_test(group_kill_reaches_grandchildren),
        cmocka_unit_test(children_die_with_their_parent),
        cmocka_unit_test(marked_processes_are_found),
        cmocka_unit_test(spawn_limits_bind),
        cmocka_unit_test(reap_says_when_there_is_nobody),
        cmocka_unit_test(helper_answers_and_exits),
        cmocka_unit_test(helper_is_stopped_at_its_cpu_limit),
        cmocka_unit_test(helper_is_refused_memory_over_its_limit),
        cmocka_unit_test(background_start_waits_until_ready),
        cmocka_unit_test(stdout_is_written_whole),
        cmocka_unit_test(process_knows_itself),
    };
    return cmocka_run_group_tests_name("port processes", tests, support_start, support_end);
}
