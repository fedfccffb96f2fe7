/* attention_paged: attention over a cache of keys in parts, bf16, on tensor cores. See attention_paged.h. */
#include "kernels/cuda/attention_paged.h"

#include "kernels/cuda/attention_softmax.h"

/* ---- rows ------------------------------------------------------------------------------------------------------------------------------------- */

/* Row r of an item: which query, and which of the heads of this block's key/value head. */
struct place { struct paged_row row; int head; };

GPU_DEVICE struct place place_of(const struct paged_launch &l, const struct paged_item &item, const struct row_map &map, int r)
{
    int query = r / map.group;
    return {l.row[item.row + query], map.first_head + r - query * map.group};
}

/* Begins to copy the item's queries to a tile, zeros behind them. */
template <int D> GPU_DEVICE void copy_queries(uint16_t *tile, const struct paged_launch &l, const struct paged_item &item, const struct row_map &map)
{
    const int CHUNKS = D / 8;
    int n = item.n_rows * map.group;
    for (int i = gpu_thread(); i < PAGED_ROWS * CHUNKS; i += ATTENTION_THREADS) {
        int r = i / CHUNKS, chunk = i % CHUNKS;
        struct place p = place_of(l, item, map, r < n ? r : 0);
        gpu_copy_async16(chunk_at<D>(tile, r, chunk), (const uint16_t *)l.a.q_THD + ((int64_t)p.row.token * map.heads + p.head) * D + chunk * 8, r < n);
    }
}

template <int D> GPU_DEVICE void copy_step(uint16_t *stage, const struct paged_launch &l, const struct paged_tile &t)
{
    struct row_map map = key_map(l.a, (int)gpu_block_y());
    copy_tile<D, ATTENTION_KEYS>(stage, l.a.k_SGD, map, t.first, t.n);
    copy_tile<D, ATTENTION_KEYS>(stage + ATTENTION_KEYS * D, l.a.v_SGD, map, t.first, t.n);
}

/* ---- a part ------------------------------------------------------------------------------------------------------------------------------------ */

/* A lane's sums over a part, of rows `half` * 8 + lane / 4 of its warp's 16. */
template <int D> struct sums { struct softmax<1> state; float o[1][D / 8][4]; };

template <int D> GPU_DEVICE void start_part(struct sums<D> *s)
{
    softmax_start(&s->state);
    clear(s->o);
}

template <int D> GPU_DEVICE void paged_step(struct sums<D> *sums, const uint32_t (&q)[D / 16][1][4], uint16_t *keys, const struct paged_tile &t, const int *sees, float scale)
{
    float s[1][ATTENTION_KEYS / 8][4];
    clear(s);
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++)
        multiply_rows<D>(s, q[k], keys, k);
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        int most = sees[gpu_warp() * 16 + half * 8 + gpu_lane() / 4] - t.before, seen = most < t.n ? most : t.n;
        if (seen < ATTENTION_KEYS)
            hide(s[0], half, seen);
        scale_rows(sums->o[0], half, softmax_step(s[0], half, scale, &sums->state.max[0][half], &sums->state.sum[0][half]));
    }
    multiply_product<D>(sums->o, s, keys + ATTENTION_KEYS * D);
}

/* What sums so far, and those of the next part, must be multiplied by; *max becomes that of both. */
struct merging { float kept, next; };

GPU_DEVICE struct merging merge_maxima(float *max, float next)
{
    float most = fmaxf(*max, next), base = most == -INFINITY ? 0.0f : most;
    struct merging m = {gpu_exp2(*max - base), gpu_exp2(next - base)};
    *max = most;
    return m;
}

GPU_DEVICE float merge(const struct merging &m, float kept, float next) { return fmaf(kept, m.kept, next * m.next); }

/* ---- split: to memory -------------------------------------------------------------------------------------------------------------------------- */

struct alignas(8) float_pair { float x, y; };

template <int D> GPU_DEVICE void put_partial(const struct paged_launch &l, const struct paged_item &item, const struct row_map &map, const struct sums<D> &sums)
{
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        int r = gpu_warp() * 16 + half * 8 + gpu_lane() / 4;
        float sum = sum_of_row(sums.state.sum[0][half]);
        if (r >= item.n_rows * map.group)
            continue;
        struct place p = place_of(l, item, map, r);
        int64_t at = (int64_t)(p.row.slot + l.tile[item.tile].part) * map.heads + p.head;
        GPU_UNROLL
        for (int n = 0; n < D / 8; n++)
            *(struct float_pair *)(l.o_SHD + at * D + n * 8 + gpu_lane() % 4 * 2) = {sums.o[0][n][half * 2], sums.o[0][n][half * 2 + 1]};
        if (gpu_lane() % 4 == 0)
            *(struct float_pair *)(l.state_SH + at * 2) = {sums.state.max[0][half], sum};
    }
}

/* ---- chain: in shared memory ------------------------------------------------------------------------------------------------------------------- */

/* What this thread keeps between parts: value i is at kept[i * ATTENTION_THREADS]. First o, in the order of the fragment, then max and sum of either row. */
template <int D> GPU_DEVICE float *kept_at(float *kept, int i) { return kept + i * ATTENTION_THREADS; }

template <int D> GPU_DEVICE void keep_first(float *kept, const struct sums<D> &sums)
{
    GPU_UNROLL
    for (int i = 0; i < D / 2; i++)
        *kept_at<D>(kept, i) = sums.o[0][i / 4][i % 4];
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        *kept_at<D>(kept, D / 2 + half) = sums.state.max[0][half];
        *kept_at<D>(kept, D / 2 + 2 + half) = sum_of_row(sums.state.sum[0][half]);
    }
}

template <int D> GPU_DEVICE void keep_next(float *kept, const struct sums<D> &sums)
{
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        float *sum = kept_at<D>(kept, D / 2 + 2 + half);
        struct merging m = merge_maxima(kept_at<D>(kept, D / 2 + half), sums.state.max[0][half]);
        *sum = merge(m, *sum, sum_of_row(sums.state.sum[0][half]));
        GPU_UNROLL
        for (int i = 0; i < D / 4; i++) {
            float *o = kept_at<D>(kept, i / 2 * 4 + half * 2 + i % 2);
            *o = merge(m, *o, sums.o[0][i / 2][half * 2 + i % 2]);
        }
    }
}

template <int D> GPU_DEVICE void end_part(float *kept, struct sums<D> *sums, bool first)
{
    if (first)
        keep_first<D>(kept, *sums);
    else
        keep_next<D>(kept, *sums);
    start_part(sums);
}

GPU_DEVICE float lse_of(float max, float sum) { return max * LN_2 + logf(sum); }

template <int D> GPU_DEVICE void put_chain(const struct paged_launch &l, const struct paged_item &item, const struct row_map &map, float *kept, uint16_t *tile)
{
    int first = l.row[item.row].token * map.group, n = item.n_rows * map.group;
    float o[1][D / 8][4], factor[1][2];
    GPU_UNROLL
    for (int i = 0; i < D / 2; i++)
        o[0][i / 4][i % 4] = *kept_at<D>(kept, i);
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        int r = gpu_warp() * 16 + half * 8 + gpu_lane() / 4;
        float sum = *kept_at<D>(kept, D / 2 + 2 + half);
        if (gpu_lane() % 4 == 0 && r < n)
            l.a.lse_HT[statistic_of(map, l.a.rows, first + r)] = lse_of(*kept_at<D>(kept, D / 2 + half), sum);
        factor[0][half] = 1.0f / sum;
    }
    store_tile<D, 1>(l.a.o_THD, map, first, n, tile, gpu_warp() * 16, o, factor);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------------------------------------ */

/* The queries come through the second stage while the first one is filled. */
template <int D>
GPU_DEVICE void load_item(uint32_t (&q)[D / 16][1][4], const struct paged_launch &l, const struct paged_item &item, const struct row_map &map, uint16_t *stage)
{
    copy_queries<D>(stage + 2 * ATTENTION_KEYS * D, l, item, map);
    gpu_copy_commit();
    copy_step<D>(stage, l, l.tile[item.tile]);
    gpu_copy_commit();
    gpu_copy_wait<1>();
    gpu_barrier();
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++)
        load_a<D>(q[k][0], stage + 2 * ATTENTION_KEYS * D, gpu_warp() * 16, k);
    gpu_barrier();
}

/* A warp without rows keeps step with the others. */
template <int D, bool CHAIN> GPU_DEVICE void run_item(const struct paged_launch &l, const struct paged_item &item, int *sees)
{
    uint16_t *stage = (uint16_t *)gpu_dynamic_shared();
    float *kept = (float *)(stage + 4 * ATTENTION_KEYS * D) + gpu_thread();
    struct row_map map = query_map(l.a, (int)gpu_block_y());
    int n = item.n_rows * map.group;
    uint32_t q[D / 16][1][4];
    struct sums<D> sums;
    if (gpu_thread() < PAGED_ROWS)
        sees[gpu_thread()] = gpu_thread() < n ? place_of(l, item, map, gpu_thread()).row.sees : 0;
    load_item<D>(q, l, item, map, stage);
    start_part(&sums);
    for (int i = 0; i < item.n_tiles; i++) {
        const struct paged_tile &t = l.tile[item.tile + i];     /* read where it is needed: it would be registers else */
        if (i + 1 < item.n_tiles)
            copy_step<D>(stage + (i + 1) % 2 * 2 * ATTENTION_KEYS * D, l, l.tile[item.tile + i + 1]);
        gpu_copy_commit();
        gpu_copy_wait<1>();
        gpu_barrier();                      /* the tile is there for all */
        if (gpu_warp() * 16 < n)
            paged_step<D>(&sums, q, stage + i % 2 * 2 * ATTENTION_KEYS * D, t, sees, l.a.scale * LOG2_E);
        gpu_barrier();                      /* nobody reads it any more */
        if (CHAIN && (t.ends_part || i + 1 == item.n_tiles))
            end_part<D>(kept, &sums, t.part == 0);
    }
    if (CHAIN)
        put_chain<D>(l, item, map, kept, stage);
    else
        put_partial<D>(l, item, map, sums);
}

template <int D, bool CHAIN> GPU_DEVICE void run_items(const struct paged_launch &l)
{
    GPU_SHARED(int, sees, [PAGED_ROWS]);    /* keys, of the run's, that each row sees */
    for (unsigned i = gpu_block_x(); i < (unsigned)(CHAIN ? l.head->n_chains : l.head->n_splits); i += gpu_n_blocks_x()) {
        run_item<D, CHAIN>(l, CHAIN ? l.chain[i] : l.split[i], sees);
        gpu_barrier();                      /* the next item's copies begin */
    }
}

/* ---- merge ------------------------------------------------------------------------------------------------------------------------------------- */

/* A lane's columns of a row: lane * D / 32 and those behind it. */
template <int D> struct alignas(D / WARP * 4) lane_floats { float x[D / WARP]; };
template <int D> struct alignas(D / WARP * 2) lane_elems { uint16_t x[D / WARP]; };

template <int D> GPU_DEVICE struct lane_floats<D> load_lane(const float *row) { return ((const struct lane_floats<D> *)row)[gpu_lane()]; }

template <int D> GPU_DEVICE void merge_row(const struct paged_launch &l, const struct paged_merge &m, int head)
{
    int64_t at = (int64_t)m.slot * l.a.heads + head;
    struct lane_floats<D> o = load_lane<D>(l.o_SHD + at * D);
    float max = l.state_SH[at * 2], sum = l.state_SH[at * 2 + 1];
    for (int p = 1; p < m.n_parts; p++) {
        at += l.a.heads;
        struct lane_floats<D> next = load_lane<D>(l.o_SHD + at * D);
        struct merging by = merge_maxima(&max, l.state_SH[at * 2]);
        sum = merge(by, sum, l.state_SH[at * 2 + 1]);
        GPU_UNROLL
        for (int i = 0; i < D / WARP; i++)
            o.x[i] = merge(by, o.x[i], next.x[i]);
    }
    struct lane_elems<D> out;
    float factor = 1.0f / sum;
    GPU_UNROLL
    for (int i = 0; i < D / WARP; i++)
        out.x[i] = gpu_bf16(o.x[i] * factor + 0.0f);
    ((struct lane_elems<D> *)l.a.o_THD)[((int64_t)m.token * l.a.heads + head) * WARP + gpu_lane()] = out;
    if (gpu_lane() == 0)
        l.a.lse_HT[head * l.a.rows + m.token] = lse_of(max, sum);
}

template <int D> GPU_DEVICE void merge_rows(const struct paged_launch &l)
{
    int n = l.head->n_merges * l.a.heads;
    for (int i = (int)gpu_block_x() * ATTENTION_WARPS + gpu_warp(); i < n; i += (int)gpu_n_blocks_x() * ATTENTION_WARPS)
        merge_row<D>(l, l.merge[i / l.a.heads], i % l.a.heads);
}

GPU_KERNEL(paged_split_64, ATTENTION_THREADS, struct paged_launch, l) { run_items<64, false>(l); }
GPU_KERNEL(paged_split_128, ATTENTION_THREADS, struct paged_launch, l) { run_items<128, false>(l); }
GPU_KERNEL(paged_chain_64, ATTENTION_THREADS, struct paged_launch, l) { run_items<64, true>(l); }
GPU_KERNEL(paged_chain_128, ATTENTION_THREADS, struct paged_launch, l) { run_items<128, true>(l); }
GPU_KERNEL(paged_merge_64, ATTENTION_THREADS, struct paged_launch, l) { merge_rows<64>(l); }
GPU_KERNEL(paged_merge_128, ATTENTION_THREADS, struct paged_launch, l) { merge_rows<128>(l); }
