/* attention_faults: the CUDA backend's attention, its own sources, with a barrier or the waits for copies taken out (test_cuda_attention). */
#ifndef TESTS_EMULATE_KERNELS_ATTENTION_FAULTS_H
#define TESTS_EMULATE_KERNELS_ATTENTION_FAULTS_H

#include "kernels/kernels.h"
#include "tests/emulate/kernels/removed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Places in the sources of the tensor-core kernels where all threads of a block meet, in order: forward, backward_q, backward_k. */
enum { FORWARD_BARRIERS = 4, BACKWARD_BARRIERS = 6 };

/* Places in the sources of Hopper's kernels where threads wait for each other, for copies or for products, or say something that is waited for. */
extern int removed_word;            /* 0 to n_words - 1; -1: none */
extern const int n_words;

void faulty_attention_table(struct kernels *table);

#ifdef __cplusplus
}
#endif

#endif
