/* The reference matrix product against a plain triple loop, and its backward products against finite differences. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "kernels/kernels.h"
#include "tests/tools/finite_difference.h"
#include "tests/tools/random_values.h"

enum { M = 5, K = 7, N = 3, PAD = 2, MOST = 16 * 16 };

static void fill(struct random *random, void *x, enum dtype dtype)
{
    float values[MOST];
    random_fill(random, values, MOST, 1.0, dtype);
    for (int64_t i = 0; i < MOST; i++)
        dtype_put(x, dtype, i, values[i]);
}

static double expected_at(const struct gemm_args *g, const void *c_before, int64_t i, int64_t j)
{
    double sum = g->accumulate ? (double)dtype_get(c_before, g->dtype_c, i * g->ldc + j) : 0.0;
    for (int64_t k = 0; k < g->k; k++) {
        int64_t at_a = g->trans_a ? k * g->lda + i : i * g->lda + k, at_b = g->trans_b ? j * g->ldb + k : k * g->ldb + j;
        sum += (double)dtype_get(g->a, g->dtype_ab, at_a) * (double)dtype_get(g->b, g->dtype_ab, at_b);
    }
    return sum;
}

static void check_product(struct random *random, bool trans_a, bool trans_b, bool accumulate, enum dtype dtype, enum dtype dtype_c)
{
    float a[MOST], b[MOST], c[MOST], before[MOST];
    fill(random, a, dtype), fill(random, b, dtype), fill(random, c, dtype_c);
    memcpy(before, c, sizeof c);
    struct gemm_args g = {.m = M, .n = N, .k = K, .trans_a = trans_a, .trans_b = trans_b, .accumulate = accumulate, .a = a, .b = b, .c = c,
                          .lda = (trans_a ? M : K) + PAD, .ldb = (trans_b ? K : N) + PAD, .ldc = N + PAD, .dtype_ab = dtype, .dtype_c = dtype_c};
    assert_int_equal(kernels_ref.gemm(NULL, &g), OK);
    for (int64_t at = 0; at < M * g.ldc; at++) {
        bool inside = at % g.ldc < N;
        float was = dtype_get(before, dtype_c, at), is = dtype_get(c, dtype_c, at);
        double want = inside ? expected_at(&g, before, at / g.ldc, at % g.ldc) : (double)was;
        assert_float_equal(is, (float)want, dtype_c == BF16 && inside ? 0.02f : 1e-6f);
    }
}

static void a_product_is_the_sum_of_products_in_every_storage_order(void **state)
{
    (void)state;
    struct random random = {1};
    for (int bits = 0; bits < 8; bits++) {
        check_product(&random, bits & 1, bits & 2, bits & 4, F32, F32);
        check_product(&random, bits & 1, bits & 2, bits & 4, BF16, F32);
        check_product(&random, bits & 1, bits & 2, bits & 4, BF16, BF16);
    }
}

static void a_product_over_nothing_is_zero_or_leaves_c_as_it_was(void **state)
{
    (void)state;
    float c[2] = {3.0f, 4.0f};
    struct gemm_args g = {.m = 1, .n = 2, .k = 0, .accumulate = true, .c = c, .lda = 1, .ldb = 2, .ldc = 2};
    assert_int_equal(kernels_ref.gemm(NULL, &g), OK);
    assert_float_equal(c[0], 3.0f, 0.0f);
    g.accumulate = false;
    assert_int_equal(kernels_ref.gemm(NULL, &g), OK);
    assert_float_equal(c[0], 0.0f, 0.0f);
    assert_float_equal(c[1], 0.0f, 0.0f);
    g.m = 0, g.c = NULL;
    assert_int_equal(kernels_ref.gemm(NULL, &g), OK);
}

/* y_MN = x_MK w_NK', as a linear layer. */
struct linear { float x[M * K], w[N * K], y[M * N], dy[M * N]; };

static double linear_loss(void *context)
{
    struct linear *l = context;
    struct gemm_args g = {.m = M, .n = N, .k = K, .trans_b = true, .a = l->x, .b = l->w, .c = l->y, .lda = K, .ldb = K, .ldc = N};
    assert_int_equal(kernels_ref.gemm(NULL, &g), OK);
    return weighted_sum(l->y, l->dy, M * N);
}

static void the_backward_of_a_linear_layer_agrees_with_finite_differences(void **state)
{
    (void)state;
    struct random random = {2};
    struct linear l;
    random_fill(&random, l.x, M * K, 1.0, F32), random_fill(&random, l.w, N * K, 1.0, F32), random_fill(&random, l.dy, M * N, 1.0, F32);
    float dx[M * K], dw[N * K];
    struct gemm_args to_x = {.m = M, .n = K, .k = N, .a = l.dy, .b = l.w, .c = dx, .lda = N, .ldb = K, .ldc = K};
    struct gemm_args to_w = {.m = N, .n = K, .k = M, .trans_a = true, .a = l.dy, .b = l.x, .c = dw, .lda = N, .ldb = K, .ldc = K};
    assert_int_equal(kernels_ref.gemm(NULL, &to_x), OK);
    assert_int_equal(kernels_ref.gemm(NULL, &to_w), OK);
    assert_gradient("dx", l.x, dx, M * K, linear_loss, &l, 2e-5);
    assert_gradient("dw", l.w, dw, N * K, linear_loss, &l, 2e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_the_sum_of_products_in_every_storage_order),
        cmocka_unit_test(a_product_over_nothing_is_zero_or_leaves_c_as_it_was),
        cmocka_unit_test(the_backward_of_a_linear_layer_agrees_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
