/* vector_ops: the vector operations of one instruction set. vector_ops.c is compiled once for each; every function works on a range of rows or elements, so that
 * the pool can cut the work, and its result does not depend on the cut. */
#ifndef KERNELS_CPU_VECTOR_OPS_H
#define KERNELS_CPU_VECTOR_OPS_H

#include "kernels/kernels.h"

/* What one task of attention takes for one key/value head: queries, or keys, [first, first + count) of a run; or the queries of n_runs runs of one query each that follow one
 * another, whose first `shared` ranges are equal, and none their last. */
struct attention_part { int32_t run, n_runs, shared, first, count; };

struct vector_ops {
    void (*gemm_strip)(const struct gemm_args *, int64_t m_first, int64_t m, int64_t n_first, int64_t n);        /* of C: at most STRIP_ROWS x STRIP_COLS; trans_b, not trans_a */
    /* The same in matrix registers, for bf16; NULL where there are none. The strip's rows are packed first. */
    size_t (*gemm_packed_bytes)(const struct gemm_args *);                                                       /* of STRIP_ROWS rows */
    void (*gemm_pack)(const struct gemm_args *, int64_t m_first, int64_t m, void *packed);
    void (*gemm_tile_strip)(const struct gemm_args *, const void *packed, int64_t m_first, int64_t m, int64_t n_first, int64_t n);
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
    void (*block_max)(const float *x, int64_t n, float *max);                                                    /* the largest of each SAMPLE_BLOCK elements */
    void (*block_exp_sum)(const float *x, int64_t n, float most, float scale, double *sum);                      /* sum of exp((x - most) * scale) of each */
    void (*attention_forward)(const struct attention_args *, const struct attention_part *, int kv_head, float *scratch);
    void (*attention_backward_q)(const struct attention_args *, const struct attention_part *, int kv_head, float *scratch);
    void (*attention_backward_k)(const struct attention_args *, const struct attention_part *, int kv_head, float *scratch);
    int64_t (*attention_scratch)(const struct attention_args *);      /* floats */
};

extern const struct vector_ops vector_ops_scalar, vector_ops_avx2, vector_ops_avx512, vector_ops_avx512_bf16, vector_ops_amx;

/* Rows of queries, and keys, of one attention tile. */
enum { TILE_Q = 32, TILE_K = 64 };

/* Columns of a block of sampling. */
enum { SAMPLE_BLOCK = 64 };

/* Rows and columns of a strip of a matrix product by dot products. */
enum { STRIP_ROWS = 64, STRIP_COLS = 64 };

#endif
