/* attention_tiles: tiles of bf16 in shared memory and their products on tensor cores. For attention_forward.cu and attention_backward.cu.
 *
 * A tile is [rows][D], and the 16-byte chunk c of row r stands at chunk c ^ (r % 8): eight rows of a column of chunks, which is what gpu_load_matrix4 reads at once, lie in
 * different banks. In fragments, [m][n][4] is what a lane holds of the 16 x 8 tiles of a product. */
#ifndef KERNELS_CUDA_ATTENTION_TILES_H
#define KERNELS_CUDA_ATTENTION_TILES_H

#include "kernels/cuda/attention_walk.h"

#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f

template <int D> GPU_DEVICE uint16_t *chunk_at(uint16_t *tile, int row, int chunk) { return tile + row * D + (chunk ^ (row & 7)) * 8; }

/* Begins to copy rows [first, first + n) of x to a tile of ROWS rows, zeros behind them. All threads come here; a thread keeps to its chunk of every STEP-th row. */
template <int D, int ROWS, int THREADS = ATTENTION_THREADS> GPU_DEVICE void copy_tile(uint16_t *tile, const void *x, const struct row_map &map, int first, int n)
{
    const int CHUNKS = D / 8, STEP = THREADS / CHUNKS;
    static_assert(STEP % 8 == 0, "the chunk's place must be the same in every row that a thread copies");
    int row = gpu_thread() / CHUNKS, chunk = gpu_thread() % CHUNKS;
    uint16_t *to = chunk_at<D>(tile, row, chunk);
    GPU_UNROLL
    for (int i = 0; i < ROWS / STEP; i++, row += STEP)
        gpu_copy_async16(to + i * STEP * D, (const uint16_t *)x + row_of(map, first + (row < n ? row : 0)) * D + chunk * 8, row < n);
}

/* A step of a walk to a stage of shared memory: a tile of keys, and one of values behind it. */
template <int D, int THREADS> GPU_DEVICE void copy_keys(uint16_t *stage, const struct attention_args &a, const struct key_walk &w)
{
    struct row_map map = key_map(a, (int)gpu_block_y());
    copy_tile<D, ATTENTION_KEYS, THREADS>(stage, a.k_SGD, map, w.first, w.n);
    copy_tile<D, ATTENTION_KEYS, THREADS>(stage + ATTENTION_KEYS * D, a.v_SGD, map, w.first, w.n);
}

/* How many keys of its own node the last of a warp's rows [row, row + rows) sees, -1 where the tile has none of them; and does the warp see anything of a step? */
GPU_DEVICE int warp_own(const struct attention_args &a, const struct row_tile &t, int row, int rows)
{
    int last = row + rows < t.n ? row + rows - 1 : t.n - 1;
    return row < t.n ? own_seen(t.run, own_count(a, t.run), t.map, t.first + last) : -1;
}

GPU_DEVICE bool warp_sees(const struct key_walk &w, int own) { return own >= 0 && (!w.own || own > w.offset); }

/* Chunk 2 k + odd of a row of this lane, row % 8 = lane % 8: as an exclusive or of what depends on the lane and what does not. */
template <int D> GPU_DEVICE uint16_t *lane_chunk_at(uint16_t *tile, int row, int odd, int k) { return tile + row * D + ((odd ^ (gpu_lane() & 7)) ^ (2 * k)) * 8; }

/* Rows [row, row + 16) x columns [16 k, 16 k + 16) as operand a; row is a multiple of 8. */
template <int D> GPU_DEVICE void load_a(uint32_t *a, uint16_t *tile, int row, int k)
{
    gpu_load_matrix4(a, lane_chunk_at<D>(tile, row + gpu_lane() % 16, gpu_lane() / 16, k));
}

/* Two operands b: rows are n, 16 n to 16 n + 16, columns are k. */
template <int D> GPU_DEVICE void load_b_rows(uint32_t *b, uint16_t *tile, int n, int k)
{
    gpu_load_matrix4(b, lane_chunk_at<D>(tile, 16 * n + gpu_lane() / 16 * 8 + gpu_lane() % 8, gpu_lane() / 8 % 2, k));
}

/* Two operands b: rows are k, columns are n. */
template <int D> GPU_DEVICE void load_b_columns(uint32_t *b, uint16_t *tile, int n, int k)
{
    gpu_load_matrix4_transposed(b, lane_chunk_at<D>(tile, 16 * k + gpu_lane() % 16, gpu_lane() / 16, n));
}

template <int M, int N> GPU_DEVICE void clear(float (&c)[M][N][4])
{
    GPU_UNROLL
    for (int m = 0; m < M; m++)
        GPU_UNROLL
        for (int n = 0; n < N; n++)
            GPU_UNROLL
            for (int i = 0; i < 4; i++)
                c[m][n][i] = 0.0f;
}

/* c += a b, of the columns 16 n to 16 n + 16 of c. */
template <int M, int N> GPU_DEVICE void multiply(float (&c)[M][N][4], const uint32_t (&a)[M][4], const uint32_t *b, int n)
{
    GPU_UNROLL
    for (int m = 0; m < M; m++) {
        gpu_mma_bf16_16x8x16(c[m][2 * n], a[m], b);
        gpu_mma_bf16_16x8x16(c[m][2 * n + 1], a[m], b + 2);
    }
}

/* c[.][row of the tile] += a[.][column k of it] for one k; and c[.][column of the tile] += a[.][row k of it]. */
template <int D, int M, int N> GPU_DEVICE void multiply_rows(float (&c)[M][N][4], const uint32_t (&a)[M][4], uint16_t *tile, int k)
{
    GPU_UNROLL
    for (int n = 0; n < N / 2; n++) {
        uint32_t b[4];
        load_b_rows<D>(b, tile, n, k);
        multiply(c, a, b, n);
    }
}

template <int D, int M, int N> GPU_DEVICE void multiply_columns(float (&c)[M][N][4], const uint32_t (&a)[M][4], uint16_t *tile, int k)
{
    GPU_UNROLL
    for (int n = 0; n < N / 2; n++) {
        uint32_t b[4];
        load_b_columns<D>(b, tile, n, k);
        multiply(c, a, b, n);
    }
}

/* Columns 16 k to 16 k + 16 of a product, rounded, as operand a of the next. */
template <int M, int N> GPU_DEVICE void as_operand(uint32_t (&a)[M][4], const float (&c)[M][N][4], int k)
{
    GPU_UNROLL
    for (int m = 0; m < M; m++)
        GPU_UNROLL
        for (int i = 0; i < 4; i++)
            a[m][i] = gpu_bf16_pair(c[m][2 * k + i / 2][i % 2 * 2], c[m][2 * k + i / 2][i % 2 * 2 + 1]);
}

/* c += a x, where x is a tile of N * 8 columns and K * 16 rows and a comes from a product of as many columns. */
template <int D, int M, int N, int K> GPU_DEVICE void multiply_product(float (&c)[M][N][4], const float (&product)[M][K][4], uint16_t *tile)
{
    GPU_UNROLL
    for (int k = 0; k < K / 2; k++) {
        uint32_t a[M][4];
        as_operand(a, product, k);
        multiply_columns<D>(c, a, tile, k);
    }
}

/* The warp's rows of the result, times factor[m][half], through its own rows [row, row + 16 M) of the tile, which nobody else reads any more, to x; rows < n alone. */
template <int D, int M>
GPU_DEVICE void store_tile(void *x, const struct row_map &map, int first, int n, uint16_t *tile, int row, const float (&c)[M][D / 8][4], const float (&factor)[M][2])
{
    GPU_UNROLL
    for (int m = 0; m < M; m++)
        GPU_UNROLL
        for (int i = 0; i < 2 * (D / 8); i++) {
            const float *pair = &c[m][i / 2][i % 2 * 2];
            uint32_t word = gpu_bf16_pair(pair[0] * factor[m][i % 2] + 0.0f, pair[1] * factor[m][i % 2] + 0.0f);
            memcpy(chunk_at<D>(tile, row + 16 * m + i % 2 * 8 + gpu_lane() / 4, i / 2) + gpu_lane() % 4 * 2, &word, 4);
        }
    gpu_warp_barrier();
    for (int at = gpu_lane(); at < 16 * M * (D / 8); at += WARP) {
        int r = row + at / (D / 8), chunk = at % (D / 8);
        if (r < n)
            gpu_store16((uint16_t *)x + row_of(map, first + r) * D + chunk * 8, gpu_load16(chunk_at<D>(tile, r, chunk)));
    }
}

#endif
