/* token_order: the rows of a packed token array in the order of their tokens, rows of one token in their own order: a radix sort by one block, of as many steps as there are rows. */
#ifndef KERNELS_CUDA_TOKEN_ORDER_H
#define KERNELS_CUDA_TOKEN_ORDER_H

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

enum { ORDER_THREADS = 512, ORDER_BITS = 4 /* of a digit */ };

/* A row, and the row of the table that its token has: vocab_count for all tokens that are not in the table. */
struct token_place { uint32_t key; int32_t row; };

struct token_order_args {
    int64_t rows;
    const uint32_t *token;
    int64_t vocab_first, vocab_count;
    int n_passes;                       /* digits of vocab_count */
    struct token_place *place[2];       /* [rows] each; the order comes to place[(n_passes - 1) % 2] */
};

#ifdef __cplusplus
extern "C" {
#endif
extern const struct gpu_kernel token_order;     /* one block */
#ifdef __cplusplus
}
#endif

#endif
