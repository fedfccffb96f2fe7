#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/philox.h"

/* The three vectors published with Random123 for philox4x32, 10 rounds: counter, key, result. */
static void the_published_vectors_come_out(void **state)
{
    (void)state;
    static const uint32_t v[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox_block(v[i] + 4, v[i], out);
        assert_memory_equal(out, v[i] + 6, sizeof out);
    }
}

static void seed_purpose_index_id_and_draw_all_matter(void **state)
{
    (void)state;
    struct philox base = philox_make(1, PHILOX_SAMPLING, 2, 3);
    struct philox other[] = {philox_make(2, PHILOX_SAMPLING, 2, 3), philox_make(1, PHILOX_PAIRING, 2, 3), philox_make(1, PHILOX_SAMPLING, 3, 3),
                             philox_make(1, PHILOX_SAMPLING, 2, 4), philox_make(1, PHILOX_SAMPLING, 2, 3 + (1ull << 32))};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_int_not_equal(philox_u32(&base, 0), philox_u32(&other[i], 0));
    assert_int_not_equal(philox_u32(&base, 0), philox_u32(&base, 1));
    struct philox again = philox_make(1, PHILOX_SAMPLING, 2, 3);
    assert_int_equal(philox_u32(&base, 7), philox_u32(&again, 7));
}

static void moments_of_uniform_and_normal_are_right(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct philox p = philox_make(5, PHILOX_INITIALISATION, 0, 9);
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n4 = 0;
    for (uint32_t i = 0; i < N; i++) {
        double u = (double)philox_uniform(&p, i), n = (double)philox_normal(&p, i);
        assert_true(u >= 0.0 && u < 1.0 && isfinite(n));
        u1 += u / N;
        u2 += u * u / N;
        n1 += n / N;
        n2 += n * n / N;
        n4 += n * n * n * n / N;
    }
    assert_true(fabs(u1 - 0.5) < 0.004 && fabs(u2 - 1.0 / 3.0) < 0.004);
    assert_true(fabs(n1) < 0.012 && fabs(n2 - 1.0) < 0.02 && fabs(n4 - 3.0) < 0.15);
}

static void below_is_even_and_never_reaches_n(void **state)
{
    (void)state;
    enum { N = 7, DRAWS = 70000 };
    struct philox p = philox_make(3, PHILOX_PAIRING, 0, 0);
    int count[N] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint64_t k = philox_below(&p, i, N);
        assert_true(k < N);
        count[k]++;
    }
    for (int i = 0; i < N; i++)
        assert_in_range(count[i], DRAWS / N - 500, DRAWS / N + 500);
    assert_int_equal(philox_below(&p, 0, 1), 0);
    /* Half of all draws fall in the rejected interval. */
    uint64_t n = (1ull << 63) + 1;
    for (uint32_t i = 0; i < 100; i++)
        assert_true(philox_below(&p, i, n) < n);
}

static void a_permutation_visits_everything_once(void **state)
{
    (void)state;
    uint64_t order[1000], other[1000];
    int seen[1000] = {0};
    philox_permutation(1, 0, 1000, order);
    for (int i = 0; i < 1000; i++) {
        assert_true(order[i] < 1000);
        seen[order[i]]++;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
    philox_permutation(1, 0, 1000, other);
    assert_memory_equal(order, other, sizeof order);
    philox_permutation(1, 1, 1000, other);
    assert_memory_not_equal(order, other, sizeof order);
    philox_permutation(2, 0, 1000, other);
    assert_memory_not_equal(order, other, sizeof order);
    philox_permutation(1, 0, 1, other);
    assert_int_equal(other[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vectors_come_out),
        cmocka_unit_test(seed_purpose_index_id_and_draw_all_matter),
        cmocka_unit_test(moments_of_uniform_and_normal_are_right),
        cmocka_unit_test(below_is_even_and_never_reaches_n),
        cmocka_unit_test(a_permutation_visits_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
