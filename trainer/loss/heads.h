/* heads: from hidden states to the loss and back. LM head with vocabulary-parallel cross-entropy on prediction rows only, in chunks of whole rows, so that
 * [tokens x vocabulary] never exists; reward head with Bradley-Terry on comparisons (method.md, section 3).
 *
 * The loss and its gradient are computed in one pass: lambda weighs the gradients, the sums are unweighted.
 */
#ifndef TRAINER_LOSS_HEADS_H
#define TRAINER_LOSS_HEADS_H

#include "trainer/model/model_config.h"
#include "trainer/model/placed_forest.h"
#include "trainer/model/store.h"

struct heads;

struct heads_options {
    int64_t max_predictions, max_rewards, max_comparisons;      /* of one forest */
    bool with_backward;
};

/* Sums over the forests since heads_reset, of this data rank; equal on its tensor ranks. Weights are the forests' own (already normalised in training). */
struct loss_sums { double critique, reward, correct, margin, compared /* the comparisons' weights, of which correct is a part */; };

size_t heads_bytes(const struct model_config *model, const struct heads_options *options, enum dtype dtype, int tensor_size);
int heads_create(const struct model_config *model, struct store *store, const struct heads_options *options, struct heads **out);
void heads_destroy(struct heads **heads);

int heads_reset(struct heads *heads);
/* Adds the forest's losses to the sums. With dhidden_TC (zeroed, may be NULL: no gradient) adds to it this tensor rank's part of the gradient of
 * lambda * critique + (1 - lambda) * reward, and to the store's gradients of the LM head and the reward head. Collective over tensor. */
int heads_run(struct heads *heads, const struct placed_forest *placed, const void *hidden_TC, void *dhidden_TC, double lambda);
/* The rewards of the last forest run, [n_rewards] in host memory, valid until the next run. */
int heads_rewards(struct heads *heads, const float **reward);
/* Queues the sums on their way to the host; heads_sums gives them when the device's stream has been waited for. */
int heads_queue_sums(struct heads *heads);
struct loss_sums heads_sums(const struct heads *heads);

#endif
