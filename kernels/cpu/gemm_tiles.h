/* gemm_tiles: the strips of gemm_ops.h for bf16 in matrix registers (AMX): y[n][m] = w[n][k] x[m][k]' of 16 x 16 sums, w as it stands and x packed. Included by vector_ops.c alone,
 * where they are compiled for. The sums of an element of y run along k in one order whatever stands beside it. */
#ifndef KERNELS_CPU_GEMM_TILES_H
#define KERNELS_CPU_GEMM_TILES_H

#include "kernels/cpu/gemm_ops.h"

/* A register holds 16 rows of 32 elements of w, or 16 pairs of elements for each of 16 rows of x. */
enum { TILE_EDGE = 16, TILE_DEPTH = 32, TILE_ELEMS = TILE_EDGE * TILE_DEPTH };

static int64_t tiles_along(int64_t n, int64_t edge) { return (n + edge - 1) / edge; }

/* Bytes of STRIP_ROWS packed rows: [tile of rows][tile of k][pair][row]. */
static size_t gemm_packed_bytes(const struct gemm_args *g)
{
    return (size_t)(tiles_along(g->m < STRIP_ROWS ? g->m : STRIP_ROWS, TILE_EDGE) * tiles_along(g->k, TILE_DEPTH) * TILE_ELEMS) * sizeof(bf16);
}

/* Rows [first, first + n) of x, elements [l, l + count), zeros up to a whole tile. */
static void copy_tile(const struct gemm_args *g, const void *x, int64_t ld, int64_t first, int64_t n, int64_t l, int64_t count, bf16 *out)
{
    memset(out, 0, TILE_ELEMS * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * TILE_DEPTH, dtype_at_const(x, g->dtype_ab, (first + i) * ld + l), (size_t)count * sizeof *out);
}

static void gemm_pack(const struct gemm_args *g, int64_t m_first, int64_t m, void *packed)
{
    float *out = packed;
    for (int64_t i = 0; i < m; i += TILE_EDGE)
        for (int64_t l = 0; l < g->k; l += TILE_DEPTH, out += TILE_ELEMS / 2) {
            float rows[TILE_ELEMS / 2];
            copy_tile(g, g->a, g->lda, m_first + i, m - i < TILE_EDGE ? m - i : TILE_EDGE, l, g->k - l < TILE_DEPTH ? g->k - l : TILE_DEPTH, (bf16 *)(void *)rows);
            vec_transpose(rows, TILE_EDGE, out, TILE_EDGE);
        }
}

/* A tile of w: where it stands, or copied where it is at an edge. */
struct weight_tile { const void *at; size_t stride; };

static inline struct weight_tile weights_at(const struct gemm_args *g, int64_t first, int64_t n, int64_t l, bf16 *space)
{
    if (n >= TILE_EDGE && l + TILE_DEPTH <= g->k)
        return (struct weight_tile){(const bf16 *)g->b + first * g->ldb + l, (size_t)g->ldb * sizeof(bf16)};
    copy_tile(g, g->b, g->ldb, first, n < TILE_EDGE ? n : TILE_EDGE, l, g->k - l < TILE_DEPTH ? g->k - l : TILE_DEPTH, space);
    return (struct weight_tile){space, TILE_DEPTH * sizeof(bf16)};
}

/* One tile of columns, or two, and of rows: registers 0 to 3 hold sums, 4 and 5 weights, 6 and 7 rows. */
static inline void dot_tiles(const struct dot_strip *s, const bf16 *x, int64_t i, int64_t j, const bool two_w, const bool two_x)
{
    const struct gemm_args *g = s->g;
    const int64_t row_tile = tiles_along(g->k, TILE_DEPTH) * TILE_ELEMS;
    bf16 space[2][TILE_ELEMS];
    float sums[4][TILE_EDGE * TILE_EDGE];
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    x += i / TILE_EDGE * row_tile;
    const bf16 *next = (const bf16 *)g->b + (s->n_first + j + 2 * TILE_EDGE) * g->ldb;
    int64_t line = 0;
    for (int64_t l = 0; l < g->k; l += TILE_DEPTH, x += TILE_ELEMS) {
        struct weight_tile w = weights_at(g, s->n_first + j, s->n - j, l, space[0]);
        for (int r = 0; i == 0 && r < 2 * TILE_EDGE; r++) {
            __builtin_prefetch(next + line, 0, 2);
            line += TILE_DEPTH;
            if (line >= g->k)
                next += g->ldb, line = 0;
        }
        vec_tiles_see_memory();
        _tile_loadd(4, w.at, w.stride);
        _tile_loadd(6, x, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (two_x) {
            _tile_loadd(7, x + row_tile, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (two_w) {
            w = weights_at(g, s->n_first + j + TILE_EDGE, s->n - j - TILE_EDGE, l, space[1]);
            vec_tiles_see_memory();
            _tile_loadd(5, w.at, w.stride);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (two_w && two_x)
            _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
    vec_tiles_see_memory();
    for (int t = 0; t < 4; t++)
        if ((two_w || t < 2) && (two_x || t % 2 == 0))
            vec_transpose(sums[t], TILE_EDGE, s->sums + (i + t % 2 * TILE_EDGE) * STRIP_COLS + j + t / 2 * TILE_EDGE, STRIP_COLS);
}

static void gemm_tile_strip(const struct gemm_args *g, const void *packed, int64_t m_first, int64_t m, int64_t n_first, int64_t n)
{
    float sums[STRIP_ROWS * STRIP_COLS];
    const struct dot_strip s = {g, m_first, m, n_first, n, sums};
    vec_tiles_begin();
    for (int64_t j = 0; j < n; j += 2 * TILE_EDGE)
        for (int64_t i = 0; i < m; i += 2 * TILE_EDGE) {
            bool two_w = n - j > TILE_EDGE, two_x = m - i > TILE_EDGE;
            if (two_w && two_x)
                dot_tiles(&s, packed, i, j, true, true);
            else if (two_w)
                dot_tiles(&s, packed, i, j, true, false);
            else if (two_x)
                dot_tiles(&s, packed, i, j, false, true);
            else
                dot_tiles(&s, packed, i, j, false, false);
        }
    vec_tiles_end();
    store_strip(g, m_first, m, n_first, n, sums);
}

#endif
