/* attention_paged_plan: which block takes what of a plan, for the kernels of attention_paged.h. Host memory, no device. */
#ifndef KERNELS_CUDA_ATTENTION_PAGED_PLAN_H
#define KERNELS_CUDA_ATTENTION_PAGED_PLAN_H

#include "kernels/cuda/attention_paged.h"

struct paged_plan {
    struct paged_head head;
    int64_t n_tiles, n_rows;
    struct paged_tile *tile;
    struct paged_row *row;
    struct paged_item *split, *chain;
    struct paged_merge *merge;
};

/* Of a's runs and ranges. Parts of the same keys at the same place of their runs are one split's; items and members in the order of the runs, chains the longest first. */
int paged_plan_make(const struct attention_args *a, struct paged_plan *out);
void paged_plan_free(struct paged_plan *plan);

#endif
