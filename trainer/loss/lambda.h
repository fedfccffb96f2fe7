/* lambda: the weight of the critique loss at step t (method.md, section 3). */
#ifndef TRAINER_LOSS_LAMBDA_H
#define TRAINER_LOSS_LAMBDA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

struct lambda_schedule {
    enum objective_mode mode;
    int64_t epochs, steps_per_epoch;   /* E, T */
    double beta, constant;             /* constant: of mode joint */
    bool ramp_inclusive;
};

/* Schedule of a config with T steps per epoch. USAGE when T = 1 without ramp_inclusive would never train the reward head (mode critic-rm). */
int lambda_schedule_make(const struct config *config, int64_t steps_per_epoch, struct lambda_schedule *out);

/* lambda(t) in [0, 1]; 1 for t < (E-1) T, 1 - beta u after it, in mode critic-rm; 0 in reward-only, 1 in critique-only. */
double lambda_at(const struct lambda_schedule *schedule, int64_t step);

/* Number of steps before `step` at which the reward head was trained, i.e. lambda < 1: its optimizer's step count. */
int64_t lambda_reward_steps(const struct lambda_schedule *schedule, int64_t step);

#endif
