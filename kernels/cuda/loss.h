/* loss: the kernels of loss.cu, as loss.c launches them. */
#ifndef KERNELS_CUDA_LOSS_H
#define KERNELS_CUDA_LOSS_H

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

enum { LOSS_THREADS = 512, REWARD_THREADS = 128, PAIR_THREADS = 256, NORM_SQUARED_THREADS = 256 };

/* partial[block] = sum of the squares of elements [block * each, (block + 1) * each) */
struct squares_args { const float *x; double *partial; int64_t n_elems, each; };
/* *sum += sum of partial, in a fixed order; one block */
struct add_up_args { const double *partial; double *sum; int64_t n; };

#ifdef __cplusplus
extern "C" {
#endif
extern const struct gpu_kernel entropy_max, entropy_sum, entropy_loss;
GPU_DECLARE_BY_DTYPE(entropy_backward);
GPU_DECLARE_BY_DTYPE(reward_forward);
GPU_DECLARE_BY_DTYPE(reward_backward);
extern const struct gpu_kernel bradley_terry, squares, add_up;
#ifdef __cplusplus
}
#endif

#endif
