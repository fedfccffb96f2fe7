/* attention_paged_cuda: forward attention over a cache of keys, as attention.c calls it (attention_paged.h). */
#ifndef KERNELS_CUDA_ATTENTION_PAGED_CUDA_H
#define KERNELS_CUDA_ATTENTION_PAGED_CUDA_H

#include "kernels/cuda/attention_paged_plan.h"

/* Whether keys come from a cache: no backward follows. (Of an operation that tensor cores do.) */
bool cuda_attention_is_paged(const struct attention_args *a);
/* What a plan needs goes to the device. */
int cuda_attention_paged_prepare(struct stream *stream, const struct attention_args *a);
/* o and lse of all rows that are in a run. */
int cuda_attention_paged(struct stream *stream, const struct attention_args *a);

/* Its two halves, behind cuda_attention_plan_begin: what has been planned goes to the device; the kernels do what stands there. */
int cuda_attention_paged_place(struct stream *stream, const struct paged_plan *plan);
int cuda_attention_paged_run(struct stream *stream, const struct attention_args *a);

#endif
