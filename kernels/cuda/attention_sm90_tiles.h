/* attention_sm90_tiles: tiles of blocks of 64 columns (gpu_sm90.h), the ring of stages, and what all kernels of attention_sm90.h do with them. */
#ifndef KERNELS_CUDA_ATTENTION_SM90_TILES_H
#define KERNELS_CUDA_ATTENTION_SM90_TILES_H

#include "kernels/cuda/attention_sm90.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/gpu_sm90.h"

/* Where a walk is in a ring of stages. A stage's full barrier ends its phase `parity` when it is filled, its free one when it is read. */
template <int STAGES> struct ring { int stage; uint32_t parity; };

template <int STAGES> GPU_DEVICE struct ring<STAGES> ring_next(struct ring<STAGES> r)
{
    bool last = r.stage == STAGES - 1;
    return {last ? 0 : r.stage + 1, r.parity ^ (last ? 1u : 0u)};
}

/* Of a tile of ROWS rows: block i, as elements. */
template <int ROWS> GPU_DEVICE uint16_t *block_of(uint16_t *tile, int i) { return tile + i * ROWS * BLOCK_COLUMNS; }

/* The map's boxes, from a head and a row on, to a tile of ROWS rows. */
template <int D, int ROWS> GPU_DEVICE void copy_boxes(uint16_t *tile, const struct gpu_tensor_map *map, int head, int row, gpu_mbarrier *b)
{
    GPU_UNROLL
    for (int i = 0; i < D / BLOCK_COLUMNS; i++)
        gpu_copy_box(block_of<ROWS>(tile, i), map, i * BLOCK_COLUMNS, head, row, b);
}

/* A warp: zeros in rows [first, ROWS), for products to read. */
template <int D, int ROWS> GPU_DEVICE void clear_rows(uint16_t *tile, int first)
{
    const int CHUNKS = D / 8;
    for (int at = first * CHUNKS + gpu_lane(); at < ROWS * CHUNKS; at += WARP)
        gpu_store16(block_of<ROWS>(tile, at % CHUNKS / 8) + at / CHUNKS * BLOCK_COLUMNS + at % 8 * 8, {});
    gpu_async_fence();
    gpu_warp_barrier();
}

/* Rows [row, row + 16) of a tile as operands of products. */
template <int D, int ROWS> GPU_DEVICE void load_operand(uint32_t (&a)[D / 16][4], uint16_t *tile, int row)
{
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++)
        load_a<BLOCK_COLUMNS>(a[k], block_of<ROWS>(tile, k / 4), row, k % 4);
}

/* Columns 16 k to 16 k + 16 of a product, rounded, as operands of the next. */
GPU_DEVICE void as_operands(uint32_t (&a)[4][4], const float (&c)[8][4])
{
    GPU_UNROLL
    for (int i = 0; i < 16; i++)
        a[i / 4][i % 4] = gpu_bf16_pair(c[i / 4 * 2 + i % 4 / 2][i % 2 * 2], c[i / 4 * 2 + i % 4 / 2][i % 2 * 2 + 1]);
}

/* Of a tile of ROWS rows, where columns 16 k of its rows begin, in bytes. */
template <int ROWS> GPU_DEVICE int columns_at(int k) { return k / 4 * ROWS * 128 + k % 4 * 32; }

/* Begins c = a x', where x is a tile of ROWS rows, 64 of them from x on: a in registers, or a tile of A_ROWS rows. */
template <int D, int ROWS> GPU_DEVICE void begin_rows(float (&c)[8][4], const uint32_t (&a)[D / 16][4], const uint16_t *x)
{
    gpu_matrix m = gpu_matrix_of(x, 0);
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++)
        gpu_multiply_rows(c, a[k], gpu_matrix_at(m, columns_at<ROWS>(k)), k > 0);
    gpu_multiply_end();
}

template <int D, int A_ROWS, int ROWS> GPU_DEVICE void begin_rows(float (&c)[8][4], const uint16_t *a, const uint16_t *x)
{
    gpu_matrix m = gpu_matrix_of(a, 0), n = gpu_matrix_of(x, 0);
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++)
        gpu_multiply_rows(c, gpu_matrix_at(m, columns_at<A_ROWS>(k)), gpu_matrix_at(n, columns_at<ROWS>(k)), k > 0);
    gpu_multiply_end();
}

/* Begins c += a x, where x is a tile of 64 rows. */
template <int D> GPU_DEVICE void begin_columns(float (&c)[D / 8][4], const uint32_t (&a)[4][4], const uint16_t *x)
{
    gpu_matrix m = gpu_matrix_of(x, SM90_STEP * 128);
    GPU_UNROLL
    for (int k = 0; k < 4; k++)
        gpu_multiply_columns(c, a[k], gpu_matrix_at(m, k * 16 * 128));
    gpu_multiply_end();
}

template <int N> GPU_DEVICE void clear(float (&c)[N][4])
{
    GPU_UNROLL
    for (int i = 0; i < 4 * N; i++)
        c[i / 4][i % 4] = 0.0f;
}

/* The warp's rows of the result, times factor[half], through its own rows [row, row + 16) of a tile of ROWS rows, which nobody else reads any more, to x; rows < n alone. */
template <int D, int ROWS>
GPU_DEVICE void store_blocks(void *x, const struct row_map &map, int first, int n, uint16_t *tile, int row, const float (&c)[D / 8][4], const float (&factor)[2])
{
    GPU_UNROLL
    for (int i = 0; i < 2 * (D / 8); i++) {
        const float *pair = &c[i / 2][i % 2 * 2];
        uint32_t word = gpu_bf16_pair(pair[0] * factor[i % 2] + 0.0f, pair[1] * factor[i % 2] + 0.0f);
        memcpy(chunk_at<BLOCK_COLUMNS>(block_of<ROWS>(tile, i / 16), row + i % 2 * 8 + gpu_lane() / 4, i / 2 % 8) + gpu_lane() % 4 * 2, &word, 4);
    }
    gpu_warp_barrier();
    for (int at = gpu_lane(); at < 16 * (D / 8); at += WARP) {
        int r = row + at / (D / 8), chunk = at % (D / 8);
        if (r < n)
            gpu_store16((uint16_t *)x + row_of(map, first + r) * D + chunk * 8, gpu_load16(chunk_at<BLOCK_COLUMNS>(block_of<ROWS>(tile, chunk / 8), r, chunk % 8)));
    }
}

#endif
