/* paged_faults: the CUDA backend's attention over a cache, its own sources, with a barrier or the waits for copies taken out (test_cuda_decode). */
#ifndef TESTS_EMULATE_KERNELS_PAGED_FAULTS_H
#define TESTS_EMULATE_KERNELS_PAGED_FAULTS_H

#include "kernels/cuda/launch.h"
#include "tests/emulate/kernels/removed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Places in attention_paged.cu where all threads of a block meet. */
enum { PAGED_BARRIERS = 5 };

extern const struct gpu_kernel faulty_split_64, faulty_split_128, faulty_chain_64, faulty_chain_128, faulty_merge_64, faulty_merge_128;

#ifdef __cplusplus
}
#endif

#endif
