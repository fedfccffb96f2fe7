/* attention_ops: forest attention in tiles, flash style (arXiv 2205.14135): online softmax forward; backward in two passes, dq by query tiles and dk, dv by key
 * tiles, so that nothing is added from two threads and no result depends on their number. Included by vector_ops.c alone, once per instruction set.
 *
 * The query heads of one key/value head are processed together, so a key tile is read once for all of them.
 */
#ifndef KERNELS_CPU_ATTENTION_OPS_H
#define KERNELS_CPU_ATTENTION_OPS_H

#include "kernels/cpu/attention_tiles.h"

/* Rows of a group tile: head g of the group and query i of the tile stand at row i * group + g, as in memory. Zero rows up to an even number. */
static void load_group(const struct attention_args *a, int grain, const void *x, int kv_head, int64_t q_first, int64_t q_count, float *out)
{
    int group = a->heads / a->kv_heads;
    int64_t rows = group * q_count, words = a->dim / grain;
    load_tile(grain, x, a->dtype, a->kv_heads, a->dim * group, kv_head, q_first, q_count, q_count, out);
    memset(out + rows * words, 0, (size_t)((round_rows(rows) - rows) * words) * sizeof *out);
}

static void store_group(const struct attention_args *a, const float *x, int kv_head, int64_t q_first, int64_t q_count, void *out)
{
    int64_t width = a->heads / a->kv_heads * a->dim;
    for (int64_t i = 0; i < q_count; i++)
        for (int64_t d = 0; d < width; d += VEC_WIDTH)
            vec_put(out, a->dtype, ((q_first + i) * a->kv_heads + kv_head) * width + d, vec_load(x + i * width + d));
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

/* Queries [first, first + count) of a tile, counted from its first one. */
struct span { int64_t first, count; };

/* Scores of the tile's rows [row, row + rows) become probabilities; query i of these rows sees the first sees + i of the n keys. */
static void softmax_rows(const struct attention_args *a, struct attention_tile *t, int64_t row, int64_t rows, int64_t n, int64_t sees)
{
    int group = a->heads / a->kv_heads;
    for (int64_t r = 0; r < rows; r++) {
        int64_t seen = sees + r / group < n ? sees + r / group : n;
        if (seen <= 0) {
            memset(t->s + r * TILE_K, 0, TILE_K * sizeof *t->s);
            continue;
        }
        float factor = softmax_step(t->s + r * TILE_K, seen, a->scale, &t->max[row + r], &t->sum[row + r]);
        if (factor != 1.0f)
            scale_row(t->o + (row + r) * a->dim, a->dim, factor);
    }
}

/* Keys [first, first + n) for the queries of the span, of which the first sees `sees` and each one more. */
static void forward_keys(const struct attention_args *a, struct attention_tile *t, int kv_head, struct span span, int64_t first, int64_t n, int64_t sees)
{
    int group = a->heads / a->kv_heads;
    int64_t row = span.first * group, rows = span.count * group, words = a->dim / t->grain;
    struct words k = tile_words(t->grain, a->k_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, t->k);
    struct words v = tile_words(t->grain, a->v_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, t->v);
    transpose(k, words, t->kt);
    product(t->grain, plain(t->q + row * words, words), t->kt, TILE_K, t->s, TILE_K, rows, TILE_K, a->dim, false);
    softmax_rows(a, t, row, rows, n, sees);
    scores_to_rows(t->grain, t->s, rows);
    v = interleave(t->grain, v, TILE_K, a->dim, t->vi);
    product(t->grain, plain(t->s, TILE_K / t->grain), v.at, v.stride, t->o + row * a->dim, a->dim, rows, a->dim, TILE_K, true);
}

/* Ranges [from, to) of the run. */
static void forward_ranges(const struct attention_args *a, const struct attention_run *run, struct attention_tile *t, int kv_head, struct span span, int64_t q_first, int from, int to)
{
    for (int i = from; i < to; i++) {
        const struct attention_range *range = &a->ranges[run->range_first + i];
        bool own = i == run->range_count - 1;           /* an ancestor is seen whole */
        int64_t least = keys_seen(a, run, i, q_first), most = keys_seen(a, run, i, q_first + span.count - 1);
        for (int64_t offset = 0; offset < most; offset += TILE_K) {
            int64_t n = most - offset < TILE_K ? most - offset : TILE_K;
            forward_keys(a, t, kv_head, span, range->first + offset, n, own ? least - offset : n);
        }
    }
}

/* The sums become means. A zero gets its plus sign: a key of weight 0 may have taken the minus from it. */
static void finish_rows(const struct attention_args *a, struct attention_tile *t, int kv_head, int64_t q_first, int64_t q_count)
{
    int group = a->heads / a->kv_heads;
    for (int64_t r = 0; r < q_count * group; r++) {
        vec factor = vec_set(1.0f / t->sum[r]);
        for (int64_t d = r * a->dim; d < (r + 1) * a->dim; d += VEC_WIDTH)
            vec_store(t->o + d, vec_add(vec_mul(vec_load(t->o + d), factor), vec_set(0.0f)));
        a->lse_HT[(kv_head * group + r % group) * a->rows + q_first + r / group] = t->max[r] + logf(t->sum[r]);
    }
}

/* Ranges that the part's runs share are gone through once for all; then each run goes on by itself: a row's arithmetic is what it would be alone. */
static void attention_forward(const struct attention_args *a, const struct attention_part *part, int kv_head, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    const struct attention_run *run = &a->runs[part->run];
    int64_t rows = part->count * (a->heads / a->kv_heads);
    load_group(a, t.grain, a->q_THD, kv_head, part->first, part->count, t.q);
    memset(t.o, 0, (size_t)(rows * a->dim) * sizeof *t.o);
    for (int64_t r = 0; r < rows; r++) {
        t.max[r] = -INFINITY;
        t.sum[r] = 0.0f;
    }
    forward_ranges(a, run, &t, kv_head, (struct span){0, part->count}, part->first, 0, part->shared);
    for (int r = 0; r < part->n_runs; r++) {
        struct span span = {part->n_runs > 1 ? r : 0, part->n_runs > 1 ? 1 : part->count};
        forward_ranges(a, run + r, &t, kv_head, span, part->first + span.first, part->shared, run[r].range_count);
    }
    finish_rows(a, &t, kv_head, part->first, part->count);
    store_group(a, t.o, kv_head, part->first, part->count, a->o_THD);
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

/* Transposes a tile of keys and values; returns the keys' rows. */
static struct words load_keys(const struct attention_args *a, struct attention_tile *t, int kv_head, int64_t first, int64_t n)
{
    struct words k = tile_words(t->grain, a->k_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, t->k);
    transpose(k, a->dim / t->grain, t->kt);
    transpose(tile_words(t->grain, a->v_SGD, a->dtype, a->kv_heads, a->dim, kv_head, first, n, t->v), a->dim / t->grain, t->vt);
    return k;
}

/* P in t->s and dS in t->ds of the group's rows [q_first, q_first + q_count) against the tile's keys; query row r sees the first `sees` + r - q_first of them. */
static void backward_scores(const struct attention_args *a, struct attention_tile *t, int kv_head, int64_t q_first, int64_t q_count, int64_t sees, int64_t n)
{
    int group = a->heads / a->kv_heads;
    int64_t rows = q_count * group, padded = round_rows(rows);
    product(t->grain, plain(t->q, a->dim / t->grain), t->kt, TILE_K, t->s, TILE_K, padded, TILE_K, a->dim, false);
    product(t->grain, plain(t->dout, a->dim / t->grain), t->vt, TILE_K, t->ds, TILE_K, padded, TILE_K, a->dim, false);
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = r / group, seen = sees + i < n ? sees + i : n;
        backward_row(a, (kv_head * group + r % group) * a->rows + q_first + i, seen, t->s + r * TILE_K, t->ds + r * TILE_K);
    }
    memset(t->s + rows * TILE_K, 0, (size_t)((padded - rows) * TILE_K) * sizeof *t->s);
    memset(t->ds + rows * TILE_K, 0, (size_t)((padded - rows) * TILE_K) * sizeof *t->ds);
}

static void backward_keys(const struct attention_args *a, const struct attention_run *run, struct attention_tile *t, int kv_head, int i, int64_t offset, int64_t n, int64_t q_first,
                          int64_t q_count)
{
    int64_t rows = q_count * (a->heads / a->kv_heads);
    bool own = i == run->range_count - 1;
    struct words k = load_keys(a, t, kv_head, a->ranges[run->range_first + i].first + offset, n);
    backward_scores(a, t, kv_head, q_first, q_count, own ? keys_seen(a, run, i, q_first) - offset : n, n);
    scores_to_rows(t->grain, t->ds, rows);
    k = interleave(t->grain, k, TILE_K, a->dim, t->ki);
    product(t->grain, plain(t->ds, TILE_K / t->grain), k.at, k.stride, t->o, a->dim, rows, a->dim, TILE_K, true);
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

static void attention_backward_q(const struct attention_args *a, const struct attention_part *part, int kv_head, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    const struct attention_run *run = &a->runs[part->run];
    int64_t q_first = part->first, q_count = part->count, rows = q_count * (a->heads / a->kv_heads);
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
    int64_t padded = round_rows(n * (a->heads / a->kv_heads)), words = a->dim / t->grain;
    load_group(a, t->grain, a->q_THD, kv_head, t0, n, t->q);
    load_group(a, t->grain, a->do_THD, kv_head, t0, n, t->dout);
    backward_scores(a, t, kv_head, t0, n, t0 - k_first + 1, k_count);
    scores_to_interleaved(t->grain, t->s, padded);
    scores_to_interleaved(t->grain, t->ds, padded);
    struct words dout = interleave(t->grain, (struct words){t->dout, words}, padded, a->dim, t->di), q = interleave(t->grain, (struct words){t->q, words}, padded, a->dim, t->qi);
    product(t->grain, transposed(t->s, TILE_K), dout.at, dout.stride, t->dv, a->dim, TILE_K, a->dim, padded, true);
    product(t->grain, transposed(t->ds, TILE_K), q.at, q.stride, t->dk, a->dim, TILE_K, a->dim, padded, true);
}

static void attention_backward_k(const struct attention_args *a, const struct attention_part *part, int kv_head, float *scratch)
{
    struct attention_tile t = tile_of(a, scratch);
    const struct attention_key_run *run = &a->key_runs[part->run];
    int64_t k_first = part->first, k_count = part->count;
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
