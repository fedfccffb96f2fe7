/* vector_ops: the vector operations of one instruction set. vector_ops.c is compiled once for each; every function works on a range of rows or elements, so that
 * the pool can cut the work, and its result does not depend on the cut. */
#ifndef KERNELS_CPU_VECTOR_OPS_H
#define KERNELS_CPU_VECTOR_OPS_H

#include "kernels/kernels.h"

struct vector_ops {
    void (*rmsnorm_forward)(const struct rmsnorm_args *, int64_t first_row, int64_t rows);
    void (*rmsnorm_backward)(const struct rmsnorm_args *, int64_t first_row, int64_t rows);                      /* dx */
    void (*rmsnorm_dweight)(const struct rmsnorm_args *, int64_t first_row, int64_t rows, float *sum_C);          /* sum_C += of these rows */
    void (*rope)(const struct rope_args *, int64_t first_row, int64_t rows);
    void (*swiglu_forward)(const struct swiglu_args *, int64_t first, int64_t n);
    void (*swiglu_backward)(const struct swiglu_args *, int64_t first, int64_t n);
    void (*add)(const struct map_args *, int64_t first, int64_t n);
    void (*cast)(const struct map_args *, int64_t first, int64_t n);
    void (*cross_entropy_max)(const struct cross_entropy_args *, int64_t first_row, int64_t rows);
    void (*cross_entropy_sum)(const struct cross_entropy_args *, int64_t first_row, int64_t rows);
    void (*cross_entropy_backward)(const struct cross_entropy_args *, int64_t first_row, int64_t rows);
    void (*adamw)(const struct adamw_args *, int64_t first, int64_t n);
    double (*norm_squared)(const float *x, int64_t n);
    void (*attention_forward)(const struct attention_args *, const struct attention_run *, int kv_head, int64_t q_first, int64_t q_count, float *scratch);
    void (*attention_backward_q)(const struct attention_args *, const struct attention_run *, int kv_head, int64_t q_first, int64_t q_count, float *scratch);
    void (*attention_backward_k)(const struct attention_args *, const struct attention_key_run *, int kv_head, int64_t k_first, int64_t k_count, float *scratch);
    int64_t (*attention_scratch)(const struct attention_args *);      /* floats */
};

extern const struct vector_ops vector_ops_scalar, vector_ops_avx2, vector_ops_avx512, vector_ops_avx512_bf16;

/* Rows of queries, and keys, of one attention tile. */
enum { TILE_Q = 32, TILE_K = 64 };

#endif
