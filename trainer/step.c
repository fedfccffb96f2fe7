/* step: micro-batches forward and backward, gradients summed over the mesh, one update.
 *
 *   for each micro-batch      forest -> hidden states -> losses and their gradient -> gradients of the weights (+=)
 *   reduce                    a bucket at a time, as soon as the last micro-batch's backward is through with it: over copies on the tensor axis, then reduce-scatter over the data axis
 *   wait                      the one time that the host waits for the device: for losses and norms
 *   norm, clip, update        both groups under one norm; the reward head only where lambda < 1
 *   gather                    new weights to every data rank, a bucket at a time, while the next step's forward begins
 */
#include "trainer/step.h"

#include <math.h>

#include "comm/agree.h"
#include "comm/watchdog.h"

static int compute(struct trainer *t, const struct placed_forest *placed, double lambda, const struct bucket_listener *listener)
{
    const void *hidden_TC;
    void *dhidden_TC;
    if (placed->forest->n_rows > 0) {
        TRY(backbone_forward(t->backbone, placed, &hidden_TC));
        TRY(backbone_hidden_grad(t->backbone, &dhidden_TC));
        TRY(heads_run(t->heads, placed, hidden_TC, dhidden_TC, lambda));
    }
    return backbone_backward(t->backbone, placed, listener);
}

static int micro_batch(struct trainer *t, const struct forest *forest, const struct forest *next, double lambda, const struct bucket_listener *listener)
{
    const struct placed_forest *placed;
    TRY(forest_enter(t->places, forest, &placed));
    if (next)
        TRY(forest_send(t->places, next));
    TRY(compute(t, placed, lambda, listener));
    return forest_leave(t->places, placed);
}

static int reduce(void *optimizer, int bucket) { return optimizer_reduce(optimizer, bucket); }

static int queue_gradients(struct trainer *t, const struct step_batch *batch, const struct forest *next)
{
    const struct bucket_listener reducer = {reduce, t->optimizer};
    double lambda = lambda_at(&t->lambda, batch->step);
    TRY(store_zero_grads(t->store));
    TRY(heads_reset(t->heads));
    for (int i = 0, last = batch->n_micro_batches - 1; i <= last; i++)
        TRY(micro_batch(t, &batch->forest[i], i < last ? &batch->forest[i + 1] : next, lambda, i == last ? &reducer : NULL));
    TRY(heads_queue_sums(t->heads));
    return optimizer_queue_norms(t->optimizer);
}

/* Weights were normalised by the plan, so sums over the data axis are the step's losses. */
static int gradients(struct trainer *t, const struct step_batch *batch, const struct forest *next, struct loss_sums *sums)
{
    TRY(queue_gradients(t, batch, next));
    TRY(t->device->ops->synchronize(&t->device->stream));
    *sums = heads_sums(t->heads);
    return all_reduce(t->mesh->data, sums, sizeof *sums / sizeof(double), COMM_F64, COMM_SUM, NULL);
}

static int fill_result(const struct step_batch *batch, double lambda, const struct loss_sums *sums, struct step_result *r)
{
    bool critique = batch->n_targets > 0, reward = batch->n_comparisons > 0;
    *r = (struct step_result){
        .step = batch->step, .epoch = batch->epoch, .lambda = lambda,
        .critique_loss = critique ? sums->critique : NAN,
        .reward_loss = reward ? sums->reward : NAN,
        .reward_accuracy = reward ? sums->correct / sums->compared : NAN,       /* float32 weights add up to 1 only nearly */
        .reward_margin = reward ? sums->margin : NAN,
        .loss = (critique ? lambda * sums->critique : 0.0) + (reward ? (1.0 - lambda) * sums->reward : 0.0),
        .tokens = batch->tokens, .tokens_unshared = batch->tokens_unshared, .operations = batch->operations, .n_pairs = batch->n_pairs,
    };
    CHECK(isfinite(r->loss), "step %lld: the loss is not finite; nothing was updated. Look at the weights and the learning rate, then resume from the last checkpoint", (long long)batch->step);
    return OK;
}

int train_gradients(struct trainer *t, const struct step_batch *batch, struct loss_sums *sums) { return gradients(t, batch, NULL, sums); }

int train_step(struct trainer *t, const struct step_batch *batch, const struct forest *next, struct step_result *result)
{
    struct loss_sums sums;
    double lambda = lambda_at(&t->lambda, batch->step);
    watchdog_phase("step", WATCHDOG_COMPUTE);
    TRY(gradients(t, batch, next, &sums));
    TRY(agree_status(t->mesh->world, fill_result(batch, lambda, &sums, result)));

    struct group_step group[2] = {
        [GROUP_BACKBONE] = {true, lr_at(&t->lr, batch->step, batch->step), batch->step},
        [GROUP_REWARD] = {lambda < 1.0, lr_at(&t->reward_lr, t->reward_updates, batch->step), t->reward_updates},
    };
    result->lr = group[GROUP_BACKBONE].lr;
    TRY(optimizer_norm(t->optimizer, batch->step, &result->grad_norm));
    TRY(optimizer_update(t->optimizer, result->grad_norm, group));
    t->reward_updates += group[GROUP_REWARD].active;
    return OK;
}
