/* Which GPU a rank takes, by what the ranks of its host see. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "comm/local_device.h"

enum { GPUS = 0x1234, OTHERS = 0x5678 };

static int ordinal_of(const struct device_sight *sight, int rank)
{
    int ordinal = -1;
    assert_int_equal(local_device_of(sight, rank, false, &ordinal), OK);
    return ordinal;
}

static void ranks_of_a_host_take_its_gpus_in_turn(void **state)
{
    (void)state;
    const struct device_sight sight[] = {{0, 4, GPUS}, {0, 4, GPUS}, {0, 4, GPUS}, {0, 4, GPUS}};
    for (int rank = 0; rank < 4; rank++)
        assert_int_equal(ordinal_of(sight, rank), rank);
}

/* GPUs of several hosts have the same places on the bus. */
static void each_host_begins_with_its_first_gpu_however_ranks_are_dealt(void **state)
{
    (void)state;
    const struct device_sight sight[] = {{0, 2, GPUS}, {1, 2, GPUS}, {2, 2, GPUS}, {0, 2, GPUS}, {1, 2, GPUS}, {2, 2, GPUS}};
    for (int rank = 0; rank < 6; rank++)
        assert_int_equal(ordinal_of(sight, rank), rank / 3);
}

static void a_rank_that_is_shown_one_gpu_of_its_own_takes_it(void **state)
{
    (void)state;
    const struct device_sight sight[] = {{0, 1, 10}, {0, 1, 11}, {0, 1, 12}};
    for (int rank = 0; rank < 3; rank++)
        assert_int_equal(ordinal_of(sight, rank), 0);
}

static void ranks_that_are_shown_halves_of_a_host_take_each_half_in_turn(void **state)
{
    (void)state;
    const struct device_sight sight[] = {{0, 2, GPUS}, {0, 2, OTHERS}, {0, 2, GPUS}, {0, 2, OTHERS}};
    const int want[] = {0, 0, 1, 1};
    for (int rank = 0; rank < 4; rank++)
        assert_int_equal(ordinal_of(sight, rank), want[rank]);
}

static void more_ranks_than_gpus_are_refused_with_the_numbers(void **state)
{
    (void)state;
    const struct device_sight sight[] = {{0, 1, GPUS}, {1, 2, GPUS}, {1, 2, GPUS}, {1, 2, GPUS}};
    int ordinal;
    assert_int_equal(local_device_of(sight, 3, false, &ordinal), USAGE);
    assert_non_null(strstr(trace_sentence(), "rank 3 is number 3 of the ranks to which host 1 shows the same 2 GPUs"));
    trace_clear();
    assert_int_equal(ordinal_of(sight, 2), 1);
}

static void ranks_share_gpus_where_they_may(void **state)
{
    (void)state;
    const struct device_sight sight[] = {{0, 2, GPUS}, {0, 2, GPUS}, {0, 2, GPUS}, {0, 2, GPUS}, {0, 2, GPUS}};
    for (int rank = 0; rank < 5; rank++) {
        int ordinal = -1;
        assert_int_equal(local_device_of(sight, rank, true, &ordinal), OK);
        assert_int_equal(ordinal, rank % 2);
    }
}

static void a_rank_without_a_gpu_is_told(void **state)
{
    (void)state;
    const struct device_sight sight[] = {{0, 0, 0}};
    int ordinal;
    assert_int_equal(local_device_of(sight, 0, true, &ordinal), USAGE);
    assert_non_null(strstr(trace_sentence(), "rank 0 sees no GPU"));
    trace_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_of_a_host_take_its_gpus_in_turn),
        cmocka_unit_test(each_host_begins_with_its_first_gpu_however_ranks_are_dealt),
        cmocka_unit_test(a_rank_that_is_shown_one_gpu_of_its_own_takes_it),
        cmocka_unit_test(ranks_that_are_shown_halves_of_a_host_take_each_half_in_turn),
        cmocka_unit_test(more_ranks_than_gpus_are_refused_with_the_numbers),
        cmocka_unit_test(ranks_share_gpus_where_they_may),
        cmocka_unit_test(a_rank_without_a_gpu_is_told),
    };
    return cmocka_run_group_tests_name("local_device", tests, NULL, NULL);
}
