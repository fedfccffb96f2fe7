/* partition: every element has one owner. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "comm/partition.h"

static const int64_t sizes[] = {0, 1, 15, 16, 17, 100, 255, 4096, 1000003, (int64_t)5 << 33};

static void every_element_is_owned_by_exactly_one_rank(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        for (int size = 1; size <= 9; size++) {
            int64_t next = 0;
            for (int rank = 0; rank < size; rank++) {
                struct range r = partition_owned(sizes[n], size, rank);
                assert_true(r.count >= 0);
                assert_int_equal(r.first, rank * partition_chunk(sizes[n], size));
                if (r.count > 0)
                    assert_int_equal(r.first, next);
                next += r.count;
            }
            assert_int_equal(next, sizes[n]);
        }
}

static void chunks_are_aligned_and_as_short_as_that_allows(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        for (int size = 1; size <= 9; size++) {
            int64_t chunk = partition_chunk(sizes[n], size);
            assert_int_equal(chunk % PARTITION_ALIGN, 0);
            assert_true(chunk * size >= sizes[n]);
            assert_true(chunk == 0 || (chunk - PARTITION_ALIGN) * size < sizes[n]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_is_owned_by_exactly_one_rank),
        cmocka_unit_test(chunks_are_aligned_and_as_short_as_that_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
