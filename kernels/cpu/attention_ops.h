/* attention_ops: forest attention in tiles, flash style (arXiv 2205.14135): online softmax forward; backward in two passes, dq by query tiles and dk, dv by key
 * tiles, so that nothing is added from two threads and no result depends on their number. Included by vector_ops.c alone, once per instruction set.
 *
 * The query heads of one key/value head are processed together, so a key tile is read once for all of them.
 */
#ifndef KERNELS_CPU_ATTENTION_OPS_H
#define KERNELS_CPU_ATTENTION_OPS_H

#include "kernels/cpu/attention_tiles.h"

/* Rows of a group tile: query i of the tile and head g of the group stand at row g * q_count + i. */
static void load_group(const struct attention_args *a, int grain, const void *x, int kv_head, int64_t q_first, int64_t q_count, float *out)
{
    int group = a->heads / a->kv_heads;
    int64_t rows = group * q_count, words = a->dim / grain;
    for (int g = 0; g < group; g++)
        load_tile(grain, x, a->dtype, a->heads, a->dim, kv_head * group + g, q_first, q_count, q_count, out + g * q_count * words);
    memset(out + rows * words, 0, (size_t)((round_rows(rows) - rows) * words) * sizeof *out);
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
    for (int64_t j = 0; j < TILE_K; j += VEC_WIDTH) {       /* an unseen key adds 1e-38 to a sum of 1 or more: nothing */
        vec p = vec_exp(vec_sub(vec_mul(vec_load(s + j), vec_set(scale)), vec_set(most)));
        vec_store(s + j, p);
        total = vec_add(total, p);
    }
    for (int64_t j = seen; j < TILE_K; j++)
        s[j] = 0.0f;
    float factor = *max == most ? 1.0f : *max == -INFINITY ? 0.0f : expf(*max - most);
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
    load_tile(t->grain, a->k_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->k);
    load_tile(t->grain, a->v_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->v);
    transpose(t->k, a->dim / t->grain, t->kt);
    product(t->grain, plain(t->q, a->dim / t->grain), t->kt, TILE_K, t->s, TILE_K, round_rows(rows), TILE_K, a->dim, false);
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
    scores_to_rows(t->grain, t->s, round_rows(rows));
    product(t->grain, plain(t->s, TILE_K / t->grain), interleave(t->grain, t->v, TILE_K, a->dim, t->vi), a->dim, t->o, a->dim, round_rows(rows), a->dim, TILE_K, true);
}

static void attention_forward(const struct attention_args *a, const struct attention_run *run, int kv_head, int64_t q_first, int64_t q_count, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    int group = a->heads / a->kv_heads;
    int64_t rows = q_count * group;
    load_group(a, t.grain, a->q_THD, kv_head, q_first, q_count, t.q);
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

/* s and dp of one query row, of which the first `seen` keys count, become P and dS. */
static inline void backward_row(const struct attention_args *a, int64_t row, int64_t seen, float *s, float *dp)
{
    vec lse = vec_set(a->lse_HT[row]), delta = vec_set(a->delta_HT[row]), scale = vec_set(a->scale);
    seen = seen < 0 ? 0 : seen;
    for (int64_t j = 0; j < seen; j += VEC_WIDTH) {
        vec p = vec_exp(vec_sub(vec_mul(vec_load(s + j), scale), lse));
        vec_store(s + j, p);
        vec_store(dp + j, vec_mul(vec_mul(p, vec_sub(vec_load(dp + j), delta)), scale));
    }
    for (int64_t j = seen; j < TILE_K; j++)
        s[j] = dp[j] = 0.0f;
}

/* Loads and transposes a tile of keys and values. */
static void load_keys(const struct attention_args *a, struct attention_tile *t, int kv_head, int64_t first, int64_t n)
{
    load_tile(t->grain, a->k_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->k);
    load_tile(t->grain, a->v_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, TILE_K, t->v);
    transpose(t->k, a->dim / t->grain, t->kt);
    transpose(t->v, a->dim / t->grain, t->vt);
}

/* P in t->s and dS in t->ds of the group's rows [q_first, q_first + q_count) against the tile's keys; query row r sees the first `sees` + r - q_first of them. */
static void backward_scores(const struct attention_args *a, struct attention_tile *t, int kv_head, int64_t q_first, int64_t q_count, int64_t sees, int64_t n)
{
    int group = a->heads / a->kv_heads;
    int64_t rows = q_count * group, padded = round_rows(rows);
    product(t->grain, plain(t->q, a->dim / t->grain), t->kt, TILE_K, t->s, TILE_K, padded, TILE_K, a->dim, false);
    product(t->grain, plain(t->dout, a->dim / t->grain), t->vt, TILE_K, t->ds, TILE_K, padded, TILE_K, a->dim, false);
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = r % q_count, seen = sees + i < n ? sees + i : n;
        backward_row(a, (kv_head * group + r / q_count) * a->rows + q_first + i, seen, t->s + r * TILE_K, t->ds + r * TILE_K);
    }
    memset(t->s + rows * TILE_K, 0, (size_t)((padded - rows) * TILE_K) * sizeof *t->s);
    memset(t->ds + rows * TILE_K, 0, (size_t)((padded - rows) * TILE_K) * sizeof *t->ds);
}

static void backward_keys(const struct attention_args *a, const struct attention_run *run, struct attention_tile *t, int kv_head, int i, int64_t offset, int64_t n, int64_t q_first,
                          int64_t q_count)
{
    int64_t padded = round_rows(q_count * (a->heads / a->kv_heads));
    bool own = i == run->range_count - 1;           /* an ancestor is seen whole */
    load_keys(a, t, kv_head, a->ranges[run->range_first + i].first + offset, n);
    backward_scores(a, t, kv_head, q_first, q_count, own ? keys_seen(a, run, i, q_first) - offset : n, n);
    scores_to_rows(t->grain, t->ds, padded);
    product(t->grain, plain(t->ds, TILE_K / t->grain), interleave(t->grain, t->k, TILE_K, a->dim, t->ki), a->dim, t->o, a->dim, padded, a->dim, TILE_K, true);
}

/* delta = the product of o and do, of the group's rows. */
static void store_delta(const struct attention_args *a, int kv_head, int64_t q_first, int64_t q_count)
{
    int group = a->heads / a->kv_heads;
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++)
        for (int64_t row = q_first; row < q_first + q_count; row++) {
            int64_t at = (row * a->heads + h) * a->dim;
            vec sum = vec_set(0.0f);
            for (int64_t d = 0; d < a->dim; d += VEC_WIDTH)
                sum = vec_fma(vec_get(a->o_THD, a->dtype, at + d), vec_get(a->do_THD, a->dtype, at + d), sum);
            a->delta_HT[h * a->rows + row] = vec_sum(sum);
        }
}

static void attention_backward_q(const struct attention_args *a, const struct attention_run *run, int kv_head, int64_t q_first, int64_t q_count, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    int64_t rows = q_count * (a->heads / a->kv_heads);
    store_delta(a, kv_head, q_first, q_count);
    load_group(a, t.grain, a->do_THD, kv_head, q_first, q_count, t.dout);
    load_group(a, t.grain, a->q_THD, kv_head, q_first, q_count, t.q);
    memset(t.o, 0, (size_t)(round_rows(rows) * a->dim) * sizeof *t.o);
    for (int i = 0; i < run->range_count; i++) {
        int64_t most = keys_seen(a, run, i, q_first + q_count - 1);
        for (int64_t offset = 0; offset < most; offset += TILE_K)
            backward_keys(a, run, &t, kv_head, i, offset, most - offset < TILE_K ? most - offset : TILE_K, q_first, q_count);
    }
    store_group(a, t.o, kv_head, q_first, q_count, a->dq_THD);
}

/* The group's queries [t0, t0 + n) against the key tile: dv += P^T do, dk += dS^T q. Queries before a key do not see it. */
static void backward_queries(const struct attention_args *a, struct attention_tile *t, int kv_head, int64_t k_first, int64_t k_count, int64_t t0, int64_t n)
{
    int64_t padded = round_rows(n * (a->heads / a->kv_heads));
    load_group(a, t->grain, a->q_THD, kv_head, t0, n, t->q);
    load_group(a, t->grain, a->do_THD, kv_head, t0, n, t->dout);
    backward_scores(a, t, kv_head, t0, n, t0 - k_first + 1, k_count);
    scores_to_interleaved(t->grain, t->s, padded);
    scores_to_interleaved(t->grain, t->ds, padded);
    product(t->grain, transposed(t->s, TILE_K), interleave(t->grain, t->dout, padded, a->dim, t->di), a->dim, t->dv, a->dim, TILE_K, a->dim, padded, true);
    product(t->grain, transposed(t->ds, TILE_K), interleave(t->grain, t->q, padded, a->dim, t->qi), a->dim, t->dk, a->dim, TILE_K, a->dim, padded, true);
}

static void attention_backward_k(const struct attention_args *a, const struct attention_key_run *run, int kv_head, int64_t k_first, int64_t k_count, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    load_keys(a, &t, kv_head, k_first, k_count);
    memset(t.dk, 0, (size_t)(TILE_K * a->dim) * sizeof *t.dk);
    memset(t.dv, 0, (size_t)(TILE_K * a->dim) * sizeof *t.dv);
    for (int64_t t0 = k_first; t0 < run->see_end; t0 += TILE_Q)
        backward_queries(a, &t, kv_head, k_first, k_count, t0, run->see_end - t0 < TILE_Q ? run->see_end - t0 : TILE_Q);
    for (int64_t i = 0; i < k_count; i++)
        for (int64_t d = 0; d < a->dim; d += VEC_WIDTH) {
            int64_t at = ((k_first + i) * a->kv_heads + kv_head) * a->dim + d;
            vec_put(a->dk_SGD, a->dtype, at, vec_load(t.dk + i * a->dim + d));
            vec_put(a->dv_SGD, a->dtype, at, vec_load(t.dv + i * a->dim + d));
        }
}

#endif
