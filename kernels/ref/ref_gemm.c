/* ref_gemm: one row of C at a time, accumulated in double. */
#include <stdlib.h>

#include "kernels/ref/ref.h"

static double a_at(const struct gemm_args *g, int64_t i, int64_t k)
{
    return (double)dtype_get(g->a, g->dtype_ab, g->trans_a ? k * g->lda + i : i * g->lda + k);
}

/* sum_N += a_K op(B)_KN, walking B along its rows in either storage. */
static void row_times_b(double *sum_N, const double *a_K, const struct gemm_args *g)
{
    if (g->trans_b) {
        for (int64_t j = 0; j < g->n; j++)
            for (int64_t k = 0; k < g->k; k++)
                sum_N[j] += a_K[k] * (double)dtype_get(g->b, g->dtype_ab, j * g->ldb + k);
    } else {
        for (int64_t k = 0; k < g->k; k++)
            for (int64_t j = 0; j < g->n; j++)
                sum_N[j] += a_K[k] * (double)dtype_get(g->b, g->dtype_ab, k * g->ldb + j);
    }
}

int ref_gemm(struct stream *stream, const struct gemm_args *g)
{
    (void)stream;
    if (g->m == 0 || g->n == 0)
        return OK;
    double *sum_N = malloc((size_t)(g->n + g->k) * sizeof *sum_N);
    CHECK(sum_N, "out of memory in a matrix product of %lld x %lld x %lld", (long long)g->m, (long long)g->n, (long long)g->k);
    double *a_K = sum_N + g->n;
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++)
            sum_N[j] = g->accumulate ? (double)dtype_get(g->c, g->dtype_c, i * g->ldc + j) : 0.0;
        for (int64_t k = 0; k < g->k; k++)
            a_K[k] = a_at(g, i, k);
        row_times_b(sum_N, a_K, g);
        for (int64_t j = 0; j < g->n; j++)
            dtype_put(g->c, g->dtype_c, i * g->ldc + j, (float)sum_N[j]);
    }
    free(sum_N);
    return OK;
}
