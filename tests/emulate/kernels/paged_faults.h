/* paged_faults: the CUDA backend's attention over a cache, its own sources, with a barrier or the waits for copies taken out (test_cuda_decode). */
#ifndef TESTS_EMULATE_KERNELS_PAGED_FAULTS_H
#define TESTS_EMULATE_KERNELS_PAGED_FAULTS_H

#include <stdbool.h>

#include "kernels/cuda/launch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Places in attention_paged.cu where all threads of a block meet. */
enum { PAGED_BARRIERS = 5 };

extern int removed_barrier;         /* 0 to PAGED_BARRIERS - 1; -1: none */
extern bool removed_waits;
extern const int n_barriers;        /* that the source has */

extern const struct gpu_kernel faulty_split_64, faulty_split_128, faulty_chain_64, faulty_chain_128, faulty_merge_64, faulty_merge_128;

#ifdef __cplusplus
}
#endif

#endif
