/* The store: what is committed is there after opening again, what is not is not; runs follow from their events;
 * commands keep their keys and their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[300], path[320];

static int make_folder(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof folder, "%s/gateway-store-XXXXXX",
             base != NULL && strlen(base) < 200 ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/s.db", folder);
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char name[340];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
    return rmdir(folder);
}

static struct store *open_store(void)
{
    struct store *store;
    char text[256];
    struct out why = OUT_ON(text);

    if (store_open(path, &store, &why) != OK)
        fail_msg("%s", out_cstr(&why));
    return store;
}

static int64_t say_hello(struct store *store, const char *id, int64_t acked, int64_t command_seq)
{
    struct store_daemon daemon = {
        .project = "p", .version = "1", .epoch = 3, .last_seen_ms = 1000, .message_bytes = 65536};

    (void)str_copy(str_of(id), daemon.id, sizeof daemon.id);
    daemon.acked = acked;
    daemon.command_seq = command_seq;
    assert_int_equal(store_daemon_hello(store, &daemon), OK);
    assert_true(daemon.key > 0);
    return daemon.key;
}

static enum err add_event(struct store *store, int64_t daemon, int64_t seq, const char *run_id,
                          int64_t n, const char *type, const char *step, const char *data)
{
    struct store_event event = {.seq = seq,
                                .n = n,
                                .attempt = 1,
                                .time = "2026-01-31T12:00:00.123Z",
                                .data = str_of(data),
                                .raw = STR("{\"raw\": 1.0}")};

    (void)str_copy(str_of(run_id), event.run_id, sizeof event.run_id);
    (void)str_copy(str_of(type), event.type, sizeof event.type);
    (void)str_copy(str_of(step), event.step_id, sizeof event.step_id);
    return store_append(store, daemon, &event);
}

static struct store_head conflict; /* of the last commit() */

static enum err commit(struct store *store, int64_t daemon, int64_t acked, int64_t seq,
                       const char *sha256)
{
    struct store_head head = {.seq = seq};

    (void)str_copy(str_of(sha256), head.sha256, sizeof head.sha256);
    return store_append_commit(store, daemon, acked, 5000, &head, &conflict);
}

static int64_t acked_of(struct store *store, const char *id)
{
    struct store_daemon daemon;

    assert_int_equal(store_daemon_find(store, id, &daemon), OK);
    return daemon.acked;
}

struct seen {
    size_t count;
    char text[256];
};

static bool see_event(void *context, int64_t n, struct str type, struct str raw)
{
    struct seen *seen = context;
    struct out out = OUT_ON(seen->text);

    out.n = strlen(seen->text);
    out_format(&out, "%d:%.*s ", (int)n, STR_ARG(type));
    (void)out_cstr(&out);
    assert_true(str_is(raw, "{\"raw\": 1.0}"));
    seen->count++;
    return true;
}

static bool see_run(void *context, const struct store_run *run)
{
    struct seen *seen = context;
    struct out out = OUT_ON(seen->text);

    out.n = strlen(seen->text);
    out_format(&out, "%.*s=%.*s ", STR_ARG(run->run_id), STR_ARG(run->status));
    (void)out_cstr(&out);
    seen->count++;
    return true;
}

static void commits_stay_and_rollbacks_do_not(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct seen seen = {0, ""};
    char time[GATEWAY_TIME + 1];
    int64_t run, end_n;
    bool ended;

    int64_t daemon = say_hello(store, "d", 0, 0);
    assert_int_equal(store_append_begin(store), OK);
    assert_int_equal(
        add_event(store, daemon, 1, "r", 1, "run.created", "", "{\"workflow_id\":\"w\"}"), OK);
    assert_int_equal(add_event(store, daemon, 2, "r", 2, "run.started", "", "{}"), OK);
    assert_int_equal(commit(store, daemon, 2, 2, "ab"), OK);
    assert_int_equal(store_append_begin(store), OK);
    assert_int_equal(add_event(store, daemon, 3, "r2", 1, "run.created", "", "{}"), OK);
    store_append_rollback(store);
    /* The same run again: what was remembered of it went with the rollback. */
    assert_int_equal(store_append_begin(store), OK);
    assert_int_equal(add_event(store, daemon, 3, "r2", 1, "run.created", "", "{}"), OK);
    assert_int_equal(
        add_event(store, daemon, 4, "r2", 2, "run.succeeded", "", "{\"outputs\":{\"a\":1}}"), OK);
    store_append_rollback(store);
    store_close(store);

    store = open_store();
    assert_int_equal(acked_of(store, "d"), 2);
    assert_int_equal(store_run_find(store, "r2", 0, &run), ERR_NOT_FOUND);
    assert_int_equal(store_run_find(store, "r", daemon, &run), OK);
    assert_int_equal(store_run_events(store, run, 0, 10, see_event, &seen), OK);
    assert_string_equal(seen.text, "1:run.created 2:run.started ");
    assert_int_equal(store_run_end(store, run, &ended, &end_n), OK);
    assert_false(ended);
    assert_int_equal(store_event_time(store, daemon, 2, time), OK);
    assert_string_equal(time, "2026-01-31T12:00:00.123Z");
    assert_int_equal(store_event_time(store, daemon, 3, time), ERR_NOT_FOUND);
    store_close(store);
}

static void an_event_is_stored_once(void **state)
{
    (void)state;
    struct store *store = open_store();
    int64_t daemon = say_hello(store, "d", 0, 0);

    assert_int_equal(store_append_begin(store), OK);
    assert_int_equal(add_event(store, daemon, 1, "", 0, "daemon.started", "", "{}"), OK);
    assert_int_equal(add_event(store, daemon, 1, "", 0, "daemon.started", "", "{}"), ERR_IO);
    assert_true(store_reason(store)[0] != '\0');
    store_append_rollback(store);
    assert_int_equal(acked_of(store, "d"), 0);
    store_close(store);
}

static void hello_keeps_acked_and_raises_the_counter(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct store_daemon daemon;
    int64_t seq;

    int64_t key = say_hello(store, "d", 10, 5);
    assert_int_equal(acked_of(store, "d"), 10);
    assert_int_equal(store_gap(store, key, 11, 14, STR("\"lost\""), 1), OK);
    assert_int_equal(say_hello(store, "d", 99, 3), key);
    assert_int_equal(acked_of(store, "d"), 14);
    assert_int_equal(store_command_add(store, key, STR("a"), STR("run.cancel"), STR("{}"), &seq),
                     OK);
    assert_int_equal(seq, 6);
    (void)say_hello(store, "d", 0, 40);
    assert_int_equal(store_command_add(store, key, STR("b"), STR("run.cancel"), STR("{}"), &seq),
                     OK);
    assert_int_equal(seq, 41);
    assert_int_equal(store_daemon_find(store, "other", &daemon), ERR_NOT_FOUND);
    store_close(store);
}

static void runs_are_listed_newest_first_and_filtered(void **state)
{
    (void)state;
    struct store *store = open_store();
    int64_t first = say_hello(store, "d1", 0, 0), second = say_hello(store, "d2", 0, 0), run;
    struct seen all = {0, ""}, ended = {0, ""}, of_first = {0, ""}, older = {0, ""};

    assert_int_equal(store_append_begin(store), OK);
    assert_int_equal(add_event(store, first, 1, "a", 1, "run.created", "", "{}"), OK);
    assert_int_equal(add_event(store, second, 1, "a", 1, "run.created", "", "{}"), OK);
    assert_int_equal(add_event(store, first, 2, "b", 1, "run.created", "", "{}"), OK);
    assert_int_equal(add_event(store, first, 3, "a", 2, "run.failed", "", "{}"), OK);
    assert_int_equal(commit(store, first, 3, 0, ""), OK);

    assert_int_equal(store_runs(store, &(struct store_run_filter){.before = 0}, 10, see_run, &all),
                     OK);
    assert_string_equal(all.text, "b=queued a=queued a=failed ");
    assert_int_equal(
        store_runs(store, &(struct store_run_filter){.status = STR("failed")}, 10, see_run, &ended),
        OK);
    assert_string_equal(ended.text, "a=failed ");
    assert_int_equal(
        store_runs(store, &(struct store_run_filter){.daemon_key = first}, 1, see_run, &of_first),
        OK);
    assert_string_equal(of_first.text, "b=queued ");
    assert_int_equal(store_run_find(store, "b", 0, &run), OK);
    assert_int_equal(
        store_runs(store, &(struct store_run_filter){.before = run}, 10, see_run, &older), OK);
    assert_string_equal(older.text, "a=queued a=failed ");
    assert_int_equal(store_run_find(store, "a", 0, &run), ERR_EXISTS);
    assert_int_equal(store_run_find(store, "a", second, &run), OK);
    store_close(store);
}

static void status_follows_the_events(void **state)
{
    (void)state;
    static const struct {
        const char *type, *step, *data, *expected;
    } events[] = {
        {"step.log", "x", "{}", "r=running "}, /* its beginning was lost */
        {"run.created", "", "{\"workflow_id\":\"w\"}", "r=queued "},
        {"run.started", "", "{}", "r=running "},
        {"step.started", "work", "{}", "r=running "},
        {"step.started", "ask", "{}", "r=running "},
        {"run.waiting", "ask", "{\"for\":\"gate\"}", "r=running "},
        {"step.completed", "work", "{}", "r=waiting "},
        {"step.started", "more", "{}", "r=running "},
        {"step.interrupted", "more", "{}", "r=waiting "},
        {"run.resumed", "ask", "{}", "r=running "},
        {"step.completed", "ask", "{}", "r=running "},
        {"events.oversize", "", "{\"type\":\"run.succeeded\",\"bytes\":9}", "r=succeeded "},
        {"step.started", "late", "{}", "r=succeeded "},
    };
    struct store *store = open_store();
    int64_t daemon = say_hello(store, "d", 0, 0), run;

    for (int i = 0; i < (int)(sizeof events / sizeof events[0]); i++) {
        struct seen seen = {0, ""};
        assert_int_equal(store_append_begin(store), OK);
        assert_int_equal(add_event(store, daemon, i + 1, "r", i + 1, events[i].type, events[i].step,
                                   events[i].data),
                         OK);
        assert_int_equal(commit(store, daemon, i + 1, 0, ""), OK);
        assert_int_equal(store_run_find(store, "r", daemon, &run), OK);
        assert_int_equal(store_run_get(store, run, see_run, &seen), OK);
        assert_string_equal(seen.text, events[i].expected);
    }
    store_close(store);
}

static void a_run_id_that_comes_again_is_the_newest_run(void **state)
{
    (void)state;
    static const char *const types[] = {"run.created", "run.started", "step.started",
                                        "step.completed", "run.succeeded"};
    struct store *store = open_store();
    int64_t daemon = say_hello(store, "d", 0, 0), first, second;
    struct seen seen = {0, ""}, events = {0, ""};

    for (int i = 0; i < 7; i++) {
        assert_int_equal(store_append_begin(store), OK);
        assert_int_equal(add_event(store, daemon, i + 1, "x", i % 5 + 1, types[i % 5],
                                   i % 5 == 2 || i % 5 == 3 ? "s" : "", "{}"),
                         OK);
        assert_int_equal(commit(store, daemon, i + 1, 0, ""), OK);
        if (i == 4)
            assert_int_equal(store_run_find(store, "x", daemon, &first), OK);
    }
    assert_int_equal(store_run_find(store, "x", 0, &second), OK);
    assert_true(second > first); /* and the newest of the list */
    assert_int_equal(store_run_get(store, second, see_run, &seen), OK);
    assert_string_equal(seen.text, "x=running ");
    assert_int_equal(store_run_events(store, second, 0, 100, see_event, &events), OK);
    assert_string_equal(events.text, "1:run.created 2:run.started ");
    assert_int_equal(acked_of(store, "d"), 7); /* the stream has all of them */
    store_close(store);
}

static bool see_command(void *context, const struct store_command *command)
{
    struct seen *seen = context;
    struct out out = OUT_ON(seen->text);

    out.n = strlen(seen->text);
    out_format(&out, "%d:%.*s%s ", (int)command->seq, STR_ARG(command->key),
               command->answered ? "!" : "");
    (void)out_cstr(&out);
    seen->count++;
    return true;
}

static void assert_waiting(struct store *store, int64_t daemon, const char *expected)
{
    struct seen seen = {0, ""};

    assert_int_equal(store_commands_waiting(store, daemon, see_command, &seen), OK);
    assert_string_equal(seen.text, expected);
}

static void commands_keep_their_keys_and_order(void **state)
{
    (void)state;
    struct store *store = open_store();
    int64_t daemon = say_hello(store, "d", 0, 0), other = say_hello(store, "e", 0, 0), seq, renewed,
            left;
    struct seen seen = {0, ""};

    assert_int_equal(store_command_add(store, daemon, STR("a"), STR("m"), STR("{}"), &seq), OK);
    assert_int_equal(store_command_add(store, daemon, STR("b"), STR("m"), STR("{}"), &seq), OK);
    assert_int_equal(store_command_add(store, daemon, STR("a"), STR("m"), STR("{}"), &seq),
                     ERR_EXISTS);
    assert_int_equal(store_command_add(store, other, STR("a"), STR("m"), STR("{}"), &seq), OK);
    assert_int_equal(seq, 1);
    assert_waiting(store, daemon, "1:a 2:b ");
    assert_int_equal(store_command_answer(store, daemon, 1, false, STR("{}")), OK);
    assert_waiting(store, daemon, "2:b ");
    assert_int_equal(store_command_find(store, daemon, STR("a"), see_command, &seen), OK);
    assert_string_equal(seen.text, "1:a! ");
    assert_int_equal(store_command_find(store, daemon, STR("c"), see_command, &seen),
                     ERR_NOT_FOUND);

    /* Put off, it comes again behind what came meanwhile. */
    assert_int_equal(store_command_defer(store, daemon, 2, 1000), OK);
    assert_int_equal(store_command_add(store, daemon, STR("c"), STR("m"), STR("{}"), &seq), OK);
    assert_waiting(store, daemon, "3:c ");
    assert_int_equal(store_commands_renew(store, daemon, 999, &renewed, &left), OK);
    assert_true(renewed == 0 && left == 1);
    assert_int_equal(store_commands_renew(store, daemon, 1000, &renewed, &left), OK);
    assert_true(renewed == 1 && left == 0);
    assert_waiting(store, daemon, "3:c 4:b ");

    assert_int_equal(store_command_forget(store, daemon, 3), OK);
    assert_int_equal(store_command_add(store, daemon, STR("c"), STR("m"), STR("{}"), &seq), OK);
    store_close(store);
    store = open_store();
    assert_waiting(store, daemon, "4:b 5:c ");
    store_close(store);
}

static void foreign_files_are_refused(void **state)
{
    (void)state;
    struct store *store;
    char text[256];
    struct out why = OUT_ON(text);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    for (int i = 0; i < 200; i++)
        fputs("this is no database\n", file);
    fclose(file);
    assert_int_not_equal(store_open(path, &store, &why), OK);
    assert_null(store);
    assert_true(why.n > 0);
}

static void the_first_head_of_an_event_is_kept(void **state)
{
    struct store *store = open_store();
    int64_t first = say_hello(store, "first", 0, 0), second = say_hello(store, "second", 0, 0);
    struct store_daemon daemon;
    (void)state;
    for (int64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(store_append_begin(store), OK);
        assert_int_equal(add_event(store, first, seq, "r", seq, "step.log", "", "{}"), OK);
        assert_int_equal(commit(store, first, seq, seq == 2 ? 0 : seq, seq == 1 ? "aa" : "cc"), OK);
        assert_int_equal(conflict.seq, 0);
    }
    /* The same again, and the other daemon's, are no news. */
    assert_int_equal(store_append_begin(store), OK);
    assert_int_equal(commit(store, first, 3, 1, "aa"), OK);
    assert_int_equal(conflict.seq, 0);
    assert_int_equal(store_append_begin(store), OK);
    assert_int_equal(commit(store, second, 0, 1, "dd"), OK);
    assert_int_equal(conflict.seq, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_append_begin(store), OK);
        assert_int_equal(commit(store, first, 3, 1, "bb"), OK);
        assert_int_equal(conflict.seq, 1);
        assert_string_equal(conflict.sha256, "aa");
    }
    store_close(store);
    store = open_store();
    assert_int_equal(store_daemon_find(store, "first", &daemon), OK);
    assert_int_equal(daemon.head.seq, 3);
    assert_string_equal(daemon.head.sha256, "cc");
    assert_int_equal(daemon.kept.seq, 1);
    assert_string_equal(daemon.kept.sha256, "aa");
    assert_string_equal(daemon.named.sha256, "bb");
    assert_int_equal(daemon.named_ms, 5000);
    assert_int_equal(store_daemon_find(store, "second", &daemon), OK);
    assert_int_equal(daemon.head.seq, 1);
    assert_int_equal(daemon.kept.seq, 0);
    store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commits_stay_and_rollbacks_do_not),
        TEST(an_event_is_stored_once),
        TEST(hello_keeps_acked_and_raises_the_counter),
        TEST(runs_are_listed_newest_first_and_filtered),
        TEST(status_follows_the_events),
        TEST(a_run_id_that_comes_again_is_the_newest_run),
        TEST(the_first_head_of_an_event_is_kept),
        TEST(commands_keep_their_keys_and_order),
        TEST(foreign_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
