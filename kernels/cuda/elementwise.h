/* elementwise: the kernels of elementwise.cu, as elementwise.c launches them. */
#ifndef KERNELS_CUDA_ELEMENTWISE_H
#define KERNELS_CUDA_ELEMENTWISE_H

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

/* Threads of a block of all of them. */
enum { ELEMENTWISE_THREADS = 256 };

/* correct1, correct2: 1 - beta^step */
struct adamw_step { struct adamw_args a; float correct1, correct2; };

#ifdef __cplusplus
extern "C" {
#endif
GPU_DECLARE_BY_DTYPE(bias_forward);
GPU_DECLARE_BY_DTYPE(rope);
GPU_DECLARE_BY_DTYPE(swiglu_forward);
GPU_DECLARE_BY_DTYPE(swiglu_backward);
GPU_DECLARE_BY_DTYPE(add);
GPU_DECLARE_BY_DTYPE(add_parts);
GPU_DECLARE_BY_DTYPE(adamw);
extern const struct gpu_kernel widen, narrow;       /* bf16 to float32, and back */
#ifdef __cplusplus
}
#endif

#endif
