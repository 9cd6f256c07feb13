/* What a service manager hears, at a socket of the test's own. */
#include "base/built.h"
#include "daemon/notify.h"

#include "port_support.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct notify notify;
static char path[128];
static int manager;

static void bind_manager(const char *name)
{
    struct sockaddr_un address;
    socklen_t size = sizeof address;

    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(path, sizeof path, "%s", name);
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
        size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    } else {
        (void)unlink(path);
    }
    manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_not_equal(manager, -1);
    assert_int_equal(bind(manager, (struct sockaddr *)&address, size), 0);
}

static int open_manager(void **state)
{
    (void)state;
    bind_manager(PATH("manager"));
    return 0;
}

static int close_manager(void **state)
{
    (void)state;
    close(manager);
    return 0;
}

/* The next datagram is exactly this; NULL: there is none. */
static void assert_heard(const char *expected)
{
    char bytes[512];
    ssize_t n = recv(manager, bytes, sizeof bytes - 1, MSG_DONTWAIT);

    if (expected == NULL) {
        assert_int_equal(n, -1);
        return;
    }
    assert_int_not_equal(n, -1);
    bytes[n] = '\0';
    assert_string_equal(bytes, expected);
}

#define IDLE "STATUS=0 runs executing, 0 queued or waiting; no gateway\n"

static void ready_is_told_once_and_stopping_too(void **state)
{
    (void)state;
    notify_start(&notify, path, NULL, NULL, 7);
    notify_tell(&notify, 1000);
    assert_heard(NULL);
    assert_int_equal(notify_next_ms(&notify), -1);
    notify.phase = NOTIFY_READY;
    assert_int_equal(notify_next_ms(&notify), 0);
    notify_tell(&notify, 1000);
    assert_heard("READY=1\n" IDLE);
    assert_int_equal(notify_next_ms(&notify), -1);
    notify_tell(&notify, 900000);
    assert_heard(NULL);
    notify.phase = NOTIFY_STOPPING;
    notify_tell(&notify, 900000);
    assert_heard("STOPPING=1\n" IDLE);
    notify_tell(&notify, 900001);
    assert_heard(NULL);
}

static void abstract_sockets_are_spoken_to(void **state)
{
    struct port_credentials peer;
    char name[64];
    (void)state;
    if (port_peer(manager, &peer) == ERR_UNSUPPORTED)
        skip(); /* port/posix/local.c knows no abstract sockets */
    close(manager);
    snprintf(name, sizeof name, "@charter-test-notify-%ld", (long)getpid());
    bind_manager(name);
    notify_start(&notify, path, NULL, NULL, 7);
    notify.phase = NOTIFY_READY;
    notify_tell(&notify, 1);
    assert_heard("READY=1\n" IDLE);
}

static void signs_of_life_come_at_half_of_the_time(void **state)
{
    (void)state;
    notify_start(&notify, path, "3000000", "7", 7);
    assert_int_equal(notify.watchdog_ms, 1500);
    notify.phase = NOTIFY_READY;
    notify_tell(&notify, 5000);
    assert_heard("READY=1\n" IDLE "WATCHDOG=1\n");
    assert_int_equal(notify_next_ms(&notify), 6500);
    notify_tell(&notify, 6499);
    assert_heard(NULL);
    notify_tell(&notify, 6500);
    assert_heard("WATCHDOG=1\n");
    assert_int_equal(notify_next_ms(&notify), 8000);
    notify.phase = NOTIFY_STOPPING; /* it is watched until its end */
    notify_tell(&notify, 8000);
    assert_heard("STOPPING=1\n" IDLE "WATCHDOG=1\n");
}

static void a_watchdog_for_somebody_else_is_not_ours(void **state)
{
    static const char *const wrong[] = {"0", "x", "-1", "99999999999999999999", ""};
    (void)state;
    notify_start(&notify, path, "3000000", "8", 7);
    assert_int_equal(notify.watchdog_ms, 0);
    notify_start(&notify, path, "3000000", "seven", 7);
    assert_int_equal(notify.watchdog_ms, 0);
    notify_start(&notify, path, "3000000", NULL, 7);
    assert_int_equal(notify.watchdog_ms, 1500);
    notify_start(&notify, path, "1", NULL, 7);
    assert_int_equal(notify.watchdog_ms, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        notify_start(&notify, path, wrong[i], NULL, 7);
        assert_int_equal(notify.watchdog_ms, 0);
    }
}

static void the_status_follows_at_most_once_a_second(void **state)
{
    (void)state;
    notify_start(&notify, path, NULL, NULL, 7);
    notify.phase = NOTIFY_READY;
    notify.status.gateway = "connecting";
    notify_tell(&notify, 1000);
    assert_heard("READY=1\nSTATUS=0 runs executing, 0 queued or waiting; gateway connecting\n");
    notify.status = (struct notify_status){2, 5, false, "connected"};
    notify_tell(&notify, 1001);
    assert_heard(NULL);
    assert_int_equal(notify_next_ms(&notify), 2000);
    notify.status.waits_for_space = true;
    notify_tell(&notify, 2000);
    assert_heard("STATUS=2 runs executing, 5 queued or waiting; gateway connected; the journal "
                 "cannot be written, everything waits\n");
    assert_int_equal(notify_next_ms(&notify), -1);
}

static void what_a_full_socket_does_not_take_is_told_later(void **state)
{
    int sent = 0;
    (void)state;
    notify_start(&notify, path, NULL, NULL, 7);
    while (port_notify(path, STR("x")) == OK && sent < 100000)
        sent++;
    assert_in_range(sent, 1, 99999);
    notify.phase = NOTIFY_READY;
    notify_tell(&notify, 1000);
    assert_int_equal(notify.told, NOTIFY_STARTING);
    assert_false(notify.failed);
    assert_int_equal(notify_next_ms(&notify), 1100);
    while (sent-- > 0)
        assert_heard("x");
    notify_tell(&notify, 1099);
    assert_heard(NULL);
    notify_tell(&notify, 1100);
    assert_heard("READY=1\n" IDLE);
}

static void a_manager_that_comes_back_is_told(void **state)
{
    (void)state;
    close(manager);
    notify_start(&notify, path, "2000000", NULL, 7);
    notify.phase = NOTIFY_READY;
    notify_tell(&notify, 1000);
    assert_true(notify.failed);
    assert_int_equal(notify_next_ms(&notify), 2000);
    bind_manager(PATH("manager"));
    notify_tell(&notify, 2000);
    assert_heard("READY=1\n" IDLE "WATCHDOG=1\n");
    assert_false(notify.failed);
}

static void without_a_manager_nothing_is_done(void **state)
{
    static char longer[200];
    const char *none[] = {NULL, "", "relative", "vsock:2:1234", longer};
    (void)state;
    memset(longer, '/', sizeof longer - 1);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        notify_start(&notify, none[i], "2000000", NULL, 7);
        notify.phase = NOTIFY_READY;
        notify_tell(&notify, 1000);
        assert_int_equal(notify_next_ms(&notify), -1);
        assert_false(notify.failed);
    }
    assert_heard(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_manager, close_manager)

static void other_builds_tell_nothing(void **state)
{
    (void)state;
    notify_start(&notify, path, "2000000", NULL, 7);
    notify.phase = NOTIFY_READY;
    notify_tell(&notify, 1000);
    assert_int_equal(notify_next_ms(&notify), -1);
    assert_heard(NULL);
}

int main(void)
{
    const struct CMUnitTest silent[] = {TEST(other_builds_tell_nothing),
                                        TEST(without_a_manager_nothing_is_done)};
    const struct CMUnitTest tests[] = {
        TEST(ready_is_told_once_and_stopping_too),
        TEST(abstract_sockets_are_spoken_to),
        TEST(signs_of_life_come_at_half_of_the_time),
        TEST(a_watchdog_for_somebody_else_is_not_ours),
        TEST(the_status_follows_at_most_once_a_second),
        TEST(what_a_full_socket_does_not_take_is_told_later),
        TEST(a_manager_that_comes_back_is_told),
        TEST(without_a_manager_nothing_is_done),
    };
    return BUILT_IN(CONFIG_NOTIFY) ? cmocka_run_group_tests(tests, support_start, support_end)
                                   : cmocka_run_group_tests(silent, support_start, support_end);
}
