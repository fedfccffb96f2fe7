/* heldout: evaluation on pairs with their stored critiques. A response's reward is the mean over all of its critiques, whatever the pairing in training. */
#ifndef TRAINER_EVAL_HELDOUT_H
#define TRAINER_EVAL_HELDOUT_H

#include "trainer/step.h"

struct heldout {
    const struct dsub_view *view;
    struct plan *plan;
    struct plan_options options;
    struct forest_layout layout;
    int64_t pairs_per_pass;     /* pairs planned at a time */
};

/* accuracy: a tie is wrong. margin: mean of r+ - r-. perplexity: exp of the mean negative log-likelihood over targets. NAN where not computed. */
struct heldout_result { double accuracy, margin, perplexity; int64_t n_pairs; };

/* Largest micro-batch, to be joined with training's. */
int heldout_capacity(const struct heldout *heldout, struct plan_capacity *most);

/* with_rewards false: the head has not been trained yet. difference, [n_pairs] or NULL, receives r+ - r- of each pair, on all ranks. Collective over the world. */
int heldout_evaluate(struct trainer *trainer, const struct heldout *heldout, bool with_rewards, double *difference, struct heldout_result *out);

#endif
