/* attention_sm90_tiles: tiles of blocks of 64 columns (gpu_sm90.h), the ring of stages, and what all kernels of attention_sm90.h do with them. */
#ifndef KERNELS_CUDA_ATTENTION_SM90_TILES_H
#define KERNELS_CUDA_ATTENTION_SM90_TILES_H

#include "kernels/cuda/attention_sm90.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/gpu_sm90.h"

/* Where a walk is in the ring of stages. A stage's full barrier ends its phase `parity` when it is filled, its free one when it is read. */
struct ring { int stage; uint32_t parity; };

GPU_DEVICE struct ring ring_next(struct ring r)
{
    bool last = r.stage == SM90_STAGES - 1;
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

/* ---- shared memory: the tiles at rest, the stages, the barriers ------------------------------------------------------------------------------- */

/* A stage holds two tiles of SM90_STEP rows, x and y: keys and values, or rows of q and do. */
template <int D> struct stages { uint16_t *tile; struct sm90_barriers *b; };

template <int D> GPU_DEVICE uint16_t *stage_x(const struct stages<D> &s, int stage) { return s.tile + stage * 2 * SM90_STEP * D; }
template <int D> GPU_DEVICE uint16_t *stage_y(const struct stages<D> &s, int stage) { return s.tile + (stage * 2 + 1) * SM90_STEP * D; }

/* Behind n_rows rows at rest. */
template <int D> GPU_DEVICE struct stages<D> stages_of(int n_rows)
{
    uint16_t *tile = (uint16_t *)gpu_aligned_shared() + n_rows * D;
    return {tile, (struct sm90_barriers *)(tile + 2 * SM90_STAGES * SM90_STEP * D)};
}

/* A stage is full by n_fillers arrivals, and free by one of each warp of the consumers. All threads come here. */
GPU_DEVICE void make_barriers(struct sm90_barriers *b, int n_fillers, int n_consumers)
{
    if (gpu_thread() == 0) {
        gpu_mbarrier_init(&b->rest, 1);
        for (int i = 0; i < SM90_STAGES; i++) {
            gpu_mbarrier_init(&b->full[i], n_fillers);
            gpu_mbarrier_init(&b->free[i], 4 * n_consumers);
            gpu_mbarrier_init(&b->landed[i], 1);
        }
        gpu_mbarrier_made();
    }
    gpu_barrier();
}

/* When all lanes of the warp have read it. */
GPU_DEVICE void free_stage(struct sm90_barriers *b, struct ring r)
{
    if (gpu_lane() == 0)
        gpu_mbarrier_arrive(&b->free[r.stage]);
}

/* A step that the warpgroup's rows, or keys, do not see. A lane that came to the barrier late would wait for the stage's next filling. */
GPU_DEVICE void leave_out(struct sm90_barriers *b, struct ring r)
{
    gpu_mbarrier_wait(&b->full[r.stage], r.parity);
    gpu_warp_barrier();
    free_stage(b, r);
}

/* ---- the warps that fill it ------------------------------------------------------------------------------------------------------------------- */

/* One thread. Boxes of both tensors from a head and a row on, n_bytes in all, to the stage when it is free. What lies behind a step's own rows is zero in the stage: where the boxes have
 * more than those, whole is false, and the mender sees to that. */
template <int D>
GPU_DEVICE void fill_stage(const struct stages<D> &s, struct ring r, const struct gpu_tensor_map *x, const struct gpu_tensor_map *y, int head, int row, int n_bytes, bool whole)
{
    gpu_mbarrier *b = whole ? &s.b->full[r.stage] : &s.b->landed[r.stage];
    gpu_mbarrier_wait(&s.b->free[r.stage], r.parity ^ 1);
    gpu_mbarrier_expect(b, n_bytes);
    copy_boxes<D, SM90_STEP>(stage_x(s, r.stage), x, head, row, b);
    copy_boxes<D, SM90_STEP>(stage_y(s, r.stage), y, head, row, b);
}

/* A warp, the mender: rows [n, SM90_STEP) of the stage become zero. They may hold anything, and zero times anything shall be zero. turns: bit i is the parity of landed[i]. */
template <int D> GPU_DEVICE void mend_stage(const struct stages<D> &s, int stage, int n, uint32_t *turns)
{
    gpu_mbarrier_wait(&s.b->landed[stage], *turns >> stage & 1);
    *turns ^= 1u << stage;
    clear_rows<D, SM90_STEP>(stage_x(s, stage), n);
    clear_rows<D, SM90_STEP>(stage_y(s, stage), n);
    if (gpu_lane() == 0)
        gpu_mbarrier_arrive(&s.b->full[stage]);
}

/* The keys that a tile of rows walks. */
GPU_DEVICE struct key_walk walk_of(const struct attention_args &a, const struct row_tile &t) { return walk_start(a, t.run, t.map, t.first + t.n - 1, SM90_STEP); }

template <int D> GPU_DEVICE void fill_keys(const struct stages<D> &s, const struct sm90_launch &l, const struct row_tile &t)
{
    struct key_walk w = walk_of(l.l.a, t);
    for (struct ring r = {}; !walk_ended(w); w = walk_next(w, SM90_STEP), r = ring_next(r))
        fill_stage(s, r, &l.k, &l.v, (int)gpu_block_y(), w.first, 2 * SM90_STEP * D * 2, w.n == SM90_STEP);
}

template <int D> GPU_DEVICE void mend_keys(const struct stages<D> &s, const struct attention_args &a, const struct row_tile &t)
{
    struct key_walk w = walk_of(a, t);
    uint32_t turns = 0;
    for (struct ring r = {}; !walk_ended(w); w = walk_next(w, SM90_STEP), r = ring_next(r))
        if (w.n < SM90_STEP)
            mend_stage(s, r.stage, w.n, &turns);
}

#endif
