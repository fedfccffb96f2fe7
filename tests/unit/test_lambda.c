/* lambda(t) as method.md, section 3, states it (truth 7; in metrics.jsonl: tests/mpi/test_train.sh). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "trainer/loss/lambda.h"

static void near(double a, double b) { assert_true(fabs(a - b) <= 1e-12); }

static struct lambda_schedule schedule(int mode, int64_t epochs, int64_t T, double beta, bool inclusive)
{
    static struct config config;
    struct lambda_schedule s;
    config.objective.mode = mode;
    config.objective.epochs = epochs;
    config.objective.beta = beta;
    config.objective.lambda = 0.3;
    config.objective.ramp_inclusive = inclusive;
    assert_int_equal(lambda_schedule_make(&config, T, &s), OK);
    return s;
}

static double clamp(double u) { return u < 0.0 ? 0.0 : u > 1.0 ? 1.0 : u; }

static void lambda_is_one_until_the_last_epoch_and_falls_by_beta_over_it(void **state)
{
    (void)state;
    const int64_t T = 7;
    for (int64_t E = 1; E <= 3; E++) {
        struct lambda_schedule s = schedule(MODE_CRITIC_RM, E, T, 0.9, false);
        for (int64_t t = 0; t <= E * T; t++)
            near(lambda_at(&s, t), 1.0 - 0.9 * clamp((double)(t - (E - 1) * T) / (double)T));
        assert_true(lambda_at(&s, (E - 1) * T) == 1.0);
        near(lambda_at(&s, E * T), 0.1);
    }
}

static void an_inclusive_ramp_is_one_step_ahead_and_ends_at_one_minus_beta(void **state)
{
    (void)state;
    struct lambda_schedule s = schedule(MODE_CRITIC_RM, 2, 5, 0.6, true), plain = schedule(MODE_CRITIC_RM, 2, 5, 0.6, false);
    for (int64_t t = 5; t < 9; t++)
        near(lambda_at(&s, t), lambda_at(&plain, t + 1));
    assert_true(lambda_at(&s, 4) == 1.0);
    near(lambda_at(&s, 9), 0.4);
}

static void refuses(int mode, double beta, double constant)
{
    struct config config = {.objective = {.mode = mode, .epochs = 2, .beta = beta, .lambda = constant}};
    struct lambda_schedule s;
    assert_int_equal(lambda_schedule_make(&config, 5, &s), USAGE);
    assert_non_null(strstr(trace_sentence(), "never be trained"));
    trace_clear();
}

static void what_never_trains_the_head_is_refused(void **state)
{
    (void)state;
    refuses(MODE_CRITIC_RM, 0.0, 0.3);
    refuses(MODE_JOINT, 0.9, 1.0);
}

static void the_other_modes_are_constant(void **state)
{
    (void)state;
    struct lambda_schedule only = schedule(MODE_REWARD_ONLY, 2, 5, 0.9, false), critique = schedule(MODE_CRITIQUE_ONLY, 2, 5, 0.9, false), joint = schedule(MODE_JOINT, 2, 5, 0.9, false);
    for (int64_t t = 0; t < 10; t++) {
        assert_true(lambda_at(&only, t) == 0.0);
        assert_true(lambda_at(&critique, t) == 1.0);
        assert_true(lambda_at(&joint, t) == 0.3);
    }
}

static void the_reward_head_counts_only_steps_where_lambda_is_below_one(void **state)
{
    (void)state;
    struct lambda_schedule s = schedule(MODE_CRITIC_RM, 2, 5, 0.9, false), joint = schedule(MODE_JOINT, 2, 5, 0.9, false);
    assert_int_equal(lambda_reward_steps(&s, 6), 0);
    assert_int_equal(lambda_reward_steps(&s, 7), 1);
    assert_int_equal(lambda_reward_steps(&s, 10), 4);
    assert_int_equal(lambda_reward_steps(&joint, 10), 10);
}

static void an_epoch_of_one_step_that_would_never_train_the_head_is_refused(void **state)
{
    (void)state;
    static struct config config;
    struct lambda_schedule s;
    config.objective.mode = MODE_CRITIC_RM;
    config.objective.epochs = 2;
    config.objective.beta = 0.9;
    assert_int_equal(lambda_schedule_make(&config, 1, &s), USAGE);
    assert_non_null(strstr(trace_sentence(), "objective.ramp_inclusive: true"));
    trace_clear();
    config.objective.ramp_inclusive = true;
    assert_int_equal(lambda_schedule_make(&config, 1, &s), OK);
    config.objective.ramp_inclusive = false;
    config.objective.mode = MODE_JOINT;
    assert_int_equal(lambda_schedule_make(&config, 1, &s), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lambda_is_one_until_the_last_epoch_and_falls_by_beta_over_it),
        cmocka_unit_test(an_inclusive_ramp_is_one_step_ahead_and_ends_at_one_minus_beta),
        cmocka_unit_test(what_never_trains_the_head_is_refused),
        cmocka_unit_test(the_other_modes_are_constant),
        cmocka_unit_test(the_reward_head_counts_only_steps_where_lambda_is_below_one),
        cmocka_unit_test(an_epoch_of_one_step_that_would_never_train_the_head_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
