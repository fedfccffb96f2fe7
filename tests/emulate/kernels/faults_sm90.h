/* faults_sm90: a warpgroup's product out of copied boxes, with one mistake in it or none (test_faults_sm90). */
#ifndef TESTS_EMULATE_KERNELS_FAULTS_SM90_H
#define TESTS_EMULATE_KERNELS_FAULTS_SM90_H

#include "kernels/cuda/launch.h"

enum mistake {
    NO_MISTAKE, BARRIER_NOT_MADE, BARRIER_NOT_DECLARED, ONE_ARRIVAL_MORE, TOO_FEW_BYTES, TOO_MANY_BYTES, BOX_ASLANT, BOX_OUTSIDE, NO_MAP, BOX_NOT_WAITED_FOR, NO_FENCE, NOT_BEGUN,
    DIFFERENT_PRODUCTS, LONELY_THREAD, OPERAND_OVERWRITTEN, BOX_OVER_OPERAND, SUMS_WRITTEN, NOT_WAITED_FOR, NEVER_WAITED_FOR, PART_TOO_LARGE, PART_OF_TWO_SIZES
};

/* The map's boxes [64][1][64] at heads 0 and 1 are x and y. rows[64][64] = x y', columns[64][64] = x y: of y the last row is zero. */
struct warpgroup_args { struct gpu_tensor_map map; float *rows, *columns; int mistake; };

#ifdef __cplusplus
extern "C" {
#endif
extern const struct gpu_kernel warpgroup_product;
#ifdef __cplusplus
}
#endif

#endif
