/* attention_backward: dq by tiles of rows, dk and dv by tiles of keys, on tensor cores, bf16. See attention.h for the tiling.
 *
 * P = exp(scale S - lse), dP = do V', dS = P (dP - delta); dq = scale dS K, dk = scale dS' q, dv = P' do. P is computed again on both ways, so that nothing is added from two
 * blocks. backward_k works on the transposes: S' = K q', so that P' and dS' are operands of the next product as they stand. */
#include "kernels/cuda/attention_tiles.h"

/* ---- dq: a tile of rows walks keys ------------------------------------------------------------------------------------------------------------ */

/* What a lane knows of rows 8 half + lane / 4 of its warp. lse in units of ln 2. */
struct row_facts { float lse[2], delta[2]; int own[2]; };

GPU_DEVICE struct row_facts row_facts_of(const struct attention_args &a, const struct row_tile &t, int row)
{
    struct row_facts facts = {};
    int count = own_count(a, t.run);
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        int r = row + half * 8 + gpu_lane() / 4;
        facts.own[half] = own_seen(t.run, count, t.map, t.first + r);
        if (r < t.n) {
            int64_t at = statistic_of(t.map, a.rows, t.first + r);
            facts.lse[half] = a.lse_HT[at] * LOG2_E;
            facts.delta[half] = a.delta_HT[at];
        }
    }
    return facts;
}

/* dS in dp, of scores and dP of keys from key `first` of the step. */
template <int N> GPU_DEVICE void row_gradients(float (&dp)[N][4], const float (&s)[N][4], int first, const struct row_facts &facts, const struct key_walk &w, float scale)
{
    GPU_UNROLL
    for (int i = 0; i < 4 * N; i++) {
        int n = i / 4, half = i / 2 % 2, key = first + n * 8 + gpu_lane() % 4 * 2 + i % 2;
        float p = gpu_exp2(fmaf(s[n][i % 4], scale, -facts.lse[half]));
        dp[n][i % 4] = key < walk_seen(w, facts.own[half]) ? p * (dp[n][i % 4] - facts.delta[half]) : 0.0f;
    }
}

/* q and do come through the second stage while the first one is filled. */
template <int D>
GPU_DEVICE void load_rows(uint32_t (&q)[D / 16][1][4], uint32_t (&g)[D / 16][1][4], const struct attention_args &a, const struct row_tile &t, const struct key_walk &w, uint16_t *stage,
                          int row)
{
    uint16_t *second = stage + 2 * ATTENTION_KEYS * D;
    copy_tile<D, ATTENTION_BACKWARD_ROWS>(second, a.q_THD, t.map, t.first, t.n);
    copy_tile<D, ATTENTION_BACKWARD_ROWS>(second + ATTENTION_BACKWARD_ROWS * D, a.do_THD, t.map, t.first, t.n);
    gpu_copy_commit();
    if (!walk_ended(w))
        copy_keys<D, ATTENTION_THREADS>(stage, a, w);
    gpu_copy_commit();
    gpu_copy_wait<1>();
    gpu_barrier();
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++) {
        load_a<D>(q[k][0], second, row, k);
        load_a<D>(g[k][0], second + ATTENTION_BACKWARD_ROWS * D, row, k);
    }
    gpu_barrier();
}

/* dq += what keys [first, first + 8 N) of the step add. */
template <int D, int N>
GPU_DEVICE void add_keys(float (&dq)[1][D / 8][4], const uint32_t (&q)[D / 16][1][4], const uint32_t (&g)[D / 16][1][4], uint16_t *stage, int first, const struct row_facts &facts,
                         const struct key_walk &w, float scale)
{
    uint16_t *keys = stage + first * D, *values = keys + ATTENTION_KEYS * D;
    float s[1][N][4], dp[1][N][4];
    clear(s);
    clear(dp);
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++) {
        multiply_rows<D>(s, q[k], keys, k);
        multiply_rows<D>(dp, g[k], values, k);
    }
    row_gradients(dp[0], s[0], first, facts, w, scale);
    multiply_product<D>(dq, dp, keys);
}

template <int D> GPU_DEVICE void backward_q(const struct attention_launch &l)
{
    const int N = D == 64 ? 8 : 4;          /* as many scores as registers hold beside dq, q and do */
    uint16_t *stage = (uint16_t *)gpu_dynamic_shared();
    struct row_tile t = row_tile_of(l, ATTENTION_BACKWARD_ROWS);
    struct key_walk w = walk_start(l.a, t.run, t.map, t.first + t.n - 1, ATTENTION_KEYS), next;
    int row = gpu_warp() * 16, own = warp_own(l.a, t, row, 16);
    struct row_facts facts = row_facts_of(l.a, t, row);
    uint32_t q[D / 16][1][4], g[D / 16][1][4];
    float dq[1][D / 8][4], factor[1][2] = {{l.a.scale, l.a.scale}};
    load_rows<D>(q, g, l.a, t, w, stage, row);
    clear(dq);
    for (int turn = 0; !walk_ended(w); w = next, turn ^= 1) {
        next = walk_next(w, ATTENTION_KEYS);
        if (!walk_ended(next))
            copy_keys<D, ATTENTION_THREADS>(stage + (turn ^ 1) * 2 * ATTENTION_KEYS * D, l.a, next);
        gpu_copy_commit();
        gpu_copy_wait<1>();
        gpu_barrier();                      /* the tile is there for all */
        for (int first = 0; warp_sees(w, own) && first < ATTENTION_KEYS; first += 8 * N)
            add_keys<D, N>(dq, q, g, stage + turn * 2 * ATTENTION_KEYS * D, first, facts, w, l.a.scale * LOG2_E);
        gpu_barrier();                      /* nobody reads it any more */
    }
    store_tile<D, 1>(l.a.dq_THD, t.map, t.first, t.n, stage, row, dq, factor);
}

/* ---- dk, dv: a tile of keys walks rows -------------------------------------------------------------------------------------------------------- */

/* A stage: rows of q, of do, and their lse and delta. */
template <int D> struct row_stage {
    static const int ROWS = ATTENTION_STEP_ROWS(D);
    uint16_t *q, *g;
    float *lse, *delta;
};

/* Shared memory: keys, values, the two stages' rows, the two stages' statistics. */
template <int D> GPU_DEVICE struct row_stage<D> row_stage_of(uint16_t *shared, int turn)
{
    const int ROWS = row_stage<D>::ROWS;
    uint16_t *rows = shared + 2 * ATTENTION_KEYS * D;
    float *statistics = (float *)(rows + 4 * ROWS * D) + turn * 2 * ROWS;
    return {rows + turn * 2 * ROWS * D, rows + (turn * 2 + 1) * ROWS * D, statistics, statistics + ROWS};
}

/* Rows [first, first + n); behind them all is zero, and so is what they add. */
template <int D> GPU_DEVICE void copy_rows(const struct row_stage<D> &stage, const struct attention_args &a, const struct row_map &map, int first, int n)
{
    const int ROWS = row_stage<D>::ROWS;
    copy_tile<D, ROWS>(stage.q, a.q_THD, map, first, n);
    copy_tile<D, ROWS>(stage.g, a.do_THD, map, first, n);
    int r = gpu_thread() % ROWS;
    bool there = r < n;
    int64_t at = statistic_of(map, a.rows, first + (there ? r : 0));
    if (gpu_thread() < ROWS)
        gpu_copy_async4(stage.lse + r, a.lse_HT + at, there);
    else if (gpu_thread() < 2 * ROWS)
        gpu_copy_async4(stage.delta + r, a.delta_HT + at, there);
}

/* product' = tile of keys times the rows. */
template <int D, int N> GPU_DEVICE void multiply_keys(float (&c)[1][N][4], uint16_t *keys, int key, uint16_t *rows)
{
    clear(c);
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[1][4];
        load_a<D>(a[0], keys, key, k);
        multiply_rows<D>(c, a, rows, k);
    }
}

/* Scores become P. A lane's keys lie 8 apart; first_seen: the first row of this step that sees its lower one, in m. */
template <int N> GPU_DEVICE void key_probabilities(float (&s)[N][4], const float *lse, float scale, int first_seen, int group)
{
    GPU_UNROLL
    for (int i = 0; i < 4 * N; i++) {
        int n = i / 4, half = i / 2 % 2, r = n * 8 + gpu_lane() % 4 * 2 + i % 2;
        float p = gpu_exp2(fmaf(s[n][i % 4], scale, -lse[r] * LOG2_E));
        s[n][i % 4] = r >= first_seen + half * 8 * group ? p : 0.0f;
    }
}

/* dP becomes dS. */
template <int N> GPU_DEVICE void key_gradients(float (&dp)[N][4], const float (&p)[N][4], const float *delta)
{
    GPU_UNROLL
    for (int i = 0; i < 4 * N; i++) {
        int n = i / 4, r = n * 8 + gpu_lane() % 4 * 2 + i % 2;
        dp[n][i % 4] = p[n][i % 4] * (dp[n][i % 4] - delta[r]);
    }
}

/* dk, dv += what the stage's rows add to the warp's keys [key, key + 16). */
template <int D>
GPU_DEVICE void add_rows(float (&dk)[1][D / 8][4], float (&dv)[1][D / 8][4], uint16_t *keys, int key, const struct row_stage<D> &stage, float scale, int first_seen, int group)
{
    float p[1][row_stage<D>::ROWS / 8][4], ds[1][row_stage<D>::ROWS / 8][4];
    multiply_keys<D>(p, keys, key, stage.q);
    key_probabilities(p[0], stage.lse, scale, first_seen, group);
    multiply_product<D>(dv, p, stage.g);
    multiply_keys<D>(ds, keys + ATTENTION_KEYS * D, key, stage.g);
    key_gradients(ds[0], p[0], stage.delta);
    multiply_product<D>(dk, ds, stage.q);
}

template <int D> GPU_DEVICE void backward_k(const struct attention_launch &l)
{
    const int ROWS = row_stage<D>::ROWS;
    uint16_t *keys = (uint16_t *)gpu_dynamic_shared(), *values = keys + ATTENTION_KEYS * D;
    struct row_map rows = query_map(l.a, (int)gpu_block_y()), map = key_map(l.a, (int)gpu_block_y());
    struct key_tile t = key_tile_of(l, rows.group, ATTENTION_KEYS);
    int key = gpu_warp() * 16, first_seen = (t.first + key + gpu_lane() / 4) * rows.group;
    float dk[1][D / 8][4], dv[1][D / 8][4], factor_k[1][2] = {{l.a.scale, l.a.scale}}, factor_v[1][2] = {{1.0f, 1.0f}};
    copy_tile<D, ATTENTION_KEYS>(keys, l.a.k_SGD, map, t.first, t.n);
    copy_tile<D, ATTENTION_KEYS>(values, l.a.v_SGD, map, t.first, t.n);
    copy_rows<D>(row_stage_of<D>(keys, 0), l.a, rows, t.row, t.row_end - t.row);
    gpu_copy_commit();
    clear(dk);
    clear(dv);
    for (int row = t.row, turn = 0; row < t.row_end; row += ROWS, turn ^= 1) {
        struct row_stage<D> stage = row_stage_of<D>(keys, turn);
        if (row + ROWS < t.row_end)
            copy_rows<D>(row_stage_of<D>(keys, turn ^ 1), l.a, rows, row + ROWS, t.row_end - row - ROWS);
        gpu_copy_commit();
        gpu_copy_wait<1>();
        gpu_barrier();                      /* the rows are there for all */
        if (key < t.n && row + ROWS > (t.first + key) * rows.group)
            add_rows<D>(dk, dv, keys, key, stage, l.a.scale * LOG2_E, first_seen - row, rows.group);
        gpu_barrier();                      /* nobody reads them any more */
    }
    store_tile<D, 1>(l.a.dk_SGD, map, t.first, t.n, keys, key, dk, factor_k);
    store_tile<D, 1>(l.a.dv_SGD, map, t.first, t.n, values, key, dv, factor_v);
}

GPU_KERNEL(attention_backward_q_64, ATTENTION_THREADS, struct attention_launch, l) { backward_q<64>(l); }
GPU_KERNEL(attention_backward_q_128, ATTENTION_THREADS, struct attention_launch, l) { backward_q<128>(l); }
GPU_KERNEL(attention_backward_k_64, ATTENTION_THREADS, struct attention_launch, l) { backward_k<64>(l); }
GPU_KERNEL(attention_backward_k_128, ATTENTION_THREADS, struct attention_launch, l) { backward_k<128>(l); }
