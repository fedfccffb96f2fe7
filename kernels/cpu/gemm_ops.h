/* gemm_ops: y[m][n] = x[m][k] w[n][k]' as dot products along k, so that the weights are read once, as they stand. Included by vector_ops.c alone, once per instruction set.
 *
 * An element of y is one sum in a fixed order: lanes of a vector along a block of k, the lanes, the blocks. It does not depend on the number of rows, on the row's place, or
 * on how the product was cut: what is called batch invariant.
 */
#ifndef KERNELS_CPU_GEMM_OPS_H
#define KERNELS_CPU_GEMM_OPS_H

#include "kernels/cpu/vec.h"
#include "kernels/cpu/vector_ops.h"

/* Rows and columns of a tile, whose sums are kept in registers; columns whose weights stay in the first cache while all rows pass; most bytes of a block of k. */
enum { DOT_ROWS = VEC_WIDTH == 16 ? 4 : 2, DOT_COLS = 4, GROUP_COLS = 8, DOT_BYTES = 2560 };

/* How elements are multiplied: floats, bf16 widened to floats, bf16 in pairs. */
enum dot_kind { DOT_FLOATS, DOT_WIDENED, DOT_PAIRS };

static inline vec dot_load(const void *x, int64_t i, const enum dot_kind kind)
{
    return kind == DOT_WIDENED ? vec_load_bf16((const bf16 *)x + i) : kind == DOT_PAIRS ? vec_load((const float *)(const void *)((const bf16 *)x + i)) : vec_load((const float *)x + i);
}

static inline vec dot_load_some(const void *x, int64_t i, int64_t n, const enum dot_kind kind)
{
    bf16 some[2 * VEC_WIDTH] = {0};
    if (kind != DOT_PAIRS)
        return vec_get_some(x, kind == DOT_FLOATS ? F32 : BF16, i, n);
    memcpy(some, (const bf16 *)x + i, (size_t)n * sizeof *some);
    return dot_load(some, 0, kind);
}

/* A tile's rows of x and w (row strides ldx, ldw) from the block's first element on; the weights that come next, to be fetched meanwhile. */
struct dot_tile { const void *x, *w; int64_t ldx, ldw; const void *next; };

static inline void dot_step(const struct dot_tile *t, int64_t l, int64_t n, const int rows, const enum dot_kind kind, const bool fetch, vec sum[DOT_ROWS][DOT_COLS])
{
    const int64_t step = kind == DOT_PAIRS ? 2 * VEC_WIDTH : VEC_WIDTH;
    vec w[DOT_COLS];
    for (int j = 0; j < DOT_COLS; j++) {
        if (fetch)
            __builtin_prefetch(dtype_at_const(t->next, kind == DOT_FLOATS ? F32 : BF16, j * t->ldw + l), 0, 2);
        w[j] = n == step ? dot_load(t->w, j * t->ldw + l, kind) : dot_load_some(t->w, j * t->ldw + l, n, kind);
    }
    for (int i = 0; i < rows; i++) {
        vec x = n == step ? dot_load(t->x, i * t->ldx + l, kind) : dot_load_some(t->x, i * t->ldx + l, n, kind);
        for (int j = 0; j < DOT_COLS; j++)
            sum[i][j] = kind == DOT_PAIRS ? vec_dot_pairs(x, w[j], sum[i][j]) : vec_fma(x, w[j], sum[i][j]);
    }
}

/* sums[i][j] += the dot product of row i with column j over n elements; of a tile that is one column four times, with the first alone. */
static inline void dot_rows(const struct dot_tile *t, int64_t n, const int rows, const enum dot_kind kind, const bool fetch, float *sums)
{
    const int64_t step = kind == DOT_PAIRS ? 2 * VEC_WIDTH : VEC_WIDTH;
    int64_t l = 0;
    vec sum[DOT_ROWS][DOT_COLS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < DOT_COLS; j++)
            sum[i][j] = vec_set(0.0f);
    for (; l + step <= n; l += step)
        dot_step(t, l, step, rows, kind, fetch, sum);
    if (l < n)
        dot_step(t, l, n - l, rows, kind, fetch, sum);
    for (int i = 0; i < rows; i++) {
        float part[DOT_COLS];
        vec_sum4(sum[i][0], sum[i][1], sum[i][2], sum[i][3], part);
        for (int j = 0; j < (t->ldw == 0 ? 1 : DOT_COLS); j++)
            sums[i * STRIP_COLS + j] += part[j];
    }
}

static inline void dot_some_rows(const struct dot_tile *t, int64_t n, int64_t rows, const enum dot_kind kind, bool fetch, float *sums)
{
    if (rows >= DOT_ROWS && fetch)
        dot_rows(t, n, DOT_ROWS, kind, true, sums);
    else if (rows >= DOT_ROWS)
        dot_rows(t, n, DOT_ROWS, kind, false, sums);
    else if (rows == 3)
        dot_rows(t, n, DOT_ROWS < 3 ? DOT_ROWS : 3, kind, true, sums);
    else if (rows == 2)
        dot_rows(t, n, 2, kind, true, sums);
    else
        dot_rows(t, n, 1, kind, true, sums);
}

/* A strip: rows [m_first, + m), columns [n_first, + n) of the product, and its sums [m][STRIP_COLS]. */
struct dot_strip { const struct gemm_args *g; int64_t m_first, m, n_first, n; float *sums; };

/* Elements [l, l + count) of k, columns [j, + GROUP_COLS). Columns that do not fill a tile are done one by one, as a tile of the same column. */
static inline void dot_group(const struct dot_strip *s, int64_t j, int64_t l, int64_t count, int64_t ahead, const enum dot_kind kind)
{
    const struct gemm_args *g = s->g;
    int64_t end = j + GROUP_COLS < s->n ? j + GROUP_COLS : s->n;
    struct dot_tile t = {.ldx = g->lda};
    for (int64_t i = 0; i < s->m; i += DOT_ROWS) {
        t.x = dtype_at_const(g->a, g->dtype_ab, (s->m_first + i) * g->lda + l);
        for (int64_t c = j, cols; c < end; c += cols) {
            cols = c + DOT_COLS <= end ? DOT_COLS : 1;
            t.ldw = cols == DOT_COLS ? g->ldb : 0;
            t.w = dtype_at_const(g->b, g->dtype_ab, (s->n_first + c) * g->ldb + l);
            t.next = (const char *)t.w + ahead;
            dot_some_rows(&t, count, s->m - i, kind, i == 0, s->sums + i * STRIP_COLS + c);
        }
    }
}

/* Blocks of k that are as even as they can be. */
static inline void dot_blocks(const struct dot_strip *s, const enum dot_kind kind)
{
    int64_t k = s->g->k, size = (int64_t)dtype_bytes(s->g->dtype_ab), step = 2 * VEC_WIDTH, n_blocks = (k * size + DOT_BYTES - 1) / DOT_BYTES;
    int64_t block = ((k + n_blocks - 1) / n_blocks + step - 1) / step * step;
    for (int64_t l = 0; l < k; l += block)
        for (int64_t j = 0; j < s->n; j += GROUP_COLS) {
            int64_t next = j + GROUP_COLS < s->n || l + block >= k ? GROUP_COLS * s->g->ldb : block - j * s->g->ldb;
            dot_group(s, j, l, k - l < block ? k - l : block, next * size, kind);
        }
}

static void store_strip(const struct gemm_args *g, int64_t m_first, int64_t m, int64_t n_first, int64_t n, const float *sums)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j += VEC_WIDTH) {
            int64_t at = (m_first + i) * g->ldc + n_first + j, left = n - j;
            vec y = vec_load(sums + i * STRIP_COLS + j);
            if (g->accumulate)
                y = vec_add(y, left < VEC_WIDTH ? vec_get_some(g->c, g->dtype_c, at, left) : vec_get(g->c, g->dtype_c, at));
            if (left < VEC_WIDTH)
                vec_put_some(g->c, g->dtype_c, at, left, y);
            else
                vec_put(g->c, g->dtype_c, at, y);
        }
}

static void gemm_strip(const struct gemm_args *g, int64_t m_first, int64_t m, int64_t n_first, int64_t n)
{
    float sums[STRIP_ROWS * STRIP_COLS];
    const struct dot_strip strip = {g, m_first, m, n_first, n, sums};
    memset(sums, 0, (size_t)(m * STRIP_COLS) * sizeof *sums);
    if (g->dtype_ab == F32)
        dot_blocks(&strip, DOT_FLOATS);
    else if (VEC_HAS_PAIRS)
        dot_blocks(&strip, DOT_PAIRS);
    else
        dot_blocks(&strip, DOT_WIDENED);
    store_strip(g, m_first, m, n_first, n, sums);
}

#endif
