/* sample: the kernel of sample.cu, as sample.c launches it. */
#ifndef KERNELS_CUDA_SAMPLE_H
#define KERNELS_CUDA_SAMPLE_H

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

enum { SAMPLE_THREADS = 256, SAMPLE_TRIES = 15 /* bounds tried in one pass over a row */ };

#ifdef __cplusplus
extern "C" {
#endif
/* Takes sample_args whose host arrays have been copied to the device. A block for each row. */
extern const struct gpu_kernel sample_row;
#ifdef __cplusplus
}
#endif

#endif
