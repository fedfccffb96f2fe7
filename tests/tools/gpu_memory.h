/* gpu_memory: what of the GPU's memory is free, whoever has the rest, so that a test sees also what no allocation of ours counts. */
#ifndef TESTS_TOOLS_GPU_MEMORY_H
#define TESTS_TOOLS_GPU_MEMORY_H

#include <stddef.h>

/* Bytes free on the GPU of this thread's context, after device_cuda_create: by the driver, or by the module that CRITIC_RM_CUDA_MODULE names where that answers for one.
 * FAILED when there is neither. */
int gpu_memory_free(size_t *n_bytes);

#endif
