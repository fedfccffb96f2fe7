/* schedule: learning rates by step, in plain arithmetic. */
#ifndef TRAINER_OPTIM_SCHEDULE_H
#define TRAINER_OPTIM_SCHEDULE_H

#include <stdint.h>

#include "base/config.h"

struct lr_schedule {
    enum decay_shape shape;     /* constant, linear (to 0 at the end), cosine (to 0 at the end) */
    double peak;
    int64_t warmup_steps;       /* linear from peak / warmup_steps; 0: none */
    int64_t total_steps;        /* of the run, for the decay */
};

/* Backbone: warm-up over optimizer.warmup of all steps. Reward head: over optimizer.reward_warmup of one epoch's, from its first update. Rounded up. */
struct lr_schedule lr_schedule_backbone(const struct config *config, int64_t total_steps);
struct lr_schedule lr_schedule_reward(const struct config *config, int64_t steps_per_epoch, int64_t total_steps);

/* Rate of an update: `update` counts the group's own updates from 0 (warm-up), `step` the run's steps from 0 (decay, which starts where the backbone's warm-up ends). */
double lr_at(const struct lr_schedule *schedule, int64_t update, int64_t step);

#endif
