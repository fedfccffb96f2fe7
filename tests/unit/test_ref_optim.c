/* AdamW and the squared norm of the reference against the formula in double. */
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

enum { N = 33, STEPS = 5 };

/* arXiv 1711.05101, algorithm 2, in double. */
struct oracle { double x[N], m[N], v[N]; };

static void oracle_step(struct oracle *o, const float *grad, double lr, double decay, double grad_scale, int step)
{
    for (int i = 0; i < N; i++) {
        double g = (double)grad[i] * grad_scale;
        o->m[i] = 0.9 * o->m[i] + 0.1 * g;
        o->v[i] = 0.95 * o->v[i] + 0.05 * g * g;
        double m = o->m[i] / (1.0 - pow(0.9, step)), v = o->v[i] / (1.0 - pow(0.95, step));
        o->x[i] -= lr * (m / (sqrt(v) + 1e-8) + decay * o->x[i]);
    }
}

static void five_steps_of_adamw_follow_the_formula(void **state)
{
    (void)state;
    struct random random = {1};
    struct oracle o = {.m = {0}};
    float master[N], m[N] = {0}, v[N] = {0}, grad[N];
    bf16 param[N];
    random_fill(&random, master, N, 1.0, F32);
    for (int i = 0; i < N; i++)
        o.x[i] = (double)master[i];
    for (int step = 1; step <= STEPS; step++) {
        random_fill(&random, grad, N, 1.0, F32);
        struct adamw_args args = {.n_elems = N, .master = master, .m = m, .v = v, .grad = grad, .param = param, .dtype = BF16, .lr = 0.01f, .beta1 = 0.9f,
                                  .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f, .grad_scale = 0.5f, .step = step};
        assert_int_equal(kernels_ref.adamw(NULL, &args), OK);
        oracle_step(&o, grad, 0.01, 0.1, 0.5, step);
    }
    for (int i = 0; i < N; i++) {
        assert_float_equal(master[i], (float)o.x[i], 2e-6f);
        assert_int_equal(param[i], f32_to_bf16(master[i]));
    }
}

static void the_parameter_may_be_the_master_itself(void **state)
{
    (void)state;
    struct random random = {2};
    float apart[N], together[N], param[N], m[2][N] = {{0}}, v[2][N] = {{0}}, grad[N];
    random_fill(&random, apart, N, 1.0, F32), random_fill(&random, grad, N, 1.0, F32);
    memcpy(together, apart, sizeof apart);
    struct adamw_args args = {.n_elems = N, .master = apart, .m = m[0], .v = v[0], .grad = grad, .param = param, .dtype = F32, .lr = 0.01f, .beta1 = 0.9f,
                              .beta2 = 0.95f, .eps = 1e-8f, .grad_scale = 1.0f, .step = 1};
    assert_int_equal(kernels_ref.adamw(NULL, &args), OK);
    args.master = args.param = together, args.m = m[1], args.v = v[1];
    assert_int_equal(kernels_ref.adamw(NULL, &args), OK);
    assert_memory_equal(apart, together, sizeof apart);
    assert_memory_equal(apart, param, sizeof apart);
}

static void the_squared_norm_is_added_and_shows_what_is_not_finite(void **state)
{
    (void)state;
    float x[4] = {3.0f, -4.0f, 1e30f, 0.0f};
    double sum = 1.0;
    struct norm_args args = {.n_elems = 2, .x = x, .sum = &sum};
    assert_int_equal(kernels_ref.norm_squared(NULL, &args), OK);
    assert_true(sum == 26.0);
    args.n_elems = 3;
    assert_int_equal(kernels_ref.norm_squared(NULL, &args), OK);
    assert_true(isfinite(sum));     /* 1e60 fits in double */
    x[3] = INFINITY, args.n_elems = 4;
    assert_int_equal(kernels_ref.norm_squared(NULL, &args), OK);
    assert_true(!isfinite(sum));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_steps_of_adamw_follow_the_formula),
        cmocka_unit_test(the_parameter_may_be_the_master_itself),
        cmocka_unit_test(the_squared_norm_is_added_and_shows_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
