/* schedule: warm-up, and constant, linear or cosine decay. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "trainer/optim/schedule.h"

static struct config config;

static void near(double a, double b) { assert_true(fabs(a - b) <= 1e-12); }

static int set_up(void **state)
{
    (void)state;
    config.optimizer.lr = 2.0;
    config.optimizer.reward_lr = 4.0;
    config.optimizer.warmup = 0.05;
    config.optimizer.reward_warmup = 0.05;
    return 0;
}

static void warm_up_is_linear_over_its_part_rounded_up_and_ends_at_the_peak(void **state)
{
    (void)state;
    config.optimizer.schedule = DECAY_CONSTANT;
    struct lr_schedule s = lr_schedule_backbone(&config, 90);       /* 4.5 steps: 5 */
    assert_int_equal(s.warmup_steps, 5);
    for (int64_t t = 0; t < 90; t++)
        near(lr_at(&s, t, t), t < 5 ? 2.0 * (double)(t + 1) / 5.0 : 2.0);
    assert_int_equal(lr_schedule_backbone(&config, 100).warmup_steps, 5);
}

static void the_reward_head_warms_up_over_its_own_updates(void **state)
{
    (void)state;
    config.optimizer.schedule = DECAY_CONSTANT;
    struct lr_schedule s = lr_schedule_reward(&config, 40, 80);     /* of one epoch: 2 updates */
    assert_int_equal(s.warmup_steps, 2);
    near(lr_at(&s, 0, 41), 2.0);
    near(lr_at(&s, 1, 42), 4.0);
    near(lr_at(&s, 2, 43), 4.0);
}

static void linear_and_cosine_fall_from_the_end_of_warm_up_to_zero(void **state)
{
    (void)state;
    for (int shape = 0; shape < 2; shape++) {
        config.optimizer.schedule = shape ? DECAY_COSINE : DECAY_LINEAR;
        struct lr_schedule s = lr_schedule_backbone(&config, 100);
        for (int64_t t = 5; t <= 100; t++) {
            double u = (double)(t - 5) / 95.0;
            near(lr_at(&s, t, t), shape ? 2.0 * 0.5 * (1.0 + cos(acos(-1.0) * u)) : 2.0 * (1.0 - u));
        }
        near(lr_at(&s, 100, 100), 0.0);
        near(lr_at(&s, 2, 2), 2.0 * 3.0 / 5.0);
    }
}

static void without_warm_up_the_first_step_has_the_peak(void **state)
{
    (void)state;
    config.optimizer.warmup = 0.0;
    config.optimizer.schedule = DECAY_CONSTANT;
    struct lr_schedule s = lr_schedule_backbone(&config, 10);
    assert_int_equal(s.warmup_steps, 0);
    near(lr_at(&s, 0, 0), 2.0);
    config.optimizer.warmup = 0.05;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_is_linear_over_its_part_rounded_up_and_ends_at_the_peak),
        cmocka_unit_test(the_reward_head_warms_up_over_its_own_updates),
        cmocka_unit_test(linear_and_cosine_fall_from_the_end_of_warm_up_to_zero),
        cmocka_unit_test(without_warm_up_the_first_step_has_the_peak),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
