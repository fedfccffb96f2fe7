/* attention_ops: forest attention in tiles, flash style (arXiv 2205.14135): online softmax forward; backward in two passes, dq by query tiles and dk, dv by key
 * tiles, so that nothing is added from two threads and no result depends on their number. Included by vector_ops.c alone, once per instruction set.
 *
 * M rows of a tile product; the query heads of one key/value head are processed together, so a key tile is read once for all of them.
 */
#ifndef KERNELS_CPU_ATTENTION_OPS_H
#define KERNELS_CPU_ATTENTION_OPS_H

#include "kernels/cpu/vec.h"
#include "kernels/cpu/vector_ops.h"

enum { PRODUCT_ROWS = 4, PRODUCT_VECTORS = VEC_WIDTH == 8 ? 2 : 4 };

/* c[m][n] = (accumulate ? c : 0) + a[m][k] b[k][n]; m a multiple of PRODUCT_ROWS, n of VEC_WIDTH. */
static inline void product_block(const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t k, const int n_vectors, bool accumulate)
{
    vec sum[PRODUCT_ROWS][PRODUCT_VECTORS];
    for (int i = 0; i < PRODUCT_ROWS; i++)
        for (int j = 0; j < n_vectors; j++)
            sum[i][j] = accumulate ? vec_load(c + i * ldc + j * VEC_WIDTH) : vec_set(0.0f);
    for (int64_t l = 0; l < k; l++)
        for (int i = 0; i < PRODUCT_ROWS; i++) {
            vec x = vec_set(a[i * lda + l]);
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = vec_fma(x, vec_load(b + l * ldb + j * VEC_WIDTH), sum[i][j]);
        }
    for (int i = 0; i < PRODUCT_ROWS; i++)
        for (int j = 0; j < n_vectors; j++)
            vec_store(c + i * ldc + j * VEC_WIDTH, sum[i][j]);
}

static void product(const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t n, int64_t k, bool accumulate)
{
    int64_t j = 0;
    for (; j + PRODUCT_VECTORS * VEC_WIDTH <= n; j += PRODUCT_VECTORS * VEC_WIDTH)
        for (int64_t i = 0; i < m; i += PRODUCT_ROWS)
            product_block(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, k, PRODUCT_VECTORS, accumulate);
    for (; j + VEC_WIDTH <= n; j += VEC_WIDTH)
        for (int64_t i = 0; i < m; i += PRODUCT_ROWS)
            product_block(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, k, 1, accumulate);
}

/* ---- loading tiles to float32 ---------------------------------------------------------------------------------------------------------------- */

static void load_row(const void *x, enum dtype dtype, int64_t at, int64_t dim, float *out)
{
    for (int64_t d = 0; d < dim; d += VEC_WIDTH)
        vec_store(out + d, vec_get(x, dtype, at + d));
}

/* Rows first .. first + n of head h of x[rows][heads][dim], zero rows up to `padded`. */
static void load_tile(const void *x, enum dtype dtype, int heads, int dim, int h, int64_t first, int64_t n, int64_t padded, float *out)
{
    for (int64_t i = 0; i < n; i++)
        load_row(x, dtype, ((first + i) * heads + h) * dim, dim, out + i * dim);
    if (padded > n)
        memset(out + n * dim, 0, (size_t)((padded - n) * dim) * sizeof *out);
}

/* out[d][TILE_K] = transpose of the tile. */
static void transpose(const float *tile, int64_t dim, float *out)
{
    for (int64_t d = 0; d < dim; d++)
        for (int64_t i = 0; i < TILE_K; i++)
            out[d * TILE_K + i] = tile[i * dim + d];
}

static int64_t round_rows(int64_t rows) { return (rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS * PRODUCT_ROWS; }

/* ---- memory of one task ---------------------------------------------------------------------------------------------------------------------- */

struct attention_tile {
    int64_t rows;               /* M: query rows x heads of the group, padded */
    float *q, *o, *extra;       /* [M][dim]: queries; output or dq; do */
    float *s, *ds;              /* [M][TILE_K], or [TILE_K][TILE_K] in the key pass */
    float *k, *v, *kt, *vt;     /* [TILE_K][dim], transposed [dim][TILE_K] */
    float *max, *sum;           /* [M] */
};

static int64_t attention_scratch(const struct attention_args *a)
{
    int64_t M = round_rows((int64_t)TILE_Q * (a->heads / a->kv_heads)), D = a->dim;
    M = M < TILE_K ? TILE_K : M;
    return D % VEC_WIDTH == 0 ? 3 * M * D + 2 * M * TILE_K + 6 * TILE_K * D + 2 * M : 0;
}

static struct attention_tile tile_of(const struct attention_args *a, float *scratch)
{
    int64_t M = round_rows((int64_t)TILE_Q * (a->heads / a->kv_heads)), D = a->dim;
    M = M < TILE_K ? TILE_K : M;
    struct attention_tile t = {.rows = M};
    t.q = scratch;
    t.o = t.q + M * D;
    t.extra = t.o + M * D;
    t.s = t.extra + M * D;
    t.ds = t.s + M * TILE_K;
    t.k = t.ds + M * TILE_K;
    t.v = t.k + TILE_K * D;
    t.kt = t.v + TILE_K * D;
    t.vt = t.kt + TILE_K * D;
    t.max = t.vt + 3 * TILE_K * D;
    t.sum = t.max + M;
    return t;
}

/* Rows of a group tile: query i of the tile and head g of the group stand at row g * q_count + i. */
static void load_group(const struct attention_args *a, const void *x, int kv_head, int64_t q_first, int64_t q_count, float *out)
{
    int group = a->heads / a->kv_heads;
    for (int g = 0; g < group; g++)
        load_tile(x, a->dtype, a->heads, a->dim, kv_head * group + g, q_first, q_count, q_count, out + g * q_count * a->dim);
    int64_t rows = group * q_count, padded = round_rows(rows);
    memset(out + rows * a->dim, 0, (size_t)((padded - rows) * a->dim) * sizeof *out);
}

static void store_group(const struct attention_args *a, const float *x, int kv_head, int64_t q_first, int64_t q_count, void *out)
{
    int group = a->heads / a->kv_heads;
    for (int g = 0; g < group; g++)
        for (int64_t i = 0; i < q_count; i++)
            for (int64_t d = 0; d < a->dim; d += VEC_WIDTH)
                vec_put(out, a->dtype, ((q_first + i) * a->heads + kv_head * group + g) * a->dim + d, vec_load(x + (g * q_count + i) * a->dim + d));
}

/* How many keys of range i query row `row` sees. */
static int64_t keys_seen(const struct attention_args *a, const struct attention_run *run, int i, int64_t row)
{
    const struct attention_range *range = &a->ranges[run->range_first + i];
    return i < run->range_count - 1 ? range->count : range->count - run->q_count + (row - run->q_first) + 1;
}

/* ---- forward --------------------------------------------------------------------------------------------------------------------------------- */

/* Row of scores -> exponentials under the running maximum; returns the factor for what was summed before. `seen` of the tile's keys count. */
static float softmax_step(float *s, int64_t seen, float scale, float *max, float *sum)
{
    float most = *max;
    vec high = vec_set(-INFINITY), total = vec_set(0.0f);
    for (int64_t j = seen; j < TILE_K; j++)
        s[j] = -INFINITY;
    for (int64_t j = 0; j < TILE_K; j += VEC_WIDTH)
        high = vec_max(vec_load(s + j), high);
    float here = vec_largest(high) * scale;
    most = here > most ? here : most;
    for (int64_t j = 0; j < TILE_K; j += VEC_WIDTH) {
        vec p = vec_exp(vec_sub(vec_mul(vec_load(s + j), vec_set(scale)), vec_set(most)));
        vec_store(s + j, p);
    }
    for (int64_t j = seen; j < TILE_K; j++)
        s[j] = 0.0f;
    for (int64_t j = 0; j < TILE_K; j += VEC_WIDTH)
        total = vec_add(total, vec_load(s + j));
    float factor = *max == -INFINITY ? 0.0f : expf(*max - most);
    *max = most;
    *sum = *sum * factor + vec_sum(total);
    return factor;
}

static void scale_row(float *x, int64_t dim, float factor)
{
    for (int64_t d = 0; d < dim; d += VEC_WIDTH)
        vec_store(x + d, vec_mul(vec_load(x + d), vec_set(factor)));
}

/* Keys [first, first + n) of range i for all rows of the tile. */
static void forward_keys(const struct attention_args *a, const struct attention_run *run, struct attention_tile *t, int kv_head, int i, int64_t offset, int64_t n, int64_t q_first,
                         int64_t q_count)
{
    int64_t first = a->ranges[run->range_first + i].first + offset, rows = q_count * (a->heads / a->kv_heads);
    load_tile(a->k_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->k);
    load_tile(a->v_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->v);
    transpose(t->k, a->dim, t->kt);
    product(t->q, a->dim, t->kt, TILE_K, t->s, TILE_K, round_rows(rows), TILE_K, a->dim, false);
    for (int64_t r = 0; r < rows; r++) {
        int64_t seen = keys_seen(a, run, i, q_first + r % q_count) - offset;
        seen = seen < 0 ? 0 : seen > n ? n : seen;
        if (seen == 0) {
            memset(t->s + r * TILE_K, 0, TILE_K * sizeof *t->s);
            continue;
        }
        float factor = softmax_step(t->s + r * TILE_K, seen, a->scale, &t->max[r], &t->sum[r]);
        if (factor != 1.0f)
            scale_row(t->o + r * a->dim, a->dim, factor);
    }
    for (int64_t r = rows; r < round_rows(rows); r++)
        memset(t->s + r * TILE_K, 0, TILE_K * sizeof *t->s);
    product(t->s, TILE_K, t->v, a->dim, t->o, a->dim, round_rows(rows), a->dim, TILE_K, true);
}

static void attention_forward(const struct attention_args *a, const struct attention_run *run, int kv_head, int64_t q_first, int64_t q_count, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    int group = a->heads / a->kv_heads;
    int64_t rows = q_count * group;
    load_group(a, a->q_THD, kv_head, q_first, q_count, t.q);
    memset(t.o, 0, (size_t)(round_rows(rows) * a->dim) * sizeof *t.o);
    for (int64_t r = 0; r < rows; r++) {
        t.max[r] = -INFINITY;
        t.sum[r] = 0.0f;
    }
    for (int i = 0; i < run->range_count; i++) {
        int64_t most = keys_seen(a, run, i, q_first + q_count - 1);
        for (int64_t offset = 0; offset < most; offset += TILE_K)
            forward_keys(a, run, &t, kv_head, i, offset, most - offset < TILE_K ? most - offset : TILE_K, q_first, q_count);
    }
    for (int64_t r = 0; r < rows; r++) {
        scale_row(t.o + r * a->dim, a->dim, 1.0f / t.sum[r]);
        a->lse_HT[(kv_head * group + r / q_count) * a->rows + q_first + r % q_count] = t.max[r] + logf(t.sum[r]);
    }
    store_group(a, t.o, kv_head, q_first, q_count, a->o_THD);
}

/* ---- backward: P = exp(scale S - lse), dS = scale P (dP - delta) ------------------------------------------------------------------------------ */

static void backward_keys(const struct attention_args *a, const struct attention_run *run, struct attention_tile *t, int kv_head, int i, int64_t offset, int64_t n, int64_t q_first,
                          int64_t q_count)
{
    int group = a->heads / a->kv_heads;
    int64_t first = a->ranges[run->range_first + i].first + offset, rows = q_count * group;
    load_tile(a->k_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->k);
    load_tile(a->v_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->v);
    transpose(t->k, a->dim, t->kt);
    transpose(t->v, a->dim, t->vt);
    product(t->q, a->dim, t->kt, TILE_K, t->s, TILE_K, round_rows(rows), TILE_K, a->dim, false);
    product(t->extra, a->dim, t->vt, TILE_K, t->ds, TILE_K, round_rows(rows), TILE_K, a->dim, false);
    for (int64_t r = 0; r < rows; r++) {
        int64_t seen = keys_seen(a, run, i, q_first + r % q_count) - offset, row = (kv_head * group + r / q_count) * a->rows + q_first + r % q_count;
        float *s = t->s + r * TILE_K, *ds = t->ds + r * TILE_K;
        vec lse = vec_set(a->lse_HT[row]), delta = vec_set(a->delta_HT[row]), scale = vec_set(a->scale);
        for (int64_t j = 0; j < TILE_K; j += VEC_WIDTH) {
            vec p = vec_exp(vec_sub(vec_mul(vec_load(s + j), scale), lse));
            vec_store(ds + j, vec_mul(vec_mul(p, vec_sub(vec_load(ds + j), delta)), scale));
        }
        for (int64_t j = seen < 0 ? 0 : seen; j < TILE_K; j++)
            ds[j] = 0.0f;
    }
    product(t->ds, TILE_K, t->k, a->dim, t->o, a->dim, round_rows(rows), a->dim, TILE_K, true);
}

static float row_product(const float *x, const float *y, int64_t n)
{
    vec sum = vec_set(0.0f);
    for (int64_t d = 0; d < n; d += VEC_WIDTH)
        sum = vec_fma(vec_load(x + d), vec_load(y + d), sum);
    return vec_sum(sum);
}

static void attention_backward_q(const struct attention_args *a, const struct attention_run *run, int kv_head, int64_t q_first, int64_t q_count, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    int group = a->heads / a->kv_heads;
    int64_t rows = q_count * group;
    load_group(a, a->o_THD, kv_head, q_first, q_count, t.q);
    load_group(a, a->do_THD, kv_head, q_first, q_count, t.extra);
    for (int64_t r = 0; r < rows; r++)
        a->delta_HT[(kv_head * group + r / q_count) * a->rows + q_first + r % q_count] = row_product(t.q + r * a->dim, t.extra + r * a->dim, a->dim);
    load_group(a, a->q_THD, kv_head, q_first, q_count, t.q);
    memset(t.o, 0, (size_t)(round_rows(rows) * a->dim) * sizeof *t.o);
    for (int i = 0; i < run->range_count; i++) {
        int64_t most = keys_seen(a, run, i, q_first + q_count - 1);
        for (int64_t offset = 0; offset < most; offset += TILE_K)
            backward_keys(a, run, &t, kv_head, i, offset, most - offset < TILE_K ? most - offset : TILE_K, q_first, q_count);
    }
    store_group(a, t.o, kv_head, q_first, q_count, a->dq_THD);
}

/* Queries [t0, t0 + n) of one head against the key tile, transposed: s[key][query]. dk is in t->o, dv in t->extra. */
static void backward_queries(const struct attention_args *a, struct attention_tile *t, int head, int64_t k_first, int64_t k_count, int64_t t0, int64_t n, float *q, float *dout)
{
    load_tile(a->q_THD, a->dtype, a->heads, a->dim, head, t0, n, TILE_K, q);
    load_tile(a->do_THD, a->dtype, a->heads, a->dim, head, t0, n, TILE_K, dout);
    transpose(q, a->dim, t->kt);
    transpose(dout, a->dim, t->vt);
    product(t->k, a->dim, t->kt, TILE_K, t->s, TILE_K, TILE_K, TILE_K, a->dim, false);
    product(t->v, a->dim, t->vt, TILE_K, t->ds, TILE_K, TILE_K, TILE_K, a->dim, false);
    float lse[TILE_K] = {0}, delta[TILE_K] = {0};
    memcpy(lse, a->lse_HT + head * a->rows + t0, (size_t)n * sizeof *lse);
    memcpy(delta, a->delta_HT + head * a->rows + t0, (size_t)n * sizeof *delta);
    for (int64_t r = 0; r < TILE_K; r++) {
        float *s = t->s + r * TILE_K, *ds = t->ds + r * TILE_K;
        int64_t from = k_first + r - t0;            /* queries before the key do not see it */
        from = r >= k_count || from > TILE_K ? TILE_K : from < 0 ? 0 : from;
        for (int64_t j = 0; j < TILE_K; j += VEC_WIDTH) {
            vec p = vec_exp(vec_sub(vec_mul(vec_load(s + j), vec_set(a->scale)), vec_load(lse + j)));
            vec_store(s + j, p);
            vec_store(ds + j, vec_mul(vec_mul(p, vec_sub(vec_load(ds + j), vec_load(delta + j))), vec_set(a->scale)));
        }
        for (int64_t j = 0; j < from; j++)
            s[j] = ds[j] = 0.0f;
        for (int64_t j = n; j < TILE_K; j++)
            s[j] = ds[j] = 0.0f;
    }
    product(t->s, TILE_K, dout, a->dim, t->extra, a->dim, TILE_K, a->dim, TILE_K, true);
    product(t->ds, TILE_K, q, a->dim, t->o, a->dim, TILE_K, a->dim, TILE_K, true);
}

static void attention_backward_k(const struct attention_args *a, const struct attention_key_run *run, int kv_head, int64_t k_first, int64_t k_count, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    int group = a->heads / a->kv_heads;
    float *q = t.vt + TILE_K * a->dim, *dout = q + TILE_K * a->dim;
    load_tile(a->k_SGD, a->dtype, a->kv_heads, a->dim, kv_head, k_first, k_count, TILE_K, t.k);
    load_tile(a->v_SGD, a->dtype, a->kv_heads, a->dim, kv_head, k_first, k_count, TILE_K, t.v);
    memset(t.o, 0, (size_t)(TILE_K * a->dim) * sizeof *t.o);
    memset(t.extra, 0, (size_t)(TILE_K * a->dim) * sizeof *t.extra);
    for (int64_t t0 = k_first; t0 < run->see_end; t0 += TILE_K)
        for (int g = 0; g < group; g++)
            backward_queries(a, &t, kv_head * group + g, k_first, k_count, t0, run->see_end - t0 < TILE_K ? run->see_end - t0 : TILE_K, q, dout);
    for (int64_t i = 0; i < k_count; i++)
        for (int64_t d = 0; d < a->dim; d += VEC_WIDTH) {
            int64_t at = ((k_first + i) * a->kv_heads + kv_head) * a->dim + d;
            vec_put(a->dk_SGD, a->dtype, at, vec_load(t.o + i * a->dim + d));
            vec_put(a->dv_SGD, a->dtype, at, vec_load(t.extra + i * a->dim + d));
        }
}

#endif
