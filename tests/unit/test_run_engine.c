/* What the engine decides by numbers alone. */
#include "run/waiting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_rest_of_a_time_is_what_the_wall_clock_leaves(void **state)
{
    (void)state;
    assert_int_equal(waiting_left(1000, 5000, 10000), 4000);
    assert_int_equal(waiting_left(4999, 5000, 10000), 1);
    assert_int_equal(waiting_left(5000, 5000, 10000), 0);
}

static void what_has_passed_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(waiting_left(5001, 5000, 1000), 0);
    assert_int_equal(waiting_left(INT64_MAX, 5000, 1000), 0);
}

static void a_clock_before_the_beginning_leaves_all(void **state)
{
    (void)state;
    assert_int_equal(waiting_left(3999, 5000, 1000), 1000);
    assert_int_equal(waiting_left(4000, 5000, 1000), 1000);
    assert_int_equal(waiting_left(0, 1700000000000, 86400000), 86400000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_of_a_time_is_what_the_wall_clock_leaves),
        cmocka_unit_test(what_has_passed_leaves_nothing),
        cmocka_unit_test(a_clock_before_the_beginning_leaves_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
