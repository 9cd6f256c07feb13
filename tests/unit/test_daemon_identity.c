/* Who the daemon is: one id for good, an epoch that rises with every start, and a file that is whole or refused. */
#include "daemon/identity.h"

#include "port_support.h"

#include <stdio.h>
#include <string.h>

static struct identity identity;
static const char *file;
static char file_path[128];

static int start(void **state)
{
    (void)state;
    file = in_folder("daemon.json", file_path, sizeof file_path);
    (void)port_unlink(file);
    (void)port_unlink(PATH("daemon.json.spare"));
    return 0;
}

static void assert_file(const char *expected)
{
    char bytes[1024];
    size_t got;
    assert_int_equal(port_read_file(file, bytes, sizeof bytes - 1, &got), OK);
    bytes[got] = '\0';
    assert_string_equal(bytes, expected);
}

static void the_first_start_makes_an_id(void **state)
{
    char expected[1024];
    (void)state;
    assert_int_equal(identity_start(&identity, support_folder(), 1769860800123), OK);
    assert_int_equal(strlen(identity.id), 2 + ULID_LENGTH);
    assert_memory_equal(identity.id, "d-", 2);
    assert_int_equal(identity.epoch, 1);
    assert_string_equal(identity.previous_id, "");
    snprintf(expected, sizeof expected, "{\"id\":\"%s\",\"epoch\":1}\n", identity.id);
    size_t n = strlen(expected);
    memset(expected + n - 1, ' ', 512 - n); /* one sector, so that it can be written in place */
    memcpy(expected + 511, "\n", 2);
    assert_file(expected);
    assert_int_equal(mode_of(file), 0600);
}

static void the_id_stays_and_the_epoch_rises(void **state)
{
    char id[LIMIT_DAEMON_ID + 1];
    (void)state;
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    memcpy(id, identity.id, sizeof id);
    for (int64_t epoch = 2; epoch < 5; epoch++) {
        memset(&identity, 0xff, sizeof identity);
        assert_int_equal(identity_start(&identity, support_folder(), 2), OK);
        assert_string_equal(identity.id, id);
        assert_int_equal(identity.epoch, epoch);
    }
}

static void two_projects_have_two_ids(void **state)
{
    char id[LIMIT_DAEMON_ID + 1];
    (void)state;
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    memcpy(id, identity.id, sizeof id);
    assert_int_equal(port_unlink(file), OK);
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    assert_string_not_equal(identity.id, id);
}

static void a_fork_takes_a_new_id_and_remembers_the_old_one(void **state)
{
    char id[LIMIT_DAEMON_ID + 1], forked[LIMIT_DAEMON_ID + 1];
    (void)state;
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    memcpy(id, identity.id, sizeof id);
    assert_int_equal(identity_fork(&identity, support_folder(), 1), OK);
    memcpy(forked, identity.id, sizeof forked);
    assert_string_not_equal(forked, id);
    assert_string_equal(identity.previous_id, id);
    assert_int_equal(identity.epoch, 1);

    memset(&identity, 0xff, sizeof identity);
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    assert_string_equal(identity.id, forked);
    assert_string_equal(identity.previous_id, id);
    assert_int_equal(identity.epoch, 2);
}

static void what_was_left_of_a_write_does_no_harm(void **state)
{
    (void)state;
    write_file(PATH("daemon.json.new"), "{\"id\":\"half");
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    assert_int_equal(identity.epoch, 1);
    struct port_stat stat;
    assert_int_equal(port_stat(PATH("daemon.json.new"), &stat), ERR_NOT_FOUND);
}

static void a_damaged_file_is_refused_and_left_alone(void **state)
{
    static const char *const cases[] = {
        "",
        "\n",
        "{",
        "[]",
        "null",
        "{}",
        "{\"id\":\"d-1\"}",
        "{\"epoch\":1}",
        "{\"id\":\"d-1\",\"epoch\":-1}",
        "{\"id\":\"d-1\",\"epoch\":1.5}",
        "{\"id\":\"d-1\",\"epoch\":\"1\"}",
        "{\"id\":\"d-1\",\"epoch\":9223372036854775807}",
        "{\"id\":1,\"epoch\":1}",
        "{\"id\":\"\",\"epoch\":1}",
        "{\"id\":\"d 1\",\"epoch\":1}",
        "{\"id\":\"d-1\",\"epoch\":1,\"epoch\":2}",
        "{\"id\":\"d-1\",\"epoch\":1} x",
        "{\"id\":\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"epoch\":1}",
    };
    char large[2000];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(file, cases[i]);
        if (identity_start(&identity, support_folder(), 1) != ERR_DAMAGED)
            fail_msg("'%s' is taken", cases[i]);
        assert_file(cases[i]);
    }
    memset(large, ' ', sizeof large - 1);
    memcpy(large, "{\"id\":\"d-1\",\"epoch\":1}", 22);
    large[sizeof large - 1] = '\0';
    write_file(file, large);
    assert_int_equal(identity_start(&identity, support_folder(), 1), ERR_DAMAGED);
}

static void of_two_files_one_may_be_torn(void **state)
{
    static const char *const names[] = {"daemon.json", "daemon.json.spare"};
    char id[LIMIT_DAEMON_ID + 1], bytes[1024], path[256];
    size_t got;
    (void)state;
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    memcpy(id, identity.id, sizeof id);
    for (int64_t epoch = 2; epoch < 10; epoch++) {
        in_folder(names[epoch % 2], path, sizeof path);
        assert_int_equal(port_read_file(path, bytes, sizeof bytes, &got), OK);
        assert_int_equal(got, 512);
        memset(bytes + 20, epoch % 3 == 0 ? 0 : 'x', 492);
        bytes[epoch % 3 == 1 ? 21 : 511] = '\0';
        write_file(path, bytes);
        assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
        assert_string_equal(identity.id, id);
        assert_int_equal(identity.epoch, epoch);
    }
}

static void a_removed_file_gives_a_new_id_whatever_the_spare_says(void **state)
{
    char id[LIMIT_DAEMON_ID + 1];
    (void)state;
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    memcpy(id, identity.id, sizeof id);
    assert_int_equal(port_unlink(file), OK);
    assert_int_equal(identity_start(&identity, support_folder(), 1), OK);
    assert_string_not_equal(identity.id, id);
    assert_int_equal(identity.epoch, 1);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    assert_int_not_equal(identity_start(&identity, PATH("no/such"), 1), OK);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_start_makes_an_id),
        TEST(the_id_stays_and_the_epoch_rises),
        TEST(two_projects_have_two_ids),
        TEST(a_fork_takes_a_new_id_and_remembers_the_old_one),
        TEST(what_was_left_of_a_write_does_no_harm),
        TEST(a_damaged_file_is_refused_and_left_alone),
        TEST(of_two_files_one_may_be_torn),
        TEST(a_removed_file_gives_a_new_id_whatever_the_spare_says),
        TEST(a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, support_start, support_end);
}
