/* attention_paged: forward attention of rows that see a cache of keys: prompts being read, and decoding, in bf16 with head sizes 64 and 128.
 *
 * What a row sees is cut into parts. A part ends behind PAGED_STEPS tiles of ATTENTION_PAGE keys, and behind a tile of fewer keys: there a node ends. So the cut follows from what the
 * row itself sees, in the order in which it sees it, and neither from its company nor from where pages lie; and a prefix that branches share is whole parts of theirs (but where it
 * fills its last page to the end: then up to PAGED_STEPS - 1 of its tiles are each branch's own).
 * Within a part a row's sums are those of attention_softmax.h, from nothing; parts are merged in their order, always by
 *   M = max(m, m'), f = 2^(m - M), f' = 2^(m' - M):   sum = fma(sum, f, sum' f'), o = fma(o, f, o' f')
 * so it is only a matter of scheduling where this is done, and any two ways give the same bits:
 *
 *   split    a block takes a part of its own and up to PAGED_ROWS rows that see it, of all runs that have the same part: a tile of keys is read once for them. It leaves o, max
 *            and sum in memory that the plan keeps; a warp for each row and head merges them (paged_merge). For runs of few rows: decoding.
 *   chain    a block takes up to PAGED_ROWS rows of one run and all parts they see, one behind the other, merging in shared memory. For longer runs: prompts being read.
 *
 * Blocks take one item behind the other, every n-th of a grid of n, and find their number on the device: a grid of any size does the work, and the plan of another step may be put
 * where the last one was.
 *
 * Queries stay in registers; keys and values come by asynchronous copies, two stages. Rows are query heads of tokens, as in attention.h. Bytes decide in decoding: a part is read
 * once for up to PAGED_ROWS / group queries. Of an 8B model (32 query heads and 8 key/value heads of 128, 32 layers: 4 KiB a token and layer), 16 prefixes of 1,000 tokens, 10
 * branches under each, 500 tokens long on average, one step takes
 *                                       prefixes    branches    partial results (3 parts a row)    all      floor on an H100 (3.35 TB/s)
 *   a run reads all it sees (GB)          21.0         10.5          -                             31.5     9.4 ms
 *   shared parts once                      2.1         10.5         0.5                            13.1     3.9 ms
 * and 4 operations for each query head, element of it, and key: 126 G operations, 0.13 ms (989 T/s), if a tensor core's 16 rows were full.
 *
 *   kernel           rows x keys     threads    shared memory, KiB (head size 64, 128)
 *   paged_split      64 x 64         128        32   64
 *   paged_chain      64 x 64         128        50   98
 *   paged_merge      4 rows          128        -
 */
#ifndef KERNELS_CUDA_ATTENTION_PAGED_H
#define KERNELS_CUDA_ATTENTION_PAGED_H

#include "kernels/cuda/attention.h"

/* Tiles of a part; rows of a block; queries that a run may have to be split; most bytes of partial results: runs that would need more are chains. */
enum { PAGED_STEPS = 8, PAGED_ROWS = 64, PAGED_SPLIT_QUERIES = 16, PAGED_PARTIAL_BYTES = 256 << 20 };

/* Keys [first, first + n) of the store. before: how many keys of the run stand before them. part: 0 for a run's first. */
struct paged_tile { int32_t first, n, before; int16_t part, ends_part; };

/* A query: `sees` keys of those that its run has. slot: where its partial result of part 0 stands; the others are behind it. */
struct paged_row { int32_t token, sees, slot; };

/* Queries [row, row + n_rows), each of `group` rows, against tiles [tile, tile + n_tiles), which are whole parts: one of a split, all that the rows see of a chain. */
struct paged_item { int32_t tile, n_tiles, row, n_rows; };

struct paged_merge { int32_t token, slot, n_parts; };

struct paged_head { int32_t n_splits, n_chains, n_merges, n_slots; };

/* What a kernel gets; all pointers are the device's. */
struct paged_launch {
    struct attention_args a;
    const struct paged_head *head;
    const struct paged_tile *tile;
    const struct paged_row *row;
    const struct paged_item *split, *chain;
    const struct paged_merge *merge;
    float *o_SHD;                       /* [n_slots][H][D]: of each part, not divided by its sum */
    float *state_SH;                    /* [n_slots][H][2]: max (of scores times scale / ln 2), sum */
};

/* Floats that a thread of a chain keeps between parts: its elements of o, and max and sum of two rows. */
#define PAGED_KEPT(dim) ((dim) / 2 + 4)

/* Bytes of dynamic shared memory. */
static inline size_t paged_split_shared(int dim) { return (size_t)4 * ATTENTION_KEYS * (size_t)dim * 2; }
static inline size_t paged_chain_shared(int dim) { return paged_split_shared(dim) + (size_t)ATTENTION_THREADS * (size_t)PAGED_KEPT(dim) * sizeof(float); }

#ifdef __cplusplus
extern "C" {
#endif
extern const struct gpu_kernel paged_split_64, paged_split_128;
extern const struct gpu_kernel paged_chain_64, paged_chain_128;
extern const struct gpu_kernel paged_merge_64, paged_merge_128;
#ifdef __cplusplus
}
#endif

#endif
