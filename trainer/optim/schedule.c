/* schedule: linear warm-up, then constant, linear or cosine. */
#include "trainer/optim/schedule.h"

#include <math.h>

static int64_t part_of(double fraction, int64_t steps) { return (int64_t)ceil(fraction * (double)steps - 1e-9); }

struct lr_schedule lr_schedule_backbone(const struct config *config, int64_t total_steps)
{
    return (struct lr_schedule){(enum decay_shape)config->optimizer.schedule, config->optimizer.lr, part_of(config->optimizer.warmup, total_steps), total_steps};
}

struct lr_schedule lr_schedule_reward(const struct config *config, int64_t steps_per_epoch, int64_t total_steps)
{
    int64_t warmup = part_of(config->optimizer.reward_warmup, steps_per_epoch);
    return (struct lr_schedule){(enum decay_shape)config->optimizer.schedule, config->optimizer.reward_lr, warmup, total_steps};
}

static double decay_at(const struct lr_schedule *s, int64_t step)
{
    double span = (double)(s->total_steps - s->warmup_steps);
    double u = step < s->warmup_steps || span <= 0.0 ? 0.0 : (double)(step - s->warmup_steps) / span;
    switch (s->shape) {
    case DECAY_LINEAR: return 1.0 - u;
    case DECAY_COSINE: return 0.5 * (1.0 + cos(3.14159265358979323846 * u));
    case DECAY_CONSTANT: break;
    }
    return 1.0;
}

double lr_at(const struct lr_schedule *s, int64_t update, int64_t step)
{
    double warm = update < s->warmup_steps ? (double)(update + 1) / (double)s->warmup_steps : 1.0;
    return s->peak * warm * decay_at(s, step);
}
