/* Bias and RMSNorm of the reference: values by hand, gradients by finite differences. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/tools/finite_difference.h"
#include "tests/tools/random_values.h"

enum { ROWS = 5, COLS = 9, ELEMS = ROWS * COLS };

struct norm { float x[ELEMS], add[ELEMS], sum[ELEMS], weight[COLS], y[ELEMS], rstd[ROWS], dy[ELEMS], dx[ELEMS], dweight[COLS]; bool with_add; };

static struct rmsnorm_args norm_args_of(struct norm *n)
{
    return (struct rmsnorm_args){.rows = ROWS, .cols = COLS, .eps = 1e-5f, .x = n->x, .add = n->with_add ? n->add : NULL, .sum = n->sum, .weight = n->weight,
                                 .y = n->y, .rstd = n->rstd, .dy = n->dy, .dx = n->dx, .dweight = n->dweight};
}

static struct norm random_norm(uint64_t seed, bool with_add)
{
    struct random random = {seed};
    struct norm n = {.with_add = with_add};
    random_fill(&random, n.x, ELEMS, 1.0, F32), random_fill(&random, n.add, ELEMS, 1.0, F32);
    random_fill(&random, n.weight, COLS, 1.0, F32), random_fill(&random, n.dy, ELEMS, 1.0, F32);
    return n;
}

static double norm_loss(void *context)
{
    struct norm *n = context;
    struct rmsnorm_args args = norm_args_of(n);
    assert_int_equal(kernels_ref.rmsnorm_forward(NULL, &args), OK);
    return weighted_sum(n->y, n->dy, ELEMS);
}

/* Backward reads the normalised input in x. */
static void backward(struct norm *n, bool accumulate)
{
    struct rmsnorm_args args = norm_args_of(n);
    args.accumulate = accumulate;
    args.x = n->with_add ? n->sum : n->x;
    assert_int_equal(kernels_ref.rmsnorm_backward(NULL, &args), OK);
}

static void a_norm_divides_by_the_root_of_the_mean_square(void **state)
{
    (void)state;
    struct norm n = random_norm(1, true);
    norm_loss(&n);
    for (int t = 0; t < ROWS; t++) {
        double squares = 0.0;
        for (int c = 0; c < COLS; c++) {
            double s = (double)n.x[t * COLS + c] + (double)n.add[t * COLS + c];
            assert_float_equal(n.sum[t * COLS + c], (float)s, 1e-6f);
            squares += s * s;
        }
        double rstd = 1.0 / sqrt(squares / COLS + 1e-5);
        assert_float_equal(n.rstd[t], (float)rstd, 1e-5f);
        for (int c = 0; c < COLS; c++)
            assert_float_equal(n.y[t * COLS + c], (float)((double)n.sum[t * COLS + c] * rstd * (double)n.weight[c]), 1e-5f);
    }
}

static void the_backward_of_a_norm_agrees_with_finite_differences(void **state)
{
    (void)state;
    for (int with_add = 0; with_add < 2; with_add++) {
        struct norm n = random_norm(2 + (uint64_t)with_add, with_add);
        norm_loss(&n);
        backward(&n, false);
        assert_gradient("dx", n.x, n.dx, ELEMS, norm_loss, &n, 1e-4);
        assert_gradient("dweight", n.weight, n.dweight, COLS, norm_loss, &n, 1e-4);
        if (with_add)
            assert_gradient("dadd", n.add, n.dx, ELEMS, norm_loss, &n, 1e-4);
    }
}

static void gradients_of_weights_are_added_and_those_of_inputs_when_asked(void **state)
{
    (void)state;
    struct norm once = random_norm(4, false), twice;
    norm_loss(&once);
    twice = once;
    backward(&once, false);
    backward(&twice, false);
    backward(&twice, true);
    for (int i = 0; i < ELEMS; i++)
        assert_float_equal(twice.dx[i], 2.0f * once.dx[i], 1e-5f);
    for (int c = 0; c < COLS; c++)
        assert_float_equal(twice.dweight[c], 2.0f * once.dweight[c], 1e-5f);
}

struct biased { float x[ELEMS], bias[COLS], y[ELEMS], dy[ELEMS]; };

static double bias_loss(void *context)
{
    struct biased *b = context;
    memcpy(b->y, b->x, sizeof b->x);
    struct bias_args args = {.rows = ROWS, .cols = COLS, .x = b->y, .bias = b->bias};
    assert_int_equal(kernels_ref.bias_forward(NULL, &args), OK);
    return weighted_sum(b->y, b->dy, ELEMS);
}

static void the_backward_of_a_bias_agrees_with_finite_differences_and_is_added(void **state)
{
    (void)state;
    struct random random = {5};
    struct biased b;
    random_fill(&random, b.x, ELEMS, 1.0, F32), random_fill(&random, b.bias, COLS, 1.0, F32), random_fill(&random, b.dy, ELEMS, 1.0, F32);
    float dbias[COLS];
    for (int c = 0; c < COLS; c++)
        dbias[c] = 1.0f;
    struct bias_args args = {.rows = ROWS, .cols = COLS, .dy = b.dy, .dbias = dbias};
    assert_int_equal(kernels_ref.bias_backward(NULL, &args), OK);
    for (int c = 0; c < COLS; c++)
        dbias[c] -= 1.0f;
    assert_gradient("dbias", b.bias, dbias, COLS, bias_loss, &b, 2e-5);
    assert_gradient("dx", b.x, b.dy, ELEMS, bias_loss, &b, 2e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_norm_divides_by_the_root_of_the_mean_square),
        cmocka_unit_test(the_backward_of_a_norm_agrees_with_finite_differences),
        cmocka_unit_test(gradients_of_weights_are_added_and_those_of_inputs_when_asked),
        cmocka_unit_test(the_backward_of_a_bias_agrees_with_finite_differences_and_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
