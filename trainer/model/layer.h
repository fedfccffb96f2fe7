/* layer: one layer of the backbone, forward and backward. All are collective over the tensor axis. */
#ifndef TRAINER_MODEL_LAYER_H
#define TRAINER_MODEL_LAYER_H

#include "trainer/model/backbone_state.h"

/* norm_TC = all rows of RMSNorm(x_SC [+ add_SC, the sum kept in sum_SC]) with the weight `param`; what its backward needs is kept in rstd_S. */
int residual_forward(const struct backbone *b, int param, const float *x_SC, const void *add_SC, float *sum_SC, float *rstd_S);
/* dh_SC (+)= the gradient through that norm, that of its output being in this rank's rows of part_TC; all rows of grad_TC = dh_SC, awaited as b->spread. */
int residual_backward(struct backbone *b, int param, const float *x_SC, float *rstd_S, bool accumulate);

/* norm_TC holds the normed input. Leaves h_mid_SC complete, and the feed-forward block's contribution, still to be added to it, in own rows of part_TC. */
int layer_forward(const struct backbone *b, int layer);
/* What the backward needs, again from h_in_SC[layer]; the layer's output is not made again. */
int layer_recompute(const struct backbone *b, int layer);
/* After residual_backward of what follows the layer, and before it of what precedes: dh_SC, grad_TC on the way to all ranks. */
int layer_backward(struct backbone *b, int layer);

/* Of the layer's forward: its queries, keys, output and the plan of the rows at hand. */
struct attention_args attention_args_of(const struct backbone *b, int layer);

#endif
