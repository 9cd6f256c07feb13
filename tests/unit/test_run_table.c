/* The run table (slots, slices of the step pool, ended runs, the order of rows) and the table of commands. */
#include "run/command.h"
#include "run/table.h"

#include "json/check.h"
#include "json/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct run_table table;

static int start(void **state)
{
    (void)state;
    memset(&table, 0, sizeof table);
    return 0;
}

static struct run *add(const char *id, unsigned steps, uint64_t created_seq)
{
    struct run *run = table_add(&table, steps);
    assert_non_null(run);
    run->status = RUN_QUEUED;
    (void)str_copy(str_of(id), run->id, sizeof run->id);
    run->created_seq = created_seq;
    return run;
}

/* The clock runs backwards, which must not matter. */
/* `at` orders the endings: by their place in the journal and by the clock alike. */
static void retire(struct run *run, int64_t at, const char *expected_evicted)
{
    char evicted[LIMIT_RUN_ID + 1] = "?";
    struct journal_place place = {1 + (uint32_t)(at / 100), (uint32_t)(at % 100), 5};
    run->status = RUN_SUCCEEDED;
    run->ended_ms = at;
    table_retire(&table, run, place, evicted);
    assert_string_equal(evicted, expected_evicted);
}

/* --- slots and slices ------------------------------------------------------------------------------------------------- */

static void runs_are_found_by_id(void **state)
{
    (void)state;
    struct run *a = add("r-a", 1, 1), *b = add("r-ab", 1, 2);
    assert_ptr_equal(table_find(&table, STR("r-a")), a);
    assert_ptr_equal(table_find(&table, STR("r-ab")), b);
    assert_null(table_find(&table, STR("r-")));
    assert_null(table_find(&table, STR("")));
    assert_int_equal(table_index(&table, b), 1);
    table_remove(&table, a);
    assert_null(table_find(&table, STR("r-a")));
    assert_int_equal(table.count, 1);
}

static void a_new_slot_is_clean(void **state)
{
    (void)state;
    struct run *run = add("r-a", 3, 1);
    struct step *steps = table_steps(&table, run);
    memset(steps, 0xff, 3 * sizeof *steps);
    run->n = 9;
    run->counted = true;
    table_remove(&table, run);
    run = table_add(&table, 2);
    assert_int_equal(run->n, 0);
    assert_false(run->counted);
    assert_int_equal(run->failed_step, LIMIT_STEPS);
    assert_int_equal(run->step_count, 2);
    steps = table_steps(&table, run);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(steps[i].state, STEP_PENDING);
        assert_int_equal(steps[i].plan_length, 0);
    }
}

static void slices_go_into_the_first_hole_that_fits(void **state)
{
    if (LIMIT_RUNS < 8)
        skip();
    (void)state;
    struct run *a = add("a", 4, 1), *b = add("b", 3, 2), *c = add("c", 5, 3);
    assert_int_equal(a->step_first, 0);
    assert_int_equal(b->step_first, 4);
    assert_int_equal(c->step_first, 7);
    table_remove(&table, b);
    assert_int_equal(add("d", 4, 4)->step_first, 12); /* the hole of three is too small */
    assert_int_equal(add("e", 2, 5)->step_first, 4);
    assert_int_equal(add("f", 1, 6)->step_first, 6);
    table_remove(&table, a);
    assert_int_equal(add("g", 4, 7)->step_first, 0);
    assert_int_equal(add("h", 1, 8)->step_first, 16);
}

static void slices_never_overlap(void **state)
{
    struct run *held[LIMIT_RUNS] = {NULL};
    uint32_t random = 12345;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        random = random * 1664525 + 1013904223;
        size_t slot = (random >> 8) % LIMIT_RUNS;
        if (held[slot] != NULL) {
            table_remove(&table, held[slot]);
            held[slot] = NULL;
            continue;
        }
        held[slot] = table_add(&table, 1 + (random >> 20) % LIMIT_STEPS);
        if (held[slot] == NULL)
            continue;
        held[slot]->status = RUN_RUNNING;
        const struct run *mine = held[slot];
        assert_true(mine->step_first + mine->step_count <= LIMIT_STEP_RECORDS);
        for (size_t i = 0; i < LIMIT_RUNS; i++)
            if (held[i] != NULL && i != slot)
                assert_true(held[i]->step_first + held[i]->step_count <= mine->step_first ||
                            mine->step_first + mine->step_count <= held[i]->step_first);
    }
}

static void a_full_table_says_so(void **state)
{
    char id[16];
    (void)state;
    for (unsigned i = 0; i < LIMIT_RUNS; i++) {
        snprintf(id, sizeof id, "r-%u", i);
        (void)add(id, LIMIT_STEPS, i + 1);
    }
    assert_int_equal(table.count, LIMIT_RUNS);
    assert_null(table_add(&table, 1));
    table_remove(&table, table_find(&table, STR("r-1")));
    assert_non_null(table_add(&table, LIMIT_STEPS));
}

/* --- ended runs --------------------------------------------------------------------------------------------------------- */

static void an_ended_run_leaves_its_slot_and_its_place_in_flight(void **state)
{
    (void)state;
    struct run *run = add("r-a", 2, 7);
    run->counted = true;
    table.in_flight = 1;
    run->created = (struct journal_place){1, 2, 3};
    run->created_ms = 10;
    run->started_ms = 20;
    memset(run->inputs_digest, 5, sizeof run->inputs_digest);
    retire(run, 30, "");
    assert_int_equal(table.count, 0);
    assert_int_equal(table.in_flight, 0);
    assert_null(table_find(&table, STR("r-a")));
    const struct ended_run *ended = table_find_ended(&table, STR("r-a"));
    assert_non_null(ended);
    assert_int_equal(ended->status, RUN_SUCCEEDED);
    assert_int_equal(ended->created_seq, 7);
    assert_int_equal(ended->created.offset, 2);
    assert_int_equal(ended->ended.offset, 30);
    assert_int_equal(ended->created_ms + ended->started_ms + ended->ended_ms, 60);
    assert_int_equal(ended->inputs_digest[31], 5);
}

static void the_run_that_ended_first_goes_first(void **state)
{
    if (LIMIT_RETAIN_RUNS < 6)
        skip();
    char id[16];
    (void)state;
    /* Created in order, ended in another one. */
    for (unsigned i = 0; i < LIMIT_RETAIN_RUNS; i++) {
        snprintf(id, sizeof id, "r-%u", i);
        retire(add(id, 1, i + 1), i == 3 ? 50 : i == 4 ? 70 : i == 2 ? 60 : 100 + i, "");
    }
    retire(add("x-1", 1, 1001), 1000, "r-3");
    retire(add("x-2", 1, 1002), 1001, "r-2");
    retire(add("x-3", 1, 1003), 1002, "r-4");
    retire(add("x-4", 1, 1004), 1003, "r-0");
    assert_null(table_find_ended(&table, STR("r-3")));
    assert_non_null(table_find_ended(&table, STR("x-1")));
    assert_non_null(table_find_ended(&table, STR("r-1")));
}

static void a_clock_that_was_set_back_changes_no_order(void **state)
{
    char id[16], evicted[LIMIT_RUN_ID + 1];
    (void)state;
    for (unsigned i = 0; i <= LIMIT_RETAIN_RUNS; i++) {
        snprintf(id, sizeof id, "r-%u", i);
        struct run *run = add(id, 1, i + 1);
        run->status = RUN_FAILED;
        run->ended_ms = 1000000 - i;
        table_retire(&table, run, (struct journal_place){1 + i / 7, 10 + i % 7, 5}, evicted);
        assert_string_equal(evicted, i == LIMIT_RETAIN_RUNS ? "r-0" : "");
    }
}

static void rows_come_newest_first_whether_ended_or_not(void **state)
{
    if (LIMIT_RUNS < 4 || LIMIT_RETAIN_RUNS < 2)
        skip();
    static const char *const order[] = {"r-9", "r-7", "r-6", "r-4", "r-2"};
    struct run *run;
    struct ended_run *ended;
    uint64_t before = 0;
    (void)state;

    (void)add("r-4", 1, 4);
    struct run *second = add("r-2", 1, 2);
    (void)add("r-9", 1, 9);
    retire(add("r-7", 1, 7), 70, "");
    retire(second, 10, "");
    (void)add("r-6", 1, 6);
    for (size_t i = 0; i < 5; i++) {
        assert_true(table_previous(&table, before, &run, &ended));
        assert_true((run == NULL) != (ended == NULL));
        assert_string_equal(run != NULL ? run->id : ended->id, order[i]);
        before = run != NULL ? run->created_seq : ended->created_seq;
    }
    assert_false(table_previous(&table, before, &run, &ended));
    assert_null(run);
    assert_null(ended);
    /* A cursor whose run has gone goes on at the next older one. */
    assert_true(table_previous(&table, 8, &run, &ended));
    assert_string_equal(ended->id, "r-7");
}

/* --- commands -------------------------------------------------------------------------------------------------------------- */

static struct command_table commands, replayed;

static int start_commands(void **state)
{
    (void)state;
    memset(&commands, 0, sizeof commands);
    memset(&replayed, 0, sizeof replayed);
    return 0;
}

static struct rpc_command command(uint64_t seq, const char *key)
{
    struct rpc_command made = {.present = true, .seq = seq};
    (void)str_copy(str_of(key), made.key, sizeof made.key);
    for (size_t i = 0; i < sizeof made.digest; i++)
        made.digest[i] = (unsigned char)(seq * 7 + i * 31);
    return made;
}

/* Writes the memo's member as a start-up would read it; the text between the braces of "command". */
static struct str written(const struct rpc_command *given, const char *run_id,
                          const struct rpc_error *error)
{
    static char bytes[2048];
    struct out out = OUT_ON(bytes);
    struct json_writer w = json_writer(&out);
    struct str raw;
    json_object(&w);
    command_write(&w, given, run_id, error);
    json_object_end(&w);
    assert_false(out.overflow);
    assert_int_equal(json_check(out_view(&out), LIMIT_JSON_DEPTH, NULL), OK);
    assert_true(json_member(out_view(&out), "command", &raw));
    return raw;
}

static void a_command_is_found_by_its_key(void **state)
{
    struct rpc_command a = command(5, "key-a"), b = command(6, "key-b");
    (void)state;
    command_remember(&commands, &a, "r-1", NULL);
    command_remember(&commands, &b, "r-2", NULL);
    assert_string_equal(command_find(&commands, "key-a")->run_id, "r-1");
    assert_string_equal(command_find(&commands, "key-b")->run_id, "r-2");
    assert_null(command_find(&commands, "key-"));
    assert_null(command_find(&commands, ""));
    assert_false(command_find(&commands, "key-a")->failed);
    assert_memory_equal(command_find(&commands, "key-a")->digest, a.digest, 32);
    assert_int_equal(commands.seen, 6);
}

static void seen_never_falls(void **state)
{
    struct rpc_command late = command(50, "a"), early = command(7, "b");
    (void)state;
    command_remember(&commands, &late, "r", NULL);
    command_remember(&commands, &early, "r", NULL);
    assert_int_equal(commands.seen, 50);
    assert_true(command_replay(&replayed, written(&late, "r", NULL)));
    assert_true(command_replay(&replayed, written(&early, "r", NULL)));
    assert_int_equal(replayed.seen, 50);
}

static void the_oldest_key_makes_room(void **state)
{
    char key[32];
    (void)state;
    for (unsigned i = 0; i < LIMIT_COMMAND_KEYS + 3; i++) {
        snprintf(key, sizeof key, "k%u", i);
        struct rpc_command given = command(i + 1, key);
        command_remember(&commands, &given, "r", NULL);
    }
    for (unsigned i = 0; i < LIMIT_COMMAND_KEYS + 3; i++) {
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(command_find(&commands, key) != NULL, i >= 3);
    }
    assert_int_equal(commands.seen, LIMIT_COMMAND_KEYS + 3);
}

static void a_key_stands_once(void **state)
{
    struct rpc_command first = command(1, "k"), again = command(2, "k");
    size_t count = 0;
    (void)state;
    command_remember(&commands, &first, "r-1", NULL);
    command_remember(&commands, &again, "r-2", NULL);
    for (size_t i = 0; i < LIMIT_COMMAND_KEYS; i++)
        count += commands.entries[i].seq != 0;
    assert_int_equal(count, 1);
    assert_string_equal(command_find(&commands, "k")->run_id, "r-2");
}

static void replay_gives_the_same_entry(void **state)
{
    struct rpc_command good = command(INT64_MAX, "k\xc3\xa9\"\\"), bad = command(42, "bad");
    struct rpc_error error;
    (void)state;

    rpc_error_set(&error, RPC_INVALID_INPUT, "inputs.city \"%s\"", "x\ny");
    (void)str_copy(STR("{\"path\":\"inputs.city\",\"reason\":\"r\"}"), error.data,
                   sizeof error.data);
    command_remember(&commands, &good, "r-1", NULL);
    command_remember(&commands, &bad, NULL, &error);
    assert_true(command_replay(&replayed, written(&good, "r-1", NULL)));
    assert_true(command_replay(&replayed, written(&bad, NULL, &error)));
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? good.key : bad.key;
        const struct command_entry *live = command_find(&commands, key),
                                   *read = command_find(&replayed, key);
        assert_non_null(read);
        assert_int_equal(read->seq, live->seq);
        assert_int_equal(read->failed, live->failed);
        assert_int_equal(read->code, live->code);
        assert_memory_equal(read->digest, live->digest, 32);
        assert_string_equal(read->run_id, live->run_id);
        assert_string_equal(read->message, live->message);
        assert_string_equal(read->data, live->data);
    }
    assert_int_equal(command_find(&replayed, "bad")->code, -32006);
    assert_string_equal(command_find(&replayed, "bad")->data,
                        "{\"path\":\"inputs.city\",\"reason\":\"r\"}");
    assert_int_equal(replayed.seen, commands.seen);
}

static void what_is_carried_into_a_new_segment_reads_the_same(void **state)
{
    char bytes[2048];
    struct out out = OUT_ON(bytes);
    struct json_writer w = json_writer(&out);
    struct rpc_command given = command(9, "key");
    struct str raw;
    (void)state;

    command_remember(&commands, &given, "r-7", NULL);
    json_object(&w);
    command_write_entry(&w, command_find(&commands, "key"));
    json_object_end(&w);
    assert_true(json_member(out_view(&out), "command", &raw));
    assert_true(str_equal(raw, written(&given, "r-7", NULL)));
    assert_true(command_replay(&replayed, raw));
    assert_string_equal(command_find(&replayed, "key")->run_id, "r-7");
}

/* Whatever stands in a message, what was written must be readable: a record that replay refuses would keep the daemon from
 * starting again. */
static void long_messages_are_cut_and_still_replayed(void **state)
{
    struct rpc_command given = command(1, "k");
    struct rpc_error error;
    char text[256];
    (void)state;

    for (size_t n = 100; n < sizeof text; n++)
        for (int kind = 0; kind < 3; kind++) {
            /* Letters of two bytes, cut at odd places; bytes that are no UTF-8; control characters. */
            for (size_t i = 0; i < n; i++)
                text[i] = kind == 0   ? (i % 2 == n % 2 ? '\xc3' : '\xa9')
                          : kind == 1 ? '\xff'
                                      : '\x01';
            text[n] = '\0';
            memset(&replayed, 0, sizeof replayed);
            rpc_error_set(&error, RPC_NOT_FOUND, "%s", text);
            if (!command_replay(&replayed, written(&given, NULL, &error)))
                fail_msg("%zu bytes of kind %d cannot be read back", n, kind);
            assert_int_equal(command_find(&replayed, "k")->code, RPC_NOT_FOUND);
            /* Carried on, it is read once more, and stays what it is. */
            command_remember(&commands, &given, NULL, &error);
        }
}

static void long_data_is_kept_whole(void **state)
{
    struct rpc_command given = command(1, "k");
    struct rpc_error error;
    (void)state;
    rpc_error_set(&error, RPC_INVALID_PLAN, "m");
    struct out out = OUT_ON(error.data);
    out_byte(&out, '"');
    for (int i = 0; i < 400; i++)
        out_byte(&out, 'x');
    out_byte(&out, '"');
    out_cstr(&out);
    assert_true(command_replay(&replayed, written(&given, NULL, &error)));
    assert_string_equal(command_find(&replayed, "k")->data, error.data);
}

static void malformed_entries_are_refused(void **state)
{
#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const char *const cases[] = {
        "{}",
        "{\"seq\":1,\"key\":\"k\"}",
        "{\"seq\":0,\"key\":\"k\",\"digest\":\"" DIGEST "\"}",
        "{\"seq\":1,\"digest\":\"" DIGEST "\"}",
        "{\"seq\":1,\"key\":\"k\",\"digest\":\"" DIGEST "0\"}",
        "{\"seq\":1,\"key\":\"k\",\"digest\":\"0123\"}",
        "{\"seq\":1,\"key\":\"k\",\"digest\":\"\"}",
        "{\"seq\":1,\"key\":\"k\",\"digest\":\"X123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}",
        "{\"seq\":1,\"key\":\"k\",\"digest\":\"" DIGEST "\",\"code\":\"x\"}",
    };
    (void)state;
    assert_true(
        command_replay(&replayed, STR("{\"seq\":1,\"key\":\"k\",\"digest\":\"" DIGEST "\"}")));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (command_replay(&replayed, str_of(cases[i])))
            fail_msg("%s is taken", cases[i]);
}

static void some_errors_are_no_outcomes(void **state)
{
    (void)state;
    for (int code = -32800; code < -32000; code++)
        assert_int_equal(command_is_outcome(code),
                         code != -32001 && code != -32002 && code != -32009 && code != -32012);
}

#define TEST(name) cmocka_unit_test_setup(name, start)
#define COMMAND_TEST(name) cmocka_unit_test_setup(name, start_commands)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runs_are_found_by_id),
        TEST(a_new_slot_is_clean),
        TEST(slices_go_into_the_first_hole_that_fits),
        TEST(slices_never_overlap),
        TEST(a_full_table_says_so),
        TEST(an_ended_run_leaves_its_slot_and_its_place_in_flight),
        TEST(the_run_that_ended_first_goes_first),
        TEST(a_clock_that_was_set_back_changes_no_order),
        TEST(rows_come_newest_first_whether_ended_or_not),
        COMMAND_TEST(a_command_is_found_by_its_key),
        COMMAND_TEST(seen_never_falls),
        COMMAND_TEST(the_oldest_key_makes_room),
        COMMAND_TEST(a_key_stands_once),
        COMMAND_TEST(replay_gives_the_same_entry),
        COMMAND_TEST(what_is_carried_into_a_new_segment_reads_the_same),
        COMMAND_TEST(long_messages_are_cut_and_still_replayed),
        COMMAND_TEST(long_data_is_kept_whole),
        COMMAND_TEST(malformed_entries_are_refused),
        COMMAND_TEST(some_errors_are_no_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
