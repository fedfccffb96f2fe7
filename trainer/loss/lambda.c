/* lambda: one when the model learns to write critiques, falling in the last epoch while the reward head learns to read them. */
#include "trainer/loss/lambda.h"

#include "base/status.h"

int lambda_schedule_make(const struct config *config, int64_t steps_per_epoch, struct lambda_schedule *out)
{
    CHECK_USAGE(config->objective.mode != MODE_CRITIC_RM || steps_per_epoch > 1 || config->objective.ramp_inclusive,
                "an epoch is one step, so lambda(t) would stay 1 and the reward head would never be trained: "
                "lower objective.pairs_per_step or set objective.ramp_inclusive: true");
    CHECK_USAGE(config->objective.mode != MODE_CRITIC_RM || config->objective.beta > 0.0, "with objective.beta 0 lambda(t) would stay 1 and the reward head would never be trained: raise it, or set "
                "objective.mode: critique-only");
    CHECK_USAGE(config->objective.mode != MODE_JOINT || config->objective.lambda < 1.0, "with objective.lambda 1 the reward head would never be trained: lower it, or set objective.mode: critique-only");
    *out = (struct lambda_schedule){
        .mode = (enum objective_mode)config->objective.mode,
        .epochs = config->objective.epochs,
        .steps_per_epoch = steps_per_epoch,
        .beta = config->objective.beta,
        .constant = config->objective.lambda,
        .ramp_inclusive = config->objective.ramp_inclusive,
    };
    return OK;
}

static double critic_rm_lambda(const struct lambda_schedule *s, int64_t step)
{
    int64_t into_last = step - (s->epochs - 1) * s->steps_per_epoch;
    if (into_last < 0)
        return 1.0;
    if (s->ramp_inclusive)
        into_last++;
    double u = (double)into_last / (double)s->steps_per_epoch;
    return 1.0 - s->beta * (u > 1.0 ? 1.0 : u);
}

double lambda_at(const struct lambda_schedule *s, int64_t step)
{
    switch (s->mode) {
    case MODE_REWARD_ONLY: return 0.0;
    case MODE_CRITIQUE_ONLY: return 1.0;
    case MODE_JOINT: return s->constant;
    case MODE_CRITIC_RM: break;
    }
    return critic_rm_lambda(s, step);
}

int64_t lambda_reward_steps(const struct lambda_schedule *s, int64_t step)
{
    int64_t n = 0;
    for (int64_t t = 0; t < step; t++)
        n += lambda_at(s, t) < 1.0;
    return n;
}
