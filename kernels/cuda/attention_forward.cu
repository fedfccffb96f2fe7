/* attention_forward: a tile of rows walks keys (attention_softmax.h) on tensor cores, bf16. See attention.h for the tiling. */
#include "kernels/cuda/attention_softmax.h"

/* The warp's rows begin at m = `first`, and that one sees `least` keys of its own node. */
struct warp_rows { struct row_map map; int first, least; };

template <int M, int N, int D8>
GPU_DEVICE void softmax_tile(struct softmax<M> *state, float (&s)[M][N][4], float (&o)[M][D8][4], const struct key_walk &w, const struct warp_rows &rows, float scale)
{
    bool hides = walk_seen(w, rows.least) < 8 * N;
    GPU_UNROLL
    for (int i = 0; i < 2 * M; i++) {
        int m = i / 2, half = i % 2, row = rows.first + i * 8 + gpu_lane() / 4;
        if (hides)
            hide(s[m], half, walk_seen(w, rows.least + token_of(rows.map, row) - token_of(rows.map, rows.first)));
        scale_rows(o[m], half, softmax_step(s[m], half, scale, &state->max[m][half], &state->sum[m][half]));
    }
}

/* The queries come through the second stage while the first one is filled. */
template <int D, int M>
GPU_DEVICE void load_queries(uint32_t (&q)[D / 16][M][4], const struct attention_args &a, const struct row_tile &t, const struct key_walk &w, uint16_t *stage, int row)
{
    copy_tile<D, ATTENTION_FORWARD_ROWS, ATTENTION_FORWARD_THREADS(D)>(stage + 2 * ATTENTION_KEYS * D, a.q_THD, t.map, t.first, t.n);
    gpu_copy_commit();
    if (!walk_ended(w))
        copy_keys<D, ATTENTION_FORWARD_THREADS(D)>(stage, a, w);
    gpu_copy_commit();
    gpu_copy_wait<1>();
    gpu_barrier();
    GPU_UNROLL
    for (int i = 0; i < D / 16 * M; i++)
        load_a<D>(q[i / M][i % M], stage + 2 * ATTENTION_KEYS * D, row + i % M * 16, i / M);
    gpu_barrier();
}

template <int D, int M>
GPU_DEVICE void forward_step(struct softmax<M> *state, float (&o)[M][D / 8][4], const uint32_t (&q)[D / 16][M][4], uint16_t *keys, const struct key_walk &w, const struct warp_rows &rows,
                             float scale)
{
    float s[M][ATTENTION_KEYS / 8][4];
    clear(s);
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++)
        multiply_rows<D>(s, q[k], keys, k);
    softmax_tile(state, s, o, w, rows, scale);
    multiply_product<D>(o, s, keys + ATTENTION_KEYS * D);
}

template <int D> GPU_DEVICE void forward(const struct attention_launch &l)
{
    const int M = ATTENTION_FORWARD_TILES(D);
    uint16_t *stage = (uint16_t *)gpu_dynamic_shared();
    struct row_tile t = row_tile_of(l, ATTENTION_FORWARD_ROWS);
    struct key_walk w = walk_start(l.a, t.run, t.map, t.first + t.n - 1, ATTENTION_KEYS), next;
    struct softmax<M> state;
    int row = gpu_warp() * 16 * M, own = warp_own(l.a, t, row, 16 * M);
    struct warp_rows rows = {t.map, t.first + row, own_seen(t.run, own_count(l.a, t.run), t.map, t.first + row)};
    uint32_t q[D / 16][M][4];
    float o[M][D / 8][4];
    load_queries<D, M>(q, l.a, t, w, stage, row);
    softmax_start(&state);
    clear(o);
    for (int turn = 0; !walk_ended(w); w = next, turn ^= 1) {
        next = walk_next(w, ATTENTION_KEYS);
        if (!walk_ended(next))
            copy_keys<D, ATTENTION_FORWARD_THREADS(D)>(stage + (turn ^ 1) * 2 * ATTENTION_KEYS * D, l.a, next);
        gpu_copy_commit();
        gpu_copy_wait<1>();
        gpu_barrier();                      /* the tile is there for all */
        if (warp_sees(w, own))
            forward_step<D, M>(&state, o, q, stage + turn * 2 * ATTENTION_KEYS * D, w, rows, l.a.scale * LOG2_E);
        gpu_barrier();                      /* nobody reads it any more */
    }
    softmax_end(&state, l.a, t, row);
    store_tile<D, M>(l.a.o_THD, t.map, t.first, t.n, stage, row, o, state.sum);
}

GPU_KERNEL(attention_forward_64, ATTENTION_FORWARD_THREADS(64), struct attention_launch, l) { forward<64>(l); }
GPU_KERNEL(attention_forward_128, ATTENTION_FORWARD_THREADS(128), struct attention_launch, l) { forward<128>(l); }
