/* norm: the kernels of norm.cu, as norm.c launches them. */
#ifndef KERNELS_CUDA_NORM_H
#define KERNELS_CUDA_NORM_H

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

/* A row is worked on by a team: a warp, or a block of up to NORM_THREADS. A thread of a block keeps up to NORM_CHUNKS chunks (16 bytes) of the row in
 * registers, one of a warp only one; WARP_NORM_THREADS are the warps that lie in a block. */
enum { NORM_THREADS = 512, NORM_CHUNKS = 4, WARP_NORM_THREADS = 256, SUM_THREADS = 128 };

/* partial: [n_parts][cols] float32; block p of the backward sums dweight over rows [p * rows_of_part, (p + 1) * rows_of_part). */
struct norm_backward_args { struct rmsnorm_args a; float *partial; int64_t rows_of_part; };

/* partial[p][c] = sum of x[t][c] over the rows of part p (blocks (column tile, part)). */
struct sum_rows_args { const void *x; float *partial; int64_t rows, cols, rows_of_part; };
/* sum[c] += sum over parts, in their order. */
struct sum_parts_args { const float *partial; float *sum; int64_t n_parts, cols; };

#ifdef __cplusplus
extern "C" {
#endif
/* Both types float32, both bf16, or the residual's float32 and the other bf16. */
#define NORM_DECLARE(name) extern const struct gpu_kernel name##_f32, name##_bf16, name##_residual
NORM_DECLARE(norm_forward_warp);
NORM_DECLARE(norm_forward_block);
NORM_DECLARE(norm_backward_warp);
NORM_DECLARE(norm_backward_block);
#undef NORM_DECLARE
GPU_DECLARE_BY_DTYPE(sum_rows);
extern const struct gpu_kernel sum_parts;
#ifdef __cplusplus
}
#endif

#endif
