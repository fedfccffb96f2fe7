/* rows: the kernels of rows.cu, as rows.c launches them. */
#ifndef KERNELS_CUDA_ROWS_H
#define KERNELS_CUDA_ROWS_H

#include "kernels/cuda/token_order.h"

enum { ROWS_THREADS = 256 };

struct embedding_backward_args { struct embedding_args a; const struct token_place *place; };      /* place: [rows], in the order of token_order */

#ifdef __cplusplus
extern "C" {
#endif
GPU_DECLARE_BY_DTYPE(embedding_forward);
GPU_DECLARE_BY_DTYPE(embedding_backward);    /* a block for each place */
GPU_DECLARE_BY_DTYPE(gather_rows);
GPU_DECLARE_BY_DTYPE(scatter_add_rows);
GPU_DECLARE_BY_DTYPE(scatter_rows);
#ifdef __cplusplus
}
#endif

#endif
