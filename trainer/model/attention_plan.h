/* attention_plan: what the attention operation needs to know of a forest (kernels.h, attention_args): for each node the key ranges of its path. */
#ifndef TRAINER_MODEL_ATTENTION_PLAN_H
#define TRAINER_MODEL_ATTENTION_PLAN_H

#include "dataset/forest.h"
#include "kernels/kernels.h"

struct attention_plan {
    int n_runs, n_ranges;
    int max_runs, max_ranges;               /* capacity, grown as needed */
    struct attention_run *run;
    struct attention_key_run *key_run;      /* [n_runs] */
    struct attention_range *range;
};

/* Plan of a forest: one run per non-empty node, its ranges from the root down to the node itself. Reuses the plan's memory; start from zeros. */
int attention_plan_make(struct attention_plan *plan, const struct forest *forest);
void attention_plan_free(struct attention_plan *plan);

#endif
