/* faults: kernels with mistakes in them, each to be seen caught, and what they are mistakes against (test_faults). */
#ifndef TESTS_EMULATE_KERNELS_FAULTS_H
#define TESTS_EMULATE_KERNELS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cuda/launch.h"

enum { FAULT_THREADS = 64 };

/* y[i] = x[FAULT_THREADS - 1 - i] through shared memory; right when with_barrier. */
struct reverse_args { const int32_t *x; int32_t *y; bool with_barrier; };
/* Writes shared or device memory at [place]. */
struct poke_args { int32_t *memory; int64_t place; };

/* As reverse, through a copy behind the thread's back of 4 elements for each of the first threads; right when it waits. */
struct copy_args { const int32_t *x; int32_t *y; bool waits; };
/* c [16][8] = a [16][16] b [16][8], of a warp; b is read by rows of its transpose, and by its own. */
struct product_args { const uint16_t *a, *b_transposed, *b; float *c, *c_again; };

#ifdef __cplusplus
extern "C" {
#endif
extern const struct gpu_kernel reverse, reverse_copied, product;
extern const struct gpu_kernel poke_shared, poke_dynamic, poke_device;
extern const struct gpu_kernel lonely_barrier, half_a_warp, two_exchanges, aslant;
#ifdef __cplusplus
}
#endif

#endif
