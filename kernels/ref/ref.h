/* ref: the reference operations, plain C, double accumulation: the definition of every slot of kernels.h and the oracle of every backend. */
#ifndef KERNELS_REF_REF_H
#define KERNELS_REF_REF_H

#include "kernels/kernels.h"

int ref_gemm(struct stream *, const struct gemm_args *);
int ref_bias_forward(struct stream *, const struct bias_args *);
int ref_bias_backward(struct stream *, const struct bias_args *);
int ref_rmsnorm_forward(struct stream *, const struct rmsnorm_args *);
int ref_rmsnorm_backward(struct stream *, const struct rmsnorm_args *);
int ref_rope(struct stream *, const struct rope_args *);
int ref_swiglu_forward(struct stream *, const struct swiglu_args *);
int ref_swiglu_backward(struct stream *, const struct swiglu_args *);
int ref_embedding_forward(struct stream *, const struct embedding_args *);
int ref_embedding_backward(struct stream *, const struct embedding_args *);
int ref_gather_rows(struct stream *, const struct rows_args *);
int ref_scatter_add_rows(struct stream *, const struct rows_args *);
int ref_add_parts(struct stream *, const struct parts_args *);
int ref_scatter_rows(struct stream *, const struct rows_args *);
int ref_add(struct stream *, const struct map_args *);
int ref_cast(struct stream *, const struct map_args *);
int ref_attention_prepare(struct stream *, const struct attention_args *, bool *fixed);
int ref_attention_forward(struct stream *, const struct attention_args *);
int ref_attention_backward(struct stream *, const struct attention_args *);
int ref_cross_entropy_max(struct stream *, const struct cross_entropy_args *);
int ref_cross_entropy_sum(struct stream *, const struct cross_entropy_args *);
int ref_cross_entropy_loss(struct stream *, const struct cross_entropy_args *);
int ref_cross_entropy_backward(struct stream *, const struct cross_entropy_args *);
int ref_reward_forward(struct stream *, const struct reward_args *);
int ref_reward_backward(struct stream *, const struct reward_args *);
int ref_bradley_terry(struct stream *, const struct bradley_terry_args *);
int ref_adamw(struct stream *, const struct adamw_args *);
int ref_norm_squared(struct stream *, const struct norm_args *);
int ref_sample(struct stream *, const struct sample_args *);

#endif
