/* attention_tiles: what attention does with tiles: products, loading, transposing, packing. Included by attention_ops.h alone.
 *
 * The operands of a product are made of words of 32 bits that hold `grain` elements standing next to each other along the summed dimension: one float, or two bf16 where the tensors
 * are bf16 and the processor multiplies pairs of them. So three forms of a tile x[n][dim] do:
 *   rows         [n][dim / grain]: pairs along dim
 *   transposed   [dim / grain][n]: the same words, for a product that sums over dim
 *   interleaved  [n / grain][dim]: pairs along n, for a product that sums over n. With grain 1 these are the rows.
 */
#ifndef KERNELS_CPU_ATTENTION_TILES_H
#define KERNELS_CPU_ATTENTION_TILES_H

#include "kernels/cpu/vec.h"
#include "kernels/cpu/vector_ops.h"

enum { PRODUCT_ROWS = 4, PRODUCT_VECTORS = VEC_WIDTH == 8 ? 2 : 4 };

/* Word (i, l) stands at i * row + l * col: as it is, or transposed. */
struct operand { const float *at; int64_t row, col; };

static struct operand plain(const float *a, int64_t lda) { return (struct operand){a, lda, 1}; }
static struct operand transposed(const float *a, int64_t lda) { return (struct operand){a, 1, lda}; }

/* c[m][n] = (accumulate ? c : 0) + a[m][k] b[k][n], k in words; n a multiple of VEC_WIDTH. An element of c is the same sum whatever block it falls into. */
static inline void product_block(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t k, const int rows, const int n_vectors, const bool pairs, bool accumulate)
{
    vec sum[PRODUCT_ROWS][PRODUCT_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < n_vectors; j++)
            sum[i][j] = accumulate ? vec_load(c + i * ldc + j * VEC_WIDTH) : vec_set(0.0f);
    for (int64_t l = 0; l < k; l++)
        for (int i = 0; i < rows; i++) {
            vec x = vec_set(a.at[i * a.row + l * a.col]);
            for (int j = 0; j < n_vectors; j++) {
                vec y = vec_load(b + l * ldb + j * VEC_WIDTH);
                sum[i][j] = pairs ? vec_dot_pairs(x, y, sum[i][j]) : vec_fma(x, y, sum[i][j]);
            }
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < n_vectors; j++)
            vec_store(c + i * ldc + j * VEC_WIDTH, sum[i][j]);
}

static inline void product_columns(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t k, const int n_vectors, const bool pairs, bool accumulate)
{
    for (; m >= PRODUCT_ROWS; m -= PRODUCT_ROWS, a.at += PRODUCT_ROWS * a.row, c += PRODUCT_ROWS * ldc)
        product_block(a, b, ldb, c, ldc, k, PRODUCT_ROWS, n_vectors, pairs, accumulate);
    if (m == 3)
        product_block(a, b, ldb, c, ldc, k, 3, n_vectors, pairs, accumulate);
    else if (m == 2)
        product_block(a, b, ldb, c, ldc, k, 2, n_vectors, pairs, accumulate);
    else if (m == 1)
        product_block(a, b, ldb, c, ldc, k, 1, n_vectors, pairs, accumulate);
}

static inline void product_of(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t n, int64_t k, const bool pairs, bool accumulate)
{
    int64_t j = 0;
    for (; j + PRODUCT_VECTORS * VEC_WIDTH <= n; j += PRODUCT_VECTORS * VEC_WIDTH)
        product_columns(a, b + j, ldb, c + j, ldc, m, k, PRODUCT_VECTORS, pairs, accumulate);
    for (; j + VEC_WIDTH <= n; j += VEC_WIDTH)
        product_columns(a, b + j, ldb, c + j, ldc, m, k, 1, pairs, accumulate);
}

#if defined(__AMX_BF16__)
/* Sums begin with what stands in c, or with zeros. */
static inline void begin_tiles(const float *c, size_t stride, const int n, const bool accumulate)
{
    if (!accumulate) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, c, stride);
    if (n == 4) {
        _tile_loadd(1, c + 16, stride);
        _tile_loadd(2, c + 32, stride);
        _tile_loadd(3, c + 48, stride);
    }
}

/* One row of matrix registers: c[16][16 n] = (accumulate ? c : 0) + a[16][k] b[k][16 n], n 1 or 4, k a multiple of 16. */
static inline void product_tiles(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t k, const int n, const bool accumulate)
{
    float packed[16 * 16];
    size_t strides[] = {(size_t)ldc * 4, (size_t)ldb * 4};
    vec_tiles_see_memory();
    begin_tiles(c, strides[0], n, accumulate);
    for (int64_t l = 0; l < k; l += 16) {
        if (a.col == 1) {
            _tile_loadd(4, a.at + l, (size_t)a.row * 4);
        } else {
            vec_transpose(a.at + l * a.col, a.col, packed, 16);
            vec_tiles_see_memory();
            _tile_loadd(4, packed, 64);
        }
        _tile_loadd(5, b + l * ldb, strides[1]);
        _tile_dpbf16ps(0, 4, 5);
        if (n == 4) {
            _tile_loadd(6, b + l * ldb + 16, strides[1]);
            _tile_dpbf16ps(1, 4, 6);
            _tile_loadd(7, b + l * ldb + 32, strides[1]);
            _tile_dpbf16ps(2, 4, 7);
            _tile_loadd(5, b + l * ldb + 48, strides[1]);
            _tile_dpbf16ps(3, 4, 5);
        }
    }
    _tile_stored(0, c, strides[0]);
    if (n == 4) {
        _tile_stored(1, c + 16, strides[0]);
        _tile_stored(2, c + 32, strides[0]);
        _tile_stored(3, c + 48, strides[0]);
    }
    vec_tiles_see_memory();
}

static inline void product_tile_columns(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t n, int64_t k, const bool accumulate)
{
    int64_t j = 0;
    for (; j + 64 <= n; j += 64)
        product_tiles(a, b + j, ldb, c + j, ldc, k, 4, accumulate);
    for (; j < n; j += 16)
        product_tiles(a, b + j, ldb, c + j, ldc, k, 1, accumulate);
}

/* Always 16 rows: the last ones, where m is no multiple, pass through a buffer; what stands in a behind them is read, and its results are dropped. */
static inline void product_tile_rows(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t n, int64_t k, const bool accumulate)
{
    enum { MOST = 256 };
    float last[16 * MOST];
    int64_t i = 0;
    for (; i + 16 <= m; i += 16)
        product_tile_columns((struct operand){a.at + i * a.row, a.row, a.col}, b, ldb, c + i * ldc, ldc, n, k, accumulate);
    if (i == m)
        return;
    for (int64_t r = 0; accumulate && r < 16; r++)
        if (r < m - i)
            memcpy(last + r * n, c + (i + r) * ldc, (size_t)n * sizeof *c);
        else
            memset(last + r * n, 0, (size_t)n * sizeof *c);
    product_tile_columns((struct operand){a.at + i * a.row, a.row, a.col}, b, ldb, last, n, n, k, accumulate);
    for (int64_t r = 0; r < m - i; r++)
        memcpy(c + (i + r) * ldc, last + r * n, (size_t)n * sizeof *c);
}

static void product_in_tiles(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t n, int64_t k, bool accumulate)
{
    if (accumulate)
        product_tile_rows(a, b, ldb, c, ldc, m, n, k, true);
    else
        product_tile_rows(a, b, ldb, c, ldc, m, n, k, false);
}

/* Which products are made in matrix registers follows from the head size alone, so that a row's bits do not depend on its company. */
static bool fits_tiles(int grain, int64_t n, int64_t k) { return grain == 2 && n % 16 == 0 && n <= 256 && k % 32 == 0; }
#else
static void product_in_tiles(struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t n, int64_t k, bool accumulate)
{
    product_of(a, b, ldb, c, ldc, m, n, k, true, accumulate);
}
static bool fits_tiles(int grain, int64_t n, int64_t k) { return VEC_HAS_TILES && grain == 2 && n > 0 && k > 0; }
#endif

/* k counts elements. */
static void product(int grain, struct operand a, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t n, int64_t k, bool accumulate)
{
    if (fits_tiles(grain, n, k))
        product_in_tiles(a, b, ldb, c, ldc, m, n, k / 2, accumulate);
    else if (grain == 2)
        product_of(a, b, ldb, c, ldc, m, n, k / 2, true, accumulate);
    else
        product_of(a, b, ldb, c, ldc, m, n, k, false, accumulate);
}

/* ---- tiles ----------------------------------------------------------------------------------------------------------------------------------- */

/* Rows first .. first + n of head h of x[rows][heads][dim], zero rows up to `padded`. */
static void load_tile(int grain, const void *x, enum dtype dtype, int heads, int dim, int h, int64_t first, int64_t n, int64_t padded, float *out)
{
    int64_t words = dim / grain;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = ((first + i) * heads + h) * dim;
        if (grain == 2)
            memcpy(out + i * words, (const bf16 *)x + at, (size_t)dim * sizeof(bf16));
        else
            for (int64_t d = 0; d < dim; d += VEC_WIDTH)
                vec_store(out + i * words + d, vec_get(x, dtype, at + d));
    }
    if (padded > n)
        memset(out + n * words, 0, (size_t)((padded - n) * words) * sizeof *out);
}

/* The rows of a tile: loaded, or where they stand. */
struct words { const float *at; int64_t stride; };

/* Rows first .. first + n of head h as words, zero rows up to TILE_K: where they stand if no word changes, else in `space`. */
static struct words tile_words(int grain, const void *x, enum dtype dtype, int heads, int dim, int h, int64_t first, int64_t n, float *space)
{
    if (n == TILE_K && (dtype == F32 || grain == 2))
        return (struct words){dtype_at_const(x, dtype, (first * heads + h) * dim), (int64_t)heads * dim / grain};
    load_tile(grain, x, dtype, heads, dim, h, first, n, TILE_K, space);
    return (struct words){space, dim / grain};
}

/* out[words][TILE_K] of a tile's rows. */
static void transpose(struct words tile, int64_t words, float *out)
{
    int64_t whole = words / VEC_WIDTH * VEC_WIDTH;
    for (int64_t i = 0; i < TILE_K; i += VEC_WIDTH)
        for (int64_t w = 0; w < whole; w += VEC_WIDTH)
            vec_transpose(tile.at + i * tile.stride + w, tile.stride, out + w * TILE_K + i, TILE_K);
    for (int64_t w = whole; w < words; w++)
        for (int64_t i = 0; i < TILE_K; i++)
            out[w * TILE_K + i] = tile.at[i * tile.stride + w];
}

/* The interleaved form [n / grain][dim] of rows, n a multiple of grain: in `space`, or the rows themselves. */
static struct words interleave(int grain, struct words rows, int64_t n, int64_t dim, float *space)
{
    if (grain == 1)
        return rows;
    for (int64_t i = 0; i < n; i += 2) {
        const bf16 *even = (const bf16 *)(const void *)(rows.at + i * rows.stride), *odd = even + 2 * rows.stride;
        for (int64_t d = 0; d < dim; d += VEC_WIDTH)
            vec_store(space + i / 2 * dim + d, vec_zip(even + d, odd + d));
    }
    return (struct words){space, dim};
}

/* Scores x[m][TILE_K] in float32 become, where they stand, the rows of an operand, */
static void scores_to_rows(int grain, float *x, int64_t m)
{
    if (grain == 2)
        for (int64_t i = 0; i < m * TILE_K; i += VEC_WIDTH)
            vec_store_bf16((bf16 *)(void *)x + i, vec_load(x + i));
}

/* or interleaved. */
static void scores_to_interleaved(int grain, float *x, int64_t m)
{
    if (grain == 2)
        for (int64_t i = 0; i < m; i += 2)
            for (int64_t j = 0; j < TILE_K; j += VEC_WIDTH)
                vec_store(x + i / 2 * TILE_K + j, vec_pairs(vec_load(x + i * TILE_K + j), vec_load(x + (i + 1) * TILE_K + j)));
}

/* Rows that are summed over come in pairs, or as many as a matrix register sums over: the others are zeros. */
static int64_t round_rows(int64_t rows) { return VEC_HAS_TILES ? (rows + 31) / 32 * 32 : rows + rows % 2; }

/* ---- memory of one task ---------------------------------------------------------------------------------------------------------------------- */

struct attention_tile {
    int grain;
    int64_t rows;               /* M: query rows x heads of the group, padded */
    float *q, *dout;            /* [M][dim]: rows of queries and of the output's gradient */
    float *qi, *di;             /* the same, interleaved */
    float *o;                   /* [M][dim]: output, or dq, in float32 */
    float *s, *ds;              /* [M][TILE_K] */
    float *k, *v, *kt, *vt;     /* [TILE_K][dim], transposed [dim][TILE_K] */
    float *ki, *vi;             /* interleaved */
    float *dk, *dv;             /* [TILE_K][dim] in float32 */
    float *max, *sum;           /* [M] */
};

static int grain_of(const struct attention_args *a) { return VEC_HAS_PAIRS && a->dtype == BF16 ? 2 : 1; }

static int64_t tile_rows(const struct attention_args *a)
{
    int64_t M = round_rows((int64_t)TILE_Q * (a->heads / a->kv_heads));
    return M < TILE_K ? TILE_K : M;
}

static int64_t attention_scratch(const struct attention_args *a)
{
    int64_t M = tile_rows(a), D = a->dim;
    return D % VEC_WIDTH == 0 ? 5 * M * D + 2 * M * TILE_K + 8 * TILE_K * D + 2 * M : 0;
}

static float *take(float **scratch, int64_t n)
{
    float *taken = *scratch;
    *scratch += n;
    return taken;
}

static struct attention_tile tile_of(const struct attention_args *a, float *scratch)
{
    int64_t M = tile_rows(a), D = a->dim;
    struct attention_tile t = {.grain = grain_of(a), .rows = M};
    float **of_queries[] = {&t.q, &t.dout, &t.qi, &t.di, &t.o}, **of_keys[] = {&t.k, &t.v, &t.kt, &t.vt, &t.ki, &t.vi, &t.dk, &t.dv};
    for (size_t i = 0; i < sizeof of_queries / sizeof *of_queries; i++)
        *of_queries[i] = take(&scratch, M * D);
    for (size_t i = 0; i < sizeof of_keys / sizeof *of_keys; i++)
        *of_keys[i] = take(&scratch, TILE_K * D);
    t.s = take(&scratch, M * TILE_K);
    t.ds = take(&scratch, M * TILE_K);
    t.max = take(&scratch, M);
    t.sum = take(&scratch, M);
    return t;
}

#endif
