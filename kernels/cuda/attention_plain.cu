/* attention_plain: forest attention of any type and head size up to ATTENTION_MAX_DIM, one fused multiply-add at a time, float32 throughout; and delta. Correct first.
 *
 * A block holds PLAIN_TILE rows (or keys) in shared memory and walks the others. In products with D columns a thread owns columns d = thread and thread + 128; in the scores a
 * column of what is walked, against some of the tile. What is walked is stored [.][D + 1], so that neighbours' columns lie in different banks. */
#include "kernels/cuda/attention_walk.h"
#include "kernels/cuda/elems.h"

enum { COLUMNS = ATTENTION_MAX_DIM / ATTENTION_THREADS, OF_WARP = PLAIN_TILE / ATTENTION_WARPS };

/* Rows [first, first + n) of x, zeros up to `rows`, to to[.][stride]. All threads come here. */
template <class T> GPU_DEVICE void load_plain(float *to, int stride, const void *x, int dim, const struct row_map &map, int first, int n, int rows)
{
    for (int i = gpu_thread(); i < rows * dim; i += gpu_n_threads()) {
        int r = i / dim, d = i % dim;
        to[r * stride + d] = r < n ? to_float(((const T *)x)[row_of(map, first + r) * dim + d]) : 0.0f;
    }
}

/* dot[i] = tile[row + i] . walked, over D. */
template <int N> GPU_DEVICE void dots(float (&dot)[N], const float *tile, const float *walked, int dim)
{
    for (int i = 0; i < N; i++)
        dot[i] = 0.0f;
    for (int d = 0; d < dim; d++)
        GPU_UNROLL
        for (int i = 0; i < N; i++)
            dot[i] = fmaf(tile[i * dim + d], walked[d], dot[i]);
}

/* sum[c][r] = sum[c][r] * factor[r] (where there is a factor) + weight[r] x, over `steps` rows of x; c: this thread's columns. */
typedef float columns[COLUMNS][PLAIN_TILE];

GPU_DEVICE void clear_columns(columns &sum)
{
    GPU_UNROLL
    for (int i = 0; i < COLUMNS * PLAIN_TILE; i++)
        sum[i / PLAIN_TILE][i % PLAIN_TILE] = 0.0f;
}

GPU_DEVICE void add_columns(columns &sum, const float *weight, const float *x, int steps, int dim)
{
    GPU_UNROLL
    for (int c = 0; c < COLUMNS; c++) {
        int d = c * ATTENTION_THREADS + gpu_thread();
        for (int j = 0; d < dim && j < steps; j++)
            GPU_UNROLL
            for (int r = 0; r < PLAIN_TILE; r++)
                sum[c][r] = fmaf(weight[r * steps + j], x[j * (dim + 1) + d], sum[c][r]);
    }
}

/* Rows [first, first + n) of x = sum * factor[r * factor_stride]. */
template <class T> GPU_DEVICE void store_columns(void *x, int dim, const struct row_map &map, int first, int n, const columns &sum, const float *factor, int factor_stride)
{
    GPU_UNROLL
    for (int c = 0; c < COLUMNS; c++) {
        int d = c * ATTENTION_THREADS + gpu_thread();
        GPU_UNROLL
        for (int r = 0; r < PLAIN_TILE; r++)
            if (d < dim && r < n)
                from_float((T *)x + row_of(map, first + r) * dim + d, sum[c][r] * factor[r * factor_stride] + 0.0f);
    }
}

/* ---- forward ---------------------------------------------------------------------------------------------------------------------------------- */

/* Of the row of scores s[ATTENTION_KEYS] the first `seen` count. A warp comes here; returns what the sums so far must be multiplied by. */
GPU_DEVICE float plain_softmax(float *s, int seen, float *max, float *sum)
{
    float x[ATTENTION_KEYS / WARP], most = *max, total = 0.0f;
    for (int i = 0; i < ATTENTION_KEYS / WARP; i++) {
        x[i] = i * WARP + gpu_lane() < seen ? s[i * WARP + gpu_lane()] : -INFINITY;
        most = fmaxf(most, x[i]);
    }
    most = warp_max(most);
    float base = most == -INFINITY ? 0.0f : most, factor = expf(*max - base);
    for (int i = 0; i < ATTENTION_KEYS / WARP; i++) {
        x[i] = expf(x[i] - base);
        s[i * WARP + gpu_lane()] = x[i];
        total += x[i];
    }
    *max = most;
    *sum = *sum * factor + warp_sum(total);
    return factor;
}

/* Shared memory of plain_forward. */
struct forward_memory { float *q, *keys, *s, *factor; };

GPU_DEVICE struct forward_memory forward_memory_of(int dim)
{
    float *q = (float *)gpu_dynamic_shared(), *keys = q + PLAIN_TILE * dim, *s = keys + ATTENTION_KEYS * (dim + 1);
    return {q, keys, s, s + PLAIN_TILE * ATTENTION_KEYS};
}

GPU_DEVICE void plain_scores(const struct forward_memory &m, int dim, float scale)
{
    enum { EACH = PLAIN_TILE * ATTENTION_KEYS / ATTENTION_THREADS };
    int key = gpu_thread() % ATTENTION_KEYS, row = gpu_thread() / ATTENTION_KEYS * EACH;
    float dot[EACH];
    dots(dot, m.q + row * dim, m.keys + key * (dim + 1), dim);
    for (int i = 0; i < EACH; i++)
        m.s[(row + i) * ATTENTION_KEYS + key] = dot[i] * scale;
}

/* A warp's rows of the tile. */
struct plain_rows { float max[OF_WARP], sum[OF_WARP]; };

GPU_DEVICE void plain_end(const struct plain_rows &rows, const struct attention_args &a, const struct row_tile &t, float *factor)
{
    for (int i = 0; i < OF_WARP; i++) {
        int r = gpu_warp() * OF_WARP + i;
        if (gpu_lane() != 0)
            continue;
        factor[r] = 1.0f / rows.sum[i];
        if (r < t.n)
            a.lse_HT[statistic_of(t.map, a.rows, t.first + r)] = rows.max[i] + logf(rows.sum[i]);
    }
    gpu_barrier();
}

/* One step: keys, scores; values in their place, probabilities; o. */
template <class T>
GPU_DEVICE void plain_step(const struct attention_args &a, const struct row_tile &t, const struct key_walk &w, const struct forward_memory &m, struct plain_rows *rows, columns &o)
{
    struct row_map map = key_map(a, (int)gpu_block_y());
    int count = own_count(a, t.run);
    gpu_barrier();
    load_plain<T>(m.keys, a.dim + 1, a.k_SGD, a.dim, map, w.first, w.n, ATTENTION_KEYS);
    gpu_barrier();
    plain_scores(m, a.dim, a.scale);
    gpu_barrier();
    load_plain<T>(m.keys, a.dim + 1, a.v_SGD, a.dim, map, w.first, w.n, ATTENTION_KEYS);
    for (int i = 0; i < OF_WARP; i++) {
        int r = gpu_warp() * OF_WARP + i;
        float factor = plain_softmax(m.s + r * ATTENTION_KEYS, walk_seen(w, own_seen(t.run, count, t.map, t.first + r)), &rows->max[i], &rows->sum[i]);
        if (gpu_lane() == 0)
            m.factor[r] = factor;
    }
    gpu_barrier();
    GPU_UNROLL
    for (int i = 0; i < COLUMNS * PLAIN_TILE; i++)
        o[i / PLAIN_TILE][i % PLAIN_TILE] *= m.factor[i % PLAIN_TILE];
    add_columns(o, m.s, m.keys, ATTENTION_KEYS, a.dim);
}

template <class T> GPU_DEVICE void plain_forward(const struct attention_launch &l)
{
    struct forward_memory m = forward_memory_of(l.a.dim);
    struct row_tile t = row_tile_of(l, PLAIN_TILE);
    struct plain_rows rows;
    columns o;
    for (int i = 0; i < OF_WARP; i++)
        rows.max[i] = -INFINITY, rows.sum[i] = 0.0f;
    clear_columns(o);
    load_plain<T>(m.q, l.a.dim, l.a.q_THD, l.a.dim, t.map, t.first, t.n, PLAIN_TILE);
    for (struct key_walk w = walk_start(l.a, t.run, t.map, t.first + t.n - 1, ATTENTION_KEYS); !walk_ended(w); w = walk_next(w, ATTENTION_KEYS))
        plain_step<T>(l.a, t, w, m, &rows, o);
    gpu_barrier();
    plain_end(rows, l.a, t, m.factor);
    store_columns<T>(l.a.o_THD, l.a.dim, t.map, t.first, t.n, o, m.factor, 1);
}

/* ---- backward --------------------------------------------------------------------------------------------------------------------------------- */

template <class T> GPU_DEVICE void attention_delta(const struct delta_args &args)
{
    const struct attention_args &a = args.a;
    const int N = chunk_of<T>::N;
    bool whole = a.dim % N == 0 && on_16(a.o_THD) && on_16(a.do_THD);
    int64_t teams = gpu_places() / args.n_lanes, n_rows = a.rows * a.heads;
    int lane = gpu_lane() % args.n_lanes;
    for (int64_t first = gpu_place() / args.n_lanes; first - first % (WARP / args.n_lanes) < n_rows; first += teams) {      /* all lanes of a warp go round as often */
        float sum = 0.0f;
        for (int d = lane * N; d < a.dim && first < n_rows; d += args.n_lanes * N) {
            int n = a.dim - d < N ? a.dim - d : N;
            struct chunk<T> o = load_chunk((const T *)a.o_THD + first * a.dim + d, n, whole), g = load_chunk((const T *)a.do_THD + first * a.dim + d, n, whole);
            for (int i = 0; i < N; i++)
                sum = fmaf(to_float(o.x[i]), to_float(g.x[i]), sum);
        }
        for (int mask = args.n_lanes / 2; mask > 0; mask /= 2)
            sum += gpu_shuffle_xor(sum, mask);
        if (lane == 0 && first < n_rows)
            a.delta_HT[first % a.heads * a.rows + first / a.heads] = sum;
    }
}

/* Shared memory of the backward kernels: two tiles at rest, two that are walked, a weight for each pair. */
struct backward_memory { float *tile_a, *tile_b, *step_a, *step_b, *weight; };

GPU_DEVICE struct backward_memory backward_memory_of(int dim)
{
    float *tile = (float *)gpu_dynamic_shared(), *step = tile + 2 * PLAIN_TILE * dim;
    return {tile, tile + PLAIN_TILE * dim, step, step + PLAIN_STEP * (dim + 1), step + 2 * PLAIN_STEP * (dim + 1)};
}

/* A thread's pairs: column `step` of what is walked against rows [warp * OF_WARP, + OF_WARP) of the tile. */
GPU_DEVICE void pair_dots(float (&s)[OF_WARP], float (&dp)[OF_WARP], const struct backward_memory &m, int dim)
{
    int row = gpu_warp() * OF_WARP;
    dots(s, m.tile_a + row * dim, m.step_a + gpu_lane() * (dim + 1), dim);
    dots(dp, m.tile_b + row * dim, m.step_b + gpu_lane() * (dim + 1), dim);
}

GPU_DEVICE void put_weights(float *weight, const float (&x)[OF_WARP])
{
    for (int i = 0; i < OF_WARP; i++)
        weight[(gpu_warp() * OF_WARP + i) * PLAIN_STEP + gpu_lane()] = x[i];
}

/* Of a warp's rows; those behind the tile's see nothing. */
struct plain_facts { float lse[OF_WARP], delta[OF_WARP]; int own[OF_WARP]; };

GPU_DEVICE struct plain_facts plain_facts_of(const struct attention_args &a, const struct row_tile &t)
{
    struct plain_facts facts = {};
    GPU_UNROLL
    for (int i = 0; i < OF_WARP; i++) {
        int r = gpu_warp() * OF_WARP + i, m = t.first + (r < t.n ? r : 0);
        int64_t at = statistic_of(t.map, a.rows, m);
        facts.lse[i] = r < t.n ? a.lse_HT[at] : INFINITY;
        facts.delta[i] = a.delta_HT[at];
        facts.own[i] = own_seen(t.run, own_count(a, t.run), t.map, m);
    }
    return facts;
}

/* Step: keys [w.first, w.first + w.n). */
template <class T>
GPU_DEVICE void plain_step_q(const struct attention_args &a, const struct plain_facts &facts, const struct key_walk &w, const struct backward_memory &m, columns &dq)
{
    struct row_map map = key_map(a, (int)gpu_block_y());
    float s[OF_WARP], dp[OF_WARP];
    gpu_barrier();
    load_plain<T>(m.step_a, a.dim + 1, a.k_SGD, a.dim, map, w.first, w.n, PLAIN_STEP);
    load_plain<T>(m.step_b, a.dim + 1, a.v_SGD, a.dim, map, w.first, w.n, PLAIN_STEP);
    gpu_barrier();
    pair_dots(s, dp, m, a.dim);
    GPU_UNROLL
    for (int i = 0; i < OF_WARP; i++)
        dp[i] = gpu_lane() < walk_seen(w, facts.own[i]) ? expf(s[i] * a.scale - facts.lse[i]) * (dp[i] - facts.delta[i]) : 0.0f;
    put_weights(m.weight, dp);
    gpu_barrier();
    add_columns(dq, m.weight, m.step_a, PLAIN_STEP, a.dim);
}

template <class T> GPU_DEVICE void plain_backward_q(const struct attention_launch &l)
{
    struct backward_memory m = backward_memory_of(l.a.dim);
    struct row_tile t = row_tile_of(l, PLAIN_TILE);
    struct plain_facts facts = plain_facts_of(l.a, t);
    columns dq;
    clear_columns(dq);
    load_plain<T>(m.tile_a, l.a.dim, l.a.q_THD, l.a.dim, t.map, t.first, t.n, PLAIN_TILE);
    load_plain<T>(m.tile_b, l.a.dim, l.a.do_THD, l.a.dim, t.map, t.first, t.n, PLAIN_TILE);
    for (struct key_walk w = walk_start(l.a, t.run, t.map, t.first + t.n - 1, PLAIN_STEP); !walk_ended(w); w = walk_next(w, PLAIN_STEP))
        plain_step_q<T>(l.a, facts, w, m, dq);
    store_columns<T>(l.a.dq_THD, l.a.dim, t.map, t.first, t.n, dq, &l.a.scale, 0);
}

/* Step: rows [row, row + n). P and dS stand in the same memory, one after the other. */
template <class T>
GPU_DEVICE void plain_step_k(const struct attention_args &a, const struct key_tile &t, const struct row_map &map, int row, int n, const struct backward_memory &m, columns &dk,
                             columns &dv)
{
    float p[OF_WARP], ds[OF_WARP];
    int64_t at = statistic_of(map, a.rows, row + (gpu_lane() < n ? gpu_lane() : 0));
    gpu_barrier();
    load_plain<T>(m.step_a, a.dim + 1, a.q_THD, a.dim, map, row, n, PLAIN_STEP);
    load_plain<T>(m.step_b, a.dim + 1, a.do_THD, a.dim, map, row, n, PLAIN_STEP);
    gpu_barrier();
    pair_dots(p, ds, m, a.dim);
    for (int i = 0; i < OF_WARP; i++) {
        bool seen = gpu_lane() < n && row + gpu_lane() >= (t.first + gpu_warp() * OF_WARP + i) * map.group;
        p[i] = seen ? expf(p[i] * a.scale - a.lse_HT[at]) : 0.0f;
        ds[i] = p[i] * (ds[i] - a.delta_HT[at]);
    }
    put_weights(m.weight, p);
    gpu_barrier();
    add_columns(dv, m.weight, m.step_b, PLAIN_STEP, a.dim);
    gpu_barrier();
    put_weights(m.weight, ds);
    gpu_barrier();
    add_columns(dk, m.weight, m.step_a, PLAIN_STEP, a.dim);
}

template <class T> GPU_DEVICE void plain_backward_k(const struct attention_launch &l)
{
    struct backward_memory m = backward_memory_of(l.a.dim);
    struct row_map rows = query_map(l.a, (int)gpu_block_y()), map = key_map(l.a, (int)gpu_block_y());
    struct key_tile t = key_tile_of(l, rows.group, PLAIN_TILE);
    const float one = 1.0f;
    columns dk, dv;
    clear_columns(dk);
    clear_columns(dv);
    load_plain<T>(m.tile_a, l.a.dim, l.a.k_SGD, l.a.dim, map, t.first, t.n, PLAIN_TILE);
    load_plain<T>(m.tile_b, l.a.dim, l.a.v_SGD, l.a.dim, map, t.first, t.n, PLAIN_TILE);
    for (int row = t.row; row < t.row_end; row += PLAIN_STEP)
        plain_step_k<T>(l.a, t, rows, row, t.row_end - row < PLAIN_STEP ? t.row_end - row : PLAIN_STEP, m, dk, dv);
    store_columns<T>(l.a.dk_SGD, l.a.dim, map, t.first, t.n, dk, &l.a.scale, 0);
    store_columns<T>(l.a.dv_SGD, l.a.dim, map, t.first, t.n, dv, &one, 0);
}

GPU_KERNEL_BY_DTYPE(attention_delta, ATTENTION_THREADS, struct delta_args)
GPU_KERNEL_BY_DTYPE(plain_forward, ATTENTION_THREADS, struct attention_launch)
GPU_KERNEL_BY_DTYPE(plain_backward_q, ATTENTION_THREADS, struct attention_launch)
GPU_KERNEL_BY_DTYPE(plain_backward_k, ATTENTION_THREADS, struct attention_launch)
